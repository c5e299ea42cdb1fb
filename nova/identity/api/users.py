# SPDX-License-Identifier: Apache-2.0
"""What hangs below a user or a group: passwords, projects, memberships."""

from __future__ import annotations

import falcon

from nova.identity.api.projects import answer_projects
from nova.identity.api.request import (
    Face,
    answer,
    filters_of,
    list_links,
    page_of,
    read_object,
)
from nova.identity.api.views import group_view, user_view
from nova.identity.fields import member
from nova.identity.policy import Target
from nova.objects.identity import Filter


class PasswordResource(Face):
    """``/v3/users/{user_id}/password``: needs the old password, not a token."""

    def on_post(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """Change one's own password."""
        values = member(read_object(req), "user")
        self.service.users.change_own_password(user_id, values)
        resp.status = 204


class UserProjectsResource(Face):
    """``/v3/users/{user_id}/projects``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """The projects on which a user has a role."""
        self.allow(req, "list_user_projects", self.user_target(user_id))
        self.service.users.get(user_id)
        found = self.service.assignments.projects_of_user(user_id)
        for one in filters_of(req, ("name", "domain_id"), ("enabled",)):
            if one.comparator == "equals":
                found = [project for project in found if getattr(project, one.field) == one.value]
        answer_projects(self, req, resp, "projects", found)


class UserGroupsResource(Face):
    """``/v3/users/{user_id}/groups``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """The groups that a user is in."""
        self.allow(req, "list_groups_for_user", self.user_target(user_id))
        found = self.service.users.groups(user_id)
        for one in filters_of(req, ("name",)):
            if one.comparator == "equals":
                found = [group for group in found if group.name == one.value]
        body = {
            "groups": [group_view(req, one) for one in found],
            "links": list_links(req, page_of(req), None),
        }
        answer(resp, body)


class GroupUsersResource(Face):
    """``/v3/groups/{group_id}/users``, and each member below it."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, group_id: str) -> None:
        """The members of a group."""
        self.allow(req, "list_users_in_group", self._target(group_id))
        found = self.service.groups.users(group_id)
        for one in filters_of(req, ("name",), ("enabled",)):
            if one.comparator == "equals":
                found = [user for user in found if getattr(user, one.field) == one.value]
        body = {
            "users": [user_view(req, one) for one in found],
            "links": list_links(req, page_of(req), None),
        }
        answer(resp, body)

    def on_get_member(
        self, req: falcon.Request, resp: falcon.Response, group_id: str, user_id: str
    ) -> None:
        """Check that a user is in a group."""
        self.allow(req, "check_user_in_group", self._target(group_id))
        self.service.groups.require_member(group_id, user_id)
        resp.status = 204

    def on_put_member(
        self, req: falcon.Request, resp: falcon.Response, group_id: str, user_id: str
    ) -> None:
        """Put a user into a group."""
        self.allow(req, "add_user_to_group")
        self.service.groups.add_user(group_id, user_id)
        resp.status = 204

    def on_delete_member(
        self, req: falcon.Request, resp: falcon.Response, group_id: str, user_id: str
    ) -> None:
        """Take a user out of a group."""
        self.allow(req, "remove_user_from_group")
        self.service.groups.remove_user(group_id, user_id)
        resp.status = 204

    def _target(self, group_id: str) -> Target:
        with self.service.core.read() as stores:
            found = stores.groups.list([Filter("id", group_id)])
        return Target(domain_id=found[0].domain_id if found else None)
