# SPDX-License-Identifier: Apache-2.0
"""What an external network service has still to be told."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from nova.db.schema.base import now
from nova.db.schema.network_tasks import network_tasks
from nova.objects.network_task import NetworkTask

_columns = network_tasks.c


class NetworkTaskStore:
    """Network tasks in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self, instance_uuid: str, kind: str, facts: Mapping[str, Any], due_at: datetime.datetime
    ) -> int:
        """Note a task; returns its id."""
        result = self._connection.execute(
            insert(network_tasks).values(
                instance_uuid=instance_uuid, kind=kind, facts=dict(facts), attempts=0,
                due_at=due_at, created_at=now(),
            )
        )
        key = result.inserted_primary_key
        assert key is not None
        return int(key[0])

    def due(self, moment: datetime.datetime, limit: int = 100) -> list[NetworkTask]:
        """Tasks whose time has come, oldest first."""
        rows = self._connection.execute(
            select(network_tasks).where(_columns.due_at <= moment).order_by(_columns.id).limit(limit)
        )
        return [NetworkTask(*row) for row in rows]

    def find(self, task_id: int) -> NetworkTask | None:
        """One task, if it is there."""
        row = self._connection.execute(
            select(network_tasks).where(_columns.id == task_id)
        ).first()
        return None if row is None else NetworkTask(*row)

    def of_instance(self, instance_uuid: str) -> list[NetworkTask]:
        """All tasks of a server, oldest first."""
        rows = self._connection.execute(
            select(network_tasks)
            .where(_columns.instance_uuid == instance_uuid)
            .order_by(_columns.id)
        )
        return [NetworkTask(*row) for row in rows]

    def take(self, task_id: int, moment: datetime.datetime, until: datetime.datetime) -> bool:
        """Take a due task until then; false where somebody else has it, or has done it."""
        return self._connection.execute(
            update(network_tasks)
            .where(_columns.id == task_id, _columns.due_at <= moment)
            .values(due_at=until, attempts=_columns.attempts + 1)
        ).rowcount == 1

    def postpone(self, task_id: int, until: datetime.datetime) -> None:
        """Come back to a task then."""
        self._connection.execute(
            update(network_tasks).where(_columns.id == task_id).values(due_at=until)
        )

    def remove(self, task_id: int) -> bool:
        """A task is done; false where it was not there."""
        return self._connection.execute(
            delete(network_tasks).where(_columns.id == task_id)
        ).rowcount == 1
