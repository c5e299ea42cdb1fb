# SPDX-License-Identifier: Apache-2.0
"""What volumes are attached to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from nova.db.schema.volume import volume_attachments
from nova.objects.volume_record import AttachmentRecord

_COLUMNS = tuple(column.name for column in volume_attachments.columns)
_attachment = volume_attachments.c


class VolumeAttachmentStore:
    """Rows of ``volume_attachments``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, attachment_id: str) -> AttachmentRecord | None:
        """The attachment of that id."""
        row = self._connection.execute(
            select(volume_attachments).where(_attachment.id == attachment_id)
        ).first()
        return None if row is None else attachment_of(row)

    def of_volume(self, volume_id: str) -> list[AttachmentRecord]:
        """A volume's attachments, oldest first."""
        rows = self._connection.execute(
            select(volume_attachments)
            .where(_attachment.volume_id == volume_id)
            .order_by(_attachment.created_at)
        )
        return [attachment_of(row) for row in rows]

    def list(
        self, *, project_id: str | None = None, **equal: str | None
    ) -> list[AttachmentRecord]:
        """Attachments of a project (None: of all), newest first; ``equal`` are columns' values."""
        statement = select(volume_attachments).order_by(
            _attachment.created_at.desc(), _attachment.id.desc()
        )
        if project_id is not None:
            statement = statement.where(_attachment.project_id == project_id)
        for name, value in equal.items():
            if value is not None:
                statement = statement.where(_attachment[name] == value)
        return [attachment_of(row) for row in self._connection.execute(statement)]

    def create(self, record: AttachmentRecord) -> None:
        """Insert an attachment."""
        self._connection.execute(
            insert(volume_attachments).values({name: getattr(record, name) for name in _COLUMNS})
        )

    def update(self, attachment_id: str, changes: dict[str, Any]) -> bool:
        """Write ``changes``; whether the attachment was there."""
        return self._connection.execute(
            update(volume_attachments).where(_attachment.id == attachment_id).values(changes)
        ).rowcount == 1

    def delete(self, attachment_id: str) -> bool:
        """Remove an attachment; whether it was there."""
        return self._connection.execute(
            delete(volume_attachments).where(_attachment.id == attachment_id)
        ).rowcount == 1

    def delete_of_volume(self, volume_id: str) -> None:
        """Remove all attachments of a volume."""
        self._connection.execute(
            delete(volume_attachments).where(_attachment.volume_id == volume_id)
        )

    def change_project(self, volume_id: str, project_id: str) -> None:
        """Give a volume's attachments to another project."""
        self._connection.execute(
            update(volume_attachments)
            .where(_attachment.volume_id == volume_id)
            .values(project_id=project_id)
        )


def attachment_of(row: Row[Any]) -> AttachmentRecord:
    """A row as a value."""
    return AttachmentRecord(**dict(zip(_COLUMNS, row, strict=True)))
