# SPDX-License-Identifier: Apache-2.0
"""Tokens that open consoles."""

from __future__ import annotations

import datetime
import hashlib

from sqlalchemy import Connection, bindparam, delete, insert, select

from nova.db.schema.base import now
from nova.db.schema.compute import instances
from nova.db.schema.consoles import console_tokens
from nova.objects.console import ConsoleEndpoint, ConsoleToken

_columns = console_tokens.c
# A token opens the console of the guest that it was made for, where that guest was then.
_VALID = (
    select(console_tokens)
    .join(
        instances,
        (instances.c.uuid == _columns.instance_uuid)
        & (instances.c.deleted == 0)
        & (instances.c.host == _columns.compute_host),
    )
    .where(_columns.token_hash == bindparam("of_hash"), _columns.expires_at > bindparam("moment"))
)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class ConsoleTokenStore:
    """Console tokens in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, token: str, opened: ConsoleToken) -> None:
        """Keep what ``token`` opens, until ``opened.expires_at``."""
        endpoint = opened.endpoint
        self._connection.execute(
            insert(console_tokens).values(
                token_hash=_hash(token), instance_uuid=opened.instance_uuid,
                compute_host=opened.compute_host, console_type=opened.console_type,
                host=endpoint.host, port=endpoint.port, tls_port=endpoint.tls_port,
                internal_access_path=endpoint.internal_access_path,
                access_url_base=opened.access_url_base, created_at=now(),
                expires_at=opened.expires_at,
            )
        )

    def authorize(self, token: str) -> ConsoleToken | None:
        """What ``token`` opens; None for one that is unknown, over, or whose guest is gone or moved.

        It stays valid: who opens the console with it makes it void by ``consume``.
        """
        row = self._connection.execute(
            _VALID, {"of_hash": _hash(token), "moment": now()}
        ).first()
        if row is None:
            return None
        return ConsoleToken(
            instance_uuid=row.instance_uuid, compute_host=row.compute_host,
            console_type=row.console_type, access_url_base=row.access_url_base,
            expires_at=row.expires_at,
            endpoint=ConsoleEndpoint(
                host=row.host, port=row.port, tls_port=row.tls_port,
                internal_access_path=row.internal_access_path,
            ),
        )

    def consume(self, token: str) -> bool:
        """Make a token void; False where it was before, so that of several at once one has it."""
        return self._connection.execute(
            delete(console_tokens).where(_columns.token_hash == _hash(token))
        ).rowcount == 1

    def purge(self, before: datetime.datetime) -> int:
        """Drop the tokens that were over at that moment; returns how many."""
        return self._connection.execute(
            delete(console_tokens).where(_columns.expires_at <= before)
        ).rowcount
