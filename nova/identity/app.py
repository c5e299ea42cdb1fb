# SPDX-License-Identifier: Apache-2.0
"""The identity API as a WSGI application: every route in one table."""

from __future__ import annotations

import http.client
from typing import Any

import falcon
import msgspec

from nova.errors import BadRequest, NotFound, NovaError
from nova.http.app import make_app
from nova.identity.api.collections import CollectionResource, RegionResource, kinds
from nova.identity.api.credentials import (
    AccessRulesResource,
    ApplicationCredentialsResource,
    Ec2KeysResource,
    Ec2TokensResource,
)
from nova.identity.api.discovery import DiscoveryResource
from nova.identity.api.grants import GrantResource, ImpliedRoleResource, RoleAssignmentsResource
from nova.identity.api.projects import DomainResource, ProjectResource
from nova.identity.api.request import base_url
from nova.identity.api.tokens import (
    AuthCatalogResource,
    AuthDomainsResource,
    AuthProjectsResource,
    AuthSystemResource,
    TokenResource,
)
from nova.identity.api.users import (
    GroupUsersResource,
    PasswordResource,
    UserGroupsResource,
    UserProjectsResource,
)
from nova.identity.api.v2 import v2_routes
from nova.identity.service import IdentityService

#: Path, resource, suffix of its methods.
Route = tuple[str, Any, str | None]

#: The router wants one name for the same part of all paths.
_ID_NAMES = {"users": "user_id", "groups": "group_id", "roles": "role_id"}


class IdentityMiddleware:
    """The challenge of a 401, and paths and queries that no resource takes."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Refuse NUL characters, which databases do not take."""
        if "\x00" in req.path:
            raise NotFound("The resource could not be found.")
        if "%00" in req.query_string or "\x00" in req.query_string:
            raise BadRequest("The query must not have NUL characters in it.")

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _resource: object, _succeeded: bool
    ) -> None:
        """Say how to log in with a 401, and that answers differ by token."""
        if resp.status_code == 401:
            resp.set_header("WWW-Authenticate", f'Keystone uri="{base_url(req)}"')
        resp.append_header("Vary", "X-Auth-Token")


def make_identity_app(service: IdentityService) -> Any:
    """The identity API, v3 and v2.0, of ``service``."""
    app = make_app(_render_error, [IdentityMiddleware()], face="identity")
    for path, resource, suffix in (*_v3_routes(service), *_grant_routes(service)):
        _add(app, path, resource, suffix)
    for path, resource, suffix in v2_routes(service):
        _add(app, path, resource, suffix)
    return app


def _v3_routes(service: IdentityService) -> list[Route]:
    discovery = DiscoveryResource(service)
    projects, domains = ProjectResource(service), DomainResource(service)
    implied, members = ImpliedRoleResource(service), GroupUsersResource(service)
    keys, rules = Ec2KeysResource(service), AccessRulesResource(service)
    programs = ApplicationCredentialsResource(service)
    project, user, role = "/v3/projects/{project_id}", "/v3/users/{user_id}", "/v3/roles"
    routes: list[Route] = [
        ("/", discovery, None),
        ("/v3", discovery, "v3"),
        ("/v2.0", discovery, "v2"),
        ("/v2.0/extensions", discovery, "extensions"),
        ("/v3/auth/tokens", TokenResource(service), None),
        ("/v3/auth/catalog", AuthCatalogResource(service), None),
        ("/v3/auth/projects", AuthProjectsResource(service), None),
        ("/v3/auth/domains", AuthDomainsResource(service), None),
        ("/v3/auth/system", AuthSystemResource(service), None),
        ("/v3/OS-FEDERATION/projects", AuthProjectsResource(service), None),
        ("/v3/OS-FEDERATION/domains", AuthDomainsResource(service), None),
        ("/v3/domains", domains, None),
        ("/v3/domains/{domain_id}", domains, "member"),
        ("/v3/projects", projects, None),
        (project, projects, "member"),
        (f"{project}/tags", projects, "tags"),
        (f"{project}/tags/{{tag}}", projects, "tag"),
        (f"{user}/password", PasswordResource(service), None),
        (f"{user}/projects", UserProjectsResource(service), None),
        (f"{user}/groups", UserGroupsResource(service), None),
        (f"{user}/credentials/OS-EC2", keys, None),
        (f"{user}/credentials/OS-EC2/{{access}}", keys, "member"),
        (f"{user}/application_credentials", programs, None),
        (f"{user}/application_credentials/{{credential_id}}", programs, "member"),
        (f"{user}/access_rules", rules, None),
        (f"{user}/access_rules/{{rule_id}}", rules, "member"),
        ("/v3/groups/{group_id}/users", members, None),
        ("/v3/groups/{group_id}/users/{user_id}", members, "member"),
        (f"{role}/{{role_id}}/implies", implied, None),
        (f"{role}/{{role_id}}/implies/{{implied_role_id}}", implied, "member"),
        ("/v3/role_inferences", implied, "rules"),
        ("/v3/role_assignments", RoleAssignmentsResource(service), None),
        ("/v3/ec2tokens", Ec2TokensResource(service), None),
    ]
    for kind in kinds(service):
        face = RegionResource if kind.singular == "region" else CollectionResource
        resource = face(service, kind)
        name = _ID_NAMES.get(kind.plural, "record_id")
        routes.append((f"/v3/{kind.plural}", resource, None))
        routes.append((f"/v3/{kind.plural}/{{{name}}}", resource, "member"))
    return routes


def _grant_routes(service: IdentityService) -> list[Route]:
    """Roles on projects, domains and the system, for users and groups, plain and inherited."""
    routes: list[Route] = []
    for target_type, target in (
        ("project", "/projects/{project_id}"),
        ("domain", "/domains/{domain_id}"),
        ("system", "/system"),
    ):
        for actor in ("user", "group"):
            path = f"/v3{target}/{actor}s/{{actor_id}}/roles"
            resource = GrantResource(service, target_type, actor, inherited=False)
            routes += [(path, resource, None), (f"{path}/{{role_id}}", resource, "member")]
            if target_type == "system":
                continue
            path = f"/v3/OS-INHERIT{target}/{actor}s/{{actor_id}}/roles"
            resource = GrantResource(service, target_type, actor, inherited=True)
            routes += [
                (f"{path}/inherited_to_projects", resource, None),
                (f"{path}/{{role_id}}/inherited_to_projects", resource, "member"),
            ]
    return routes


def _add(app: Any, path: str, resource: Any, suffix: str | None) -> None:
    """Add a route; HEAD is what GET is, without the body."""
    end = f"_{suffix}" if suffix else ""
    on_get = getattr(resource, f"on_get{end}", None)
    if on_get is not None and not hasattr(resource, f"on_head{end}"):
        setattr(resource, f"on_head{end}", on_get)
    app.add_route(path, resource, suffix=suffix)


def _render_error(error: NovaError, req: falcon.Request) -> bytes:
    """An error as the identity API has it."""
    body = {
        "error": {
            "code": error.status,
            "message": error.message,
            "title": http.client.responses.get(error.status, "Error"),
        }
    }
    return msgspec.json.encode(body)
