# SPDX-License-Identifier: Apache-2.0
"""The values of the built-in identity service. Field names are those of the identity API v3."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec

#: The ``domain_id`` of what is in no domain: domains themselves and the roles all domains share.
NO_DOMAIN = ""

#: ``target_id`` of an assignment on the whole system.
SYSTEM = "system"


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A project, or a domain where ``is_domain``. ``tokens_valid_since`` voids older tokens."""

    id: str
    name: str
    domain_id: str = NO_DOMAIN
    parent_id: str | None = None
    is_domain: bool = False
    enabled: bool = True
    description: str = ""
    options: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    tokens_valid_since: datetime.datetime | None = None

    @property
    def owning_domain_id(self) -> str:
        """The domain that it is in; a domain is in itself."""
        return self.id if self.is_domain else self.domain_id


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user, without its password."""

    id: str
    name: str
    domain_id: str
    enabled: bool = True
    default_project_id: str | None = None
    description: str | None = None
    email: str | None = None
    options: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    tokens_valid_since: datetime.datetime | None = None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group of users."""

    id: str
    name: str
    domain_id: str
    description: str = ""
    extra: dict[str, Any] = {}


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """A role. One with a ``domain_id`` counts only for what it implies."""

    id: str
    name: str
    domain_id: str = NO_DOMAIN
    description: str | None = None
    options: dict[str, Any] = {}
    extra: dict[str, Any] = {}


class ImpliedRole(msgspec.Struct, frozen=True):
    """Who has the prior role has the implied one too."""

    prior_role_id: str
    implied_role_id: str


class RoleAssignment(msgspec.Struct, frozen=True):
    """A role of a user or group on a project, a domain or the system.

    ``actor_type`` is "user" or "group"; ``target_type`` "project", "domain" or "system". An
    ``inherited`` one holds not on the target but on every project below it.
    """

    actor_type: str
    actor_id: str
    target_type: str
    target_id: str
    role_id: str
    inherited: bool = False


class Region(msgspec.Struct, frozen=True, kw_only=True):
    """A region; regions form a tree."""

    id: str
    parent_region_id: str | None = None
    description: str = ""
    extra: dict[str, Any] = {}


class CatalogService(msgspec.Struct, frozen=True, kw_only=True):
    """A service of the catalogue."""

    id: str
    type: str
    name: str | None = None
    description: str | None = None
    enabled: bool = True
    extra: dict[str, Any] = {}


class CatalogEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a service is reached. ``interface`` is "public", "internal" or "admin"."""

    id: str
    interface: str
    service_id: str
    region_id: str | None = None
    url: str
    enabled: bool = True
    extra: dict[str, Any] = {}


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A stored secret of a user; ``blob`` is as the store keeps it, encrypted."""

    id: str
    user_id: str
    project_id: str | None = None
    type: str
    blob: str
    extra: dict[str, Any] = {}


class ApplicationCredential(msgspec.Struct, frozen=True, kw_only=True):
    """A login for programs, bound to one project and some of its maker's roles.

    ``access_rules`` are ``{"id", "service", "method", "path"}``.
    """

    id: str
    name: str
    user_id: str
    project_id: str
    description: str | None = None
    expires_at: datetime.datetime | None = None
    unrestricted: bool = False
    role_ids: list[str]
    access_rules: list[dict[str, str]] = []


class AccessRule(msgspec.Struct, frozen=True, kw_only=True):
    """One request that an application credential with access rules may make."""

    id: str
    user_id: str
    service: str
    method: str
    path: str


class Filter(msgspec.Struct, frozen=True):
    """One condition of a list: ``field`` ``comparator`` ``value``.

    Comparators: ``equals``, ``in``, and ``contains``, ``startswith``, ``endswith`` with their
    case-blind forms ``icontains``, ``istartswith``, ``iendswith``.
    """

    field: str
    value: Any
    comparator: str = "equals"


class Page(msgspec.Struct, frozen=True):
    """At most ``limit`` records (None: all) after the one whose id is ``marker``."""

    limit: int | None = None
    marker: str | None = None
