# SPDX-License-Identifier: Apache-2.0
"""The identity service as one object: its parts, and what concerns several of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nova.conf.identity import IdentitySection
from nova.db.engine import Database
from nova.db.schema.base import now
from nova.db.stores.identity import IdentityStore
from nova.identity.application_credentials import ApplicationCredentialOperations
from nova.identity.assignments import AssignmentListing
from nova.identity.auth import Authentication
from nova.identity.catalog import CatalogOperations
from nova.identity.core import IdentityCore
from nova.identity.credentials import CredentialOperations
from nova.identity.ec2 import Ec2Authentication
from nova.identity.projects import ProjectOperations
from nova.identity.reference import ReferenceCache
from nova.identity.roles import GrantOperations, RoleOperations
from nova.identity.users import GroupOperations, UserOperations
from nova.identity.validation import ValidatedToken, Validator


class IdentityService:
    """Everything the identity API does. Safe to use from several threads.

    ``key_directory`` holds the keys for tokens and stored secrets; they are made at first start.
    All processes and machines of one cloud need the same keys.
    """

    def __init__(self, db: Database, section: IdentitySection, key_directory: Path) -> None:
        self.core = IdentityCore(db, section, key_directory)
        self.section = section
        self.reference = ReferenceCache(self.core)
        self.validator = Validator(self.core, self.reference)
        self.authentication = Authentication(self.core, self.validator, self.reference)
        self.projects = ProjectOperations(self.core)
        self.users = UserOperations(self.core)
        self.groups = GroupOperations(self.core)
        self.roles = RoleOperations(self.core)
        self.grants = GrantOperations(self.core)
        self.assignments = AssignmentListing(self.core, self.reference)
        self.catalog = CatalogOperations(self.core)
        self.credentials = CredentialOperations(self.core)
        self.application_credentials = ApplicationCredentialOperations(self.core)
        self.ec2 = Ec2Authentication(
            self.core, self.credentials, self.authentication, self.validator
        )

    def validate(self, token: str) -> ValidatedToken:
        """What ``token`` stands for now; ``Unauthorized`` where it is not valid."""
        return self.validator.validate(token)

    def revoke(self, token: ValidatedToken) -> None:
        """Make one token invalid at once."""
        moment = now()

        def write(stores: IdentityStore) -> None:
            stores.revocations.forget_expired(moment)
            stores.revocations.add(token.payload.audit_ids[0], token.payload.expires_at)

        self.core.run(write)

    def user_names(self, ids: Iterable[str]) -> dict[str, str]:
        """The names of those of these users that exist, by id."""
        with self.core.read() as stores:
            return {one.id: one.name for one in stores.users.get_many(ids).values()}

    def project_names(self, ids: Iterable[str]) -> dict[str, str]:
        """The names of those of these projects that exist, by id."""
        with self.core.read() as stores:
            return {one.id: one.name for one in stores.projects.get_many(ids).values()}
