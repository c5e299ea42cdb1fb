# SPDX-License-Identifier: Apache-2.0
"""What images and flavors ask of guests' hardware, before the real libvirtd and the real QEMU."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from nova.virt.libvirt import qemu_img
from tests.host.hypervisor import PrivateLibvirt
from tests.unit.virt.guests import UUID, instance
from tests.unit.virt.hardware_wishes import HONOURED, described, guest_of, missing

#: libvirt writes down which version of a machine an alias stands for.
_MACHINES = {"q35": "pc-q35-", "pc": "pc-i440fx-"}

#: As much as fits into one guest.
_PROPERTIES = {
    "hw_machine_type": "q35", "hw_disk_bus": "scsi", "hw_cdrom_bus": "sata", "hw_vif_model": "e1000e",
    "hw_serial_port_count": "4", "hw_video_model": "vga", "hw_video_ram": "32", "hw_input_bus": "virtio",
    "hw_sound_model": "ich9", "hw_usb_model": "qemu-xhci", "hw_virtio_packed_ring": "true",
    "hw_viommu_model": "intel", "hw_watchdog_action": "pause", "hw_rng_model": "virtio",
    "hw_time_hpet": "true",
    "hw_qemu_guest_agent": "yes", "hw_boot_menu": "true", "hw_cpu_max_sockets": "1", "hw_pmu": "false",
    "os_type": "windows",
}
_SPECS = {
    "hw_video:ram_max_mb": "64", "hw_rng:allowed": "true", "hw_rng:rate_bytes": "1000",
    "quota:cpu_shares": "512", "quota:disk_read_iops_sec": "1000",
}


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that QEMU's user comes to, with the files of a guest."""
    with tempfile.TemporaryDirectory(prefix="nova-hardware-", dir="/var/tmp") as name:
        directory = Path(name)
        directory.chmod(0o711)
        guest = directory / UUID
        guest.mkdir()
        qemu_img.create(guest / "disk", "qcow2", 1 << 30)
        (guest / "disk.config").write_bytes(bytes(1 << 20))
        yield directory


def test_a_real_libvirtd_takes_and_keeps_every_wish_that_is_honoured(
    hypervisor: PrivateLibvirt, place: Path
) -> None:
    import libvirt

    connection = libvirt.open(hypervisor.uri)
    tried = 0
    for wish in HONOURED:
        if "qemu" not in wish.virt_types:
            # There is no KVM to describe such a guest for; libvirt's schema takes it (unit tests).
            continue
        # Tests beside this one have guests of their own here.
        guest = msgspec.structs.replace(guest_of(wish), id=9042)
        text = described(guest, place, spice=wish.spice, cpu_mode=wish.cpu_mode)
        try:
            domain = connection.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        except libvirt.libvirtError as error:
            pytest.fail(f"{wish} {wish.properties} {wish.specs}: {error}\n{text}")
        try:
            kept = domain.XMLDesc()
        finally:
            domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
        if wish.names == ("hw_machine_type",):
            machine = ElementTree.fromstring(kept).find("os/type")
            assert machine is not None
            assert str(machine.get("machine")).startswith(_MACHINES[wish.properties["hw_machine_type"]])
        else:
            assert missing(kept, wish) == [], wish
        tried += 1
    assert tried > 80
    connection.close()


def test_a_real_qemu_starts_with_all_of_it_at_once(hypervisor: PrivateLibvirt, place: Path) -> None:
    import libvirt

    guest = msgspec.structs.replace(
        instance(specs=_SPECS, image_properties=_PROPERTIES, memory_mb=96), id=9043
    )
    connection = libvirt.open(hypervisor.uri)
    text = described(guest, place, bridge=False)
    domain: Any = connection.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    try:
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        running = ElementTree.fromstring(domain.XMLDesc())
        assert [each.get("port") for each in running.findall("devices/serial/target")] == ["0", "1", "2", "3"]
        # The console with the log is the first of them, whatever libvirt makes of the others.
        log = running.find("devices/serial/log")
        assert log is not None
        assert log.get("file") == str(place / UUID / "console.log")
        given = {each.tag for each in running.findall("devices/*")}
        assert {"iommu", "watchdog", "rng", "sound", "input", "channel"} <= given
        topology = running.find("cpu/topology")
        assert topology is not None
        assert (topology.get("sockets"), topology.get("cores")) == ("1", "2")
    finally:
        if domain.isActive():
            domain.destroy()
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
        connection.close()
