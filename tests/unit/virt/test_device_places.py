# SPDX-License-Identifier: Apache-2.0
"""Where libvirt put NICs and tagged disks, read from a description that it completed."""

from __future__ import annotations

from nova.objects.instance import BlockDevice
from nova.virt.libvirt.device_places import places_of
from nova.virt.libvirt.domain_xml import DiskConfig
from tests.unit.virt.guests import instance

#: As ``virsh dumpxml`` tells it; what does not matter here is left out.
COMPLETED = """
<domain type='qemu'><devices>
  <disk type='file' device='disk'><source file='/i/u/disk'/><target dev='vda' bus='virtio'/>
    <address type='pci' domain='0x0000' bus='0x04' slot='0x00' function='0x0'/></disk>
  <disk type='file' device='disk'><target dev='sdb' bus='scsi'/><serial>v-1</serial>
    <address type='drive' controller='0' bus='0' target='0' unit='1'/></disk>
  <disk type='file' device='disk'><target dev='vdc' bus='virtio'/><serial>v-2</serial>
    <address type='pci' domain='0x0000' bus='0x1a' slot='0x1f' function='0x7'/></disk>
  <disk type='file' device='disk'><target dev='vdd' bus='virtio'/><serial>v-3</serial>
    <address type='ccw' cssid='0xfe' ssid='0x0' devno='0x0001'/></disk>
  <interface type='bridge'><mac address='FA:16:3e:00:00:01'/>
    <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></interface>
</devices></domain>
"""


def volume(number: int, tag: str | None = "t") -> BlockDevice:
    return BlockDevice(
        source_type="volume", destination_type="volume", volume_id=f"v-{number}", tag=tag,
        bdm_uuid=f"b-{number}",
    )


def disk(target: str, path: str = "/v", serial: str | None = None) -> DiskConfig:
    return DiskConfig(path=path, format="raw", target=target, bus="virtio", serial=serial)


def test_buses_and_addresses_of_what_has_a_tag() -> None:
    root = BlockDevice(
        source_type="image", destination_type="local", boot_index=0, tag="root", bdm_uuid="b-0"
    )
    guest = instance(block_devices=(
        root, volume(1), volume(2), volume(3), volume(4), volume(5, tag=None),
    ))
    disks = (
        disk("vda", "/i/u/disk"), disk("sdb", serial="v-1"), disk("vdc", serial="moved"),
        disk("vdd", serial="v-3"), disk("vdz", serial="v-5"),
    )
    serials = {"v-1": "v-1", "v-2": "moved", "v-3": "v-3", "v-5": "v-5"}
    assert places_of(COMPLETED, guest, disks, serials) == {
        "fa:16:3e:00:00:01": ["pci", "0000:01:00.0"],
        "b-0": ["pci", "0000:04:00.0"],
        "b-1": ["scsi", "none"],
        "b-2": ["pci", "0000:1a:1f.7"],
        "b-3": ["none", "none"],
    }
