# SPDX-License-Identifier: Apache-2.0
"""A guest's lesser hardware as parts of libvirt's domain XML: inputs, sound, USB, IOMMU, serial lines.

Pure functions; the elements are those of https://libvirt.org/formatdomain.html.
"""

from __future__ import annotations

import dataclasses
from xml.etree.ElementTree import Element, SubElement

#: What makes a Windows faster on KVM, which knows to use it: those of Kilo, that every KVM has.
_ENLIGHTENMENTS = ("relaxed", "vapic", "spinlocks")
_SPINLOCK_RETRIES = "8191"


@dataclasses.dataclass(frozen=True, kw_only=True)
class HardwareConfig:
    """What images and flavors ask of a guest besides its disks, NICs and CPUs.

    ``input_bus`` is that of a keyboard and a tablet, ``tablet`` a tablet on USB even without VNC.
    ``serial_ports`` counts the first one. ``address_bits`` are the CPU's physical ones (mode, number);
    ``hpet`` None leaves that timer to the hypervisor. ``stateless`` firmware keeps no variables.
    """

    input_bus: str | None = None
    tablet: bool = False
    sound: str | None = None
    usb: str | None = None
    redirected_ports: int = 0
    serial_ports: int = 1
    packed_rings: bool = False
    video_ram_kib: int | None = None
    iommu: str | None = None
    address_bits: tuple[str, int | None] | None = None
    hpet: bool | None = None
    windows: bool = False
    stateless: bool = False


def add_features(features: Element, hardware: HardwareConfig, *, kvm: bool) -> None:
    """Fill a ``features`` element."""
    if kvm and hardware.windows:
        known = SubElement(features, "hyperv")
        for name in _ENLIGHTENMENTS:
            feature = SubElement(known, name, state="on")
            if name == "spinlocks":
                feature.set("retries", _SPINLOCK_RETRIES)
    if kvm and hardware.iommu == "intel":
        # Its remapping of interrupts needs an I/O APIC that is QEMU's and not the kernel's.
        SubElement(features, "ioapic", driver="qemu")


def clock_element(hardware: HardwareConfig, virt_type: str) -> Element:
    """The ``clock`` element: UTC, for a Windows the host's local time."""
    clock = Element("clock", offset="localtime" if hardware.windows else "utc")
    if virt_type == "kvm":
        SubElement(clock, "timer", name="pit", tickpolicy="delay")
        SubElement(clock, "timer", name="rtc", tickpolicy="catchup")
    if virt_type == "kvm" or hardware.hpet is not None:
        SubElement(clock, "timer", name="hpet", present="yes" if hardware.hpet else "no")
    if virt_type == "kvm" and hardware.windows:
        SubElement(clock, "timer", name="hypervclock", present="yes")
    return clock


def address_bits(hardware: HardwareConfig) -> Element | None:
    """The ``maxphysaddr`` element of ``cpu``, None where nothing is asked."""
    if hardware.address_bits is None:
        return None
    mode, bits = hardware.address_bits
    element = Element("maxphysaddr", mode=mode)
    if bits is not None:
        element.set("bits", str(bits))
    return element


def add_devices(devices: Element, hardware: HardwareConfig, *, kvm: bool, tablet: bool) -> None:
    """Add what is asked to a ``devices`` element. ``tablet`` is for a screen that needs one by itself."""
    for number in range(1, hardware.serial_ports):
        SubElement(SubElement(devices, "serial", type="pty"), "target", port=str(number))
    if hardware.usb is not None:
        SubElement(devices, "controller", type="usb", index="0", model=hardware.usb)
    if hardware.input_bus is not None:
        SubElement(devices, "input", type="tablet", bus=hardware.input_bus)
        SubElement(devices, "input", type="keyboard", bus=hardware.input_bus)
    elif hardware.tablet or (tablet and hardware.usb != "none"):
        SubElement(devices, "input", type="tablet", bus="usb")
    if hardware.sound is not None:
        SubElement(devices, "sound", model=hardware.sound)
    for _ in range(hardware.redirected_ports):
        SubElement(devices, "redirdev", bus="usb", type="spicevmc")
    if hardware.iommu is not None:
        iommu = SubElement(devices, "iommu", model=hardware.iommu)
        if hardware.iommu == "intel":
            driver = SubElement(iommu, "driver", caching_mode="on", iotlb="on")
            if kvm:
                driver.set("intremap", "on")
