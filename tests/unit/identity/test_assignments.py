# SPDX-License-Identifier: Apache-2.0
"""Roles by group, by inheritance, by implication and in domains."""

from __future__ import annotations

import pytest

from nova.errors import Forbidden, NotFound, Unauthorized
from nova.identity.assignments import AssignmentQuery
from nova.identity.bootstrap import BootstrapResult
from nova.identity.service import IdentityService
from nova.objects.identity import Project, Role, RoleAssignment, User
from tests.unit.identity.conftest import Login

PASSWORD = "a password"


class Tree:
    """A domain with a project, one below it, a user without a role, and a group it is in."""

    def __init__(self, service: IdentityService) -> None:
        self.service = service
        self.domain = service.projects.create_domain({"name": "dömäin"})
        self.top = self.project("top", self.domain.id)
        self.below = self.project("below", self.top.id)
        self.user: User = service.users.create(
            {"name": "user", "password": PASSWORD}, self.domain.id
        )
        self.group = service.groups.create({"name": "group"}, self.domain.id)
        service.groups.add_user(self.group.id, self.user.id)

    def project(self, name: str, parent_id: str) -> Project:
        return self.service.projects.create_project(
            {"name": name, "parent_id": parent_id}, self.domain.id
        )

    def role(self, name: str) -> Role:
        return next(
            r for r in self.service.reference.get().roles.values() if r.name == name
        )

    def give(
        self, role: str, target: Project, *, group: bool = False, inherited: bool = False
    ) -> None:
        self.service.grants.grant(
            RoleAssignment(
                "group" if group else "user", self.group.id if group else self.user.id,
                "domain" if target.is_domain else "project", target.id,
                self.role(role).id, inherited,
            )
        )

    def roles_on(self, target: Project) -> tuple[str, ...]:
        kind = "domain" if target.is_domain else "project"
        user = {"id": self.user.id, "password": PASSWORD}
        token = self.service.authentication.authenticate(
            {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {kind: {"id": target.id}},
            }
        )
        return token.context.roles


@pytest.fixture
def tree(service: IdentityService, cloud: BootstrapResult) -> Tree:
    return Tree(service)


def test_without_a_role_there_is_no_access(tree: Tree) -> None:
    with pytest.raises(Unauthorized, match="has no access to project"):
        tree.roles_on(tree.top)


def test_a_role_by_group_counts_and_ends_with_the_membership(tree: Tree) -> None:
    tree.give("member", tree.top, group=True)
    assert tree.roles_on(tree.top) == ("member", "reader")
    tree.service.groups.remove_user(tree.group.id, tree.user.id)
    with pytest.raises(Unauthorized):
        tree.roles_on(tree.top)


def test_a_role_inherited_from_a_project_counts_below_it_only(tree: Tree) -> None:
    tree.give("reader", tree.top, inherited=True)
    assert tree.roles_on(tree.below) == ("reader",)
    with pytest.raises(Unauthorized):
        tree.roles_on(tree.top)


def test_a_role_inherited_from_a_domain_counts_on_all_its_projects(tree: Tree) -> None:
    tree.give("member", tree.domain, inherited=True, group=True)
    assert tree.roles_on(tree.top) == tree.roles_on(tree.below) == ("member", "reader")
    with pytest.raises(Unauthorized):
        tree.roles_on(tree.domain)
    names = [one.name for one in tree.service.assignments.projects_of_user(tree.user.id)]
    assert names == ["below", "top"]


def test_a_role_on_a_domain_is_none_on_its_projects(tree: Tree) -> None:
    tree.give("admin", tree.domain)
    assert "admin" in tree.roles_on(tree.domain)
    with pytest.raises(Unauthorized):
        tree.roles_on(tree.top)


def test_a_domains_own_role_counts_for_what_it_implies(tree: Tree) -> None:
    own = tree.service.roles.create({"name": "own", "domain_id": tree.domain.id})
    tree.service.roles.imply(own.id, tree.role("reader").id)
    tree.give("own", tree.top)
    assert tree.roles_on(tree.top) == ("reader",)
    found = tree.service.assignments.search(
        AssignmentQuery(user_id=tree.user.id, project_id=tree.top.id, effective=True)
    )
    assert [one.assignment.role_id for one in found] == [tree.role("reader").id]


def test_a_domains_own_role_may_imply_that_of_another_domain_but_a_global_one_may_not(
    tree: Tree,
) -> None:
    own = tree.service.roles.create({"name": "own", "domain_id": tree.domain.id})
    elsewhere = tree.service.projects.create_domain({"name": "elsewhere"})
    foreign = tree.service.roles.create({"name": "foreign", "domain_id": elsewhere.id})
    tree.service.roles.imply(own.id, foreign.id)
    with pytest.raises(Forbidden):
        tree.service.roles.imply(tree.role("reader").id, own.id)


def test_a_domains_own_role_is_refused_elsewhere(tree: Tree, cloud: BootstrapResult) -> None:
    own = tree.service.roles.create({"name": "own", "domain_id": tree.domain.id})
    with pytest.raises(Forbidden, match="same domain"):
        tree.service.grants.grant(
            RoleAssignment("user", tree.user.id, "project", cloud.demo_project_id or "", own.id)
        )


def test_admin_is_implied_by_nothing(tree: Tree) -> None:
    with pytest.raises(Forbidden):
        tree.service.roles.imply(tree.role("reader").id, tree.role("admin").id)


def test_effective_assignments_tell_what_they_come_from(tree: Tree) -> None:
    tree.give("member", tree.domain, group=True, inherited=True)
    found = tree.service.assignments.search(
        AssignmentQuery(user_id=tree.user.id, project_id=tree.below.id, effective=True)
    )
    shown = {
        (
            one.assignment.actor_id, one.assignment.target_id, one.assignment.role_id,
            one.via_group_id, one.via_target, one.prior_role_id,
        )
        for one in found
    }
    origin = (tree.group.id, ("domain", tree.domain.id))
    member, reader = tree.role("member").id, tree.role("reader").id
    assert shown == {
        (tree.user.id, tree.below.id, member, *origin, None),
        (tree.user.id, tree.below.id, reader, *origin, member),
    }


def test_written_assignments_of_a_subtree(tree: Tree) -> None:
    tree.give("member", tree.top)
    tree.give("reader", tree.below)
    query = AssignmentQuery(project_id=tree.top.id, include_subtree=True)
    targets = {one.assignment.target_id for one in tree.service.assignments.search(query)}
    assert targets == {tree.top.id, tree.below.id}


def test_taking_away_what_was_not_given_is_not_found(tree: Tree) -> None:
    with pytest.raises(NotFound):
        tree.service.grants.revoke(
            RoleAssignment(
                "user", tree.user.id, "project", tree.top.id, tree.role("member").id
            )
        )


def test_deleting_a_domain_takes_everything_in_it(tree: Tree, login: Login) -> None:
    tree.give("member", tree.top, group=True)
    with pytest.raises(Forbidden, match="disable it first"):
        tree.service.projects.delete_domain(tree.domain.id)
    tree.service.projects.update(tree.domain.id, {"enabled": False}, domain=True)
    tree.service.projects.delete_domain(tree.domain.id)
    for get, identifier in (
        (tree.service.projects.get_project, tree.below.id),
        (tree.service.users.get, tree.user.id),
        (tree.service.groups.get, tree.group.id),
    ):
        with pytest.raises(NotFound):
            get(identifier)
    held = tree.service.assignments.search(AssignmentQuery())
    assert {one.assignment.target_id for one in held}.isdisjoint({tree.top.id, tree.domain.id})


def test_a_project_with_one_below_it_is_not_deleted(tree: Tree) -> None:
    with pytest.raises(Forbidden, match="not a leaf"):
        tree.service.projects.delete_project(tree.top.id)


def test_the_tree_has_a_depth(tree: Tree) -> None:
    parent = tree.below
    for name in "abc":
        parent = tree.project(name, parent.id)
    with pytest.raises(Forbidden, match="depth"):
        tree.project("d", parent.id)
