# SPDX-License-Identifier: Apache-2.0
"""Where a hypervisor put the devices that a user tagged: what ``meta_data.json`` tells the guest of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nova.objects.instance import Instance

#: Where they are kept, in ``system_metadata``, and the name of a step's answer that has them.
KEY = "device_addresses"

#: A NIC by its MAC, a disk by its ``bdm_uuid``: bus (pci, scsi, ide, usb or none) and address.
DeviceAddresses = dict[str, list[str]]

UNKNOWN = ("none", "none")


def has_tags(instance: Instance) -> bool:
    """Whether any device has a tag: nobody asks where the others are."""
    return any(vif.tag for vif in instance.network_info) or any(
        device.tag for device in instance.block_devices
    )


def known_address(facts: Mapping[str, Any], device: str) -> tuple[str, str]:
    """Bus and address of a device from ``system_metadata``; ``none`` where the hypervisor tells of none."""
    bus, address = (facts.get(KEY) or {}).get(device, UNKNOWN)
    return str(bus), str(address)
