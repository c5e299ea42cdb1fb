# SPDX-License-Identifier: Apache-2.0
"""Work of the block storage service that is under way, leased to the process that does it."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, insert, or_, select, update

from nova.db.schema.base import now
from nova.db.schema.volume import volume_tasks
from nova.objects.volume_record import VolumeTask

_COLUMNS = tuple(column.name for column in volume_tasks.columns)
_task = volume_tasks.c


class VolumeTaskStore:
    """Rows of ``volume_tasks``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, task: VolumeTask) -> None:
        """Insert a task."""
        self._connection.execute(
            insert(volume_tasks).values({name: getattr(task, name) for name in _COLUMNS})
        )

    def claim(self, task_id: str, owner: str, until: datetime.datetime) -> VolumeTask | None:
        """Take a task that nobody has a lease on; None where another has, or it is done."""
        taken = self._connection.execute(
            update(volume_tasks)
            .where(
                _task.id == task_id,
                or_(_task.leased_until.is_(None), _task.leased_until < now()),
            )
            .values(owner=owner, leased_until=until, attempts=_task.attempts + 1)
        ).rowcount
        if not taken:
            return None
        row = self._connection.execute(select(volume_tasks).where(_task.id == task_id)).one()
        return _record(row)

    def renew(self, task_ids: list[str], owner: str, until: datetime.datetime) -> None:
        """Keep the leases of work that goes on."""
        self._connection.execute(
            update(volume_tasks)
            .where(_task.id.in_(task_ids), _task.owner == owner)
            .values(leased_until=until)
        )

    def release_all(self) -> None:
        """End every lease: no other process is there."""
        self._connection.execute(update(volume_tasks).values(leased_until=None))

    def any(self) -> bool:
        """Whether there is any work."""
        return self._connection.execute(select(_task.id).limit(1)).first() is not None

    def free(self) -> list[str]:
        """The ids of tasks that nobody has a lease on, oldest first."""
        rows = self._connection.execute(
            select(_task.id)
            .where(or_(_task.leased_until.is_(None), _task.leased_until < now()))
            .order_by(_task.created_at)
        )
        return list(rows.scalars())

    def finish(self, task_id: str, owner: str) -> bool:
        """Remove a task that ``owner`` has; False where its lease went to another."""
        return self._connection.execute(
            delete(volume_tasks).where(_task.id == task_id, _task.owner == owner)
        ).rowcount == 1

    def waits(self, task: VolumeTask) -> bool:
        """Whether a task has to wait: older work on its volume (or its snapshot), or a reader of it."""
        same = (
            _task.volume_id == task.volume_id
            if task.snapshot_id is None
            else _task.snapshot_id == task.snapshot_id
        )
        older = and_(same, _task.id != task.id, _task.created_at < task.created_at)
        return self._connection.execute(
            select(_task.id)
            .where(or_(older, _task.source_id == (task.snapshot_id or task.volume_id)))
            .limit(1)
        ).first() is not None

    def give_back(self, task_id: str, owner: str) -> None:
        """End the lease of a task that is to be done later."""
        self._connection.execute(
            update(volume_tasks)
            .where(_task.id == task_id, _task.owner == owner)
            .values(leased_until=None, attempts=_task.attempts - 1)
        )

    def drop_of_volume(self, volume_id: str, snapshot_id: str | None = None) -> None:
        """Forget the work on a volume, or on one snapshot of it."""
        statement = delete(volume_tasks).where(_task.volume_id == volume_id)
        if snapshot_id is not None:
            statement = statement.where(_task.snapshot_id == snapshot_id)
        self._connection.execute(statement)


def _record(row: Row[Any]) -> VolumeTask:
    return VolumeTask(**dict(zip(_COLUMNS, row, strict=True)))
