# SPDX-License-Identifier: Apache-2.0
"""Types of volumes, the projects that may use those that are not public, and projects' defaults."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, or_, select, true, update
from sqlalchemy.exc import IntegrityError

from nova.db.insert_new import insert_new
from nova.db.schema.base import now
from nova.db.schema.volume import volume_default_types, volume_type_projects, volume_types
from nova.errors import AlreadyExists, NotFound
from nova.objects.volume_record import VolumeType

_COLUMNS = tuple(column.name for column in volume_types.columns)
_EVERY = select(volume_types)
_type = volume_types.c
_access = volume_type_projects.c
_default = volume_default_types.c
# A project's default type and the one of all others, in one question.
_DEFAULTS = _EVERY.where(
    or_(
        _type.name == bindparam("the_name"),
        _type.id == select(_default.type_id).where(_default.project_id == bindparam("the_project"))
        .scalar_subquery(),
    )
)
_SET_DEFAULT = (
    update(volume_default_types).where(_default.project_id == bindparam("the_project"))
    .values(type_id=bindparam("the_type"))
)


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

    def delete(self, type_id: str) -> bool:
        """Remove a type; False where a volume has it."""
        savepoint = self._connection.begin_nested()
        try:
            self._connection.execute(delete(volume_types).where(_type.id == type_id))
        except IntegrityError:
            savepoint.rollback()
            return False
        savepoint.commit()
        return True

    def projects_of(self, type_id: str) -> list[str]:
        """The projects that were granted a type."""
        rows = self._connection.execute(
            select(_access.project_id).where(_access.type_id == type_id)
            .order_by(_access.project_id)
        )
        return list(rows.scalars())

    def grant(self, type_id: str, project_id: str) -> None:
        """Let a project use a type; ``AlreadyExists`` where it may, ``NotFound`` without the type."""
        savepoint = self._connection.begin_nested()
        try:
            self._connection.execute(
                insert(volume_type_projects).values(type_id=type_id, project_id=project_id)
            )
        except IntegrityError:
            savepoint.rollback()
            if self.get(type_id) is None:
                raise NotFound(f"Volume type {type_id} could not be found.") from None
            raise AlreadyExists(
                f"Volume type access for {type_id} / {project_id} combination already exists."
            ) from None
        savepoint.commit()

    def revoke(self, type_id: str, project_id: str) -> bool:
        """Take a type from a project; whether it was granted."""
        return self._connection.execute(
            delete(volume_type_projects).where(
                _access.type_id == type_id, _access.project_id == project_id
            )
        ).rowcount == 1

    # --- defaults of projects ------------------------------------------------------------------------

    def default_for(self, project_id: str, name: str) -> VolumeType | None:
        """The type of a project's volumes without one: its own default, or else the type of that name."""
        found = [
            _record(row) for row in self._connection.execute(
                _DEFAULTS, {"the_name": name, "the_project": project_id}
            )
        ]
        return next((each for each in found if each.name != name), found[0] if found else None)

    def project_defaults(self, project_id: str | None = None) -> list[tuple[str, str]]:
        """The projects with a default of their own, or that one project, each with the type's id."""
        statement = select(_default.project_id, _default.type_id).order_by(_default.project_id)
        if project_id is not None:
            statement = statement.where(_default.project_id == project_id)
        return [(row.project_id, row.type_id) for row in self._connection.execute(statement)]

    def set_project_default(self, project_id: str, type_id: str) -> None:
        """Give a project its own default; ``NotFound`` where the type was deleted meanwhile."""
        values = {"the_project": project_id, "the_type": type_id}
        savepoint = self._connection.begin_nested()
        try:
            if not self._connection.execute(_SET_DEFAULT, values).rowcount:
                self._connection.execute(
                    insert_new(volume_default_types, self._connection.dialect.name, "project_id"),
                    {"project_id": project_id, "type_id": type_id},
                )
                self._connection.execute(_SET_DEFAULT, values)
        except IntegrityError:
            savepoint.rollback()
            raise NotFound(f"Volume type {type_id} could not be found.") from None
        savepoint.commit()

    def unset_project_default(self, project_id: str) -> None:
        """Let a project have the default of all others."""
        self._connection.execute(
            delete(volume_default_types).where(_default.project_id == project_id)
        )

    def is_project_default(self, type_id: str) -> bool:
        """Whether a type is some project's default."""
        statement = select(_default.project_id).where(_default.type_id == type_id).limit(1)
        return self._connection.execute(statement).first() is not None


def _record(row: Row[Any]) -> VolumeType:
    return VolumeType(**dict(zip(_COLUMNS, row, strict=True)))
