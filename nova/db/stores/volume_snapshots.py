# SPDX-License-Identifier: Apache-2.0
"""Snapshots of volumes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from nova.db.schema.base import now
from nova.db.schema.volume import volume_snapshots
from nova.db.stores.volume_listing import page
from nova.objects.volume_record import ListQuery, SnapshotRecord

_COLUMNS = tuple(column.name for column in volume_snapshots.columns)
_EVERY = select(volume_snapshots)
_snapshot = volume_snapshots.c


class VolumeSnapshotStore:
    """Rows of ``volume_snapshots``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, snapshot_id: str) -> SnapshotRecord | None:
        """The snapshot of that id."""
        row = self._connection.execute(_EVERY.where(_snapshot.id == snapshot_id)).first()
        return None if row is None else _record(row)

    def of_volume(self, volume_id: str) -> list[SnapshotRecord]:
        """A volume's snapshots, newest first."""
        rows = self._connection.execute(
            _EVERY.where(_snapshot.volume_id == volume_id)
            .order_by(_snapshot.created_at.desc(), _snapshot.id.desc())
        )
        return [_record(row) for row in rows]

    def page(self, query: ListQuery) -> list[SnapshotRecord]:
        """A page of snapshots, those after ``query.marker``."""
        return [_record(row) for row in page(self._connection, _EVERY, volume_snapshots, query)]

    def count(self, query: ListQuery) -> int:
        """How many snapshots ``query`` finds on all its pages."""
        return len(page(self._connection, _EVERY, volume_snapshots, query, whole=True))

    def create(self, record: SnapshotRecord) -> None:
        """Insert a snapshot."""
        self._connection.execute(
            insert(volume_snapshots).values({name: getattr(record, name) for name in _COLUMNS})
        )

    def update(self, snapshot_id: str, changes: dict[str, Any]) -> None:
        """Write ``changes`` in whatever status the snapshot is."""
        self._connection.execute(
            update(volume_snapshots).where(_snapshot.id == snapshot_id)
            .values({"updated_at": now(), **changes})
        )

    def transition(
        self, snapshot_id: str, changes: dict[str, Any], *, statuses: Collection[str]
    ) -> bool:
        """Write ``changes`` where the snapshot is in one of ``statuses``; whether it was."""
        statement = update(volume_snapshots).where(
            _snapshot.id == snapshot_id, _snapshot.status.in_(tuple(statuses))
        )
        values = {"updated_at": now(), **changes}
        return self._connection.execute(statement.values(values)).rowcount == 1

    def delete(self, snapshot_id: str) -> bool:
        """Remove a snapshot."""
        return self._connection.execute(
            delete(volume_snapshots).where(_snapshot.id == snapshot_id)
        ).rowcount == 1

    def change_project(self, volume_id: str, project_id: str, user_id: str) -> None:
        """Give a volume's snapshots to another project."""
        self._connection.execute(
            update(volume_snapshots)
            .where(_snapshot.volume_id == volume_id)
            .values(project_id=project_id, user_id=user_id)
        )


def _record(row: Row[Any]) -> SnapshotRecord:
    return SnapshotRecord(**dict(zip(_COLUMNS, row, strict=True)))
