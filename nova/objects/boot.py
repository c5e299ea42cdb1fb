# SPDX-License-Identifier: Apache-2.0
"""A boot as the faces (compute, EC2) ask for it."""

from __future__ import annotations

from typing import Any

import msgspec

from nova.objects.instance import BlockDevice, RequestedNetwork


class BootRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one boot may say; the newest form.

    ``networks`` None is "choose for me", an empty tuple "none". ``image_ref`` "" boots from a volume.
    ``availability_zone`` is a zone name only; ``force_host``/``force_node`` come from ``zone:host:node``.
    ``user_data`` is base64 text; ``personality`` maps paths to base64 contents. ``multiattach`` says whether
    volumes that several servers have may be among its disks.
    """

    name: str
    flavor_ref: str
    image_ref: str = ""
    min_count: int = 1
    max_count: int = 1
    description: str | None = None
    hostname: str | None = None
    metadata: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    key_name: str | None = None
    user_data: str | None = None
    personality: dict[str, str] = {}
    config_drive: bool = False
    security_groups: tuple[str, ...] | None = None
    networks: tuple[RequestedNetwork, ...] | None = None
    block_devices: tuple[BlockDevice, ...] = ()
    multiattach: bool = True
    availability_zone: str | None = None
    force_host: str | None = None
    force_node: str | None = None
    wanted_host: str | None = None
    wanted_node: str | None = None
    scheduler_hints: dict[str, Any] = {}
    disk_config: str | None = None
    access_ipv4: str = ""
    access_ipv6: str = ""
    admin_password: str | None = None
    trusted_image_certificates: tuple[str, ...] | None = None
    kernel_id: str | None = None
    ramdisk_id: str | None = None
    reservation_id: str | None = None


class Booted(msgspec.Struct, frozen=True, kw_only=True):
    """What an accepted boot is known by: the uuids in order, the reservation, the password."""

    uuids: tuple[str, ...]
    reservation_id: str
    admin_password: str
    security_groups: tuple[str, ...]
    disk_config: str


class RebuildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A rebuild; UNSET leaves a fact as it is.

    ``over_volume`` says whether another image may be written over a root disk that is a volume.
    """

    image_ref: str
    over_volume: bool = True
    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    hostname: str | msgspec.UnsetType = msgspec.UNSET
    metadata: dict[str, str] | None = None
    admin_password: str | None = None
    preserve_ephemeral: bool = False
    disk_config: str | msgspec.UnsetType = msgspec.UNSET
    access_ipv4: str | msgspec.UnsetType = msgspec.UNSET
    access_ipv6: str | msgspec.UnsetType = msgspec.UNSET
    personality: dict[str, str] = {}
    key_name: str | msgspec.UnsetType | None = msgspec.UNSET
    user_data: str | msgspec.UnsetType | None = msgspec.UNSET
    trusted_image_certificates: tuple[str, ...] | msgspec.UnsetType | None = msgspec.UNSET
