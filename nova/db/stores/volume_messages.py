# SPDX-License-Identifier: Apache-2.0
"""What users are told of work on volumes that failed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from nova.db.schema.base import now
from nova.db.schema.volume import volume_messages
from nova.objects.volume_record import VolumeMessage

_COLUMNS = tuple(column.name for column in volume_messages.columns)
_message = volume_messages.c


class VolumeMessageStore:
    """Rows of ``volume_messages``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, message: VolumeMessage) -> None:
        """Insert a message, and forget those whose time is over."""
        self._connection.execute(delete(volume_messages).where(_message.expires_at < now()))
        self._connection.execute(
            insert(volume_messages).values({name: getattr(message, name) for name in _COLUMNS})
        )

    def get(self, message_id: str) -> VolumeMessage | None:
        """The message of that id."""
        row = self._connection.execute(
            select(volume_messages).where(_message.id == message_id)
        ).first()
        return None if row is None else _record(row)

    def of_project(self, project_id: str) -> list[VolumeMessage]:
        """A project's messages, newest first."""
        rows = self._connection.execute(
            select(volume_messages)
            .where(_message.project_id == project_id)
            .order_by(_message.created_at.desc(), _message.id.desc())
        )
        return [_record(row) for row in rows]

    def delete(self, message_id: str) -> None:
        """Remove a message."""
        self._connection.execute(delete(volume_messages).where(_message.id == message_id))


def _record(row: Row[Any]) -> VolumeMessage:
    return VolumeMessage(**dict(zip(_COLUMNS, row, strict=True)))
