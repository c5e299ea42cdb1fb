# SPDX-License-Identifier: Apache-2.0
"""Roles, what they imply, and who has them on what."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    insert,
    or_,
    select,
    true,
)
from sqlalchemy.exc import IntegrityError

from nova.db.schema import identity as schema
from nova.db.stores.identity_records import RecordStore
from nova.errors import AlreadyExists
from nova.objects.identity import ImpliedRole, Role, RoleAssignment

_ASSIGNMENTS = schema.role_assignments
_COLUMNS = [_ASSIGNMENTS.c[name] for name in RoleAssignment.__struct_fields__]

# A user's own assignments and those of its groups.
_OF_USER = select(*_COLUMNS).where(
    or_(
        and_(
            _ASSIGNMENTS.c.actor_type == "user", _ASSIGNMENTS.c.actor_id == bindparam("user_id")
        ),
        and_(
            _ASSIGNMENTS.c.actor_type == "group",
            _ASSIGNMENTS.c.actor_id.in_(
                select(schema.group_members.c.group_id).where(
                    schema.group_members.c.user_id == bindparam("user_id")
                )
            ),
        ),
    )
)
_OF_USER_ON = _OF_USER.where(
    _ASSIGNMENTS.c.target_id.in_(bindparam("target_ids", expanding=True))
)


class RoleStore(RecordStore[Role]):
    """Roles and the implications between them."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, schema.roles, Role, "role")

    def implications(self) -> list[ImpliedRole]:
        """Every direct implication."""
        table = schema.implied_roles
        statement = select(table.c.prior_role_id, table.c.implied_role_id).order_by(
            table.c.prior_role_id, table.c.implied_role_id
        )
        return [ImpliedRole(*row) for row in self._connection.execute(statement)]

    def imply(self, prior_role_id: str, implied_role_id: str) -> None:
        """Add an implication; ``AlreadyExists`` if it is there."""
        try:
            self._connection.execute(
                insert(schema.implied_roles).values(
                    prior_role_id=prior_role_id, implied_role_id=implied_role_id
                )
            )
        except IntegrityError:
            raise AlreadyExists(
                "Conflict occurred attempting to store implied_role - Duplicate entry found."
            ) from None

    def remove_implication(self, prior_role_id: str, implied_role_id: str) -> bool:
        """Delete an implication; whether it was there."""
        table = schema.implied_roles
        result = self._connection.execute(
            delete(table).where(
                table.c.prior_role_id == prior_role_id,
                table.c.implied_role_id == implied_role_id,
            )
        )
        return result.rowcount > 0


class AssignmentStore:
    """Role assignments."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, assignment: RoleAssignment) -> None:
        """Give a role; no error if it is given already."""
        if self.exists(assignment):
            return
        try:
            with self._connection.begin_nested():
                self._connection.execute(
                    insert(_ASSIGNMENTS).values(**msgspec.structs.asdict(assignment))
                )
        except IntegrityError:
            # Another process gave it at the same moment.
            return

    def exists(self, assignment: RoleAssignment) -> bool:
        """Whether exactly this assignment is there."""
        statement = select(_ASSIGNMENTS.c.role_id).where(_exactly(assignment))
        return self._connection.execute(statement).first() is not None

    def remove(self, assignment: RoleAssignment) -> bool:
        """Take a role away; whether it was there."""
        result = self._connection.execute(delete(_ASSIGNMENTS).where(_exactly(assignment)))
        return result.rowcount > 0

    def of_user(
        self, user_id: str, target_ids: Sequence[str] | None = None
    ) -> list[RoleAssignment]:
        """What a user has directly or by its groups, on these targets or on all."""
        if target_ids is None:
            rows = self._connection.execute(_OF_USER, {"user_id": user_id})
        else:
            rows = self._connection.execute(
                _OF_USER_ON, {"user_id": user_id, "target_ids": list(target_ids)}
            )
        return [RoleAssignment(*row) for row in rows]

    def list(
        self,
        *,
        actor: tuple[str, str] | None = None,
        targets: tuple[str, Sequence[str]] | None = None,
        target_ids: Sequence[str] | None = None,
        role_id: str | None = None,
        inherited: bool | None = None,
    ) -> list[RoleAssignment]:
        """Assignments that pass the filters.

        ``actor`` is (type, id), ``targets`` (type, ids); ``target_ids`` are ids of any type.
        """
        conditions: list[ColumnElement[bool]] = [true()]
        if actor is not None:
            conditions.append(_ASSIGNMENTS.c.actor_type == actor[0])
            conditions.append(_ASSIGNMENTS.c.actor_id == actor[1])
        if targets is not None:
            conditions.append(_ASSIGNMENTS.c.target_type == targets[0])
            conditions.append(_ASSIGNMENTS.c.target_id.in_(list(targets[1])))
        if target_ids is not None:
            conditions.append(_ASSIGNMENTS.c.target_id.in_(list(target_ids)))
        if role_id is not None:
            conditions.append(_ASSIGNMENTS.c.role_id == role_id)
        if inherited is not None:
            conditions.append(_ASSIGNMENTS.c.inherited == inherited)
        statement = select(*_COLUMNS).where(*conditions).order_by(*_COLUMNS)
        return [RoleAssignment(*row) for row in self._connection.execute(statement)]


def _exactly(assignment: RoleAssignment) -> ColumnElement[bool]:
    values = msgspec.structs.asdict(assignment)
    return and_(*[_ASSIGNMENTS.c[name] == value for name, value in values.items()])
