# SPDX-License-Identifier: Apache-2.0
"""Operations on volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.errors import BadRequest, Conflict, InvalidVolume
from nova.objects.context import RequestContext
from nova.objects.image import Image
from nova.objects.volume_record import ListQuery, VolumeRecord
from nova.volume import sources
from nova.volume.core import VolumeCore, checked_size, new_id
from nova.volume.sources import VolumeSource

#: Statuses in which a volume may be deleted (Cinder's; those that cannot come about here are left out).
DELETABLE = ("available", "error", "error_restoring", "error_extending", "error_deleting")
#: Statuses that an administrator may set.
SETTABLE = (
    "available", "error", "creating", "deleting", "attaching", "detaching", "in-use", "maintenance",
    "reserved", "error_deleting", "error_restoring", "error_extending", "extending", "uploading",
)
#: Migration statuses that an administrator may set, and those of a volume that is not on its way.
MIGRATIONS = ("migrating", "error", "success", "completing", "none", "starting")
RESTING = (None, "error", "success")
#: Formats that a volume may be uploaded in.
UPLOAD_FORMATS = ("raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx")


class Volumes:
    """Volumes of the caller's project; an administrator's are everybody's."""

    def __init__(self, core: VolumeCore) -> None:
        self._core = core

    def get(self, context: RequestContext, volume_id: str) -> VolumeRecord:
        """One volume; ``VolumeNotFound``."""
        with self._core.db.read() as tx:
            return self._core.volume(tx, context, volume_id)

    def list(self, context: RequestContext, query: ListQuery) -> list[VolumeRecord]:
        """A page of volumes; ``VolumeNotFound`` for a marker that the caller can't see."""
        with self._core.db.read() as tx:
            if query.marker is not None:
                self._core.volume(tx, context, query.marker)
            return tx.volumes.page(query)

    def count(self, query: ListQuery) -> int:
        """How many there are on all pages."""
        with self._core.db.read() as tx:
            return tx.volumes.count(query)

    # --- create and delete -----------------------------------------------------------------------

    def create(
        self,
        context: RequestContext,
        size: object = None,
        name: str | None = None,
        description: str | None = None,
        *,
        snapshot_id: str | None = None,
        source_id: str | None = None,
        image_id: str | None = None,
        volume_type: str | None = None,
        availability_zone: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> VolumeRecord:
        """Start a volume of ``size`` GiB; without a size as large as its snapshot or source volume.

        Raises ``BadRequest`` for what does not fit, ``QuotaExceeded`` beyond the project's limits.
        """
        core = self._core
        given = [each for each in (snapshot_id, source_id, image_id) if each]
        if len(given) > 1:
            raise BadRequest(
                "Invalid input received: May specify only one of snapshot, imageRef or source volume"
            )
        wanted = None if size is None else checked_size(size)
        if wanted is None and not (snapshot_id or source_id):
            checked_size(None)
        self._check_zone(availability_zone)
        of_image = (
            sources.image_source(core, context, image_id, wanted) if image_id else VolumeSource()
        )

        def write(tx: Transaction) -> VolumeRecord:
            source = of_image
            if snapshot_id:
                source = sources.snapshot_source(core, tx, context, snapshot_id, wanted)
            elif source_id:
                source = sources.volume_source(core, tx, context, source_id, wanted)
            return self._insert(
                tx, context, wanted or source.size, source, volume_type,
                {"name": name, "description": description, "metadata": dict(metadata or {})},
            )

        return core.db.run(write)

    def _insert(
        self,
        tx: Transaction,
        context: RequestContext,
        size: int,
        source: VolumeSource,
        volume_type: str | None,
        facts: dict[str, Any],
    ) -> VolumeRecord:
        core = self._core
        type_ = sources.type_of(core, tx, context, volume_type, source)
        core.count(tx, context.project_id, type_, volumes=1, gigabytes=size, whole_size=size)
        record = VolumeRecord(
            id=new_id(), project_id=context.project_id, user_id=context.user_id, size=size,
            type_id=type_.id, type_name=type_.name, availability_zone=core.section.availability_zone,
            host=core.section.backend_host, bootable=source.bootable, multiattach=type_.multiattach,
            format=core.backend.format, snapshot_id=source.snapshot_id, source_id=source.source_id,
            image_metadata=source.image_metadata, created_at=now(), **facts,
        )
        tx.volumes.create(record)
        payload = {"image_id": source.image_id} if source.image_id else {}
        core.add_task(
            tx, context, "create", record.id, source_id=source.read, payload=payload
        )
        return record

    def _check_zone(self, zone: str | None) -> None:
        if zone and zone != self._core.section.availability_zone:
            raise BadRequest(
                f"Invalid input received: Availability zone '{zone[:80]}' is invalid."
            )

    def delete(
        self, context: RequestContext, volume_id: str, *, cascade: bool = False, force: bool = False
    ) -> None:
        """Start the deletion of a volume that nothing hangs on; ``InvalidVolume`` else.

        With ``cascade`` its snapshots go too; with ``force`` its status does not matter.
        """

        def write(tx: Transaction) -> None:
            volume = self._core.volume(tx, context, volume_id, lock=True)
            snapshots = tx.volumes.snapshots.of_volume(volume.id)
            busy = [each for each in snapshots if each.status not in ("available", "error")]
            refused = (
                (not force and volume.status not in DELETABLE)
                or volume.attachments
                or volume.migration_status not in RESTING
                or (snapshots and not cascade)
                or (busy and not force)
            )
            if refused:
                raise InvalidVolume(
                    "Volume status must be available or error or error_restoring or error_extending or "
                    "error_managing and must not be migrating, attached, belong to a group, have "
                    "snapshots, awaiting a transfer, or be disassociated from snapshots after volume "
                    "transfer."
                )
            tx.volumes.update(volume.id, {"status": "deleting", "previous_status": volume.status})
            for snapshot in snapshots:
                tx.volumes.snapshots.update(snapshot.id, {"status": "deleting"})
            self._core.add_task(tx, context, "delete", volume.id)

        self._core.db.run(write)

    # --- changes ---------------------------------------------------------------------------------

    def change(
        self,
        context: RequestContext,
        volume_id: str,
        edit: Callable[[VolumeRecord], dict[str, Any]],
    ) -> VolumeRecord:
        """Write what ``edit`` answers for a volume; it may refuse."""

        def write(tx: Transaction) -> VolumeRecord:
            volume = self._core.volume(tx, context, volume_id, lock=True)
            changes = edit(volume)
            if not changes:
                return volume
            tx.volumes.update(volume.id, changes)
            return msgspec.structs.replace(volume, updated_at=now(), **changes)

        return self._core.db.run(write)

    def extend(
        self, context: RequestContext, volume_id: str, size: object, *, attached: bool = False
    ) -> None:
        """Make a volume larger; with ``attached`` also one that is in use.

        Raises ``BadRequest`` for a size that is not larger, ``InvalidVolume`` for its status,
        ``QuotaExceeded``.
        """
        wanted = checked_size(size)

        def write(tx: Transaction) -> None:
            volume = self._core.volume(tx, context, volume_id, lock=True)
            allowed = ("available", "in-use") if attached else ("available",)
            if volume.status not in allowed:
                raise InvalidVolume(
                    f"Volume {volume.id} status must be {' or '.join(allowed)} to extend, currently "
                    f"{volume.status}."
                )
            if volume.status == "in-use" and volume.format != "raw":
                raise InvalidVolume(
                    f"Volume {volume.id} has the format {volume.format}, which cannot be extended while "
                    "it is attached."
                )
            if wanted <= volume.size:
                raise BadRequest(
                    "Invalid input received: New size for extend must be greater than current size. "
                    f"(current: {volume.size}, extended: {wanted})."
                )
            type_ = tx.volumes.types.get(volume.type_id)
            assert type_ is not None
            self._core.count(
                tx, volume.project_id, type_, gigabytes=wanted - volume.size, whole_size=wanted
            )
            tx.volumes.update(
                volume.id,
                {"status": "extending", "previous_status": volume.status,
                 "growing": wanted - volume.size},
            )
            self._core.add_task(tx, context, "extend", volume.id, payload={"size": wanted})

        self._core.db.run(write)

    def reset_status(
        self,
        context: RequestContext,
        volume_id: str,
        status: str | None,
        attach_status: str | None = None,
        migration_status: str | None = None,
    ) -> None:
        """Set a volume's status whatever it is; ``attach_status`` detached forgets its attachments.

        ``migration_status`` "none" is that of a volume that stays where it is.
        """
        if migration_status not in (None, *MIGRATIONS):
            raise BadRequest(
                f"Volume migration status: {str(migration_status)[:40]} is invalid, valid statuses are: "
                f"{', '.join(MIGRATIONS)}."
            )

        def write(tx: Transaction) -> None:
            volume = self._core.volume(tx, context, volume_id, lock=True)
            if status is not None:
                if status in ("deleting", "error_deleting", "detaching"):
                    raise BadRequest(f"Cannot reset-state to {status}")
                if status not in SETTABLE:
                    raise BadRequest(f"Invalid status: {status[:40]}")
                if status == "in-use" and not volume.attachments:
                    raise BadRequest(
                        "Cannot reset-state to in-use because volume does not have any attachments."
                    )
                tx.volumes.update(volume.id, {"status": status, "previous_status": None})
            if migration_status is not None:
                tx.volumes.update(
                    volume.id,
                    {"migration_status": None if migration_status == "none" else migration_status},
                )
            if attach_status == "detached":
                tx.volumes.attachments.delete_of_volume(volume.id)

        self._core.db.run(write)

    def retype(self, context: RequestContext, volume_id: str, new_type: str) -> None:
        """Give a volume another type of the same backend."""

        def write(tx: Transaction) -> None:
            volume = self._core.volume(tx, context, volume_id, lock=True)
            if volume.status not in ("available", "in-use") or volume.migration_status not in RESTING:
                raise InvalidVolume(
                    f"Retype needs volume to be in available or in-use state, not be part of an active "
                    f"migration or a consistency group, and its status is {volume.status}."
                )
            type_ = self._core.type(tx, context, new_type)
            if type_.id == volume.type_id:
                raise BadRequest(f"Invalid input received: New volume_type same as original: {type_.id}.")
            if type_.multiattach != volume.multiattach and volume.status == "in-use":
                raise InvalidVolume("Changing to or from a multiattach type needs an available volume.")
            self._count_retype(tx, volume, type_.id)
            tx.volumes.update(
                volume.id, {"type_id": type_.id, "multiattach": type_.multiattach}
            )

        self._core.db.run(write)

    def _count_retype(self, tx: Transaction, volume: VolumeRecord, type_id: str) -> None:
        """Only the limits of the new type count; the sums stay."""
        type_ = tx.volumes.types.get(type_id)
        assert type_ is not None
        tx.volumes.update(volume.id, {"type_id": type_id})
        self._core.recount(tx, volume.project_id, type_)

    # --- images ----------------------------------------------------------------------------------

    def upload(
        self,
        context: RequestContext,
        volume_id: str,
        image_name: str,
        *,
        disk_format: str = "raw",
        container_format: str = "bare",
        visibility: str = "private",
        force: bool = False,
    ) -> tuple[VolumeRecord, Image]:
        """Start an upload of a volume as an image; answers both as they are then."""
        core = self._core
        if disk_format not in UPLOAD_FORMATS:
            raise BadRequest(
                f"Invalid input received: disk_format {disk_format[:40]} is none of "
                f"{', '.join(UPLOAD_FORMATS)}."
            )
        volume = self.get(context, volume_id)
        allowed = ("available", "in-use") if force else ("available",)
        if volume.status not in allowed:
            raise InvalidVolume(
                f"Volume {volume.id} status must be {' or '.join(allowed)}, but current status is: "
                f"{volume.status}."
            )
        own = {"image_id", "image_name", "checksum", "container_format", "disk_format", "min_disk",
               "min_ram", "size"}
        properties = {
            name: value for name, value in volume.image_metadata.items() if name not in own
        }
        image = core.images.create(
            context, name=image_name, properties=properties, disk_format=disk_format,
            container_format=container_format, min_disk=volume.size, visibility=visibility,
        )

        def write(tx: Transaction) -> bool:
            begun = tx.volumes.transition(
                volume.id, {"status": "uploading", "previous_status": volume.status},
                statuses=(volume.status,),
            )
            if begun:
                core.add_task(
                    tx, context, "upload", volume.id,
                    payload={
                        "image_id": image.id, "disk_format": disk_format,
                        "project_id": context.project_id, "user_id": context.user_id,
                    },
                )
            return begun

        if not core.db.run(write):
            core.images.delete(context, image.id)
            raise InvalidVolume(f"Volume {volume.id} changed its status meanwhile.")
        return msgspec.structs.replace(volume, status="uploading"), image

    def reimage(
        self, context: RequestContext, volume_id: str, image_id: str, *, reserved: bool = False
    ) -> None:
        """Start writing an image over a volume; with ``reserved`` also over a reserved one."""
        volume = self.get(context, volume_id)
        source = sources.image_source(self._core, context, image_id, volume.size)

        def write(tx: Transaction) -> None:
            current = self._core.volume(tx, context, volume_id, lock=True)
            allowed = ("available", "error") + (("reserved",) if reserved else ())
            if current.status not in allowed:
                raise Conflict(
                    f"Invalid volume: Volume {current.id} status must be {' or '.join(allowed)}, but the "
                    f"current status is {current.status}."
                )
            before = "available" if current.status == "error" else current.status
            tx.volumes.update(current.id, {"status": "downloading", "previous_status": before})
            self._core.add_task(
                tx, context, "reimage", current.id,
                payload={"image_id": image_id, "image_metadata": source.image_metadata},
            )

        self._core.db.run(write)

    def revert(self, context: RequestContext, volume_id: str, snapshot_id: str) -> None:
        """Start taking a volume back to its latest snapshot."""

        def write(tx: Transaction) -> None:
            volume = self._core.volume(tx, context, volume_id, lock=True)
            snapshots = tx.volumes.snapshots.of_volume(volume.id)
            if not snapshots:
                raise BadRequest(f"Volume {volume.id} doesn't have any snapshots.")
            latest = snapshots[0]
            if latest.id != snapshot_id:
                raise BadRequest(
                    f"Specified snapshot {snapshot_id} is None or not the latest one of volume "
                    f"{volume.id}."
                )
            if latest.size != volume.size:
                raise BadRequest(
                    f"Can't revert volume {volume.id} to its latest snapshot {latest.id}. The volume "
                    "size must be equal to the snapshot size."
                )
            if volume.status != "available" or latest.status != "available":
                raise Conflict(
                    f"Invalid volume: Can't revert volume {volume.id} to its latest snapshot. Volume "
                    "and snapshot status must be available."
                )
            tx.volumes.update(volume.id, {"status": "reverting"})
            tx.volumes.snapshots.update(latest.id, {"status": "restoring"})
            self._core.add_task(tx, context, "revert", volume.id, snapshot_id=latest.id)

        self._core.db.run(write)
