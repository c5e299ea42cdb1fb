# SPDX-License-Identifier: Apache-2.0
"""Stored secrets, application credentials with their access rules, and revoked tokens."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from nova.db.schema import identity as schema
from nova.db.stores.identity_records import RecordStore
from nova.objects.identity import AccessRule, ApplicationCredential, Credential


class CredentialStore(RecordStore[Credential]):
    """Credentials of any type."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, schema.credentials, Credential, "credential")


class ApplicationCredentialStore(RecordStore[ApplicationCredential]):
    """Application credentials; the secret's hash is read only by ``secret_hash``."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(
            connection, schema.application_credentials, ApplicationCredential,
            "application_credential",
        )

    def secret_hash(self, credential_id: str) -> str | None:
        """The stored hash."""
        table = schema.application_credentials
        statement = select(table.c.secret_hash).where(table.c.id == credential_id)
        found: str | None = self._connection.execute(statement).scalar()
        return found


class AccessRuleStore(RecordStore[AccessRule]):
    """Access rules."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, schema.access_rules, AccessRule, "access_rule")

    def create(self, values: Mapping[str, Any]) -> AccessRule:
        """Insert a rule."""
        self._connection.execute(insert(schema.access_rules).values(dict(values)))
        return AccessRule(**values)


class RevocationStore:
    """Single tokens that were revoked, by their audit id."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, audit_id: str, expires_at: datetime.datetime) -> None:
        """Revoke a token; no error if it is revoked."""
        if self.contains(audit_id):
            return
        try:
            with self._connection.begin_nested():
                self._connection.execute(
                    insert(schema.revocations).values(audit_id=audit_id, expires_at=expires_at)
                )
        except IntegrityError:
            # Another process revoked it at the same moment.
            return

    def contains(self, audit_id: str) -> bool:
        """Whether the token was revoked."""
        table = schema.revocations
        statement = select(table.c.audit_id).where(table.c.audit_id == audit_id)
        return self._connection.execute(statement).first() is not None

    def forget_expired(self, before: datetime.datetime) -> None:
        """Drop entries of tokens that expired before ``before``."""
        table = schema.revocations
        self._connection.execute(delete(table).where(table.c.expires_at < before))
