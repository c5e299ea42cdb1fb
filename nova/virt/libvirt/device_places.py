# SPDX-License-Identifier: Apache-2.0
"""Bus and address of NICs and tagged disks, from the description of a guest as libvirt completed it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from xml.etree import ElementTree

from nova.objects.device_addresses import UNKNOWN, DeviceAddresses
from nova.objects.instance import BlockDevice, Instance
from nova.virt.libvirt.domain_xml import DiskConfig

#: Buses that a disk may be on without an address that a guest knows it by.
_DISK_BUSES = frozenset({"scsi", "ide", "usb"})


def places_of(
    text: str, instance: Instance, disks: Iterable[DiskConfig], serials: Mapping[str, str]
) -> DeviceAddresses:
    """NICs by MAC, tagged disks by ``bdm_uuid``; ``serials`` are those of the volumes, by volume id."""
    domain = ElementTree.fromstring(text)  # noqa: S314 - libvirtd's own text
    found: DeviceAddresses = {}
    for nic in domain.iterfind("devices/interface"):
        mac = nic.find("mac")
        if mac is not None:
            found[str(mac.get("address")).lower()] = _place(nic)
    targets = {_target(disk): disk for disk in domain.iterfind("devices/disk")}
    known = tuple(disks)
    for device in instance.block_devices:
        element = targets.get(_target_of(device, known, serials)) if device.tag else None
        if element is not None:
            found[device.bdm_uuid] = _place(element)
    return found


def _target(disk: ElementTree.Element) -> str | None:
    target = disk.find("target")
    return None if target is None else target.get("dev")


def _target_of(
    device: BlockDevice, disks: tuple[DiskConfig, ...], serials: Mapping[str, str]
) -> str | None:
    if device.volume_id is not None:
        serial = serials.get(device.volume_id)
        return next((each.target for each in disks if serial and each.serial == serial), None)
    if device.source_type == "image" and device.boot_index == 0:
        return next((each.target for each in disks if each.path.endswith("/disk")), None)
    return None


def _place(device: ElementTree.Element) -> list[str]:
    address = device.find("address")
    if address is not None and address.get("type") == "pci":
        domain, bus, slot, function = (
            int(address.get(part) or "0", 16) for part in ("domain", "bus", "slot", "function")
        )
        return ["pci", f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"]
    target = device.find("target")
    bus_name = None if target is None else target.get("bus")
    return [bus_name, "none"] if bus_name in _DISK_BUSES else list(UNKNOWN)
