# SPDX-License-Identifier: Apache-2.0
"""Rows of deleted servers: they are kept for those who look back, until an operator purges them."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, func, select

from nova.db.schema.compute import (
    instance_metadata,
    instance_tags,
    instance_volumes,
    instances,
    server_group_members,
)
from nova.db.schema.hosts import claims
from nova.db.schema.operations import migrations, operation_events, operations

#: Tables with rows of a server, by its uuid; those that refer to others come first.
_OF_SERVER: tuple[Table, ...] = (
    migrations, operations, instance_metadata, instance_tags, instance_volumes, server_group_members,
)
_UNFINISHED = ("queued", "running")


class DeletedServersStore:
    """Deleted servers in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _purgeable(self, before: datetime.datetime) -> tuple[Any, ...]:
        busy = select(operations.c.id).where(
            operations.c.instance_uuid == instances.c.uuid, operations.c.state.in_(_UNFINISHED)
        )
        claimed = select(claims.c.instance_uuid).where(claims.c.instance_uuid == instances.c.uuid)
        return (
            instances.c.deleted != 0, instances.c.deleted_at < before, ~busy.exists(), ~claimed.exists(),
        )

    def count(self, before: datetime.datetime) -> int:
        """How many servers were deleted before a time, with nothing left to be done for them."""
        counted = select(func.count()).select_from(instances).where(*self._purgeable(before))
        return int(self._connection.execute(counted).scalar_one())

    def oldest(self, before: datetime.datetime, limit: int) -> list[str]:
        """The uuids of so many of them, the oldest rows first."""
        found = select(instances.c.uuid).where(*self._purgeable(before)).order_by(instances.c.id)
        return list(self._connection.execute(found.limit(limit)).scalars())

    def rows(self, uuids: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
        """All that is kept of servers, as table names with rows by column name."""
        selected = [(table, select(table).where(_of(table, uuids))) for table in (instances, *_OF_SERVER)]
        selected.append((operation_events, select(operation_events).where(_events_of(uuids))))
        return [
            (str(table.name), {str(name): value for name, value in row._mapping.items()})
            for table, statement in selected
            for row in self._connection.execute(statement)
        ]

    def purge(self, uuids: Sequence[str]) -> int:
        """Remove all that is kept of servers; returns how many rows that were."""
        removed = self._connection.execute(delete(operation_events).where(_events_of(uuids))).rowcount
        for table in (*_OF_SERVER, instances):
            removed += self._connection.execute(delete(table).where(_of(table, uuids))).rowcount
        return removed


def _of(table: Table, uuids: Sequence[str]) -> Any:
    column = table.c.uuid if table is instances else table.c.instance_uuid
    return column.in_(uuids)


def _events_of(uuids: Sequence[str]) -> Any:
    return operation_events.c.operation_id.in_(
        select(operations.c.id).where(operations.c.instance_uuid.in_(uuids))
    )
