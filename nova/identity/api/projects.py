# SPDX-License-Identifier: Apache-2.0
"""Domains and projects: ``/v3/domains``, ``/v3/projects`` and the tags of projects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import falcon

from nova.errors import InvalidInput, NotFound
from nova.identity.api.request import (
    Face,
    answer,
    filters_of,
    flag,
    known_or_refused,
    list_links,
    page_of,
    query,
    read_object,
)
from nova.identity.api.views import domain_view, project_view
from nova.identity.fields import member
from nova.identity.policy import Target, require
from nova.objects.identity import NO_DOMAIN, Filter, Project

_TAG_FILTERS = ("tags", "tags-any", "not-tags", "not-tags-any")


class ProjectResource(Face):
    """``/v3/projects`` and ``/v3/projects/{project_id}``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List projects, without domains unless ``is_domain`` asks for them."""
        caller = self.caller(req)
        own_domain = None if caller.domain is None else caller.domain.id
        require(caller, "identity:list_projects", Target(domain_id=own_domain))
        filters = filters_of(
            req, ("name", "domain_id", "parent_id"), ("enabled", "is_domain")
        )
        if query(req, "is_domain") is None:
            filters.append(Filter("is_domain", False))
        if own_domain is not None:
            filters.append(Filter("domain_id", own_domain))
        tag_filters = {
            name: value.split(",")
            for name in _TAG_FILTERS
            if (value := query(req, name)) is not None
        }
        page = page_of(req)
        found = self.service.projects.search(filters, page, tag_filters)
        self._answer_list(req, resp, "projects", found)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make a project."""
        caller = self.allow(req, "create_project")
        values = member(read_object(req), "project")
        domain = caller.domain or caller.project_domain or caller.user_domain
        made = self.service.projects.create_project(values, domain.id)
        answer(resp, {"project": self._view(req, made)}, 201)

    def on_get_member(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """Show a project, with those above and below it where the query asks."""
        project = self._allowed(req, "get_project", project_id)
        body = self._view(req, project)
        with self.service.core.read() as stores:
            if flag(req, "parents_as_list") or flag(req, "parents_as_ids"):
                above = [one for one in stores.projects.ancestors(project) if not one.is_domain]
                if flag(req, "parents_as_list"):
                    body["parents"] = [
                        {"project": project_view(req, one, ())} for one in above
                    ]
                else:
                    body["parents"] = _chain(above, project)
            if flag(req, "subtree_as_list") or flag(req, "subtree_as_ids"):
                below = stores.projects.descendants([project.id])
                if flag(req, "subtree_as_list"):
                    body["subtree"] = [
                        {"project": project_view(req, one, ())} for one in below
                    ]
                else:
                    body["subtree"] = _tree(below, project.id)
        answer(resp, {"project": body})

    def on_patch_member(
        self, req: falcon.Request, resp: falcon.Response, project_id: str
    ) -> None:
        """Change a project."""
        self._allowed(req, "update_project", project_id)
        values = member(read_object(req), "project")
        changed = self.service.projects.update(project_id, values, domain=False)
        answer(resp, {"project": self._view(req, changed)})

    def on_delete_member(
        self, req: falcon.Request, resp: falcon.Response, project_id: str
    ) -> None:
        """Delete a project."""
        self._allowed(req, "delete_project", project_id)
        self.service.projects.delete_project(project_id)
        resp.status = 204

    def on_get_tags(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """List a project's tags."""
        self._allowed(req, "get_project", project_id)
        self._answer_tags(req, resp, project_id)

    def on_put_tags(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """Replace a project's tags."""
        self._allowed(req, "update_project_tags", project_id)
        body = read_object(req)
        tags = body.get("tags")
        if not isinstance(tags, list):
            raise InvalidInput("tags", "It must be an array of strings.")
        self.service.projects.set_tags(project_id, tags)
        self._answer_tags(req, resp, project_id)

    def on_delete_tags(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """Delete a project's tags."""
        self._allowed(req, "delete_project_tags", project_id)
        self.service.projects.set_tags(project_id, [])
        resp.status = 204

    def on_get_tag(
        self, req: falcon.Request, resp: falcon.Response, project_id: str, tag: str
    ) -> None:
        """Check one tag."""
        self._allowed(req, "get_project", project_id)
        self._require_tag(project_id, tag)
        resp.status = 204

    def on_put_tag(
        self, req: falcon.Request, resp: falcon.Response, project_id: str, tag: str
    ) -> None:
        """Add one tag."""
        self._allowed(req, "create_project_tag", project_id)
        present = self._tags(project_id)
        if tag not in present:
            self.service.projects.set_tags(project_id, [*present, tag])
        resp.status = 201
        resp.set_header("Location", f"{req.prefix}{req.path}")

    def on_delete_tag(
        self, req: falcon.Request, resp: falcon.Response, project_id: str, tag: str
    ) -> None:
        """Take one tag away."""
        self._allowed(req, "delete_project_tag", project_id)
        present = self._require_tag(project_id, tag)
        self.service.projects.set_tags(project_id, [one for one in present if one != tag])
        resp.status = 204

    def _view(self, req: falcon.Request, project: Project) -> dict[str, Any]:
        return project_view(req, project, self._tags(project.id))

    def _tags(self, project_id: str) -> list[str]:
        return self.service.projects.tags([project_id])[project_id]

    def _require_tag(self, project_id: str, tag: str) -> list[str]:
        present = self._tags(project_id)
        if tag not in present:
            raise NotFound(f"Could not find project tag: {tag}.")
        return present

    def _answer_tags(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        links = list_links(req, page_of(req), None)
        answer(resp, {"tags": self._tags(project_id), "links": links})

    def _allowed(self, req: falcon.Request, action: str, project_id: str) -> Project:
        caller = self.caller(req)
        rule = f"identity:{action}"
        try:
            project = self.service.projects.get_project(project_id)
        except NotFound as error:
            raise known_or_refused(caller, rule, error) from None
        require(
            caller, rule, Target(project_id=project.id, domain_id=project.owning_domain_id)
        )
        return project

    def _answer_list(
        self, req: falcon.Request, resp: falcon.Response, plural: str, found: Sequence[Project]
    ) -> None:
        answer_projects(self, req, resp, plural, found)


class DomainResource(Face):
    """``/v3/domains`` and ``/v3/domains/{domain_id}``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List domains."""
        caller = self.caller(req)
        own_domain = None if caller.domain is None else caller.domain.id
        require(caller, "identity:list_domains", Target(domain_id=own_domain))
        filters = filters_of(req, ("name",), ("enabled",))
        filters += [Filter("is_domain", True), Filter("domain_id", NO_DOMAIN)]
        if own_domain is not None and not caller.context.is_admin:
            filters.append(Filter("id", own_domain))
        found = self.service.projects.search(filters, page_of(req))
        answer_projects(self, req, resp, "domains", found)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make a domain."""
        self.allow(req, "create_domain")
        made = self.service.projects.create_domain(member(read_object(req), "domain"))
        answer(resp, {"domain": self._view(req, made)}, 201)

    def on_get_member(self, req: falcon.Request, resp: falcon.Response, domain_id: str) -> None:
        """Show a domain."""
        caller = self.caller(req)
        try:
            domain = self.service.projects.get_domain(domain_id)
        except NotFound as error:
            raise known_or_refused(caller, "identity:get_domain", error) from None
        require(caller, "identity:get_domain", Target(domain_id=domain_id))
        answer(resp, {"domain": self._view(req, domain)})

    def on_patch_member(self, req: falcon.Request, resp: falcon.Response, domain_id: str) -> None:
        """Change a domain."""
        self.allow(req, "update_domain")
        values = member(read_object(req), "domain")
        changed = self.service.projects.update(domain_id, values, domain=True)
        answer(resp, {"domain": self._view(req, changed)})

    def on_delete_member(
        self, req: falcon.Request, resp: falcon.Response, domain_id: str
    ) -> None:
        """Delete a domain."""
        self.allow(req, "delete_domain")
        self.service.projects.delete_domain(domain_id)
        resp.status = 204

    def _view(self, req: falcon.Request, domain: Project) -> dict[str, Any]:
        return domain_view(req, domain, self.service.projects.tags([domain.id])[domain.id])


def answer_projects(
    face: Face,
    req: falcon.Request,
    resp: falcon.Response,
    plural: str,
    found: Sequence[Project],
) -> None:
    """Answer with a page of projects or domains."""
    page = page_of(req)
    more = page.limit is not None and len(found) > page.limit
    if more:
        found = found[: page.limit]
    tags = face.service.projects.tags([one.id for one in found])
    view = domain_view if plural == "domains" else project_view
    body: dict[str, Any] = {
        plural: [view(req, one, tags[one.id]) for one in found],
        "links": list_links(req, page, found[-1].id if more else None),
    }
    if more:
        body["truncated"] = True
    answer(resp, body)


def _chain(above: Sequence[Project], project: Project) -> dict[str, Any] | None:
    """Those above a project as nested ids, the nearest outermost."""
    chain: dict[str, Any] | None = None
    for one in reversed(above):
        chain = {one.id: chain}
    return chain


def _tree(below: Sequence[Project], project_id: str) -> dict[str, Any] | None:
    """Those below a project as nested ids."""
    children = [one.id for one in below if one.parent_id == project_id]
    return {one: _tree(below, one) for one in children} or None
