# SPDX-License-Identifier: Apache-2.0
"""Types of volumes, and the projects that may use those that are not public."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, true, update
from sqlalchemy.exc import IntegrityError

from nova.db.schema.base import now
from nova.db.schema.volume import volume_type_projects, volume_types
from nova.errors import AlreadyExists
from nova.objects.volume_record import VolumeType

_COLUMNS = tuple(column.name for column in volume_types.columns)
_EVERY = select(volume_types)
_type = volume_types.c
_access = volume_type_projects.c


class VolumeTypeStore:
    """Rows of ``volume_types``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, type_id: str) -> VolumeType | None:
        """The type of that id."""
        row = self._connection.execute(_EVERY.where(_type.id == type_id)).first()
        return None if row is None else _record(row)

    def by_name(self, name: str) -> VolumeType | None:
        """The type of that name."""
        row = self._connection.execute(_EVERY.where(_type.name == name)).first()
        return None if row is None else _record(row)

    def usable(self, project_id: str | None = None) -> list[VolumeType]:
        """Those that a project may use, or with None all of them; newest first."""
        statement = _EVERY.order_by(_type.created_at.desc(), _type.id.desc())
        if project_id is not None:
            granted = select(_access.type_id).where(_access.project_id == project_id)
            statement = statement.where(or_(_type.is_public == true(), _type.id.in_(granted)))
        return [_record(row) for row in self._connection.execute(statement)]

    def create(self, record: VolumeType) -> None:
        """Insert a type; ``AlreadyExists`` where the name is taken."""
        savepoint = self._connection.begin_nested()
        try:
            self._connection.execute(
                insert(volume_types).values({name: getattr(record, name) for name in _COLUMNS})
            )
        except IntegrityError:
            savepoint.rollback()
            raise AlreadyExists(f"Volume Type {record.name} already exists.") from None
        savepoint.commit()

    def update(self, type_id: str, changes: dict[str, Any]) -> None:
        """Write ``changes``; ``AlreadyExists`` where a new name is taken."""
        savepoint = self._connection.begin_nested()
        try:
            self._connection.execute(
                update(volume_types).where(_type.id == type_id)
                .values({"updated_at": now(), **changes})
            )
        except IntegrityError:
            savepoint.rollback()
            raise AlreadyExists(f"Volume Type {changes.get('name')} already exists.") from None
        savepoint.commit()

    def delete(self, type_id: str) -> None:
        """Remove a type."""
        self._connection.execute(delete(volume_types).where(_type.id == type_id))

    def projects_of(self, type_id: str) -> list[str]:
        """The projects that were granted a type."""
        rows = self._connection.execute(
            select(_access.project_id).where(_access.type_id == type_id)
            .order_by(_access.project_id)
        )
        return list(rows.scalars())

    def grant(self, type_id: str, project_id: str) -> None:
        """Let a project use a type; ``AlreadyExists`` where it may."""
        if project_id in self.projects_of(type_id):
            raise AlreadyExists(
                f"Volume type access for {type_id} / {project_id} combination already exists."
            )
        self._connection.execute(
            insert(volume_type_projects).values(type_id=type_id, project_id=project_id)
        )

    def revoke(self, type_id: str, project_id: str) -> bool:
        """Take a type from a project; whether it was granted."""
        return self._connection.execute(
            delete(volume_type_projects).where(
                _access.type_id == type_id, _access.project_id == project_id
            )
        ).rowcount == 1


def _record(row: Row[Any]) -> VolumeType:
    return VolumeType(**dict(zip(_COLUMNS, row, strict=True)))
