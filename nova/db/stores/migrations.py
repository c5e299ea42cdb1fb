# SPDX-License-Identifier: Apache-2.0
"""Moves of servers between hosts."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select, update

from nova.db.schema.base import now
from nova.db.schema.operations import migrations
from nova.objects.migration import (
    EVACUATION,
    FINAL_STATES,
    LIVE_MIGRATION,
    LIVE_STATES,
    Migration,
    MigrationFilter,
)

_columns = migrations.c
_BY_ID = select(migrations).where(_columns.id == bindparam("the_id"))
_BY_UUID = select(migrations).where(_columns.uuid == bindparam("the_uuid"))
_OF_INSTANCE = (
    select(migrations)
    .where(_columns.instance_uuid == bindparam("instance"))
    .order_by(_columns.id.desc())
)
_STORED_FIELDS = tuple(name for name in Migration.__struct_fields__ if name != "id")
#: When a row last changed: rows never updated carry only their creation.
_changed = func.coalesce(_columns.updated_at, _columns.created_at)


class MigrationStore:
    """Rows of ``migrations``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, migration: Migration) -> Migration:
        """Store a move; its id and, where empty, its uuid and creation time are set here."""
        values = {name: getattr(migration, name) for name in _STORED_FIELDS}
        values["uuid"] = values["uuid"] or str(uuids.uuid4())
        values["created_at"] = values["created_at"] or now()
        result = self._connection.execute(insert(migrations).values(values))
        key = result.inserted_primary_key
        assert key is not None
        return Migration(id=int(key[0]), **values)

    def get(self, migration_id: int) -> Migration | None:
        """The move of that id."""
        row = self._connection.execute(_BY_ID, {"the_id": migration_id}).first()
        return None if row is None else Migration(*row)

    def get_by_uuid(self, uuid: str) -> Migration | None:
        """The move of that uuid."""
        row = self._connection.execute(_BY_UUID, {"the_uuid": uuid}).first()
        return None if row is None else Migration(*row)

    def update(
        self,
        migration_id: int,
        status: str | None = None,
        fields: Mapping[str, Any] | None = None,
        *,
        from_statuses: Collection[str] | None = None,
    ) -> bool:
        """Write a status and other columns; with ``from_statuses`` only where it is in one of them.

        The compare and the write are one statement. Returns whether the row was changed.
        """
        values: dict[str, Any] = {**(fields or {}), "updated_at": now()}
        if status is not None:
            values["status"] = status
        statement = update(migrations).where(_columns.id == migration_id)
        if from_statuses is not None:
            statement = statement.where(_columns.status.in_(from_statuses))
        return self._connection.execute(statement.values(values)).rowcount == 1

    def by_instance(
        self, instance_uuid: str, *, statuses: Collection[str] | None = None
    ) -> list[Migration]:
        """A server's moves, newest first; those in one of ``statuses`` where it is given."""
        statement = _OF_INSTANCE
        if statuses is not None:
            statement = statement.where(_columns.status.in_(statuses))
        rows = self._connection.execute(statement, {"instance": instance_uuid})
        return [Migration(*row) for row in rows]

    def latest(
        self,
        instance_uuid: str,
        *,
        statuses: Collection[str] | None = None,
        types: Collection[str] | None = None,
    ) -> Migration | None:
        """A server's newest move in one of ``statuses`` and of one of ``types``."""
        statement = _OF_INSTANCE.limit(1)
        if statuses is not None:
            statement = statement.where(_columns.status.in_(statuses))
        if types is not None:
            statement = statement.where(_columns.migration_type.in_(types))
        row = self._connection.execute(statement, {"instance": instance_uuid}).first()
        return None if row is None else Migration(*row)

    def live_of(self, instance_uuid: str) -> list[Migration]:
        """A server's live migrations that are under way, newest first."""
        rows = self._connection.execute(
            _OF_INSTANCE.where(
                _columns.migration_type == LIVE_MIGRATION, _columns.status.in_(LIVE_STATES)
            ),
            {"instance": instance_uuid},
        )
        return [Migration(*row) for row in rows]

    def complete_evacuations_from(self, host: str) -> int:
        """End the evacuations from a host that are ``done``; returns how many there were."""
        statement = update(migrations).where(
            _columns.source_compute == host, _columns.migration_type == EVACUATION,
            _columns.status == "done",
        )
        return self._connection.execute(
            statement.values(status="completed", updated_at=now())
        ).rowcount

    def unfinished_on(self, host: str) -> list[Migration]:
        """Moves from or to a host that have not ended, oldest first."""
        rows = self._connection.execute(
            select(migrations)
            .where(
                or_(_columns.source_compute == host, _columns.dest_compute == host),
                _columns.status.not_in(FINAL_STATES),
            )
            .order_by(_columns.id)
        )
        return [Migration(*row) for row in rows]

    def list(
        self,
        wanted: MigrationFilter | None = None,
        *,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[Migration] | None:
        """Moves, newest first, behind the one of uuid ``marker``; None where that is unknown."""
        statement = select(migrations).where(*_conditions(wanted or MigrationFilter()))
        if marker is not None:
            last = self.get_by_uuid(marker)
            if last is None:
                return None
            statement = statement.where(
                or_(
                    _columns.created_at < last.created_at,
                    and_(_columns.created_at == last.created_at, _columns.id < last.id),
                )
            )
        statement = statement.order_by(_columns.created_at.desc(), _columns.id.desc())
        if limit is not None:
            statement = statement.limit(limit)
        return [Migration(*row) for row in self._connection.execute(statement)]


def _conditions(wanted: MigrationFilter) -> list[Any]:
    conditions: list[Any] = [
        getattr(_columns, name) == value
        for name, value in msgspec.structs.asdict(wanted).items()
        if value is not None and name not in ("host", "changes_since", "changes_before")
    ]
    if wanted.host is not None:
        conditions.append(
            or_(_columns.source_compute == wanted.host, _columns.dest_compute == wanted.host)
        )
    if wanted.changes_since is not None:
        conditions.append(_changed >= wanted.changes_since)
    if wanted.changes_before is not None:
        conditions.append(_changed <= wanted.changes_before)
    return conditions
