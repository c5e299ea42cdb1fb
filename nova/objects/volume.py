# SPDX-License-Identifier: Apache-2.0
"""Volumes, their snapshots and attachments as compute sees them, whichever block storage holds them."""

from __future__ import annotations

import datetime

import msgspec


class VolumeAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """One server's hold on a volume.

    ``status`` is reserved, attaching, attached, detached or an error_… one; ``mode`` is rw or ro. ``host``
    is the compute host that the connector named, ``mountpoint`` the device in the guest (``/dev/vdb``).
    """

    uuid: str
    volume_uuid: str
    instance_uuid: str | None = None
    host: str | None = None
    mountpoint: str | None = None
    status: str = "reserved"
    mode: str = "rw"
    attached_at: datetime.datetime | None = None


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume. ``size_gb`` is GiB; ``volume_type`` a name.

    ``status`` is creating, downloading, available, reserved, attaching, in-use, detaching, extending,
    uploading, deleting, error or an error_… one. ``image_metadata`` are the image's properties where the
    volume was made of one (``image_id``, ``image_name``, ``min_disk`` and the like among them).
    ``attachments`` leave detached ones out. Times are naive UTC. ``migration_status`` is what administrators
    are shown: None, starting, migrating, completing, success, error, or ``target:`` and the volume that this
    one is to replace.
    """

    uuid: str
    name: str = ""
    description: str = ""
    status: str = "creating"
    migration_status: str | None = None
    size_gb: int = 0
    project_id: str = ""
    user_id: str = ""
    bootable: bool = False
    multiattach: bool = False
    encrypted: bool = False
    readonly: bool = False
    volume_type: str | None = None
    availability_zone: str = "nova"
    snapshot_uuid: str | None = None
    source_uuid: str | None = None
    image_metadata: dict[str, str] = {}
    metadata: dict[str, str] = {}
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
    attachments: tuple[VolumeAttachment, ...] = ()


class VolumeSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A volume's state at one time. ``size_gb`` is GiB.

    ``status`` is creating, available, deleting, error or error_deleting; ``progress`` is per cent.
    """

    uuid: str
    volume_uuid: str
    name: str = ""
    description: str = ""
    status: str = "creating"
    progress: int = 0
    size_gb: int = 0
    project_id: str = ""
    user_id: str = ""
    metadata: dict[str, str] = {}
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
