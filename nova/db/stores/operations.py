# SPDX-License-Identifier: Apache-2.0
"""Durable operations, their leases and their events."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, or_, select, tuple_, update

from nova.db.schema.base import now
from nova.db.schema.operations import operation_events, operations
from nova.objects.context import RequestContext
from nova.objects.operation import (
    DONE,
    FAILED,
    QUEUED,
    RUNNING,
    Operation,
    OperationEvent,
)

_OPEN = (QUEUED, RUNNING)
_CHUNK = 500
# Spelt out: a list parameter cannot go into an executemany.
_IS_OPEN = or_(operations.c.state == QUEUED, operations.c.state == RUNNING)
_INSERT = insert(operations)
_GET = select(operations).where(operations.c.id == bindparam("the_id"))
_GET_LOCKED = _GET.with_for_update()
_BACKLOG = select(func.count(), func.min(operations.c.started_at)).where(
    operations.c.state.in_(_OPEN)
)


class OperationStore:
    """Rows of ``operations`` and ``operation_events``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self,
        context: RequestContext,
        instance_uuid: str,
        action: str,
        *,
        flow: str | None,
        step: str | None,
        payload: Mapping[str, Any],
        host: str | None = None,
        lease: tuple[str, datetime.datetime] | None = None,
    ) -> int:
        """Write one accepted request; returns its id.

        With a ``lease`` (owner, until) its first step is already on its way to ``host``. Without a flow it
        is recorded as done.
        """
        row = _new_row(context, instance_uuid, action, flow, step, payload, host)
        if lease is not None:
            row.update(state=RUNNING, lease_owner=lease[0], lease_until=lease[1])
        result = self._connection.execute(_INSERT, row)
        key = result.inserted_primary_key
        assert key is not None
        return int(key[0])

    def create_many(
        self,
        context: RequestContext,
        action: str,
        flow: str,
        step: str,
        payloads: Mapping[str, Mapping[str, Any]],
        lease: tuple[str, datetime.datetime] | None = None,
    ) -> list[int]:
        """Write the same request for several servers ({uuid: payload}); returns the ids."""
        rows = [
            _new_row(context, uuid, action, flow, step, payload, None)
            for uuid, payload in payloads.items()
        ]
        if lease is not None:
            for row in rows:
                row.update(state=RUNNING, lease_owner=lease[0], lease_until=lease[1])
        result = self._connection.execute(
            insert(operations).returning(operations.c.id, sort_by_parameter_order=True), rows
        )
        return [row.id for row in result]

    def get(self, operation_id: int, *, lock: bool = False) -> Operation | None:
        """One operation. ``lock`` keeps others from writing it until the transaction ends."""
        statement = _GET_LOCKED if lock else _GET
        row = self._connection.execute(statement, {"the_id": operation_id}).first()
        return None if row is None else Operation(*row)

    def get_many(self, ids: Collection[int]) -> list[Operation]:
        """Operations by id, oldest first; only those still open."""
        rows = self._connection.execute(
            select(operations)
            .where(operations.c.id.in_(ids), operations.c.state.in_(_OPEN))
            .order_by(operations.c.id)
        )
        return [Operation(*row) for row in rows]

    def advance(
        self,
        operation_id: int,
        *,
        step: str,
        host: str | None,
        lease_owner: str,
        lease_until: datetime.datetime,
        payload: Mapping[str, Any] | None = None,
        attempt: int | None = None,
        from_step: str | None = None,
        lease_before: datetime.datetime | None = None,
    ) -> bool:
        """Enter a step under a lease; False where the operation ended or is at another step.

        With ``lease_before`` also where its lease ends later than that.
        """
        changes: dict[str, Any] = {
            "state": RUNNING, "step": step, "host": host, "lease_owner": lease_owner,
            "lease_until": lease_until, "updated_at": now(),
        }
        if payload is not None:
            changes["payload"] = payload
        if attempt is not None:
            changes["attempt"] = attempt
        where = [operations.c.id == operation_id, operations.c.state.in_(_OPEN)]
        if from_step is not None:
            where.append(operations.c.step == from_step)
        if lease_before is not None:
            where.append(
                or_(
                    operations.c.lease_until.is_(None), operations.c.lease_until < lease_before
                )
            )
        return self._connection.execute(
            update(operations).where(*where).values(changes)
        ).rowcount == 1

    def advance_many(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Enter a step for many operations: mappings with the_id, step, host, owner, until, payload."""
        self._connection.execute(_ADVANCE_MANY, [{**row, "moment": now()} for row in rows])

    def finish(self, operation_id: int, *, failed: bool = False, message: str | None = None) -> bool:
        """End an operation; False where it had ended before."""
        moment = now()
        return self._connection.execute(
            _FINISH,
            {
                "the_id": operation_id, "new_state": FAILED if failed else DONE,
                "new_message": message[:255] if message else None, "moment": moment,
            },
        ).rowcount == 1

    def set_payload(self, operation_id: int, payload: Mapping[str, Any]) -> None:
        """Change what an open operation carries."""
        self._connection.execute(
            update(operations)
            .where(operations.c.id == operation_id, operations.c.state.in_(_OPEN))
            .values(payload=payload)
        )

    def renew(self, host: str, ids: Collection[int], until: datetime.datetime) -> int:
        """Lengthen the leases of steps that a host is still busy with; how many are its own."""
        return self._connection.execute(
            update(operations)
            .where(
                operations.c.id.in_(ids), operations.c.host == host, operations.c.state == RUNNING
            )
            .values(lease_until=until)
        ).rowcount

    def renew_many(self, busy: Mapping[str, Collection[int]], until: datetime.datetime) -> None:
        """The same for many hosts, in a few statements; no host lengthens what is another's."""
        pairs = [(operation_id, host) for host, ids in busy.items() for operation_id in ids]
        for start in range(0, len(pairs), _CHUNK):
            some = pairs[start : start + _CHUNK]
            self._connection.execute(
                update(operations)
                .where(
                    # Databases look up single columns by their index, not pairs.
                    operations.c.id.in_([operation_id for operation_id, _host in some]),
                    tuple_(operations.c.id, operations.c.host).in_(some),
                    operations.c.state == RUNNING,
                )
                .values(lease_until=until)
            )

    def building(self, steps: Collection[str]) -> dict[str, int]:
        """How many operations are at one of ``steps`` on each host now."""
        rows = self._connection.execute(
            select(operations.c.host, func.count())
            .where(operations.c.state == RUNNING, operations.c.step.in_(steps))
            .group_by(operations.c.host)
        )
        return {host: count for host, count in rows if host is not None}

    def unfinished(self, *, expired_at: datetime.datetime | None = None) -> list[Operation]:
        """Open operations, oldest first: all, or those whose lease ended before ``expired_at``."""
        statement = select(operations).where(operations.c.state.in_(_OPEN))
        if expired_at is not None:
            statement = statement.where(
                or_(operations.c.lease_until.is_(None), operations.c.lease_until < expired_at)
            )
        rows = self._connection.execute(statement.order_by(operations.c.id))
        return [Operation(*row) for row in rows]

    def backlog(self) -> tuple[int, datetime.datetime | None]:
        """How many operations are open, and since when the oldest of them is."""
        return tuple(self._connection.execute(_BACKLOG).one())

    def open_for(self, instance_uuid: str) -> list[Operation]:
        """Open operations of one server, oldest first."""
        rows = self._connection.execute(
            select(operations)
            .where(
                operations.c.instance_uuid == instance_uuid, operations.c.state.in_(_OPEN)
            )
            .order_by(operations.c.id)
        )
        return [Operation(*row) for row in rows]

    def newest(self, instance_uuid: str, *, besides: Collection[str]) -> int:
        """The id of a server's newest operation whose flow is not one of ``besides``; 0 where it has none."""
        found = self._connection.execute(
            select(func.max(operations.c.id)).where(
                operations.c.instance_uuid == instance_uuid, operations.c.flow.not_in(besides)
            )
        ).scalar()
        return int(found or 0)

    def of_instance(
        self,
        instance_uuid: str,
        *,
        limit: int | None = None,
        marker: str | None = None,
        changes_since: datetime.datetime | None = None,
        changes_before: datetime.datetime | None = None,
    ) -> list[Operation] | None:
        """A server's operations, newest first; None where ``marker`` (a request id) is unknown."""
        statement = select(operations).where(operations.c.instance_uuid == instance_uuid)
        if marker is not None:
            after = self._connection.execute(
                select(operations.c.id).where(
                    operations.c.instance_uuid == instance_uuid,
                    operations.c.request_id == marker,
                )
            ).scalar()
            if after is None:
                return None
            statement = statement.where(operations.c.id < after)
        if changes_since is not None:
            statement = statement.where(operations.c.updated_at >= changes_since)
        if changes_before is not None:
            statement = statement.where(operations.c.updated_at <= changes_before)
        statement = statement.order_by(operations.c.id.desc())
        if limit is not None:
            statement = statement.limit(limit)
        return [Operation(*row) for row in self._connection.execute(statement)]

    def by_request(self, instance_uuid: str, request_id: str) -> Operation | None:
        """The operation that a request made on a server."""
        row = self._connection.execute(
            select(operations).where(
                operations.c.instance_uuid == instance_uuid,
                operations.c.request_id == request_id,
            )
        ).first()
        return None if row is None else Operation(*row)

    def add_events(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Record steps that were done: mappings by column name."""
        self._connection.execute(insert(operation_events), list(events))

    def events(self, operation_id: int) -> list[OperationEvent]:
        """The recorded steps of an operation, oldest first."""
        rows = self._connection.execute(
            select(operation_events)
            .where(operation_events.c.operation_id == operation_id)
            .order_by(operation_events.c.id)
        )
        return [OperationEvent(*row) for row in rows]


_ADVANCE_MANY = (
    update(operations)
    .where(operations.c.id == bindparam("the_id"), _IS_OPEN)
    .values(
        state=RUNNING, step=bindparam("new_step"), host=bindparam("new_host"),
        lease_owner=bindparam("owner"), lease_until=bindparam("until"),
        payload=bindparam("new_payload"), updated_at=bindparam("moment"),
    )
)
_FINISH = (
    update(operations)
    .where(operations.c.id == bindparam("the_id"), _IS_OPEN)
    .values(
        state=bindparam("new_state"), message=bindparam("new_message"),
        updated_at=bindparam("moment"), finished_at=bindparam("moment"),
        lease_owner=None, lease_until=None,
    )
)


def _new_row(
    context: RequestContext,
    instance_uuid: str,
    action: str,
    flow: str | None,
    step: str | None,
    payload: Mapping[str, Any],
    host: str | None,
) -> dict[str, Any]:
    moment = now()
    return {
        "instance_uuid": instance_uuid, "request_id": context.request_id,
        "project_id": context.project_id, "user_id": context.user_id,
        "action": action, "flow": flow, "step": step, "host": host,
        "state": QUEUED if flow else DONE, "payload": payload, "attempt": 0,
        "started_at": moment, "updated_at": moment,
        "finished_at": None if flow else moment, "lease_owner": None, "lease_until": None,
        "message": None,
    }
