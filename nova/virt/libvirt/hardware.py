# SPDX-License-Identifier: Apache-2.0
"""What images and flavors ask of a guest's lesser hardware, checked.

docs/operators/guest-hardware.md lists all of it, with what other modules give. Where both an image
and a flavor say something they have to agree, unless one is a limit for the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nova.errors import VirtError
from nova.objects.instance import Instance
from nova.virt.libvirt.hardware_xml import HardwareConfig

_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
_SOUND = ("sb16", "es1370", "pcspk", "ac97", "ich6", "ich9", "usb", "virtio")
_USB = ("none", "nec-xhci", "qemu-xhci")
_IOMMU = ("intel", "smmuv3", "virtio", "auto")
#: Serial lines of an ISA bus.
_MOST_SERIAL_PORTS = 4
_MOST_REDIRECTED_PORTS = 15
#: More address bits than any CPU has.
_MOST_ADDRESS_BITS = 64
_MOST = 65536


class Wishes:
    """The properties of an instance's image and the extra specs of its flavor."""

    def __init__(self, instance: Instance) -> None:
        self.properties: Mapping[str, Any] = instance.image_properties or {}
        self.specs = instance.flavor.extra_specs

    def agreed(self, name: str) -> str | None:
        """``hw:name`` of the flavor or ``hw_name`` of the image; ``VirtError`` where they differ."""
        flavor, image = self.specs.get(f"hw:{name}"), self.properties.get(f"hw_{name}")
        if flavor is not None and image is not None and str(flavor).lower() != str(image).lower():
            raise VirtError(
                f"Extra spec hw:{name}={flavor} and image property hw_{name}={image} contradict each other."
            )
        found = image if flavor is None else flavor
        return None if found is None else str(found)

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        """The same, one of ``choices``."""
        found = self.agreed(name)
        if found is not None and found not in choices:
            raise VirtError(f"hw_{name}: {found} is none of {', '.join(choices)}.")
        return found

    def flag(self, name: str) -> bool:
        """Whether a property of the image is true."""
        return is_true(self.properties.get(name))

    def number(self, key: str, *, least: int = 0, most: int = _MOST) -> int | None:
        """An extra spec (with a colon in its name) or an image property as a number in bounds."""
        said = (self.specs if ":" in key else self.properties).get(key)
        if said is None:
            return None
        what = "Extra spec" if ":" in key else "Image property"
        try:
            number = int(said)
        except ValueError:
            raise VirtError(f"{what} {key}: {said} is no whole number.") from None
        if not least <= number <= most:
            raise VirtError(f"{what} {key}: {said} is not between {least} and {most}.")
        return number


def is_true(value: Any) -> bool:
    """Whether a text says yes."""
    return str(value).lower() in _TRUE


def hardware_config(
    instance: Instance, *, arch: str, machine: str | None, cpu_mode: str | None, spice: bool
) -> HardwareConfig:
    """What is to be given. ``machine`` is the machine type, ``cpu_mode`` None a CPU that QEMU chooses.

    Raises ``VirtError`` with the name of what cannot be given.
    """
    wishes = Wishes(instance)
    properties = wishes.properties
    if not any(name.startswith(("hw", "os_")) for name in (*properties, *wishes.specs)):
        return HardwareConfig()
    usb = wishes.choice("usb_model", _USB)
    input_bus = _one_of(properties, "hw_input_bus", ("usb", "virtio"))
    tablet = _one_of(properties, "hw_pointer_model", ("usbtablet",)) is not None and input_bus is None
    if usb == "none":
        _refuse_usb(wishes, input_bus, tablet=tablet)
    firmware = str(properties.get("hw_firmware_type") or "bios")
    stateless = wishes.flag("hw_firmware_stateless")
    if stateless and firmware != "uefi":
        raise VirtError("Image property hw_firmware_stateless needs hw_firmware_type=uefi.")
    return HardwareConfig(
        input_bus=input_bus, tablet=tablet, sound=wishes.choice("sound_model", _SOUND), usb=usb,
        redirected_ports=_redirected_ports(wishes, spice=spice), serial_ports=_serial_ports(wishes),
        packed_rings=is_true(wishes.agreed("virtio_packed_ring")), video_ram_kib=_video_ram(wishes),
        iommu=_iommu(wishes, arch, machine), address_bits=_address_bits(wishes, cpu_mode),
        hpet=wishes.flag("hw_time_hpet") if "hw_time_hpet" in properties else None,
        windows=str(properties.get("os_type")).lower() == "windows", stateless=stateless,
    )


def _one_of(properties: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str | None:
    found = properties.get(name)
    if found is None or found in choices:
        return found
    raise VirtError(f"Image property {name}: {found} is none of {', '.join(choices)}.")


def _refuse_usb(wishes: Wishes, input_bus: str | None, *, tablet: bool) -> None:
    """``VirtError`` for devices on USB in a guest that is to have none."""
    used = [
        name for name, there in (
            ("hw_input_bus", input_bus == "usb"), ("hw_pointer_model", tablet),
            ("hw_disk_bus", wishes.properties.get("hw_disk_bus") == "usb"),
            ("hw_cdrom_bus", wishes.properties.get("hw_cdrom_bus") == "usb"),
            ("hw_sound_model", wishes.agreed("sound_model") == "usb"),
            ("hw_redirected_usb_ports", wishes.agreed("redirected_usb_ports") not in (None, "0")),
        ) if there
    ]
    if used:
        raise VirtError(f"hw_usb_model=none leaves no USB for {', '.join(used)}.")


def _redirected_ports(wishes: Wishes, *, spice: bool) -> int:
    wishes.agreed("redirected_usb_ports")
    count = 0
    for key in ("hw:redirected_usb_ports", "hw_redirected_usb_ports"):
        count = wishes.number(key, most=_MOST_REDIRECTED_PORTS) or count
    if count and not spice:
        raise VirtError("hw_redirected_usb_ports needs SPICE, which this host's guests do not have.")
    return count


def _serial_ports(wishes: Wishes) -> int:
    """The image's number, at most the flavor's where it sets one."""
    flavor = wishes.number("hw:serial_port_count", least=1, most=_MOST_SERIAL_PORTS)
    image = wishes.number("hw_serial_port_count", least=1, most=_MOST_SERIAL_PORTS)
    if flavor is not None and image is not None and image > flavor:
        raise VirtError(
            f"Image property hw_serial_port_count={image} is more than the flavor's "
            f"hw:serial_port_count={flavor}."
        )
    return image or flavor or 1


def _video_ram(wishes: Wishes) -> int | None:
    """KiB. The image asks, the flavor has to allow it."""
    wanted = wishes.number("hw_video_ram", most=4096)
    if not wanted:
        return None
    allowed = wishes.number("hw_video:ram_max_mb", most=4096) or 0
    if wanted > allowed:
        raise VirtError(
            f"Image property hw_video_ram={wanted} is more than the flavor's hw_video:ram_max_mb={allowed}."
        )
    return wanted * 1024


def _iommu(wishes: Wishes, arch: str, machine: str | None) -> str | None:
    model = wishes.choice("viommu_model", _IOMMU)
    if model is None:
        return None
    if arch == "x86_64":
        fits = "q35" in (machine or "") and model != "smmuv3"
        chosen = "virtio"
    else:
        fits = arch == "aarch64" and "virt" in (machine or "") and model != "intel"
        chosen = "smmuv3"
    if not fits:
        raise VirtError(
            f"hw_viommu_model={model} is not for {arch} guests with machine type {machine or 'unset'}: intel "
            "and virtio need q35, smmuv3 needs aarch64."
        )
    return chosen if model == "auto" else model


def _address_bits(wishes: Wishes, cpu_mode: str | None) -> tuple[str, int | None] | None:
    mode = wishes.choice("maxphysaddr_mode", ("emulate", "passthrough"))
    wishes.agreed("maxphysaddr_bits")
    bits = None
    for key in ("hw:maxphysaddr_bits", "hw_maxphysaddr_bits"):
        bits = wishes.number(key, least=1, most=_MOST_ADDRESS_BITS) or bits
    if mode is None:
        if bits is not None:
            raise VirtError("hw_maxphysaddr_bits needs hw_maxphysaddr_mode.")
        return None
    if mode == "emulate" and bits is None:
        raise VirtError("hw_maxphysaddr_mode=emulate needs hw_maxphysaddr_bits.")
    if cpu_mode is None or (mode == "passthrough" and cpu_mode != "host-passthrough"):
        needed = "host-passthrough" if mode == "passthrough" else "a CPU model"
        raise VirtError(f"hw_maxphysaddr_mode={mode} needs {needed} ([libvirt] cpu_mode) on this host.")
    return mode, bits
