# SPDX-License-Identifier: Apache-2.0
"""The administrators' part of the identity API v2.0 (extension OS-KSADM), in the default domain.

Sources: the v2.0 admin API reference, and python-keystoneclient's ``v2_0`` managers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import falcon

from nova.errors import Conflict, InvalidInput, NotFound
from nova.identity.api.request import Face, answer, page_of, query, read_object
from nova.identity.catalog import INTERFACES
from nova.identity.fields import member
from nova.identity.policy import Target
from nova.objects.identity import (
    NO_DOMAIN,
    CatalogEndpoint,
    CatalogService,
    Filter,
    Page,
    Project,
    Role,
    RoleAssignment,
    User,
)

_HIDDEN = frozenset(("id", "domain_id", "parent_id", "is_domain", "tenantId", "username"))


class V2TenantResource(Face):
    """``/v2.0/tenants/{tenant_id}``."""

    def on_get_member(self, req: falcon.Request, resp: falcon.Response, tenant_id: str) -> None:
        """Show a tenant."""
        self.allow(req, "get_project", self.place_target(tenant_id))
        answer(resp, {"tenant": tenant_view(self.service.projects.get_project(tenant_id))})

    def on_put_member(self, req: falcon.Request, resp: falcon.Response, tenant_id: str) -> None:
        """Change a tenant."""
        self.allow(req, "update_project")
        values = _plain(member(read_object(req), "tenant"))
        changed = self.service.projects.update(tenant_id, values, domain=False)
        answer(resp, {"tenant": tenant_view(changed)})

    def on_post_member(self, req: falcon.Request, resp: falcon.Response, tenant_id: str) -> None:
        """Change a tenant; older clients POST."""
        self.on_put_member(req, resp, tenant_id)

    def on_delete_member(
        self, req: falcon.Request, resp: falcon.Response, tenant_id: str
    ) -> None:
        """Delete a tenant."""
        self.allow(req, "delete_project")
        self.service.projects.delete_project(tenant_id)
        resp.status = 204

    def on_get_users(self, req: falcon.Request, resp: falcon.Response, tenant_id: str) -> None:
        """The users with a role on a tenant."""
        self.allow(req, "list_users")
        self.service.projects.get_project(tenant_id)
        with self.service.core.read() as stores:
            held = stores.assignments.list(targets=("project", [tenant_id]))
            users = stores.users.get_many(
                one.actor_id for one in held if one.actor_type == "user"
            )
        body = {"users": [user_view(one) for one in users.values()], "users_links": []}
        answer(resp, body)


class V2UserResource(Face):
    """``/v2.0/users`` and each user below it."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List users, or show the one that ``name`` names."""
        self.allow(req, "list_users")
        filters = [Filter("domain_id", self.service.core.default_domain_id)]
        name = query(req, "name")
        if name is not None:
            found = self.service.users.search([*filters, Filter("name", name)], Page())
            if not found:
                raise NotFound(f"Could not find user: {name}.")
            answer(resp, {"user": user_view(found[0])})
            return
        page = page_of(req)
        users = self.service.users.search(filters, page)
        if page.limit is not None:
            users = users[: page.limit]
        answer(resp, {"users": [user_view(one) for one in users], "users_links": []})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make a user; ``tenantId`` makes it a member of that tenant."""
        self.allow(req, "create_user")
        values = member(read_object(req), "user")
        plain = _plain(values)
        if "name" not in plain and "username" in values:
            plain["name"] = values["username"]
        tenant_id = _tenant_id(values)
        if tenant_id is not None:
            self.service.projects.get_project(tenant_id)
            plain["default_project_id"] = tenant_id
        made = self.service.users.create(plain, self.service.core.default_domain_id)
        if tenant_id is not None:
            self._join(made.id, tenant_id)
        answer(resp, {"user": user_view(made)})

    def on_get_member(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """Show a user."""
        self.allow(req, "get_user", Target(user_id=user_id))
        answer(resp, {"user": user_view(self.service.users.get(user_id))})

    def on_put_member(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """Change a user."""
        values = self._changes(req)
        plain = _plain(values)
        tenant_id = _tenant_id(values)
        if tenant_id is not None:
            self.service.projects.get_project(tenant_id)
            plain["default_project_id"] = tenant_id
        answer(resp, {"user": user_view(self.service.users.update(user_id, plain))})

    def on_delete_member(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """Delete a user."""
        self.allow(req, "delete_user")
        self.service.users.delete(user_id)
        resp.status = 204

    def on_put_password(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """Set a user's password."""
        password = self._changes(req).get("password")
        if not isinstance(password, str):
            raise InvalidInput("user.password", "It must be a string.")
        changed = self.service.users.update(user_id, {"password": password})
        answer(resp, {"user": user_view(changed)})

    def on_put_enabled(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """Enable or disable a user."""
        values = self._changes(req)
        changed = self.service.users.update(user_id, {"enabled": values.get("enabled")})
        answer(resp, {"user": user_view(changed)})

    def on_put_tenant(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """Set a user's default tenant, and make it a member there."""
        tenant_id = _tenant_id(self._changes(req))
        if tenant_id is None:
            raise InvalidInput("user.tenantId", "It is required.")
        self.service.projects.get_project(tenant_id)
        changed = self.service.users.update(user_id, {"default_project_id": tenant_id})
        self._join(user_id, tenant_id)
        answer(resp, {"user": user_view(changed)})

    def _changes(self, req: falcon.Request) -> dict[str, Any]:
        self.allow(req, "update_user")
        return member(read_object(req), "user")

    def _join(self, user_id: str, tenant_id: str) -> None:
        member_role = next(
            (
                role
                for role in self.service.reference.get().roles.values()
                if role.name == "member" and role.domain_id == NO_DOMAIN
            ),
            None,
        )
        if member_role is None:
            raise Conflict("There is no role named member to give to the user.")
        self.service.grants.grant(
            RoleAssignment("user", user_id, "project", tenant_id, member_role.id)
        )


class V2RoleResource(Face):
    """``/v2.0/OS-KSADM/roles``, and the roles of users on tenants."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List roles."""
        self.allow(req, "list_roles")
        found = self.service.roles.search([Filter("domain_id", NO_DOMAIN)], Page())
        answer(resp, {"roles": [role_view(one) for one in found], "roles_links": []})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make a role."""
        self.allow(req, "create_role")
        made = self.service.roles.create(_plain(member(read_object(req), "role")))
        answer(resp, {"role": role_view(made)})

    def on_get_member(self, req: falcon.Request, resp: falcon.Response, role_id: str) -> None:
        """Show a role."""
        self.allow(req, "get_role")
        answer(resp, {"role": role_view(self.service.roles.get(role_id))})

    def on_delete_member(self, req: falcon.Request, resp: falcon.Response, role_id: str) -> None:
        """Delete a role."""
        self.allow(req, "delete_role")
        self.service.roles.delete(role_id)
        resp.status = 204

    def on_get_tenant(
        self, req: falcon.Request, resp: falcon.Response, tenant_id: str, user_id: str
    ) -> None:
        """The roles of a user on a tenant."""
        self.allow(req, "list_grants", self.place_target(tenant_id))
        roles = self.service.grants.roles(
            ("user", user_id), ("project", tenant_id), inherited=False
        )
        answer(resp, {"roles": [role_view(one) for one in roles], "roles_links": []})

    def on_put_grant(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        tenant_id: str,
        user_id: str,
        role_id: str,
    ) -> None:
        """Give a role."""
        self.allow(req, "create_grant")
        role = self.service.roles.get(role_id)
        self.service.grants.grant(
            RoleAssignment("user", user_id, "project", tenant_id, role.id)
        )
        answer(resp, {"role": role_view(role)})

    def on_delete_grant(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        tenant_id: str,
        user_id: str,
        role_id: str,
    ) -> None:
        """Take a role away."""
        self.allow(req, "revoke_grant")
        self.service.grants.revoke(
            RoleAssignment("user", user_id, "project", tenant_id, role_id)
        )
        resp.status = 204

    def on_get_user(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """The roles of a user beyond tenants: v2.0 has none."""
        self.allow(req, "list_grants")
        self.service.users.get(user_id)
        answer(resp, {"roles": [], "roles_links": []})


class V2ServiceResource(Face):
    """``/v2.0/OS-KSADM/services`` and ``/v2.0/endpoints``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List services."""
        self.allow(req, "list_services")
        found = self.service.catalog.services((), Page())
        answer(resp, {"OS-KSADM:services": [service_view(one) for one in found]})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make a service."""
        self.allow(req, "create_service")
        made = self.service.catalog.create_service(
            _plain(member(read_object(req), "OS-KSADM:service"))
        )
        answer(resp, {"OS-KSADM:service": service_view(made)})

    def on_get_member(self, req: falcon.Request, resp: falcon.Response, service_id: str) -> None:
        """Show a service."""
        self.allow(req, "get_service")
        found = self.service.catalog.get_service(service_id)
        answer(resp, {"OS-KSADM:service": service_view(found)})

    def on_delete_member(
        self, req: falcon.Request, resp: falcon.Response, service_id: str
    ) -> None:
        """Delete a service."""
        self.allow(req, "delete_service")
        self.service.catalog.delete_service(service_id)
        resp.status = 204

    def on_get_endpoints(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List endpoints: one entry a service and region, as v2.0 knows them."""
        self.allow(req, "list_endpoints")
        grouped: dict[tuple[str, str | None], list[CatalogEndpoint]] = {}
        for one in self.service.catalog.endpoints((), Page()):
            grouped.setdefault((one.service_id, one.region_id), []).append(one)
        answer(resp, {"endpoints": [endpoint_view(group) for group in grouped.values()]})

    def on_post_endpoints(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make the endpoints of a service in a region: public, and internal and admin if named."""
        self.allow(req, "create_endpoint")
        values = member(read_object(req), "endpoint")
        if "publicurl" not in values:
            raise InvalidInput("endpoint.publicurl", "It is required.")
        made = [
            self.service.catalog.create_endpoint(
                {
                    "interface": interface,
                    "service_id": values.get("service_id"),
                    "region": values.get("region"),
                    "url": values[f"{interface}url"],
                }
            )
            for interface in INTERFACES
            if values.get(f"{interface}url") is not None
        ]
        answer(resp, {"endpoint": endpoint_view(made)})

    def on_delete_endpoint(
        self, req: falcon.Request, resp: falcon.Response, endpoint_id: str
    ) -> None:
        """Delete an entry: the endpoints of its service in its region."""
        self.allow(req, "delete_endpoint")
        named = self.service.catalog.get_endpoint(endpoint_id)
        same = [Filter("service_id", named.service_id), Filter("region_id", named.region_id)]
        for one in self.service.catalog.endpoints(same, Page()):
            self.service.catalog.delete_endpoint(one.id)
        resp.status = 204


def tenant_view(one: Project) -> dict[str, Any]:
    """A tenant."""
    return {
        **one.extra,
        "id": one.id,
        "name": one.name,
        "description": one.description,
        "enabled": one.enabled,
    }


def user_view(one: User) -> dict[str, Any]:
    """A user."""
    body = {
        **one.extra,
        "id": one.id,
        "name": one.name,
        "username": one.name,
        "enabled": one.enabled,
        "email": one.email,
    }
    if one.default_project_id is not None:
        body["tenantId"] = one.default_project_id
    return body


def role_view(one: Role) -> dict[str, Any]:
    """A role."""
    return {"id": one.id, "name": one.name, "description": one.description}


def service_view(one: CatalogService) -> dict[str, Any]:
    """A service."""
    return {
        "id": one.id,
        "type": one.type,
        "name": one.name or "",
        "description": one.description or "",
        "enabled": one.enabled,
    }


def endpoint_view(group: list[CatalogEndpoint]) -> dict[str, Any]:
    """The endpoints of one service in one region as one entry."""
    public = next((one for one in group if one.interface == "public"), group[0])
    body: dict[str, Any] = {
        "id": public.id,
        "region": public.region_id,
        "service_id": public.service_id,
        "enabled": public.enabled,
    }
    for one in group:
        body[f"{one.interface}url"] = one.url
    return body


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """What v2.0 and v3 have in common; nulls are as good as nothing in v2.0."""
    return {k: v for k, v in values.items() if k not in _HIDDEN and v is not None}


def _tenant_id(values: Mapping[str, Any]) -> str | None:
    tenant_id = values.get("tenantId") or values.get("tenant_id")
    if tenant_id is not None and not isinstance(tenant_id, str):
        raise InvalidInput("user.tenantId", "It must be a string.")
    return tenant_id
