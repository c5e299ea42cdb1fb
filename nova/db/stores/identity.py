# SPDX-License-Identifier: Apache-2.0
"""``tx.identity``: the stores of the built-in identity service, one per kind of record."""

from __future__ import annotations

from functools import cached_property

from sqlalchemy import Connection

from nova.db.stores.identity_actors import GroupStore, UserStore
from nova.db.stores.identity_assignments import AssignmentStore, RoleStore
from nova.db.stores.identity_catalog import EndpointStore, RegionStore, ServiceStore
from nova.db.stores.identity_credentials import (
    AccessRuleStore,
    ApplicationCredentialStore,
    CredentialStore,
    RevocationStore,
)
from nova.db.stores.identity_projects import ProjectStore


class IdentityStore:
    """Holds the stores; each is made when first used."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @cached_property
    def projects(self) -> ProjectStore:
        """Projects and domains."""
        return ProjectStore(self._connection)

    @cached_property
    def users(self) -> UserStore:
        """Users."""
        return UserStore(self._connection)

    @cached_property
    def groups(self) -> GroupStore:
        """Groups and their members."""
        return GroupStore(self._connection)

    @cached_property
    def roles(self) -> RoleStore:
        """Roles and what they imply."""
        return RoleStore(self._connection)

    @cached_property
    def assignments(self) -> AssignmentStore:
        """Who has which role on what."""
        return AssignmentStore(self._connection)

    @cached_property
    def regions(self) -> RegionStore:
        """Regions of the catalogue."""
        return RegionStore(self._connection)

    @cached_property
    def services(self) -> ServiceStore:
        """Services of the catalogue."""
        return ServiceStore(self._connection)

    @cached_property
    def endpoints(self) -> EndpointStore:
        """Endpoints of the catalogue."""
        return EndpointStore(self._connection)

    @cached_property
    def credentials(self) -> CredentialStore:
        """Stored secrets of users, EC2 keys among them."""
        return CredentialStore(self._connection)

    @cached_property
    def application_credentials(self) -> ApplicationCredentialStore:
        """Logins for programs."""
        return ApplicationCredentialStore(self._connection)

    @cached_property
    def access_rules(self) -> AccessRuleStore:
        """What application credentials are confined to."""
        return AccessRuleStore(self._connection)

    @cached_property
    def revocations(self) -> RevocationStore:
        """Single revoked tokens."""
        return RevocationStore(self._connection)
