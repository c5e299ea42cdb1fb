# SPDX-License-Identifier: Apache-2.0
"""The list of role assignments, as they are written or as they take effect.

To take effect, a group's assignment becomes one for each member, an inherited one becomes one for
each project below, and each role brings those that it implies. The roles of single domains take
effect only through those.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from nova.db.stores.identity import IdentityStore
from nova.identity.core import IdentityCore
from nova.identity.projects import require_project
from nova.identity.reference import ReferenceCache
from nova.objects.identity import SYSTEM, Project, RoleAssignment


class AssignmentQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The filters of ``GET /v3/role_assignments``."""

    user_id: str | None = None
    group_id: str | None = None
    role_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    inherited: bool | None = None
    effective: bool = False
    include_subtree: bool = False


class ListedAssignment(msgspec.Struct, frozen=True, kw_only=True):
    """One entry: the assignment as it takes effect, and what it comes from.

    ``via_group_id`` is the group it came by, ``via_target`` the (type, id) it is inherited from,
    ``prior_role_id`` the role that implies it.
    """

    assignment: RoleAssignment
    via_group_id: str | None = None
    via_target: tuple[str, str] | None = None
    prior_role_id: str | None = None


class AssignmentListing:
    """Lists role assignments."""

    def __init__(self, core: IdentityCore, reference: ReferenceCache) -> None:
        self._core = core
        self._reference = reference

    def search(self, query: AssignmentQuery) -> list[ListedAssignment]:
        """The assignments that fit ``query``."""
        reference = self._reference.get()
        with self._core.read() as stores:
            if not query.effective:
                return [ListedAssignment(assignment=one) for one in _written(stores, query)]
            entries = [ListedAssignment(assignment=one) for one in _relevant(stores, query)]
            entries = _expand_inherited(stores, entries, query)
            entries = _expand_groups(stores, entries)
        return [
            one
            for one in _expand_implied(entries, reference.implied)
            if _fits(one, query) and not reference.is_of_a_domain(one.assignment.role_id)
        ]

    def projects_of_user(self, user_id: str) -> list[Project]:
        """Every project on which the user has a role, by name."""
        with self._core.read() as stores:
            held = stores.assignments.of_user(user_id)
            direct = {
                one.target_id
                for one in held
                if one.target_type == "project" and not one.inherited
            }
            roots = {one.target_id for one in held if one.inherited}
            found = stores.projects.get_many(direct)
            for project in _below(stores, roots):
                found[project.id] = project
        projects = [one for one in found.values() if one.enabled]
        return sorted(projects, key=lambda project: project.name)

    def domains_of_user(self, user_id: str) -> list[Project]:
        """Every domain on which the user has a role itself, by name."""
        with self._core.read() as stores:
            held = stores.assignments.of_user(user_id)
            wanted = {
                one.target_id for one in held if one.target_type == "domain" and not one.inherited
            }
            found = stores.projects.get_many(wanted)
        domains = [one for one in found.values() if one.enabled]
        return sorted(domains, key=lambda domain: domain.name)

    def has_system_role(self, user_id: str) -> bool:
        """Whether the user has a role on the system."""
        with self._core.read() as stores:
            held = stores.assignments.of_user(user_id, [SYSTEM])
        return any(one.target_type == SYSTEM for one in held)


def _written(stores: IdentityStore, query: AssignmentQuery) -> list[RoleAssignment]:
    """Assignments as they stand in the table."""
    actor = None
    if query.user_id is not None:
        actor = ("user", query.user_id)
    elif query.group_id is not None:
        actor = ("group", query.group_id)
    return stores.assignments.list(
        actor=actor,
        targets=_targets(stores, query),
        role_id=query.role_id,
        inherited=query.inherited,
    )


def _targets(stores: IdentityStore, query: AssignmentQuery) -> tuple[str, list[str]] | None:
    if query.project_id is not None:
        ids = [query.project_id]
        if query.include_subtree:
            ids.extend(one.id for one in stores.projects.descendants([query.project_id]))
        return ("project", ids)
    if query.domain_id is not None:
        return ("domain", [query.domain_id])
    if query.system:
        return (SYSTEM, [SYSTEM])
    return None


def _relevant(stores: IdentityStore, query: AssignmentQuery) -> list[RoleAssignment]:
    """The written assignments from which any effective one that fits may come."""
    if query.user_id is not None:
        return stores.assignments.of_user(query.user_id)
    targets = _targets(stores, query)
    if targets is None:
        return stores.assignments.list()
    ids = set(targets[1])
    if query.project_id is not None:
        project = require_project(stores, query.project_id)
        ids.update(one.id for one in stores.projects.ancestors(project))
        ids.add(project.owning_domain_id)
    return stores.assignments.list(target_ids=sorted(ids))


def _expand_inherited(
    stores: IdentityStore, entries: Iterable[ListedAssignment], query: AssignmentQuery
) -> list[ListedAssignment]:
    result: list[ListedAssignment] = []
    below: dict[str, list[Project]] = {}
    for entry in entries:
        one = entry.assignment
        if not one.inherited:
            result.append(entry)
            continue
        if one.target_id not in below:
            below[one.target_id] = _below(stores, {one.target_id})
        for project in below[one.target_id]:
            moved = msgspec.structs.replace(one, target_type="project", target_id=project.id)
            result.append(
                ListedAssignment(
                    assignment=moved, via_target=(one.target_type, one.target_id)
                )
            )
    targets = _targets(stores, query)
    if targets is None:
        return result
    kind, ids = targets[0], set(targets[1])
    return [
        one
        for one in result
        if one.assignment.target_type == kind and one.assignment.target_id in ids
    ]


def _expand_groups(
    stores: IdentityStore, entries: list[ListedAssignment]
) -> list[ListedAssignment]:
    groups = {
        one.assignment.actor_id for one in entries if one.assignment.actor_type == "group"
    }
    members = stores.groups.member_ids(sorted(groups))
    result: list[ListedAssignment] = []
    for entry in entries:
        one = entry.assignment
        if one.actor_type == "user":
            result.append(entry)
            continue
        for user_id in members[one.actor_id]:
            result.append(
                msgspec.structs.replace(
                    entry,
                    assignment=msgspec.structs.replace(
                        one, actor_type="user", actor_id=user_id
                    ),
                    via_group_id=one.actor_id,
                )
            )
    return result


def _expand_implied(
    entries: Iterable[ListedAssignment], implied: dict[str, tuple[str, ...]]
) -> Iterable[ListedAssignment]:
    for entry in entries:
        yield entry
        for role_id in implied.get(entry.assignment.role_id, ()):
            yield msgspec.structs.replace(
                entry,
                assignment=msgspec.structs.replace(entry.assignment, role_id=role_id),
                prior_role_id=entry.assignment.role_id,
            )


def _below(stores: IdentityStore, target_ids: set[str]) -> list[Project]:
    """The projects below these projects or domains."""
    return stores.projects.descendants(sorted(target_ids))


def _fits(entry: ListedAssignment, query: AssignmentQuery) -> bool:
    one = entry.assignment
    return (
        (query.user_id is None or one.actor_id == query.user_id)
        and (query.role_id is None or one.role_id == query.role_id)
        and (query.inherited is None or one.inherited == query.inherited)
    )
