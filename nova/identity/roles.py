# SPDX-License-Identifier: Apache-2.0
"""Roles, what they imply, and giving and taking them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nova.db.stores.identity import IdentityStore
from nova.errors import Forbidden, InvalidInput, NotFound
from nova.identity.core import IdentityCore, new_id
from nova.identity.fields import Field, check, extras
from nova.identity.projects import require_domain, require_project
from nova.identity.users import require_group, require_user
from nova.objects.identity import (
    NO_DOMAIN,
    SYSTEM,
    Filter,
    ImpliedRole,
    Page,
    Role,
    RoleAssignment,
)

ROLE_FIELDS = (
    Field(name="name", required=True, minimum=1, maximum=255, pattern=r"\S"),
    Field(name="domain_id", nullable=True, minimum=1, maximum=64),
    Field(name="description", nullable=True),
    Field(name="options", kind="object"),
)

#: The role that gives every right; nothing may imply it.
ADMIN = "admin"


class RoleOperations:
    """Makes, changes and deletes roles and implications."""

    def __init__(self, core: IdentityCore) -> None:
        self._core = core

    def get(self, role_id: str) -> Role:
        """The role; ``NotFound``."""
        with self._core.read() as stores:
            return require_role(stores, role_id)

    def search(self, filters: Sequence[Filter], page: Page) -> list[Role]:
        """Roles."""
        with self._core.read() as stores:
            return stores.roles.list(filters, page)

    def create(self, values: Mapping[str, Any]) -> Role:
        """A new role from the ``role`` object of a request."""
        check(values, ROLE_FIELDS, "role")

        def write(stores: IdentityStore) -> Role:
            domain_id = values.get("domain_id") or NO_DOMAIN
            if domain_id:
                require_domain(stores, domain_id)
            return stores.roles.create(
                {
                    "id": new_id(),
                    "name": values["name"],
                    "domain_id": domain_id,
                    "description": values.get("description"),
                    "options": values.get("options") or {},
                    "extra": extras(values, ROLE_FIELDS, "role"),
                }
            )

        return self._core.run(write)

    def update(self, role_id: str, values: Mapping[str, Any]) -> Role:
        """Change a role."""
        check(values, ROLE_FIELDS, "role", partial=True)

        def write(stores: IdentityStore) -> Role:
            present = require_role(stores, role_id)
            if (values.get("domain_id") or NO_DOMAIN) != present.domain_id and (
                "domain_id" in values
            ):
                raise InvalidInput("role.domain_id", "It cannot be changed.")
            changes = {k: values[k] for k in ("name", "description", "options") if k in values}
            if present.options.get("immutable") and set(changes) - {"options"}:
                raise Forbidden(f"Cannot modify immutable resource 'role {role_id}'.")
            if "name" in changes:
                changes["domain_id"] = present.domain_id
            extra = extras(values, ROLE_FIELDS, "role")
            if extra:
                changes["extra"] = {**present.extra, **extra}
            if changes:
                stores.roles.update(role_id, changes)
            return require_role(stores, role_id)

        return self._core.run(write)

    def delete(self, role_id: str) -> None:
        """Delete a role; whoever has it loses it at once."""

        def write(stores: IdentityStore) -> None:
            role = require_role(stores, role_id)
            if role.options.get("immutable"):
                raise Forbidden(f"Cannot delete immutable resource 'role {role_id}'.")
            stores.roles.delete(role_id)

        self._core.run(write)

    def implications(self) -> tuple[list[ImpliedRole], dict[str, Role]]:
        """Every direct implication, and all roles by id."""
        with self._core.read() as stores:
            return stores.roles.implications(), {one.id: one for one in stores.roles.list()}

    def imply(self, prior_role_id: str, implied_role_id: str) -> None:
        """Let one role imply another; ``AlreadyExists`` where it does."""

        def write(stores: IdentityStore) -> None:
            prior = require_role(stores, prior_role_id)
            implied = require_role(stores, implied_role_id)
            if implied.name.lower() == ADMIN:
                raise Forbidden(f"{implied.id} cannot be an implied roles.")
            if implied.domain_id != NO_DOMAIN and prior.domain_id == NO_DOMAIN:
                raise Forbidden(f"{implied.id} cannot be an implied roles.")
            stores.roles.imply(prior_role_id, implied_role_id)

        self._core.run(write)

    def require_implication(self, prior_role_id: str, implied_role_id: str) -> tuple[Role, Role]:
        """Both roles of an implication; ``NotFound`` where there is none."""
        with self._core.read() as stores:
            prior = require_role(stores, prior_role_id)
            implied = require_role(stores, implied_role_id)
            if ImpliedRole(prior_role_id, implied_role_id) not in stores.roles.implications():
                raise NotFound(f"{prior_role_id} does not imply {implied_role_id}.")
            return prior, implied

    def remove_implication(self, prior_role_id: str, implied_role_id: str) -> None:
        """End an implication; ``NotFound`` where there is none."""

        def write(stores: IdentityStore) -> None:
            require_role(stores, prior_role_id)
            require_role(stores, implied_role_id)
            if not stores.roles.remove_implication(prior_role_id, implied_role_id):
                raise NotFound(f"{prior_role_id} does not imply {implied_role_id}.")

        self._core.run(write)


class GrantOperations:
    """Gives roles on a project, a domain or the system, and takes them away."""

    def __init__(self, core: IdentityCore) -> None:
        self._core = core

    def grant(self, assignment: RoleAssignment) -> None:
        """Give a role; giving it twice does no harm."""

        def write(stores: IdentityStore) -> None:
            _require_parties(stores, assignment)
            _refuse_foreign_role(stores, assignment)
            stores.assignments.add(assignment)

        self._core.run(write)

    def revoke(self, assignment: RoleAssignment) -> None:
        """Take a role away; ``NotFound`` where it was not given."""

        def write(stores: IdentityStore) -> None:
            _require_parties(stores, assignment, strict_actor=False)
            if not stores.assignments.remove(assignment):
                raise _not_given(assignment)

        self._core.run(write)

    def require(self, assignment: RoleAssignment) -> None:
        """``NotFound`` where the role is not given."""
        with self._core.read() as stores:
            _require_parties(stores, assignment)
            if not stores.assignments.exists(assignment):
                raise _not_given(assignment)

    def roles(
        self, actor: tuple[str, str], target: tuple[str, str], *, inherited: bool
    ) -> list[Role]:
        """The roles directly given to an actor on a target."""
        with self._core.read() as stores:
            _require_actor(stores, *actor)
            _require_target(stores, *target)
            held = stores.assignments.list(
                actor=actor, targets=(target[0], [target[1]]), inherited=inherited
            )
            roles = stores.roles.get_many(one.role_id for one in held)
        return sorted(roles.values(), key=lambda role: role.name)


def require_role(stores: IdentityStore, role_id: str) -> Role:
    """The role; ``NotFound``."""
    found = stores.roles.get(role_id)
    if found is None:
        raise NotFound(f"Could not find role: {role_id}.")
    return found


def _require_parties(
    stores: IdentityStore, assignment: RoleAssignment, *, strict_actor: bool = True
) -> None:
    require_role(stores, assignment.role_id)
    if strict_actor:
        _require_actor(stores, assignment.actor_type, assignment.actor_id)
    _require_target(stores, assignment.target_type, assignment.target_id)


def _require_actor(stores: IdentityStore, actor_type: str, actor_id: str) -> None:
    if actor_type == "user":
        require_user(stores, actor_id)
    else:
        require_group(stores, actor_id)


def _require_target(stores: IdentityStore, target_type: str, target_id: str) -> None:
    if target_type == "project":
        require_project(stores, target_id)
    elif target_type == "domain":
        require_domain(stores, target_id)


def _refuse_foreign_role(stores: IdentityStore, assignment: RoleAssignment) -> None:
    """A domain's own role may only be given on the projects of that domain."""
    role = require_role(stores, assignment.role_id)
    if role.domain_id == NO_DOMAIN:
        return
    place = None
    if assignment.target_type != SYSTEM:
        place = require_project(stores, assignment.target_id).owning_domain_id
    if place != role.domain_id:
        raise Forbidden(
            f"Project {assignment.target_id} must be in the same domain as the role {role.id} "
            "being assigned."
        )


def _not_given(assignment: RoleAssignment) -> NotFound:
    return NotFound(
        f"Could not find role assignment with role: {assignment.role_id}, user or group: "
        f"{assignment.actor_id}, project, domain, or system: {assignment.target_id}."
    )
