# SPDX-License-Identifier: Apache-2.0
"""Volumes on offer to another project."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from nova.db.schema.volume import volume_transfers
from nova.objects.volume_record import TransferRecord

_COLUMNS = tuple(column.name for column in volume_transfers.columns)
_transfer = volume_transfers.c


class VolumeTransferStore:
    """Rows of ``volume_transfers``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, transfer_id: str) -> TransferRecord | None:
        """The transfer of that id."""
        row = self._connection.execute(
            select(volume_transfers).where(_transfer.id == transfer_id)
        ).first()
        return None if row is None else _record(row)

    def list(self, project_id: str | None = None) -> list[TransferRecord]:
        """The transfers of a project, or with None all of them; newest first."""
        statement = select(volume_transfers).order_by(
            _transfer.created_at.desc(), _transfer.id.desc()
        )
        if project_id is not None:
            statement = statement.where(_transfer.project_id == project_id)
        return [_record(row) for row in self._connection.execute(statement)]

    def create(self, record: TransferRecord) -> None:
        """Insert a transfer."""
        self._connection.execute(
            insert(volume_transfers).values({name: getattr(record, name) for name in _COLUMNS})
        )

    def delete(self, transfer_id: str) -> bool:
        """Remove a transfer; of several at once, one is told that it did."""
        return self._connection.execute(
            delete(volume_transfers).where(_transfer.id == transfer_id)
        ).rowcount == 1


def _record(row: Row[Any]) -> TransferRecord:
    return TransferRecord(**dict(zip(_COLUMNS, row, strict=True)))
