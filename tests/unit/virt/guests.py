# SPDX-License-Identifier: Apache-2.0
"""Instances for the tests of drivers."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec

from nova.objects.flavor import Flavor
from nova.objects.instance import Address, Instance, Vif

MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5)
IMAGE = "70a599e0-31e7-49b7-b260-868f441e862b"
UUID = "5a3c2f6e-0d0f-4f3c-8a55-6d1d9c1f7a10"

VIF = Vif(
    id="9e6cfa7c-1f0b-4d8e-9a35-000000000001", mac="fa:16:3e:00:00:01",
    network_id="11111111-2222-3333-4444-555555555555", label="private", bridge="br100",
    addresses=(Address("10.9.0.3"),), cidr="10.9.0.0/24", gateway="10.9.0.1",
    netmask="255.255.255.0", dns=("10.9.0.1",),
)


def flavor(**values: Any) -> Flavor:
    facts: dict[str, Any] = {
        "id": 1, "flavorid": "1", "name": "m1.tiny", "description": None, "memory_mb": 512, "vcpus": 2,
        "root_gb": 1, "ephemeral_gb": 0, "swap": 0, "rxtx_factor": 1.0, "is_public": True,
        "disabled": False, "extra_specs": {},
    }
    return Flavor(**{**facts, **values})


def instance(**values: Any) -> Instance:
    """A server with one NIC; ``specs`` and ``swap`` go to its flavor."""
    sizes = flavor(extra_specs=values.pop("specs", {}), swap=values.pop("swap", 0),
                   vcpus=values.get("vcpus", 2))
    facts: dict[str, Any] = dict.fromkeys(Instance.__struct_fields__)
    facts |= {
        "id": 42, "uuid": UUID, "revision": 0, "project_id": "project", "user_id": "user",
        "name": "första <servern>", "hostname": "forsta-servern", "image_ref": IMAGE,
        "image_properties": {}, "kernel_id": "", "ramdisk_id": "", "flavor": sizes, "flavorid": "1",
        "vcpus": sizes.vcpus, "memory_mb": 512, "root_gb": 1, "ephemeral_gb": 0, "vm_state": "building",
        "power_state": 0, "progress": 0, "availability_zone": "nova", "reservation_id": "r-1",
        "launch_index": 0, "config_drive": "", "access_ipv4": "", "access_ipv6": "",
        "disk_config": "MANUAL", "root_device_name": "/dev/vda", "metadata": {},
        "system_metadata": {}, "tags": [], "network_info": (VIF,), "security_groups": ["default"],
        "block_devices": (), "created_at": MOMENT, "updated_at": MOMENT, "deleted": 0,
    }
    return Instance(**{**facts, **values})


def with_properties(**properties: Any) -> Instance:
    return msgspec.structs.replace(instance(), image_properties=properties)
