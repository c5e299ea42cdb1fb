# SPDX-License-Identifier: Apache-2.0
"""Pools of floating addresses that were made as external networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from nova.db.schema.base import now
from nova.db.schema.network import floating_ip_pools, floating_ips
from nova.errors import Conflict
from nova.objects.network import FloatingPool

_pool = floating_ip_pools.c


class FloatingPoolStore:
    """Pools with a row of their own, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def every(self) -> list[FloatingPool]:
        """The pools, oldest first."""
        rows = self._connection.execute(select(floating_ip_pools).order_by(_pool.id))
        return [FloatingPool(*row) for row in rows]

    def create(self, uuid: str, name: str, facts: Mapping[str, Any]) -> FloatingPool:
        """Make a pool without addresses; ``Conflict`` where there is one of that name."""
        present = select(floating_ips.c.id).where(floating_ips.c.pool == name).limit(1)
        taken = self._connection.execute(present).first() is not None
        savepoint = self._connection.begin_nested()
        try:
            if not taken:
                self._connection.execute(
                    insert(floating_ip_pools).values(
                        uuid=uuid, name=name, created_at=now(), facts=dict(facts)
                    )
                )
        except IntegrityError:
            taken = True
        if taken:
            savepoint.rollback()
            raise Conflict(f"There is a pool of floating IPs called {name} already.")
        savepoint.commit()
        return next(each for each in self.every() if each.uuid == uuid)

    def update(self, uuid: str, facts: Mapping[str, Any]) -> None:
        """Write the facts of a pool."""
        self._connection.execute(
            update(floating_ip_pools)
            .where(_pool.uuid == uuid)
            .values(facts=dict(facts), updated_at=now(), revision=_pool.revision + 1)
        )

    def adopt(self, uuid: str, name: str, facts: Mapping[str, Any]) -> None:
        """Give a row to a pool that exists by its addresses."""
        self._connection.execute(
            insert(floating_ip_pools).values(
                uuid=uuid, name=name, created_at=now(), updated_at=now(), revision=1,
                facts=dict(facts),
            )
        )

    def delete(self, uuid: str) -> None:
        """Remove a pool's row."""
        self._connection.execute(delete(floating_ip_pools).where(_pool.uuid == uuid))
