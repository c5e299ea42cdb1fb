# SPDX-License-Identifier: Apache-2.0
"""The identity API v2.0 as its users have it: login, validation, their tenants, EC2 keys.

In v2.0 a project is a tenant, there is one domain (the default one), and updates are PUT or POST.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import falcon

from nova.errors import BadRequest, InvalidInput, NotFound, Unauthorized
from nova.identity.api.credentials import Ec2KeysResource, Ec2TokensResource
from nova.identity.api.request import Face, answer, page_of, query, read_object
from nova.identity.api.v2_admin import (
    V2RoleResource,
    V2ServiceResource,
    V2TenantResource,
    V2UserResource,
    tenant_view,
)
from nova.identity.api.views import iso
from nova.identity.auth import RequestedScope
from nova.identity.catalog import catalog_v2
from nova.identity.credentials import Ec2Key
from nova.identity.fields import mapping, member, text
from nova.identity.policy import Target, require
from nova.identity.service import IdentityService
from nova.identity.validation import ValidatedToken
from nova.objects.identity import Filter, Project


class V2TokenResource(Face):
    """``/v2.0/tokens`` and each token below it."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Log in."""
        auth = member(read_object(req), "auth")
        answer(resp, self.view(self._authenticate(auth)))

    def on_get_member(self, req: falcon.Request, resp: falcon.Response, token: str) -> None:
        """Validate a token."""
        answer(resp, self.view(self._subject(req, token, "validate_token")))

    def on_delete_member(self, req: falcon.Request, resp: falcon.Response, token: str) -> None:
        """Revoke a token."""
        self.service.revoke(self._subject(req, token, "revoke_token"))
        resp.status = 204

    def on_get_endpoints(self, req: falcon.Request, resp: falcon.Response, token: str) -> None:
        """The endpoints that a token is good for."""
        subject = self._subject(req, token, "validate_token")
        shown = []
        for entry in self._catalog(subject):
            for endpoint in entry["endpoints"]:
                shown.append({**endpoint, "type": entry["type"], "name": entry["name"]})
        answer(resp, {"endpoints": shown, "endpoints_links": []})

    def view(self, one: ValidatedToken) -> dict[str, Any]:
        """The body of a v2.0 token."""
        payload = one.payload
        token: dict[str, Any] = {
            "id": one.token,
            "issued_at": iso(payload.issued_at),
            "expires": _whole_seconds(payload.expires_at),
            "audit_ids": list(payload.audit_ids),
        }
        if one.project is not None:
            token["tenant"] = tenant_view(one.project)
        return {
            "access": {
                "token": token,
                "serviceCatalog": self._catalog(one),
                "user": {
                    "id": one.user.id,
                    "name": one.user.name,
                    "username": one.user.name,
                    "roles": [{"name": role.name} for role in one.roles],
                    "roles_links": [],
                },
                "metadata": {
                    "is_admin": int(one.context.is_admin),
                    "roles": [role.id for role in one.roles],
                },
            }
        }

    def _catalog(self, one: ValidatedToken) -> list[dict[str, Any]]:
        if one.project is None:
            return []
        return catalog_v2(self.service.reference.get(), one.user.id, one.project.id)

    def _authenticate(self, auth: Mapping[str, Any]) -> ValidatedToken:
        tenant_id, tenant_name = text(auth, "tenantId", "auth"), text(auth, "tenantName", "auth")
        if tenant_id and tenant_name:
            raise BadRequest("Specify auth.tenantId or auth.tenantName, not both.")
        scope = None
        if tenant_id or tenant_name:
            scope = RequestedScope(
                kind="project", id=tenant_id or None, name=tenant_name or None
            )
        authentication = self.service.authentication
        if "token" in auth:
            given = mapping(auth, "token", "auth", required=True) or {}
            token = text(given, "id", "auth.token", required=True)
            proof = authentication.by_token(token or "")
        elif "passwordCredentials" in auth:
            given = mapping(auth, "passwordCredentials", "auth", required=True) or {}
            where = "auth.passwordCredentials"
            password = text(given, "password", where, required=True)
            name, user_id = text(given, "username", where), text(given, "userId", where)
            if (name is None) == (user_id is None):
                raise InvalidInput(where, "It must have one of username and userId.")
            proof = authentication.by_name_and_password(
                password or "", name=name, user_id=user_id
            )
        else:
            raise InvalidInput("auth", "It must have passwordCredentials or token.")
        return authentication.issue(proof, scope)

    def _subject(self, req: falcon.Request, token: str, rule: str) -> ValidatedToken:
        caller = self.caller(req)
        try:
            subject = self.service.validate(token)
        except Unauthorized:
            raise NotFound(f"Could not find token: {token[:64]}.") from None
        require(caller, f"identity:{rule}", Target(user_id=subject.user.id))
        wanted = query(req, "belongsTo")
        if wanted and (subject.project is None or subject.project.id != wanted):
            raise NotFound(f"Could not find token: {token[:64]}.")
        return subject


class V2TenantsResource(Face):
    """``/v2.0/tenants``: those of the caller; all of them for an administrator."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List tenants, or show the one that ``name`` names."""
        caller = self.caller(req)
        service = self.service
        name = query(req, "name")
        page = page_of(req)
        found: list[Project]
        if caller.context.is_admin:
            filters = [
                Filter("domain_id", service.core.default_domain_id), Filter("is_domain", False),
            ]
            if name is not None:
                filters.append(Filter("name", name))
            found = service.projects.search(filters, page)
        else:
            found = [
                one
                for one in service.assignments.projects_of_user(caller.user.id)
                if name in (None, one.name)
            ]
        if name is not None:
            if not found:
                raise NotFound(f"Could not find project: {name}.")
            answer(resp, {"tenant": tenant_view(found[0])})
            return
        if page.limit is not None:
            found = found[: page.limit]
        body = {"tenants": [tenant_view(one) for one in found], "tenants_links": []}
        answer(resp, body)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make a tenant."""
        self.allow(req, "create_project")
        values = member(read_object(req), "tenant")
        domain_id = self.service.core.default_domain_id
        chosen = {k: v for k, v in values.items() if k not in ("id", "domain_id", "parent_id")}
        made = self.service.projects.create_project(chosen, domain_id)
        answer(resp, {"tenant": tenant_view(made)})


class V2Ec2TokensResource(Ec2TokensResource):
    """``/v2.0/ec2tokens``: the same, answered as a v2.0 token."""

    def __init__(self, service: IdentityService) -> None:
        super().__init__(service)
        self._tokens = V2TokenResource(service)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Check a signature; the answer is a v2.0 token."""
        answer(resp, self._tokens.view(self.authenticate(req)))


class V2Ec2KeysResource(Ec2KeysResource):
    """``/v2.0/users/{user_id}/credentials/OS-EC2``: no links, and 200 for a new key."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """List a user's keys."""
        self.allow(req, "ec2_list_credentials", Target(user_id=user_id))
        keys = self.service.credentials.ec2_keys(user_id)
        answer(resp, {"credentials": [_key_view(key) for key in keys]})

    def on_post(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """Make a key."""
        answer(resp, {"credential": _key_view(self.create(req, user_id))})

    def on_get_member(
        self, req: falcon.Request, resp: falcon.Response, user_id: str, access: str
    ) -> None:
        """Show a key."""
        _caller, key = self.find(req, "ec2_get_credential", user_id, access)
        answer(resp, {"credential": _key_view(key)})


def v2_routes(service: IdentityService) -> list[tuple[str, Any, str | None]]:
    """Every route below ``/v2.0`` but discovery."""
    tokens, keys = V2TokenResource(service), V2Ec2KeysResource(service)
    tenants, users = V2TenantResource(service), V2UserResource(service)
    roles, services = V2RoleResource(service), V2ServiceResource(service)
    tenant, user = "/v2.0/tenants/{tenant_id}", "/v2.0/users/{user_id}"
    return [
        ("/v2.0/tokens", tokens, None),
        ("/v2.0/tokens/{token}", tokens, "member"),
        ("/v2.0/tokens/{token}/endpoints", tokens, "endpoints"),
        ("/v2.0/ec2tokens", V2Ec2TokensResource(service), None),
        ("/v2.0/tenants", V2TenantsResource(service), None),
        (tenant, tenants, "member"),
        (f"{tenant}/users", tenants, "users"),
        (f"{tenant}/users/{{user_id}}/roles", roles, "tenant"),
        (f"{tenant}/users/{{user_id}}/roles/OS-KSADM/{{role_id}}", roles, "grant"),
        ("/v2.0/users", users, None),
        (user, users, "member"),
        (f"{user}/OS-KSADM/password", users, "password"),
        (f"{user}/OS-KSADM/enabled", users, "enabled"),
        (f"{user}/OS-KSADM/tenant", users, "tenant"),
        (f"{user}/roles", roles, "user"),
        (f"{user}/credentials/OS-EC2", keys, None),
        (f"{user}/credentials/OS-EC2/{{access}}", keys, "member"),
        ("/v2.0/OS-KSADM/roles", roles, None),
        ("/v2.0/OS-KSADM/roles/{role_id}", roles, "member"),
        ("/v2.0/OS-KSADM/services", services, None),
        ("/v2.0/OS-KSADM/services/{service_id}", services, "member"),
        ("/v2.0/endpoints", services, "endpoints"),
        ("/v2.0/endpoints/{endpoint_id}", services, "endpoint"),
    ]


def _key_view(key: Ec2Key) -> dict[str, Any]:
    return {
        "access": key.access,
        "secret": key.secret,
        "user_id": key.user_id,
        "tenant_id": key.project_id,
        "trust_id": None,
    }


def _whole_seconds(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
