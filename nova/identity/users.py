# SPDX-License-Identifier: Apache-2.0
"""Users and groups: what may be done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nova.db.schema.base import now
from nova.db.stores.identity import IdentityStore
from nova.errors import InvalidInput, NotFound, Unauthorized
from nova.identity.core import IdentityCore, new_id
from nova.identity.fields import Field, check, extras
from nova.identity.passwords import check_password, hash_password
from nova.identity.projects import require_domain
from nova.objects.identity import Filter, Group, Page, User

#: Longest password, in characters.
LONGEST_PASSWORD = 4096

_PASSWORD = Field(name="password", nullable=True, maximum=LONGEST_PASSWORD)
USER_FIELDS = (
    Field(name="name", required=True, minimum=1, maximum=255, pattern=r"\S"),
    Field(name="domain_id", nullable=True, minimum=1, maximum=64),
    Field(name="default_project_id", nullable=True, maximum=64),
    Field(name="description", nullable=True),
    Field(name="email", nullable=True),
    Field(name="enabled", kind="boolean"),
    Field(name="options", kind="object"),
    _PASSWORD,
)
GROUP_FIELDS = (
    Field(name="name", required=True, minimum=1, maximum=64, pattern=r"\S"),
    Field(name="domain_id", nullable=True, minimum=1, maximum=64),
    Field(name="description", nullable=True),
)
PASSWORD_FIELDS = (
    Field(name="original_password", required=True, maximum=LONGEST_PASSWORD),
    Field(name="password", required=True, minimum=1, maximum=LONGEST_PASSWORD),
)

_PLAIN = ("name", "description", "email", "enabled", "options")
_SET_BY_SERVICE = ("password_expires_at", "original_password", "federated")


class UserOperations:
    """Makes, changes and deletes users."""

    def __init__(self, core: IdentityCore) -> None:
        self._core = core

    def get(self, user_id: str) -> User:
        """The user; ``NotFound``."""
        with self._core.read() as stores:
            return require_user(stores, user_id)

    def search(self, filters: Sequence[Filter], page: Page) -> list[User]:
        """Users."""
        with self._core.read() as stores:
            return stores.users.list(filters, page)

    def create(self, values: Mapping[str, Any], default_domain_id: str) -> User:
        """A new user from the ``user`` object of a request."""
        check(values, USER_FIELDS, "user")
        extra = extras(values, USER_FIELDS, "user", _SET_BY_SERVICE)
        password = values.get("password")
        # Hashing takes a while and must not hold the writing transaction.
        hashed = self._hash(password)

        def write(stores: IdentityStore) -> User:
            domain = require_domain(stores, values.get("domain_id") or default_domain_id)
            self._check_default_project(stores, values)
            return stores.users.create(
                {
                    "id": new_id(),
                    "domain_id": domain.id,
                    "name": values["name"],
                    "enabled": values.get("enabled", True),
                    "default_project_id": values.get("default_project_id"),
                    "description": values.get("description"),
                    "email": values.get("email"),
                    "options": values.get("options") or {},
                    "password_hash": hashed,
                    "extra": extra,
                }
            )

        return self._core.run(write)

    def update(self, user_id: str, values: Mapping[str, Any]) -> User:
        """Change a user as an administrator; a new password or disabling voids its tokens."""
        check(values, USER_FIELDS, "user", partial=True)
        extra = extras(values, USER_FIELDS, "user", _SET_BY_SERVICE)
        hashed = self._hash(values.get("password"))

        def write(stores: IdentityStore) -> User:
            present = require_user(stores, user_id)
            if values.get("domain_id") not in (None, present.domain_id):
                raise InvalidInput("user.domain_id", "It cannot be changed.")
            if values.get("id") not in (None, user_id):
                raise InvalidInput("user.id", "It cannot be changed.")
            changes: dict[str, Any] = {name: values[name] for name in _PLAIN if name in values}
            if "name" in changes:
                changes["domain_id"] = present.domain_id
            if "default_project_id" in values:
                self._check_default_project(stores, values)
                changes["default_project_id"] = values["default_project_id"]
            if "password" in values:
                changes["password_hash"] = hashed
            if "password" in values or values.get("enabled") is False:
                changes["tokens_valid_since"] = now()
            if extra:
                changes["extra"] = {**present.extra, **extra}
            if changes:
                stores.users.update(user_id, changes)
            return require_user(stores, user_id)

        return self._core.run(write)

    def change_own_password(self, user_id: str, values: Mapping[str, Any]) -> None:
        """Change a password by proof of the old one; ``Unauthorized`` where that is wrong."""
        check(values, PASSWORD_FIELDS, "user")
        with self._core.read() as stores:
            user = stores.users.get(user_id)
            old = None if user is None else stores.users.password_hash(user_id)
        rounds = self._core.section.bcrypt_rounds
        right = check_password(values["original_password"], old, rounds)
        if not right or user is None or not user.enabled:
            raise Unauthorized()
        hashed = hash_password(values["password"], rounds)

        def write(stores: IdentityStore) -> None:
            # Whoever changed it in between knew the old one too; the later change stands.
            stores.users.update(user_id, {"password_hash": hashed, "tokens_valid_since": now()})

        self._core.run(write)

    def delete(self, user_id: str) -> None:
        """Delete a user with all it has."""

        def write(stores: IdentityStore) -> None:
            require_user(stores, user_id)
            stores.users.remove(user_id)

        self._core.run(write)

    def groups(self, user_id: str) -> list[Group]:
        """The groups a user is in."""
        with self._core.read() as stores:
            require_user(stores, user_id)
            return stores.groups.of_user(user_id)

    def _hash(self, password: str | None) -> str | None:
        if password is None:
            return None
        return hash_password(password, self._core.section.bcrypt_rounds)

    def _check_default_project(self, stores: IdentityStore, values: Mapping[str, Any]) -> None:
        """A default project that is not there is taken, as the original does; a domain is not."""
        project_id = values.get("default_project_id")
        if project_id is None:
            return
        project = stores.projects.get(project_id)
        if project is not None and project.is_domain:
            raise InvalidInput("user.default_project_id", "It must not be a domain.", project_id)


class GroupOperations:
    """Makes, changes and deletes groups, and says who is in them."""

    def __init__(self, core: IdentityCore) -> None:
        self._core = core

    def get(self, group_id: str) -> Group:
        """The group; ``NotFound``."""
        with self._core.read() as stores:
            return require_group(stores, group_id)

    def search(self, filters: Sequence[Filter], page: Page) -> list[Group]:
        """Groups."""
        with self._core.read() as stores:
            return stores.groups.list(filters, page)

    def create(self, values: Mapping[str, Any], default_domain_id: str) -> Group:
        """A new group from the ``group`` object of a request."""
        check(values, GROUP_FIELDS, "group")

        def write(stores: IdentityStore) -> Group:
            domain = require_domain(stores, values.get("domain_id") or default_domain_id)
            return stores.groups.create(
                {
                    "id": new_id(),
                    "domain_id": domain.id,
                    "name": values["name"],
                    "description": values.get("description") or "",
                    "extra": extras(values, GROUP_FIELDS, "group"),
                }
            )

        return self._core.run(write)

    def update(self, group_id: str, values: Mapping[str, Any]) -> Group:
        """Change a group."""
        check(values, GROUP_FIELDS, "group", partial=True)

        def write(stores: IdentityStore) -> Group:
            present = require_group(stores, group_id)
            if values.get("domain_id") not in (None, present.domain_id):
                raise InvalidInput("group.domain_id", "It cannot be changed.")
            changes: dict[str, Any] = {}
            if "name" in values:
                changes.update(name=values["name"], domain_id=present.domain_id)
            if "description" in values:
                changes["description"] = values["description"] or ""
            extra = extras(values, GROUP_FIELDS, "group")
            if extra:
                changes["extra"] = {**present.extra, **extra}
            if changes:
                stores.groups.update(group_id, changes)
            return require_group(stores, group_id)

        return self._core.run(write)

    def delete(self, group_id: str) -> None:
        """Delete a group; its members lose what they had by it at once."""

        def write(stores: IdentityStore) -> None:
            require_group(stores, group_id)
            stores.groups.remove(group_id)

        self._core.run(write)

    def users(self, group_id: str) -> list[User]:
        """The members."""
        with self._core.read() as stores:
            require_group(stores, group_id)
            return stores.users.of_group(group_id)

    def add_user(self, group_id: str, user_id: str) -> None:
        """Put a user into the group."""

        def write(stores: IdentityStore) -> None:
            require_group(stores, group_id)
            require_user(stores, user_id)
            stores.groups.add_member(group_id, user_id)

        self._core.run(write)

    def require_member(self, group_id: str, user_id: str) -> None:
        """``NotFound`` where the user is not in the group."""
        with self._core.read() as stores:
            _require_member(stores, group_id, user_id)

    def remove_user(self, group_id: str, user_id: str) -> None:
        """Take a user out of the group; ``NotFound`` where it is not in it."""

        def write(stores: IdentityStore) -> None:
            _require_member(stores, group_id, user_id)
            stores.groups.remove_member(group_id, user_id)

        self._core.run(write)


def require_user(stores: IdentityStore, user_id: str) -> User:
    """The user; ``NotFound``."""
    found = stores.users.get(user_id)
    if found is None:
        raise NotFound(f"Could not find user: {user_id}.")
    return found


def require_group(stores: IdentityStore, group_id: str) -> Group:
    """The group; ``NotFound``."""
    found = stores.groups.get(group_id)
    if found is None:
        raise NotFound(f"Could not find group: {group_id}.")
    return found


def _require_member(stores: IdentityStore, group_id: str, user_id: str) -> None:
    require_group(stores, group_id)
    require_user(stores, user_id)
    if not stores.groups.is_member(group_id, user_id):
        raise NotFound(f"Could not find user '{user_id}' in group '{group_id}'.")
