# SPDX-License-Identifier: Apache-2.0
"""How the Block Storage API shows things (Cinder's API reference, and its samples)."""

from __future__ import annotations

import datetime
from typing import Any

from nova.objects.volume_record import (
    AttachmentRecord,
    SnapshotRecord,
    TransferRecord,
    VolumeRecord,
    VolumeType,
)
from nova.volume.api import versions
from nova.volume.api.request import Request


def moment(value: datetime.datetime | None) -> str | None:
    """A time as Cinder writes it: UTC with microseconds, without a zone."""
    return None if value is None else value.isoformat(timespec="microseconds")


def volume_line(request: Request, volume: VolumeRecord) -> dict[str, Any]:
    """A volume in a list without details."""
    return {
        "id": volume.id, "name": volume.name, "links": request.links(f"volumes/{volume.id}")
    }


def volume_view(request: Request, volume: VolumeRecord, *, created: bool = False) -> dict[str, Any]:
    """A volume. An answer to its creation has neither the owner's nor the administrator's fields."""
    admin, version = request.caller.is_admin, request.version
    view: dict[str, Any] = {
        "id": volume.id, "status": volume.status, "size": volume.size,
        "availability_zone": volume.availability_zone, "created_at": moment(volume.created_at),
        "updated_at": moment(volume.updated_at), "name": volume.name,
        "description": volume.description, "volume_type": volume.type_name,
        "snapshot_id": volume.snapshot_id, "source_volid": volume.source_id,
        "metadata": shown_metadata(volume), "links": request.links(f"volumes/{volume.id}"),
        "user_id": volume.user_id, "bootable": "true" if volume.bootable else "false",
        "encrypted": False, "replication_status": None, "consistencygroup_id": None,
        "multiattach": volume.multiattach,
        "attachments": [
            _attached(each, show_host=admin or request.trusted)
            for each in volume.attachments if each.status == "attached"
        ],
    }
    if admin:
        view["migration_status"] = volume.migration_status
    if version >= versions.GROUPS:
        view["group_id"] = None
    if admin and version >= versions.PROVIDER_ID:
        view["provider_id"] = None
    if version >= versions.SHARED_TARGETS:
        view["shared_targets"] = False
        view["service_uuid"] = None
    if admin and version >= versions.CLUSTER_NAME:
        view["cluster_name"] = None
    if version >= versions.TYPE_ID:
        view["volume_type_id"] = volume.type_id
    if version >= versions.CONSUMES_QUOTA:
        view["consumes_quota"] = True
    if not created:
        view["os-vol-tenant-attr:tenant_id"] = volume.project_id
        if admin:
            view["os-vol-host-attr:host"] = volume.host
            view["os-vol-mig-status-attr:migstat"] = volume.migration_status
            view["os-vol-mig-status-attr:name_id"] = None
        if volume.image_metadata:
            view["volume_image_metadata"] = volume.image_metadata
    return view


def shown_metadata(volume: VolumeRecord) -> dict[str, str]:
    """A volume's metadata with what the service shows among it: read-only, and how it is attached."""
    found = dict(volume.metadata)
    if volume.readonly is not None:
        found["readonly"] = str(volume.readonly)
    for attachment in volume.attachments:
        if attachment.status == "attached":
            found["attached_mode"] = attachment.mode
    return found


def _attached(attachment: AttachmentRecord, *, show_host: bool) -> dict[str, Any]:
    return {
        "id": attachment.volume_id, "attachment_id": attachment.id,
        "volume_id": attachment.volume_id, "server_id": attachment.instance_uuid,
        "host_name": attachment.attached_host if show_host else None,
        "device": attachment.mountpoint, "attached_at": moment(attachment.attached_at),
    }


def snapshot_view(
    request: Request, snapshot: SnapshotRecord, *, detailed: bool = False
) -> dict[str, Any]:
    """A snapshot; ``detailed`` with what its owner sees on top."""
    view: dict[str, Any] = {
        "id": snapshot.id, "created_at": moment(snapshot.created_at),
        "updated_at": moment(snapshot.updated_at), "name": snapshot.name,
        "description": snapshot.description, "volume_id": snapshot.volume_id,
        "status": snapshot.status, "size": snapshot.size, "metadata": snapshot.metadata,
    }
    if detailed:
        view["os-extended-snapshot-attributes:project_id"] = snapshot.project_id
        view["os-extended-snapshot-attributes:progress"] = f"{snapshot.progress}%"
    if request.version >= 14:
        view["group_snapshot_id"] = None
    if request.version >= versions.SNAPSHOT_USER:
        view["user_id"] = snapshot.user_id
    if request.version >= versions.CONSUMES_QUOTA:
        view["consumes_quota"] = True
    return view


def attachment_line(attachment: AttachmentRecord) -> dict[str, Any]:
    """An attachment in a list without details."""
    return {
        "id": attachment.id, "status": attachment.status, "instance": attachment.instance_uuid,
        "volume_id": attachment.volume_id,
    }


def attachment_view(attachment: AttachmentRecord) -> dict[str, Any]:
    """An attachment. The connection's data are flat beside its type."""
    connection: dict[str, Any] = {}
    if attachment.connection_info is not None:
        connection = {
            "driver_volume_type": attachment.connection_info["driver_volume_type"],
            "attachment_id": attachment.id, **attachment.connection_info["data"],
        }
    return {
        **attachment_line(attachment),
        "attached_at": moment(attachment.attached_at) or "", "detached_at": "",
        "attach_mode": attachment.mode, "connection_info": connection,
    }


def type_view(request: Request, type_: VolumeType, *, created: bool = False) -> dict[str, Any]:
    """A volume type; its extra specs are the administrator's, but for those that users may read."""
    specs = type_.extra_specs
    if not request.allows("volume_extension:types_extra_specs:read_sensitive"):
        visible = ("multiattach", "RESKEY:availability_zones", "replication_enabled")
        specs = {name: value for name, value in specs.items() if name in visible}
    view: dict[str, Any] = {
        "id": type_.id, "name": type_.name, "description": type_.description,
        "is_public": type_.is_public, "os-volume-type-access:is_public": type_.is_public,
        "extra_specs": specs,
    }
    if request.caller.is_admin and not created:
        view["qos_specs_id"] = None
    return view


def transfer_view(
    request: Request, transfer: TransferRecord, path: str, *, detailed: bool = True,
    key: str | None = None,
) -> dict[str, Any]:
    """An offer of a volume; ``key`` is shown once."""
    view: dict[str, Any] = {
        "id": transfer.id, "volume_id": transfer.volume_id, "name": transfer.name,
        "links": request.links(f"{path}/{transfer.id}"),
    }
    if detailed:
        view["created_at"] = moment(transfer.created_at)
        if request.version >= versions.TRANSFERS_WITH_SNAPSHOTS:
            view["no_snapshots"] = transfer.no_snapshots
        if request.version >= versions.TRANSFER_PROJECTS:
            view["source_project_id"] = transfer.project_id
            view["destination_project_id"] = None
            view["accepted"] = False
    if key is not None:
        view["auth_key"] = key
    return view
