# SPDX-License-Identifier: Apache-2.0
"""Ranges that subnets are cut from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from nova.db.schema.base import now
from nova.db.schema.network import subnet_pools
from nova.objects.network import SubnetPool

_pool = subnet_pools.c


class SubnetPoolStore:
    """Subnet pools in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def every(self) -> list[SubnetPool]:
        """All of them, oldest first."""
        rows = self._connection.execute(select(subnet_pools).order_by(_pool.id))
        return [SubnetPool(*row) for row in rows]

    def count_of(self, project_id: str) -> int:
        """How many a project has."""
        statement = select(func.count()).where(_pool.project_id == project_id)
        return int(self._connection.execute(statement).scalar_one())

    def find(self, uuid: str, *, lock: bool = False) -> SubnetPool | None:
        """One of them; with ``lock``, for those who cut a subnet from it."""
        statement = select(subnet_pools).where(_pool.uuid == uuid)
        if lock:
            statement = statement.with_for_update()
        row = self._connection.execute(statement).first()
        return None if row is None else SubnetPool(*row)

    def create(
        self, uuid: str, project_id: str, name: str, facts: Mapping[str, Any]
    ) -> None:
        """Make a pool."""
        self._connection.execute(
            insert(subnet_pools).values(
                uuid=uuid, project_id=project_id, name=name, created_at=now(), facts=dict(facts)
            )
        )

    def update(self, uuid: str, values: Mapping[str, Any]) -> None:
        """Change columns of a pool, and count the change."""
        self._connection.execute(
            update(subnet_pools)
            .where(_pool.uuid == uuid)
            .values({"updated_at": now(), "revision": _pool.revision + 1, **values})
        )

    def delete(self, uuid: str) -> None:
        """Remove a pool."""
        self._connection.execute(delete(subnet_pools).where(_pool.uuid == uuid))
