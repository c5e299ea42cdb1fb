# SPDX-License-Identifier: Apache-2.0
"""Block storage as compute reaches it where it shares the database: the embedded service, called directly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nova.errors import InvalidVolume, NotFound
from nova.objects.context import RequestContext
from nova.objects.volume import Volume, VolumeAttachment, VolumeSnapshot
from nova.objects.volume_record import ListQuery
from nova.volume.service import VolumeService


class LocalBlockStorage:
    """A ``BlockStorage`` (see ``nova.volume.interface``)."""

    def __init__(self, service: VolumeService) -> None:
        self._service = service

    # --- volumes ---------------------------------------------------------------------------------

    def show(self, context: RequestContext, volume_id: str) -> Volume:
        """One volume; ``VolumeNotFound``."""
        return self._service.volumes.get(context, volume_id).to_volume()

    def list_volumes(self, context: RequestContext) -> list[Volume]:
        """The volumes of the caller's project, newest first."""
        query = ListQuery(project_id=context.project_id)
        return [each.to_volume() for each in self._service.volumes.list(context, query)]

    def create(
        self,
        context: RequestContext,
        size_gb: int,
        name: str,
        description: str,
        *,
        snapshot_id: str | None = None,
        source_id: str | None = None,
        image_id: str | None = None,
        volume_type: str | None = None,
        availability_zone: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Volume:
        """Start a volume."""
        return self._service.volumes.create(
            context, size_gb, name, description, snapshot_id=snapshot_id, source_id=source_id,
            image_id=image_id, volume_type=volume_type, availability_zone=availability_zone,
            metadata=metadata,
        ).to_volume()

    def delete(self, context: RequestContext, volume_id: str) -> None:
        """Start a deletion; one that is under way is left to itself."""
        if self._service.volumes.get(context, volume_id).status != "deleting":
            self._service.volumes.delete(context, volume_id)

    def reimage(self, context: RequestContext, volume_id: str, image_id: str) -> None:
        """Start writing an image over a volume."""
        self._service.volumes.reimage(context, volume_id, image_id, reserved=True)

    def has_type(self, context: RequestContext, volume_type: str) -> bool:
        """Whether the caller may use a volume type of that name or id."""
        try:
            self._service.types.get(context, volume_type, by_id=False)
        except NotFound:
            return False
        return True

    # --- snapshots -------------------------------------------------------------------------------

    def show_snapshot(self, context: RequestContext, snapshot_id: str) -> VolumeSnapshot:
        """One snapshot; ``VolumeSnapshotNotFound``."""
        return self._service.snapshots.get(context, snapshot_id).to_snapshot()

    def list_snapshots(self, context: RequestContext) -> list[VolumeSnapshot]:
        """The snapshots of the caller's project, newest first."""
        query = ListQuery(project_id=context.project_id)
        return [each.to_snapshot() for each in self._service.snapshots.page(context, query)]

    def create_snapshot(
        self, context: RequestContext, volume_id: str, name: str, description: str, force: bool = False
    ) -> VolumeSnapshot:
        """Start a snapshot."""
        return self._service.snapshots.create(
            context, volume_id, name, description, attached=force
        ).to_snapshot()

    def delete_snapshot(self, context: RequestContext, snapshot_id: str) -> None:
        """Start a deletion; one that is under way is left to itself."""
        if self._service.snapshots.get(context, snapshot_id).status != "deleting":
            self._service.snapshots.delete(context, snapshot_id)

    def update_snapshot_status(
        self, context: RequestContext, snapshot_id: str, status: str
    ) -> None:
        """How a host's part in a snapshot ended."""
        self._service.snapshots.update_status(context, snapshot_id, status, 90)

    # --- attachments -----------------------------------------------------------------------------

    def reserve(
        self, context: RequestContext, volume_id: str, instance_uuid: str, mode: str | None = None
    ) -> str:
        """Keep a volume for a server; answers the attachment's id."""
        return self._service.attachments.reserve(
            context, volume_id, instance_uuid, mode, again=True
        ).id

    def connect(
        self,
        context: RequestContext,
        attachment_id: str,
        connector: Mapping[str, Any],
        mountpoint: str | None = None,
    ) -> dict[str, Any]:
        """Open the volume to a host."""
        found = self._service.attachments.connect(context, attachment_id, connector, mountpoint)
        return dict(found.connection_info or {})

    def complete(self, context: RequestContext, attachment_id: str) -> None:
        """The disk is in the guest."""
        self._service.attachments.complete(context, attachment_id)

    def detach(self, context: RequestContext, attachment_id: str) -> None:
        """End an attachment; one that is gone is no error."""
        try:
            self._service.attachments.delete(context, attachment_id)
        except NotFound:
            return

    def begin_detaching(self, context: RequestContext, volume_id: str) -> None:
        """Mark a volume in use as ``detaching``."""
        self._service.attachments.begin_detaching(context, volume_id)

    def roll_detaching(self, context: RequestContext, volume_id: str) -> None:
        """A volume that was ``detaching`` is in use again."""
        self._service.attachments.roll_detaching(context, volume_id)

    def complete_migration(
        self, context: RequestContext, volume_id: str, target_id: str, *, failed: bool
    ) -> None:
        """There is one backend: nothing is ever moved to another."""
        raise InvalidVolume(f"Volume {volume_id} is not being migrated to volume {target_id}.")

    def show_attachment(self, context: RequestContext, attachment_id: str) -> VolumeAttachment:
        """One attachment."""
        return self._service.attachments.get(context, attachment_id).to_attachment()
