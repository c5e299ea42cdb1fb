# SPDX-License-Identifier: Apache-2.0
"""Keys of enrolled hosts, and the messages of theirs that have been acted on."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from nova.db.schema.base import now
from nova.db.schema.host_identity import host_keys, host_messages
from nova.errors import MessageRepeated
from nova.objects.host_key import HostKey

_columns = host_keys.c
_VALID = (
    select(host_keys)
    .where(_columns.host == bindparam("of_host"), _columns.revoked_at.is_(None))
    .order_by(_columns.created_at.desc(), _columns.key_id)
)
_ACT = insert(host_messages)


class HostIdentityStore:
    """Host keys and messages in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_key(self, host: str, key_id: str, wrapped: bytes) -> None:
        """Enrol a host, or give an enrolled one another key; its former keys stay good."""
        self._connection.execute(
            insert(host_keys).values(key_id=key_id, host=host, wrapped=wrapped, created_at=now())
        )

    def valid_keys(self, host: str) -> list[HostKey]:
        """The keys of a host that are not revoked, newest first."""
        return [_key(row) for row in self._connection.execute(_VALID, {"of_host": host})]

    def keys(self, host: str | None = None) -> list[HostKey]:
        """All keys ever given, by host and age."""
        statement = select(host_keys).order_by(_columns.host, _columns.created_at)
        if host is not None:
            statement = statement.where(_columns.host == host)
        return [_key(row) for row in self._connection.execute(statement)]

    def revoke(self, host: str, *, but: str | None = None) -> int:
        """Make all keys of a host worthless, except ``but``; returns how many were good until now."""
        statement = update(host_keys).where(_columns.host == host, _columns.revoked_at.is_(None))
        if but is not None:
            statement = statement.where(_columns.key_id != but)
        return self._connection.execute(statement.values(revoked_at=now())).rowcount

    def act_on(self, message_id: str) -> None:
        """Note that this transaction does what a host's message asks.

        Raises ``MessageRepeated`` for a message that was acted on before, by whichever process.
        """
        try:
            self._connection.execute(_ACT, {"message_id": message_id, "acted_at": now()})
        except IntegrityError:
            raise MessageRepeated(f"The message {message_id} was acted on before.") from None

    def forget_messages(self, before: datetime.datetime) -> int:
        """Drop what was acted on before that moment, when it is too old to come again."""
        return self._connection.execute(
            delete(host_messages).where(host_messages.c.acted_at < before)
        ).rowcount


def _key(row: Row[Any]) -> HostKey:
    return HostKey(**row._mapping)
