# SPDX-License-Identifier: Apache-2.0
"""What servers use, in a period and on hosts, read without loading whole servers."""

from __future__ import annotations

import datetime
from collections.abc import Collection

from sqlalchemy import Connection, and_, func, or_, select

from nova.db.schema.compute import instances
from nova.objects.usage import HostedServer, ServerUsage

_columns = instances.c
_SUMS = (
    _columns.uuid, _columns.project_id, _columns.vcpus, _columns.memory_mb, _columns.root_gb,
    _columns.ephemeral_gb, _columns.vm_state, _columns.launched_at, _columns.terminated_at,
)
_HOSTED = (
    _columns.id, _columns.uuid, _columns.project_id, _columns.host, _columns.vcpus,
    _columns.memory_mb, _columns.root_gb, _columns.ephemeral_gb,
)
_DETAILS = (*_SUMS, _columns.name, _columns.flavor)


class UsageStore:
    """Usage in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def servers_between(
        self,
        start: datetime.datetime,
        stop: datetime.datetime,
        *,
        project_id: str | None = None,
        detailed: bool = True,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[ServerUsage] | None:
        """Servers, deleted ones included, that were up at some time between two moments.

        In the order of project and uuid, behind the server of uuid ``marker``; None where that is
        unknown.
        """
        statement = select(*(_DETAILS if detailed else _SUMS)).where(
            _columns.launched_at < stop,
            or_(_columns.terminated_at.is_(None), _columns.terminated_at > start),
        )
        if project_id is not None:
            statement = statement.where(_columns.project_id == project_id)
        if marker is not None:
            last = self._connection.execute(
                select(_columns.project_id).where(_columns.uuid == marker)
            ).scalar()
            if last is None:
                return None
            statement = statement.where(
                or_(
                    _columns.project_id > last,
                    and_(_columns.project_id == last, _columns.uuid > marker),
                )
            )
        statement = statement.order_by(_columns.project_id, _columns.uuid)
        if limit is not None:
            statement = statement.limit(limit)
        return [ServerUsage(*row) for row in self._connection.execute(statement)]

    def hosted(self, hosts: Collection[str]) -> dict[str, list[HostedServer]]:
        """The live servers of each host named, oldest first; hosts without any are left out."""
        found: dict[str, list[HostedServer]] = {}
        rows = self._connection.execute(
            select(*_HOSTED)
            .where(_columns.host.in_(hosts), _columns.deleted == 0)
            .order_by(_columns.id)
        )
        for row in rows:
            found.setdefault(row.host, []).append(HostedServer(*row))
        return found

    def count_on(self, hosts: Collection[str]) -> int:
        """How many live servers are on these hosts."""
        statement = select(func.count()).where(_columns.host.in_(hosts), _columns.deleted == 0)
        return int(self._connection.execute(statement).scalar_one())

    def workload(self, hosts: Collection[str] | None = None) -> dict[str, int]:
        """How many servers of each host (all where not given) are in the middle of a task."""
        statement = (
            select(_columns.host, func.count())
            .where(
                _columns.deleted == 0, _columns.task_state.is_not(None), _columns.host.is_not(None)
            )
            .group_by(_columns.host)
        )
        if hosts is not None:
            statement = statement.where(_columns.host.in_(hosts))
        return {host: int(number) for host, number in self._connection.execute(statement)}
