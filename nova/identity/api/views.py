# SPDX-License-Identifier: Apache-2.0
"""How the v3 API shows its resources."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import falcon

from nova.identity.api.request import link
from nova.identity.catalog import catalog_v3
from nova.identity.credentials import Ec2Key
from nova.identity.reference import Reference
from nova.identity.validation import ValidatedToken
from nova.objects.identity import (
    AccessRule,
    ApplicationCredential,
    CatalogEndpoint,
    CatalogService,
    Credential,
    Group,
    Project,
    Region,
    Role,
    User,
)


def iso(moment: datetime.datetime) -> str:
    """A time as v3 shows it: UTC with microseconds and Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def project_view(req: falcon.Request, one: Project, tags: Sequence[str]) -> dict[str, Any]:
    """A project."""
    return {
        **one.extra,
        "id": one.id,
        "name": one.name,
        "domain_id": one.domain_id or None,
        "parent_id": one.parent_id,
        "is_domain": one.is_domain,
        "enabled": one.enabled,
        "description": one.description,
        "tags": list(tags),
        "options": one.options,
        "links": {"self": link(req, "projects", one.id)},
    }


def domain_view(req: falcon.Request, one: Project, tags: Sequence[str]) -> dict[str, Any]:
    """A domain."""
    return {
        **one.extra,
        "id": one.id,
        "name": one.name,
        "enabled": one.enabled,
        "description": one.description,
        "tags": list(tags),
        "options": one.options,
        "links": {"self": link(req, "domains", one.id)},
    }


def user_view(req: falcon.Request, one: User) -> dict[str, Any]:
    """A user, without a trace of its password."""
    body = {
        **one.extra,
        "id": one.id,
        "name": one.name,
        "domain_id": one.domain_id,
        "enabled": one.enabled,
        "password_expires_at": None,
        "options": one.options,
        "links": {"self": link(req, "users", one.id)},
    }
    for name in ("default_project_id", "description", "email"):
        value = getattr(one, name)
        if value is not None:
            body[name] = value
    return body


def group_view(req: falcon.Request, one: Group) -> dict[str, Any]:
    """A group."""
    return {
        **one.extra,
        "id": one.id,
        "name": one.name,
        "domain_id": one.domain_id,
        "description": one.description,
        "links": {"self": link(req, "groups", one.id)},
    }


def role_view(req: falcon.Request, one: Role) -> dict[str, Any]:
    """A role."""
    return {
        **one.extra,
        "id": one.id,
        "name": one.name,
        "domain_id": one.domain_id or None,
        "description": one.description,
        "options": one.options,
        "links": {"self": link(req, "roles", one.id)},
    }


def role_reference(req: falcon.Request, one: Role) -> dict[str, Any]:
    """A role within an implication."""
    return {"id": one.id, "name": one.name, "links": {"self": link(req, "roles", one.id)}}


def region_view(req: falcon.Request, one: Region) -> dict[str, Any]:
    """A region."""
    return {
        **one.extra,
        "id": one.id,
        "description": one.description,
        "parent_region_id": one.parent_region_id,
        "links": {"self": link(req, "regions", one.id)},
    }


def service_view(req: falcon.Request, one: CatalogService) -> dict[str, Any]:
    """A service."""
    body = {
        **one.extra,
        "id": one.id,
        "type": one.type,
        "enabled": one.enabled,
        "links": {"self": link(req, "services", one.id)},
    }
    for name in ("name", "description"):
        value = getattr(one, name)
        if value is not None:
            body[name] = value
    return body


def endpoint_view(req: falcon.Request, one: CatalogEndpoint) -> dict[str, Any]:
    """An endpoint."""
    return {
        **one.extra,
        "id": one.id,
        "interface": one.interface,
        "service_id": one.service_id,
        "region": one.region_id,
        "region_id": one.region_id,
        "url": one.url,
        "enabled": one.enabled,
        "links": {"self": link(req, "endpoints", one.id)},
    }


def credential_view(req: falcon.Request, one: Credential) -> dict[str, Any]:
    """A credential, whose blob is readable."""
    return {
        **one.extra,
        "id": one.id,
        "user_id": one.user_id,
        "project_id": one.project_id,
        "type": one.type,
        "blob": one.blob,
        "links": {"self": link(req, "credentials", one.id)},
    }


def ec2_view(req: falcon.Request, one: Ec2Key) -> dict[str, Any]:
    """An EC2 key."""
    return {
        "access": one.access,
        "secret": one.secret,
        "user_id": one.user_id,
        "tenant_id": one.project_id,
        "trust_id": None,
        "links": {"self": link(req, "users", one.user_id, "credentials", "OS-EC2", one.access)},
    }


def application_credential_view(
    req: falcon.Request, one: ApplicationCredential, reference: Reference
) -> dict[str, Any]:
    """An application credential, without its secret."""
    roles = [reference.roles[role_id] for role_id in one.role_ids if role_id in reference.roles]
    body: dict[str, Any] = {
        "id": one.id,
        "name": one.name,
        "description": one.description,
        "user_id": one.user_id,
        "project_id": one.project_id,
        "system": None,
        "expires_at": None if one.expires_at is None else one.expires_at.isoformat(
            timespec="microseconds"
        ),
        "unrestricted": one.unrestricted,
        "roles": [
            {
                "id": role.id,
                "name": role.name,
                "domain_id": role.domain_id or None,
                "description": role.description,
                "options": role.options,
            }
            for role in roles
        ],
        "links": {"self": link(req, "users", one.user_id, "application_credentials", one.id)},
    }
    if one.access_rules:
        body["access_rules"] = one.access_rules
    return body


def access_rule_view(req: falcon.Request, one: AccessRule) -> dict[str, Any]:
    """An access rule."""
    return {
        "id": one.id,
        "service": one.service,
        "method": one.method,
        "path": one.path,
        "links": {"self": link(req, "users", one.user_id, "access_rules", one.id)},
    }


def token_view(
    one: ValidatedToken, reference: Reference, *, with_catalog: bool
) -> dict[str, Any]:
    """The body of a v3 token."""
    payload = one.payload
    token: dict[str, Any] = {
        "methods": list(payload.methods),
        "user": {
            "id": one.user.id,
            "name": one.user.name,
            "domain": _named(one.user_domain),
            "password_expires_at": None,
        },
        "audit_ids": list(payload.audit_ids),
        "issued_at": iso(payload.issued_at),
        "expires_at": iso(payload.expires_at),
    }
    if payload.scope.kind:
        token["roles"] = [{"id": role.id, "name": role.name} for role in one.roles]
    if one.project is not None and one.project_domain is not None:
        token["project"] = {
            "id": one.project.id,
            "name": one.project.name,
            "domain": _named(one.project_domain),
        }
        token["is_domain"] = one.project.is_domain
    elif one.domain is not None:
        token["domain"] = _named(one.domain)
    elif one.is_system:
        token["system"] = {"all": True}
    if with_catalog and payload.scope.kind:
        project_id = None if one.project is None else one.project.id
        token["catalog"] = catalog_v3(reference, one.user.id, project_id)
    bound = one.application_credential
    if bound is not None:
        shown: dict[str, Any] = {
            "id": bound.id,
            "name": bound.name,
            "restricted": not bound.unrestricted,
        }
        if bound.access_rules:
            shown["access_rules"] = bound.access_rules
        token["application_credential"] = shown
    return {"token": token}


def _named(domain: Project) -> dict[str, str]:
    return {"id": domain.id, "name": domain.name}
