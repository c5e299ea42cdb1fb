# SPDX-License-Identifier: Apache-2.0
"""Instances and the facts kept with them."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec

from nova.objects.flavor import Flavor
from nova.objects.topology import GuestTopology


class Address(msgspec.Struct, frozen=True):
    """One fixed address of a virtual interface, with the floating addresses that lead to it."""

    address: str
    version: int = 4
    floating: tuple[str, ...] = ()


class Vif(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual interface of an instance: everything a host needs to plug it and a view to show it.

    ``dhcp_server`` is None where DHCP does not give the address, ``gateway`` where the guest has no router.
    ``routes`` are further ones: (range, next hop). ``bridge`` is a Linux bridge, or one of Open vSwitch where
    ``kind`` is ``ovs``. ``plugged`` is false where an external network service has yet to carry its traffic.
    """

    id: str
    mac: str
    network_id: str
    label: str
    addresses: tuple[Address, ...] = ()
    tag: str | None = None
    bridge: str | None = None
    bridge_interface: str | None = None
    vlan: int | None = None
    cidr: str | None = None
    gateway: str | None = None
    netmask: str | None = None
    broadcast: str | None = None
    dhcp_server: str | None = None
    dns: tuple[str, ...] = ()
    mtu: int | None = None
    multi_host: bool = False
    cidr_v6: str | None = None
    gateway_v6: str | None = None
    kind: str | None = None
    routes: tuple[tuple[str, str], ...] = ()
    plugged: bool = True


class BlockDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A disk of an instance (API reference, Servers, ``block_device_mapping_v2``). Sizes are GiB.

    ``state`` is ``attaching``, ``detaching`` or ``swapping`` while that is under way, None else. ``host`` is
    the host that ``attachment_id`` is open to, None while it is only reserved. ``next_attachment_id`` is a
    second attachment: the other side of a move (open to ``next_host``), the volume that takes this one's
    place, or one that is still to be given up. ``made`` marks a volume that was made for this instance.
    """

    source_type: str
    destination_type: str
    boot_index: int | None = None
    uuid: str | None = None
    volume_id: str | None = None
    volume_size: int | None = None
    volume_type: str | None = None
    device_name: str | None = None
    delete_on_termination: bool = False
    guest_format: str | None = None
    disk_bus: str | None = None
    device_type: str | None = None
    tag: str | None = None
    no_device: bool = False
    bdm_uuid: str = ""
    attachment_id: str | None = None
    state: str | None = None
    host: str | None = None
    next_attachment_id: str | None = None
    next_host: str | None = None
    made: bool = False

    @property
    def is_volume(self) -> bool:
        """Whether it is, or is to become, a volume of a block storage service."""
        return self.destination_type == "volume" and not self.no_device


class Fault(msgspec.Struct, frozen=True):
    """Why an instance is in ERROR. ``code`` is an HTTP status; ``details`` are for administrators."""

    code: int
    message: str
    created: datetime.datetime
    details: str = ""


class Instance(msgspec.Struct, frozen=True):
    """A server. The field order is that of the table's columns (checked by a test).

    ``topology`` is where on its host it is pinned, None for one that asked for nothing of the kind.
    """

    id: int
    uuid: str
    revision: int
    project_id: str
    user_id: str
    name: str
    description: str | None
    hostname: str
    image_ref: str
    image_properties: dict[str, Any] | None
    kernel_id: str
    ramdisk_id: str
    flavor: Flavor
    flavorid: str
    vcpus: int
    memory_mb: int
    root_gb: int
    ephemeral_gb: int
    vm_state: str
    task_state: str | None
    power_state: int
    progress: int
    host: str | None
    node: str | None
    availability_zone: str | None
    pinned_availability_zone: str | None
    reservation_id: str
    launch_index: int
    key_name: str | None
    key_data: str | None
    user_data: str | None
    config_drive: str
    access_ipv4: str
    access_ipv6: str
    locked_by: str | None
    locked_reason: str | None
    disk_config: str
    root_device_name: str | None
    metadata: dict[str, str]
    system_metadata: dict[str, Any]
    tags: list[str]
    network_info: tuple[Vif, ...]
    security_groups: list[str]
    block_devices: tuple[BlockDevice, ...]
    scheduler_hints: dict[str, Any] | None
    trusted_image_certificates: list[str] | None
    fault: Fault | None
    server_group: str | None
    created_at: datetime.datetime
    updated_at: datetime.datetime
    launched_at: datetime.datetime | None
    terminated_at: datetime.datetime | None
    deleted_at: datetime.datetime | None
    deleted: int
    topology: GuestTopology | None = None

    @property
    def internal_name(self) -> str:
        """The name of the guest on its host (``instance_name_template``'s default)."""
        return f"instance-{self.id:08x}"

    @property
    def volumes(self) -> tuple[BlockDevice, ...]:
        """The disks that are volumes."""
        return tuple(device for device in self.block_devices if device.is_volume)

    @property
    def root_volume(self) -> BlockDevice | None:
        """The volume that it boots from, where it does."""
        return next((each for each in self.block_devices if each.is_volume and each.boot_index == 0), None)

    @property
    def volume_backed(self) -> bool:
        """Whether its root disk is a volume."""
        return not self.image_ref or self.root_volume is not None


class RequestedNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """A NIC asked for: by network uuid, with a fixed address if one was named."""

    network_id: str | None = None
    port_id: str | None = None
    address: str | None = None
    tag: str | None = None
