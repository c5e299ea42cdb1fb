# SPDX-License-Identifier: Apache-2.0
"""Users and groups."""

from __future__ import annotations

import datetime

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from nova.db.schema import identity as schema
from nova.db.stores.identity_records import RecordStore
from nova.objects.identity import Group, User


class UserStore(RecordStore[User]):
    """Users; the password's hash is read only by ``password_hash``."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, schema.users, User, "user")

    def password_hash(self, user_id: str) -> str | None:
        """The stored hash, None where the user has no password."""
        statement = select(schema.users.c.password_hash).where(schema.users.c.id == user_id)
        found: str | None = self._connection.execute(statement).scalar()
        return found

    def void_tokens(self, user_id: str, since: datetime.datetime) -> None:
        """Make all tokens of the user that were issued before ``since`` invalid."""
        self.update(user_id, {"tokens_valid_since": since})

    def of_group(self, group_id: str) -> list[User]:
        """The members of a group."""
        members = schema.group_members
        statement = (
            self._select.join(members, members.c.user_id == self._table.c.id)
            .where(members.c.group_id == group_id)
            .order_by(self._table.c.id)
        )
        return [User(**row) for row in self._connection.execute(statement).mappings()]

    def remove(self, user_id: str) -> None:
        """Delete a user with its assignments; memberships and credentials go by cascade."""
        _delete_assignments(self._connection, "user", user_id)
        self.delete(user_id)


class GroupStore(RecordStore[Group]):
    """Groups and who is in them."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, schema.groups, Group, "group")

    def of_user(self, user_id: str) -> list[Group]:
        """The groups that a user is in."""
        members = schema.group_members
        statement = (
            self._select.join(members, members.c.group_id == self._table.c.id)
            .where(members.c.user_id == user_id)
            .order_by(self._table.c.id)
        )
        return [Group(**row) for row in self._connection.execute(statement).mappings()]

    def member_ids(self, group_ids: list[str]) -> dict[str, list[str]]:
        """The ids of the members of each group."""
        found: dict[str, list[str]] = {one: [] for one in group_ids}
        members = schema.group_members
        for start in range(0, len(group_ids), 500):
            statement = select(members.c.group_id, members.c.user_id).where(
                members.c.group_id.in_(group_ids[start : start + 500])
            )
            for group_id, user_id in self._connection.execute(statement):
                found[group_id].append(user_id)
        return found

    def is_member(self, group_id: str, user_id: str) -> bool:
        """Whether the user is in the group."""
        members = schema.group_members
        statement = select(members.c.user_id).where(
            members.c.group_id == group_id, members.c.user_id == user_id
        )
        return self._connection.execute(statement).first() is not None

    def add_member(self, group_id: str, user_id: str) -> None:
        """Put a user into a group; no error if it is in it."""
        if self.is_member(group_id, user_id):
            return
        try:
            with self._connection.begin_nested():
                self._connection.execute(
                    insert(schema.group_members).values(group_id=group_id, user_id=user_id)
                )
        except IntegrityError:
            # Another process put the user in at the same moment.
            return

    def remove_member(self, group_id: str, user_id: str) -> None:
        """Take a user out of a group."""
        members = schema.group_members
        self._connection.execute(
            delete(members).where(members.c.group_id == group_id, members.c.user_id == user_id)
        )

    def remove(self, group_id: str) -> None:
        """Delete a group with its assignments; memberships go by cascade."""
        _delete_assignments(self._connection, "group", group_id)
        self.delete(group_id)


def _delete_assignments(connection: Connection, actor_type: str, actor_id: str) -> None:
    table = schema.role_assignments
    connection.execute(
        delete(table).where(table.c.actor_type == actor_type, table.c.actor_id == actor_id)
    )
