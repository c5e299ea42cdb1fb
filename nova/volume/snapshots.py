# SPDX-License-Identifier: Apache-2.0
"""Operations on snapshots of volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.errors import BadRequest, InvalidSnapshot, InvalidVolume
from nova.objects.context import RequestContext
from nova.objects.volume_record import ListQuery, SnapshotRecord
from nova.volume.core import VolumeCore, new_id

#: Statuses that an administrator may set.
SETTABLE = ("available", "error", "creating", "deleting", "error_deleting")
#: Status -> what compute may tell of a snapshot that has it.
_MAY_BE_TOLD = {"creating": ("creating", "available", "error"), "deleting": ("deleting", "error_deleting")}


class Snapshots:
    """Snapshots of the caller's project; an administrator's are everybody's."""

    def __init__(self, core: VolumeCore) -> None:
        self._core = core

    def get(self, context: RequestContext, snapshot_id: str) -> SnapshotRecord:
        """One snapshot; ``VolumeSnapshotNotFound``."""
        with self._core.db.read() as tx:
            return self._core.snapshot(tx, context, snapshot_id)

    def page(self, context: RequestContext, query: ListQuery) -> list[SnapshotRecord]:
        """A page of snapshots; ``VolumeSnapshotNotFound`` for a marker that the caller can't see."""
        with self._core.db.read() as tx:
            if query.marker is not None:
                self._core.snapshot(tx, context, query.marker)
            return tx.volumes.snapshots.page(query)

    def count(self, query: ListQuery) -> int:
        """How many there are on all pages."""
        with self._core.db.read() as tx:
            return tx.volumes.snapshots.count(query)

    def create(
        self,
        context: RequestContext,
        volume_id: str,
        name: str | None = None,
        description: str | None = None,
        *,
        attached: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> SnapshotRecord:
        """Start a snapshot of a volume that is available, or with ``attached`` of one in use too.

        Raises ``InvalidVolume`` in another status, ``QuotaExceeded``.
        """

        def write(tx: Transaction) -> SnapshotRecord:
            volume = self._core.volume(tx, context, volume_id, lock=True)
            allowed = ("available", "in-use") if attached else ("available",)
            if volume.status not in allowed:
                raise InvalidVolume(
                    f"Volume {volume.id} status must be {' or '.join(allowed)}, but current status is: "
                    f"{volume.status}."
                )
            type_ = tx.volumes.types.get(volume.type_id)
            assert type_ is not None
            self._core.count(tx, volume.project_id, type_, snapshots=1, gigabytes=volume.size)
            record = SnapshotRecord(
                id=new_id(), volume_id=volume.id, project_id=volume.project_id,
                user_id=context.user_id, name=name, description=description, size=volume.size,
                type_id=volume.type_id, format=volume.format, metadata=dict(metadata or {}),
                created_at=now(),
            )
            tx.volumes.snapshots.create(record)
            self._core.add_task(tx, context, "create_snapshot", volume.id, snapshot_id=record.id)
            return record

        return self._core.db.run(write)

    def delete(self, context: RequestContext, snapshot_id: str, *, force: bool = False) -> None:
        """Start the deletion of a snapshot; ``InvalidSnapshot`` for its status, unless ``force``."""

        def write(tx: Transaction) -> None:
            snapshot = self._core.snapshot(tx, context, snapshot_id)
            allowed = SETTABLE if force else ("available", "error", "error_deleting")
            begun = tx.volumes.snapshots.transition(
                snapshot.id, {"status": "deleting"}, statuses=allowed
            )
            if not begun:
                raise InvalidSnapshot(
                    "Snapshot status must be available or error, and it must not be part of a group "
                    f"to be deleted; it is {snapshot.status}."
                )
            if force or snapshot.status != "deleting":
                self._core.add_task(
                    tx, context, "delete_snapshot", snapshot.volume_id, snapshot_id=snapshot.id
                )

        self._core.db.run(write)

    def change(
        self,
        context: RequestContext,
        snapshot_id: str,
        edit: Callable[[SnapshotRecord], dict[str, Any]],
    ) -> SnapshotRecord:
        """Write what ``edit`` answers for a snapshot; it may refuse."""

        def write(tx: Transaction) -> SnapshotRecord:
            snapshot = self._core.snapshot(tx, context, snapshot_id)
            changes = edit(snapshot)
            if not changes:
                return snapshot
            tx.volumes.snapshots.update(snapshot.id, changes)
            return msgspec.structs.replace(snapshot, updated_at=now(), **changes)

        return self._core.db.run(write)

    def update_status(
        self, context: RequestContext, snapshot_id: str, status: str, progress: int | None = None
    ) -> None:
        """What compute tells of a snapshot that it takes part in; ``BadRequest`` where that cannot follow."""

        def told(snapshot: SnapshotRecord) -> dict[str, Any]:
            if status not in _MAY_BE_TOLD.get(snapshot.status, ()):
                raise BadRequest(
                    f"Snapshot status {snapshot.status} not allowed for update_snapshot_status to "
                    f"{status[:40]}."
                )
            return {"status": status, **({} if progress is None else {"progress": progress})}

        self.change(context, snapshot_id, told)

    def reset_status(self, context: RequestContext, snapshot_id: str, status: str) -> None:
        """Set a snapshot's status whatever it is."""
        if status not in SETTABLE:
            raise BadRequest(f"Invalid status: {status[:40]}")
        self.change(context, snapshot_id, lambda _snapshot: {"status": status})
