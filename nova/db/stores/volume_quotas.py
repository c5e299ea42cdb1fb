# SPDX-License-Identifier: Apache-2.0
"""Limits of projects on volumes, and what projects have, counted without a race.

A request locks its project's row in ``volume_projects`` first, and counts then: what another request
added is committed and seen, or waits. So the usage is always what is there, and limits hold.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, func, insert, select, update

from nova.db.insert_new import insert_new
from nova.db.schema.volume import volume_limits, volume_projects, volume_snapshots, volumes
from nova.objects.volume_record import TypeUsage

#: The "project" whose limits are those of the default class.
DEFAULT_CLASS = ""

_limit = volume_limits.c


class VolumeQuotaStore:
    """Limits and usage in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self, project_id: str) -> None:
        """Hold off other requests that count for this project, until the transaction ends."""
        statement = (
            update(volume_projects)
            .where(volume_projects.c.project_id == project_id)
            .values(counted=volume_projects.c.counted + 1)
        )
        if self._connection.execute(statement).rowcount:
            return
        self._connection.execute(
            insert_new(volume_projects, self._connection.dialect.name, "project_id"),
            {"project_id": project_id, "counted": 0},
        )
        self._connection.execute(statement)

    def usage(self, project_id: str) -> dict[str, TypeUsage]:
        """What a project has of each type, by the type's id."""
        found: dict[str, list[int]] = {}
        sizes = (volumes.c.size + volumes.c.growing, volume_snapshots.c.size)
        for first, table, size_of in ((0, volumes, sizes[0]), (2, volume_snapshots, sizes[1])):
            rows = self._connection.execute(
                select(table.c.type_id, func.count(), func.coalesce(func.sum(size_of), 0))
                .where(table.c.project_id == project_id)
                .group_by(table.c.type_id)
            )
            for type_id, count, size in rows:
                entry = found.setdefault(type_id, [0, 0, 0, 0])
                entry[first], entry[first + 1] = int(count), int(size)
        return {type_id: TypeUsage(type_id, *counts) for type_id, counts in found.items()}

    def limits(self, project_id: str) -> dict[str, int]:
        """The limits set for the default class and over them those set for a project."""
        rows = self._connection.execute(
            select(_limit.project_id, _limit.resource, _limit.hard_limit)
            .where(_limit.project_id.in_((DEFAULT_CLASS, project_id)))
            .order_by(_limit.project_id)
        )
        return {row.resource: row.hard_limit for row in rows}

    def set(self, project_id: str, limits: Mapping[str, int]) -> None:
        """Set limits of a project (or of ``DEFAULT_CLASS``); those not named stay."""
        if not limits:
            return
        self._connection.execute(
            delete(volume_limits).where(
                _limit.project_id == project_id, _limit.resource.in_(tuple(limits))
            )
        )
        self._connection.execute(
            insert(volume_limits),
            [
                {"project_id": project_id, "resource": resource, "hard_limit": value}
                for resource, value in limits.items()
            ],
        )

    def delete(self, project_id: str) -> None:
        """Forget the limits set for a project."""
        self._connection.execute(delete(volume_limits).where(_limit.project_id == project_id))
