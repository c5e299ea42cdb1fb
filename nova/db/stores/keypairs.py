# SPDX-License-Identifier: Apache-2.0
"""Key pairs of users."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from nova.db.schema.base import now
from nova.db.schema.compute import keypairs
from nova.errors import BadRequest, KeypairExists, KeypairNotFound, QuotaExceeded
from nova.objects.keypair import Keypair

_BY_NAME = select(keypairs).where(
    keypairs.c.user_id == bindparam("the_user"), keypairs.c.name == bindparam("the_name")
)
_COUNT = select(func.count()).where(keypairs.c.user_id == bindparam("the_user"))


class KeypairStore:
    """Key pairs in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self,
        user_id: str,
        name: str,
        *,
        type: str,  # noqa: A002
        fingerprint: str,
        public_key: str,
        limit: int = -1,
    ) -> Keypair:
        """Keep a public key under a name; ``limit`` is how many the user may have, -1 any number.

        Raises ``KeypairExists``, or ``QuotaExceeded`` where the user has that many.
        """
        if limit >= 0 and self.count(user_id) >= limit:
            raise QuotaExceeded("Quota exceeded, too many key pairs.")
        if self.find(user_id, name) is not None:
            raise KeypairExists(name)
        values: dict[str, Any] = {
            "user_id": user_id, "name": name, "type": type, "fingerprint": fingerprint,
            "public_key": public_key, "created_at": now(),
        }
        try:
            result = self._connection.execute(insert(keypairs).values(**values))
        except IntegrityError:
            raise KeypairExists(name) from None
        key = result.inserted_primary_key
        assert key is not None
        return Keypair(int(key[0]), **values)

    def list(
        self, user_id: str, *, marker: str | None = None, limit: int | None = None
    ) -> list[Keypair]:
        """A user's key pairs by name, from behind the one named ``marker``.

        Raises ``BadRequest`` for a marker that is none of them.
        """
        if marker is not None and self.find(user_id, marker) is None:
            raise BadRequest(f"marker [{marker}] not found")
        statement = (
            select(keypairs).where(keypairs.c.user_id == user_id).order_by(keypairs.c.name)
        )
        if marker is not None:
            statement = statement.where(keypairs.c.name > marker)
        if limit is not None:
            statement = statement.limit(limit)
        return [Keypair(*row) for row in self._connection.execute(statement)]

    def find(self, user_id: str, name: str) -> Keypair | None:
        """A user's key pair of that name, if there is one."""
        row = self._connection.execute(
            _BY_NAME, {"the_user": user_id, "the_name": name}
        ).first()
        return None if row is None else Keypair(*row)

    def get(self, user_id: str, name: str) -> Keypair:
        """A user's key pair of that name; ``KeypairNotFound`` without it."""
        found = self.find(user_id, name)
        if found is None:
            raise KeypairNotFound(name, user_id)
        return found

    def count(self, user_id: str) -> int:
        """How many key pairs a user has."""
        return int(self._connection.execute(_COUNT, {"the_user": user_id}).scalar_one())

    def delete(self, user_id: str, name: str) -> None:
        """Remove a key pair; ``KeypairNotFound`` without it. Servers keep their copy."""
        result = self._connection.execute(
            delete(keypairs).where(keypairs.c.user_id == user_id, keypairs.c.name == name)
        )
        if result.rowcount != 1:
            raise KeypairNotFound(name, user_id)
