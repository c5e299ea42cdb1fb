# SPDX-License-Identifier: Apache-2.0
"""Routers that projects made through the network API: names for the gateways of their networks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from nova.db.schema.base import now
from nova.db.schema.network import project_routers
from nova.errors import Conflict
from nova.objects.network import ProjectRouter

_router = project_routers.c
_FACTS_OF = select(_router.project_id, _router.facts).where(
    _router.project_id.in_(bindparam("projects", expanding=True))
)


class RouterStore:
    """Routers in one transaction; a project has at most one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def every(self, project_id: str | None = None) -> list[ProjectRouter]:
        """All of them, or the one of a project."""
        statement = select(project_routers).order_by(_router.id)
        if project_id is not None:
            statement = statement.where(_router.project_id == project_id)
        return [ProjectRouter(*row) for row in self._connection.execute(statement)]

    def switched_off(self, project_ids: Collection[str]) -> set[str]:
        """Those of some projects whose router is switched off."""
        if not project_ids:
            return set()
        rows = self._connection.execute(_FACTS_OF, {"projects": sorted(project_ids)})
        return {row[0] for row in rows if (row[1] or {}).get("admin_state_up") is False}

    def create(self, project_id: str, name: str, facts: Mapping[str, Any]) -> None:
        """Note a project's router; ``Conflict`` where it has one."""
        savepoint = self._connection.begin_nested()
        try:
            self._connection.execute(
                insert(project_routers).values(
                    project_id=project_id, name=name, created_at=now(), facts=dict(facts)
                )
            )
        except IntegrityError:
            savepoint.rollback()
            raise Conflict(f"Project {project_id} has a router already.") from None
        savepoint.commit()

    def update(self, project_id: str, values: Mapping[str, Any]) -> None:
        """Change columns of a project's router, and count the change."""
        self._connection.execute(
            update(project_routers)
            .where(_router.project_id == project_id)
            .values({"updated_at": now(), "revision": _router.revision + 1, **values})
        )

    def delete(self, project_id: str) -> None:
        """Forget a project's router."""
        self._connection.execute(
            delete(project_routers).where(_router.project_id == project_id)
        )
