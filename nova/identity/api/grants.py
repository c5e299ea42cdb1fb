# SPDX-License-Identifier: Apache-2.0
"""Giving and taking roles, what roles imply, and the list of all assignments."""

from __future__ import annotations

from typing import Any

import falcon

from nova.db.stores.identity import IdentityStore
from nova.errors import BadRequest
from nova.identity.api.request import (
    Face,
    answer,
    flag,
    link,
    list_links,
    page_of,
    query,
)
from nova.identity.api.views import role_reference, role_view
from nova.identity.assignments import AssignmentQuery, ListedAssignment
from nova.identity.policy import Target, require
from nova.identity.service import IdentityService
from nova.objects.identity import SYSTEM, Filter, Group, Project, Role, RoleAssignment, User


class GrantResource(Face):
    """``/v3/<targets>/{target_id}/<actors>/{actor_id}/roles`` and each role below it.

    ``target_type`` is project, domain or system (which has no id); ``inherited`` is for the forms
    below ``/v3/OS-INHERIT``.
    """

    def __init__(
        self, service: IdentityService, target_type: str, actor_type: str, *, inherited: bool
    ) -> None:
        super().__init__(service)
        self._target_type = target_type
        self._actor_type = actor_type
        self._inherited = inherited

    def on_get(
        self, req: falcon.Request, resp: falcon.Response, actor_id: str, **target: str
    ) -> None:
        """The roles given."""
        target_id = _target_id(target)
        self.allow(req, "list_grants", self._place(target_id))
        roles = self.service.grants.roles(
            (self._actor_type, actor_id), (self._target_type, target_id),
            inherited=self._inherited,
        )
        body = {
            "roles": [role_view(req, one) for one in roles],
            "links": list_links(req, page_of(req), None),
        }
        answer(resp, body)

    def on_get_member(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        actor_id: str,
        role_id: str,
        **target: str,
    ) -> None:
        """Check that a role is given."""
        target_id = _target_id(target)
        self.allow(req, "check_grant", self._place(target_id))
        self.service.grants.require(self._assignment(actor_id, target_id, role_id))
        resp.status = 204

    def on_put_member(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        actor_id: str,
        role_id: str,
        **target: str,
    ) -> None:
        """Give a role."""
        target_id = _target_id(target)
        self.allow(req, "create_grant")
        self.service.grants.grant(self._assignment(actor_id, target_id, role_id))
        resp.status = 204

    def on_delete_member(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        actor_id: str,
        role_id: str,
        **target: str,
    ) -> None:
        """Take a role away."""
        target_id = _target_id(target)
        self.allow(req, "revoke_grant")
        self.service.grants.revoke(self._assignment(actor_id, target_id, role_id))
        resp.status = 204

    def _assignment(self, actor_id: str, target_id: str, role_id: str) -> RoleAssignment:
        return RoleAssignment(
            self._actor_type, actor_id, self._target_type, target_id, role_id, self._inherited
        )

    def _place(self, target_id: str) -> Target:
        return Target() if self._target_type == SYSTEM else self.place_target(target_id)


def _target_id(target: dict[str, str]) -> str:
    """The project or domain in a path, or the system."""
    return next(iter(target.values()), SYSTEM)


class ImpliedRoleResource(Face):
    """``/v3/roles/{role_id}/implies``, each implied role below it, and all the rules."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, role_id: str) -> None:
        """What a role implies directly."""
        self.allow(req, "get_implied_role")
        prior = self.service.roles.get(role_id)
        rules, roles = self.service.roles.implications()
        implied = [roles[r.implied_role_id] for r in rules if r.prior_role_id == role_id]
        body = {
            "role_inference": {
                "prior_role": role_reference(req, prior),
                "implies": [role_reference(req, one) for one in implied],
            },
            "links": {"self": link(req, "roles", role_id, "implies")},
        }
        answer(resp, body)

    def on_get_member(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        role_id: str,
        implied_role_id: str,
    ) -> None:
        """Show one implication."""
        self.allow(req, "get_implied_role")
        self._answer(req, resp, role_id, implied_role_id, 200)

    def on_head_member(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        role_id: str,
        implied_role_id: str,
    ) -> None:
        """Check one implication."""
        self.allow(req, "get_implied_role")
        self.service.roles.require_implication(role_id, implied_role_id)
        resp.status = 204

    def on_put_member(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        role_id: str,
        implied_role_id: str,
    ) -> None:
        """Let one role imply another."""
        self.allow(req, "create_implied_role")
        self.service.roles.imply(role_id, implied_role_id)
        self._answer(req, resp, role_id, implied_role_id, 201)

    def on_delete_member(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        role_id: str,
        implied_role_id: str,
    ) -> None:
        """End an implication."""
        self.allow(req, "delete_implied_role")
        self.service.roles.remove_implication(role_id, implied_role_id)
        resp.status = 204

    def on_get_rules(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Every implication, by prior role."""
        self.allow(req, "list_role_inference_rules")
        rules, roles = self.service.roles.implications()
        by_prior: dict[str, list[Role]] = {}
        for rule in rules:
            by_prior.setdefault(rule.prior_role_id, []).append(roles[rule.implied_role_id])
        body = {
            "role_inferences": [
                {
                    "prior_role": role_reference(req, roles[prior_id]),
                    "implies": [role_reference(req, one) for one in implied],
                }
                for prior_id, implied in by_prior.items()
            ],
            "links": list_links(req, page_of(req), None),
        }
        answer(resp, body)

    def _answer(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        prior_id: str,
        implied_id: str,
        status: int,
    ) -> None:
        prior, implied = self.service.roles.require_implication(prior_id, implied_id)
        body = {
            "role_inference": {
                "prior_role": role_reference(req, prior),
                "implies": role_reference(req, implied),
            },
            "links": {"self": link(req, "roles", prior_id, "implies", implied_id)},
        }
        answer(resp, body, status)


class RoleAssignmentsResource(Face):
    """``/v3/role_assignments``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List assignments, written or effective."""
        caller = self.caller(req)
        own_domain = None if caller.domain is None else caller.domain.id
        require(caller, "identity:list_role_assignments", Target(domain_id=own_domain))
        wanted = _read_query(req)
        found = self.service.assignments.search(wanted)
        with self.service.core.read() as stores:
            names = _Names(stores, found) if flag(req, "include_names") else None
            if own_domain is not None:
                found = _within_domain(stores, found, own_domain)
        body = {
            "role_assignments": [_entry(req, one, names) for one in found],
            "links": list_links(req, page_of(req), None),
        }
        answer(resp, body)


class _Names:
    """Everything that a list of assignments names, read in one query a kind."""

    def __init__(self, stores: IdentityStore, found: list[ListedAssignment]) -> None:
        all_of = [one.assignment for one in found]
        self.users = stores.users.get_many(a.actor_id for a in all_of if a.actor_type == "user")
        self.groups = stores.groups.get_many(
            a.actor_id for a in all_of if a.actor_type == "group"
        )
        self.roles = stores.roles.get_many(a.role_id for a in all_of)
        self.projects = stores.projects.get_many(
            a.target_id for a in all_of if a.target_type != SYSTEM
        )
        domain_ids = {one.domain_id for one in self.users.values()}
        domain_ids.update(one.domain_id for one in self.groups.values())
        domain_ids.update(one.domain_id for one in self.roles.values())
        domain_ids.update(one.owning_domain_id for one in self.projects.values())
        self.domains = stores.projects.get_many(domain_ids)

    def of(self, record: User | Group | Role | Project | None, identifier: str) -> dict[str, Any]:
        """``id``, ``name`` and ``domain`` of a record; the id alone where it is gone."""
        if record is None:
            return {"id": identifier}
        body: dict[str, Any] = {"id": record.id, "name": record.name}
        domain = self.domains.get(record.domain_id)
        if domain is not None:
            body["domain"] = {"id": domain.id, "name": domain.name}
        return body


def _read_query(req: falcon.Request) -> AssignmentQuery:
    inherited = query(req, "scope.OS-INHERIT:inherited_to")
    wanted = AssignmentQuery(
        user_id=query(req, "user.id") or None,
        group_id=query(req, "group.id") or None,
        role_id=query(req, "role.id") or None,
        project_id=query(req, "scope.project.id") or None,
        domain_id=query(req, "scope.domain.id") or None,
        system=bool(query(req, "scope.system")),
        inherited=None if inherited is None else inherited == "projects",
        effective=flag(req, "effective"),
        include_subtree=flag(req, "include_subtree"),
    )
    refusals = (
        (wanted.domain_id and wanted.project_id, "Specify a domain or project, not both"),
        (wanted.domain_id and wanted.system, "Specify system or domain, not both"),
        (wanted.project_id and wanted.system, "Specify system or project, not both"),
        (wanted.user_id and wanted.group_id, "Specify a user or group, not both"),
        (
            wanted.effective and wanted.group_id,
            "Combining effective and group filter will always result in an empty list.",
        ),
        (
            wanted.effective and wanted.inherited and wanted.domain_id,
            "Combining effective, domain and inherited filters will always result in an empty "
            "list.",
        ),
        (
            wanted.include_subtree and not wanted.project_id,
            "scope.project.id must be specified if include_subtree is also specified",
        ),
    )
    for wrong, message in refusals:
        if wrong:
            raise BadRequest(message)
    return wanted


def _within_domain(
    stores: IdentityStore, found: list[ListedAssignment], domain_id: str
) -> list[ListedAssignment]:
    """A domain-scoped caller sees its own domain and the projects in it."""
    inside = {one.id for one in stores.projects.list([Filter("domain_id", domain_id)])}
    inside.add(domain_id)
    return [one for one in found if one.assignment.target_id in inside]


def _entry(
    req: falcon.Request, listed: ListedAssignment, names: _Names | None
) -> dict[str, Any]:
    """One assignment, with the links that tell what it comes from."""
    one = listed.assignment
    scope: dict[str, Any]
    if one.target_type == SYSTEM:
        scope = {"system": {"all": True}}
    else:
        place = {"id": one.target_id}
        if names is not None:
            place = names.of(names.projects.get(one.target_id), one.target_id)
        scope = {one.target_type: place}
    actor: dict[str, Any] = {"id": one.actor_id}
    role: dict[str, Any] = {"id": one.role_id}
    if names is not None:
        actors = names.users if one.actor_type == "user" else names.groups
        actor = names.of(actors.get(one.actor_id), one.actor_id)
        role = names.of(names.roles.get(one.role_id), one.role_id)
    inherited = one.inherited or listed.via_target is not None
    if inherited:
        scope["OS-INHERIT:inherited_to"] = "projects"
    return {
        "scope": scope,
        one.actor_type: actor,
        "role": role,
        "links": _links(req, listed, inherited),
    }


def _links(req: falcon.Request, listed: ListedAssignment, inherited: bool) -> dict[str, str]:
    one = listed.assignment
    target_type, target_id = listed.via_target or (one.target_type, one.target_id)
    parts = ["OS-INHERIT"] if inherited else []
    parts += ["system"] if target_type == SYSTEM else [f"{target_type}s", target_id]
    if listed.via_group_id is not None:
        parts += ["groups", listed.via_group_id]
    else:
        parts += [f"{one.actor_type}s", one.actor_id]
    parts += ["roles", listed.prior_role_id or one.role_id]
    if inherited:
        parts.append("inherited_to_projects")
    links = {"assignment": link(req, *parts)}
    if listed.via_group_id is not None:
        links["membership"] = link(req, "groups", listed.via_group_id, "users", one.actor_id)
    if listed.prior_role_id is not None:
        links["prior_role"] = link(
            req, "roles", listed.prior_role_id, "implies", one.role_id
        )
    return links
