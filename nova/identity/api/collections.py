# SPDX-License-Identifier: Apache-2.0
"""The resources that are all made, listed, shown, changed and deleted alike: one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import falcon
import msgspec

from nova.errors import Forbidden, NotFound
from nova.identity.api import views
from nova.identity.api.request import (
    Face,
    answer,
    filters_of,
    known_or_refused,
    list_links,
    page_of,
    query,
    read_object,
)
from nova.identity.fields import member
from nova.identity.policy import Target, may, require
from nova.identity.service import IdentityService
from nova.identity.validation import ValidatedToken
from nova.objects.identity import NO_DOMAIN, Filter, Page

Render = Callable[[falcon.Request, Any], dict[str, Any]]


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table. ``text_filters`` and ``flag_filters`` are names of columns.

    ``domain_bound`` kinds are listed for a domain-scoped caller within its domain alone.
    """

    singular: str
    plural: str
    search: Callable[[Sequence[Filter], Page], list[Any]]
    get: Callable[[str], Any]
    create: Callable[[dict[str, Any], str], Any]
    update: Callable[[str, dict[str, Any]], Any]
    delete: Callable[[str], None]
    render: Render
    text_filters: tuple[str, ...] = ()
    flag_filters: tuple[str, ...] = ()
    domain_bound: bool = False


class CollectionResource(Face):
    """``/v3/<plural>`` and ``/v3/<plural>/{id}``."""

    def __init__(self, service: IdentityService, kind: Kind) -> None:
        super().__init__(service)
        self._kind = kind

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List."""
        kind = self._kind
        caller = self.caller(req)
        own_domain = None if caller.domain is None else caller.domain.id
        require(caller, f"identity:list_{kind.plural}", Target(domain_id=own_domain))
        filters = filters_of(req, kind.text_filters, kind.flag_filters)
        if kind.domain_bound and own_domain is not None:
            filters.append(Filter("domain_id", own_domain))
        if kind.singular == "role" and query(req, "domain_id") is None:
            filters.append(Filter("domain_id", NO_DOMAIN))
        page = page_of(req)
        found = kind.search(filters, page)
        more = page.limit is not None and len(found) > page.limit
        if more:
            found = found[: page.limit]
        shown = [one for one in found if self._may_see(caller, one)]
        body: dict[str, Any] = {
            kind.plural: [kind.render(req, one) for one in shown],
            "links": list_links(req, page, found[-1].id if more and found else None),
        }
        if more:
            body["truncated"] = True
        answer(resp, body)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make."""
        kind = self._kind
        caller = self.caller(req)
        values = member(read_object(req), kind.singular)
        owner = values.get("user_id")
        target = Target(user_id=owner if isinstance(owner, str) else None)
        require(caller, f"identity:create_{kind.singular}", target)
        if kind.singular == "credential":
            refuse_delegated(caller, values.get("project_id"))
        made = kind.create(values, self._own_domain(caller))
        answer(resp, {kind.singular: kind.render(req, made)}, 201)

    def on_get_member(self, req: falcon.Request, resp: falcon.Response, **path: str) -> None:
        """Show."""
        record = self._allowed(req, "get", _only(path))
        answer(resp, {self._kind.singular: self._kind.render(req, record)})

    def on_patch_member(self, req: falcon.Request, resp: falcon.Response, **path: str) -> None:
        """Change."""
        record_id = _only(path)
        self._allowed(req, "update", record_id)
        values = member(read_object(req), self._kind.singular)
        new_owner = values.get("user_id")
        if isinstance(new_owner, str):
            # Nobody may give away what is theirs in another's name.
            self.allow(req, f"update_{self._kind.singular}", Target(user_id=new_owner))
        changed = self._kind.update(record_id, values)
        answer(resp, {self._kind.singular: self._kind.render(req, changed)})

    def on_delete_member(self, req: falcon.Request, resp: falcon.Response, **path: str) -> None:
        """Delete."""
        record_id = _only(path)
        self._allowed(req, "delete", record_id)
        self._kind.delete(record_id)
        resp.status = 204

    def _allowed(self, req: falcon.Request, action: str, record_id: str) -> Any:
        """The record, on which the caller may do ``action``."""
        caller = self.caller(req)
        rule = f"identity:{action}_{self._kind.singular}"
        try:
            record = self._kind.get(record_id)
        except NotFound as error:
            raise known_or_refused(caller, rule, error) from None
        require(caller, rule, target_of(record))
        if self._kind.singular == "credential":
            refuse_delegated(caller, record.project_id, reading=action == "get")
        return record

    def _may_see(self, caller: ValidatedToken, record: Any) -> bool:
        if self._kind.singular != "credential":
            return True
        bound = caller.application_credential
        if bound is not None and bound.project_id != record.project_id:
            return False
        return may(caller, "identity:get_credential", target_of(record))

    def _own_domain(self, caller: ValidatedToken) -> str:
        """The domain of what is made without naming one."""
        if caller.domain is not None:
            return caller.domain.id
        return self.service.core.default_domain_id


class RegionResource(CollectionResource):
    """``/v3/regions``, whose ids a client may choose."""

    def on_put_member(self, req: falcon.Request, resp: falcon.Response, **path: str) -> None:
        """Make a region with the id in the path."""
        self.allow(req, "create_region")
        values = {**member(read_object(req), "region"), "id": _only(path)}
        made = self.service.catalog.create_region(values)
        answer(resp, {"region": views.region_view(req, made)}, 201)


def _only(path: dict[str, str]) -> str:
    """The id in a path; the router wants another name for it in each kind."""
    (record_id,) = path.values()
    return record_id


def target_of(record: Any) -> Target:
    """A record as the target of a rule."""
    name = type(record).__name__
    return Target(
        user_id=record.id if name == "User" else getattr(record, "user_id", None),
        project_id=record.id if name == "Project" else None,
        domain_id=getattr(record, "owning_domain_id", getattr(record, "domain_id", None)),
    )


def refuse_delegated(
    caller: ValidatedToken, project_id: object, *, reading: bool = False
) -> None:
    """Keep an application credential to its own project, and a restricted one from making more.

    ``project_id`` is that of the credential concerned. Without this a program's login could be
    turned into a longer or wider one.
    """
    bound = caller.application_credential
    if bound is None:
        return
    if not bound.unrestricted and not reading:
        raise Forbidden(
            "You are not authorized to perform the requested action: Using method "
            "'application_credential' is not allowed for managing additional application "
            "credentials.."
        )
    if project_id != bound.project_id:
        raise Forbidden(
            "You are not authorized to perform the requested action: EC2 credential project does "
            "not match the project scope of the delegated token."
        )


def kinds(service: IdentityService) -> tuple[Kind, ...]:
    """The table."""
    return (
        Kind(
            singular="user", plural="users",
            search=service.users.search, get=service.users.get, create=service.users.create,
            update=service.users.update, delete=service.users.delete, render=views.user_view,
            text_filters=("name", "domain_id"), flag_filters=("enabled",), domain_bound=True,
        ),
        Kind(
            singular="group", plural="groups",
            search=service.groups.search, get=service.groups.get, create=service.groups.create,
            update=service.groups.update, delete=service.groups.delete, render=views.group_view,
            text_filters=("name", "domain_id"), domain_bound=True,
        ),
        Kind(
            singular="role", plural="roles",
            search=service.roles.search, get=service.roles.get,
            create=lambda values, _domain: service.roles.create(values),
            update=service.roles.update, delete=service.roles.delete, render=views.role_view,
            text_filters=("name", "domain_id"),
        ),
        Kind(
            singular="region", plural="regions",
            search=service.catalog.regions, get=service.catalog.get_region,
            create=lambda values, _domain: service.catalog.create_region(values),
            update=service.catalog.update_region, delete=service.catalog.delete_region,
            render=views.region_view, text_filters=("parent_region_id",),
        ),
        Kind(
            singular="service", plural="services",
            search=service.catalog.services, get=service.catalog.get_service,
            create=lambda values, _domain: service.catalog.create_service(values),
            update=service.catalog.update_service, delete=service.catalog.delete_service,
            render=views.service_view, text_filters=("type", "name"),
        ),
        Kind(
            singular="endpoint", plural="endpoints",
            search=service.catalog.endpoints, get=service.catalog.get_endpoint,
            create=lambda values, _domain: service.catalog.create_endpoint(values),
            update=service.catalog.update_endpoint, delete=service.catalog.delete_endpoint,
            render=views.endpoint_view, text_filters=("interface", "service_id", "region_id"),
        ),
        Kind(
            singular="credential", plural="credentials",
            search=service.credentials.search, get=service.credentials.get,
            create=lambda values, _domain: service.credentials.create(values),
            update=service.credentials.update, delete=service.credentials.delete,
            render=views.credential_view, text_filters=("user_id", "type"),
        ),
    )
