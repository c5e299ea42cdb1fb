# SPDX-License-Identifier: Apache-2.0
"""The small tables that nearly every check needs, kept in memory: roles, implications, catalogue.

The copy is read anew at once after a write of this process, and in time after one of another.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import msgspec

from nova.identity.core import IdentityCore
from nova.objects.identity import NO_DOMAIN, CatalogEndpoint, CatalogService, Role

#: How long a write of another process may go unnoticed by one cache, in seconds. An answer may rest
#: on two of them (the token and the roles), so the whole is twice as long.
STALE_AFTER = 2.5


class Reference(msgspec.Struct, frozen=True):
    """Roles by id, the closure of implications, and the enabled endpoints with their services."""

    roles: dict[str, Role]
    implied: dict[str, tuple[str, ...]]
    catalog: tuple[tuple[CatalogService, tuple[CatalogEndpoint, ...]], ...]

    def expand(self, role_ids: Iterable[str]) -> list[Role]:
        """These roles and all that they imply, without the roles of single domains, by name."""
        wanted: set[str] = set()
        for role_id in role_ids:
            wanted.add(role_id)
            wanted.update(self.implied.get(role_id, ()))
        found = [self.roles[one] for one in wanted if one in self.roles]
        return sorted(
            (role for role in found if role.domain_id == NO_DOMAIN), key=lambda role: role.name
        )

    def is_of_a_domain(self, role_id: str) -> bool:
        """Whether the role belongs to a single domain."""
        role = self.roles.get(role_id)
        return role is not None and role.domain_id != NO_DOMAIN


class ReferenceCache:
    """Hands out the present ``Reference``."""

    def __init__(self, core: IdentityCore) -> None:
        self._core = core
        self._held: tuple[int, float, Reference] | None = None

    def get(self) -> Reference:
        """The reference, read from the database where the copy is stale."""
        held, now = self._held, time.monotonic()
        if held is not None and held[0] == self._core.revision and now - held[1] < STALE_AFTER:
            return held[2]
        # The revision is read before the tables: a write in between makes this copy stale.
        revision = self._core.revision
        reference = self._load()
        self._held = (revision, now, reference)
        return reference

    def _load(self) -> Reference:
        with self._core.read() as stores:
            roles = {role.id: role for role in stores.roles.list()}
            direct: dict[str, list[str]] = {}
            for rule in stores.roles.implications():
                direct.setdefault(rule.prior_role_id, []).append(rule.implied_role_id)
            services = stores.services.list()
            endpoints = stores.endpoints.list()
        by_service: dict[str, list[CatalogEndpoint]] = {}
        for endpoint in endpoints:
            if endpoint.enabled:
                by_service.setdefault(endpoint.service_id, []).append(endpoint)
        catalog = tuple(
            (service, tuple(by_service.get(service.id, ())))
            for service in sorted(services, key=lambda one: (one.type, one.id))
            if service.enabled
        )
        return Reference(roles, implication_closure(direct), catalog)


def implication_closure(direct: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """All that each prior role implies, over any number of steps; cycles do no harm."""
    closure: dict[str, tuple[str, ...]] = {}
    for prior in direct:
        reached: dict[str, None] = {}
        pending = list(direct[prior])
        while pending:
            role_id = pending.pop(0)
            if role_id not in reached and role_id != prior:
                reached[role_id] = None
                pending.extend(direct.get(role_id, ()))
        closure[prior] = tuple(reached)
    return closure
