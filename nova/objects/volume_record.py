# SPDX-License-Identifier: Apache-2.0
"""What the built-in block storage keeps of volumes, snapshots, attachments, types, transfers and tasks."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec

from nova.objects.volume import Volume, VolumeAttachment, VolumeSnapshot


class AttachmentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``volume_attachments``; the field order is that of the table's columns."""

    id: str
    volume_id: str
    project_id: str
    instance_uuid: str | None = None
    attached_host: str | None = None
    mountpoint: str | None = None
    status: str = "reserved"
    mode: str = "rw"
    connector: dict[str, Any] | None = None
    connection_info: dict[str, Any] | None = None
    created_at: datetime.datetime
    attached_at: datetime.datetime | None = None

    def to_attachment(self) -> VolumeAttachment:
        """The attachment as compute sees it."""
        return VolumeAttachment(
            uuid=self.id, volume_uuid=self.volume_id, instance_uuid=self.instance_uuid,
            host=self.attached_host, mountpoint=self.mountpoint, status=self.status, mode=self.mode,
            attached_at=self.attached_at,
        )


class VolumeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``volumes``; the field order is that of the table's columns. ``size`` is GiB.

    ``growing`` are the GiB by which it is being extended, which count already. ``type_name`` and
    ``attachments`` are read from their own tables.
    """

    id: str
    project_id: str
    user_id: str
    name: str | None = None
    description: str | None = None
    status: str = "creating"
    previous_status: str | None = None
    size: int
    growing: int = 0
    migration_status: str | None = None
    type_id: str
    availability_zone: str
    host: str
    bootable: bool = False
    multiattach: bool = False
    readonly: bool | None = None
    format: str = "raw"
    snapshot_id: str | None = None
    source_id: str | None = None
    image_metadata: dict[str, str] = {}
    metadata: dict[str, str] = {}
    created_at: datetime.datetime
    updated_at: datetime.datetime | None = None
    type_name: str | None = None
    attachments: tuple[AttachmentRecord, ...] = ()

    def to_volume(self) -> Volume:
        """The volume as compute sees it."""
        return Volume(
            uuid=self.id, name=self.name or "", description=self.description or "", status=self.status,
            size_gb=self.size, project_id=self.project_id, user_id=self.user_id,
            bootable=self.bootable, multiattach=self.multiattach, readonly=bool(self.readonly),
            volume_type=self.type_name, availability_zone=self.availability_zone,
            snapshot_uuid=self.snapshot_id, source_uuid=self.source_id,
            image_metadata=self.image_metadata, metadata=self.metadata, created_at=self.created_at,
            updated_at=self.updated_at, migration_status=self.migration_status,
            attachments=tuple(each.to_attachment() for each in self.attachments),
        )


class SnapshotRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``volume_snapshots``; the field order is that of the table's columns. ``size`` is GiB."""

    id: str
    volume_id: str
    project_id: str
    user_id: str
    name: str | None = None
    description: str | None = None
    status: str = "creating"
    progress: int = 0
    size: int
    type_id: str
    format: str = "raw"
    metadata: dict[str, str] = {}
    created_at: datetime.datetime
    updated_at: datetime.datetime | None = None

    def to_snapshot(self) -> VolumeSnapshot:
        """The snapshot as compute sees it."""
        return VolumeSnapshot(
            uuid=self.id, volume_uuid=self.volume_id, name=self.name or "",
            description=self.description or "", status=self.status, progress=self.progress,
            size_gb=self.size, project_id=self.project_id, user_id=self.user_id, metadata=self.metadata,
            created_at=self.created_at, updated_at=self.updated_at,
        )


class VolumeType(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``volume_types``; the field order is that of the table's columns."""

    id: str
    name: str
    description: str | None = None
    is_public: bool = True
    extra_specs: dict[str, str] = {}
    created_at: datetime.datetime
    updated_at: datetime.datetime | None = None

    @property
    def multiattach(self) -> bool:
        """Whether its volumes may be attached to several servers (``multiattach="<is> True"``)."""
        return self.extra_specs.get("multiattach", "").lower() == "<is> true"


class TransferRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``volume_transfers``; the field order is that of the table's columns."""

    id: str
    volume_id: str
    project_id: str
    name: str | None = None
    key_hash: str
    no_snapshots: bool = False
    created_at: datetime.datetime


class VolumeTask(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``volume_tasks``: work under way. The field order is that of the table's columns.

    ``flow`` names what is done; ``payload`` has what it needs beyond the volume and the snapshot.
    ``source_id`` is the volume or snapshot that is read meanwhile, and may not go.
    """

    id: str
    flow: str
    volume_id: str
    snapshot_id: str | None = None
    source_id: str | None = None
    payload: dict[str, Any] = {}
    request_id: str = ""
    owner: str | None = None
    leased_until: datetime.datetime | None = None
    attempts: int = 0
    created_at: datetime.datetime


class VolumeMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``volume_messages``: why work for a user failed. Fields are in the order of the columns.

    ``resource_type`` is VOLUME or VOLUME_SNAPSHOT.
    """

    id: str
    project_id: str
    resource_type: str
    resource_id: str
    event_id: str
    text: str
    request_id: str
    created_at: datetime.datetime
    expires_at: datetime.datetime


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which volumes or snapshots, in which order.

    ``project_id`` None is every project's. ``equal`` maps columns to the value they have, ``like`` to a
    part of it; ``metadata`` are pairs that all have to be there; ``times`` are (column, operator, moment).
    ``sort`` holds (column, "asc" or "desc").
    """

    project_id: str | None = None
    equal: dict[str, Any] = {}
    like: dict[str, str] = {}
    metadata: dict[str, str] = {}
    image_metadata: dict[str, str] = {}
    times: tuple[tuple[str, str, datetime.datetime], ...] = ()
    sort: tuple[tuple[str, str], ...] = (("created_at", "desc"), ("id", "desc"))
    limit: int | None = None
    offset: int = 0
    marker: str | None = None


class TypeUsage(msgspec.Struct, frozen=True):
    """What a project has of one type: volumes, their GiB, snapshots, their GiB."""

    type_id: str
    volumes: int = 0
    volume_gigabytes: int = 0
    snapshots: int = 0
    snapshot_gigabytes: int = 0
