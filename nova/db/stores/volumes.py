# SPDX-License-Identifier: Apache-2.0
"""Volumes of the built-in block storage service, with what hangs on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from nova.db.schema.base import now
from nova.db.schema.volume import volume_attachments, volume_types, volumes
from nova.db.stores.volume_attachments import VolumeAttachmentStore, attachment_of
from nova.db.stores.volume_listing import page
from nova.db.stores.volume_messages import VolumeMessageStore
from nova.db.stores.volume_quotas import VolumeQuotaStore
from nova.db.stores.volume_snapshots import VolumeSnapshotStore
from nova.db.stores.volume_tasks import VolumeTaskStore
from nova.db.stores.volume_transfers import VolumeTransferStore
from nova.db.stores.volume_types import VolumeTypeStore
from nova.objects.volume_record import AttachmentRecord, ListQuery, VolumeRecord

_COLUMNS = tuple(column.name for column in volumes.columns)
_WITH_TYPE = select(volumes, volume_types.c.name.label("type_name")).join(
    volume_types, volume_types.c.id == volumes.c.type_id
)
_BY_ID = _WITH_TYPE.where(volumes.c.id == bindparam("the_id"))
_LOCK = select(volumes.c.id).where(volumes.c.id == bindparam("the_id")).with_for_update()
# Ids of one statement; SQLite takes 999 in old builds.
_BATCH = 500


class VolumeStore:
    """Rows of ``volumes``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @cached_property
    def attachments(self) -> VolumeAttachmentStore:
        """What volumes are attached to."""
        return VolumeAttachmentStore(self._connection)

    @cached_property
    def snapshots(self) -> VolumeSnapshotStore:
        """Snapshots of volumes."""
        return VolumeSnapshotStore(self._connection)

    @cached_property
    def types(self) -> VolumeTypeStore:
        """Types of volumes."""
        return VolumeTypeStore(self._connection)

    @cached_property
    def transfers(self) -> VolumeTransferStore:
        """Volumes on offer to another project."""
        return VolumeTransferStore(self._connection)

    @cached_property
    def tasks(self) -> VolumeTaskStore:
        """Work under way."""
        return VolumeTaskStore(self._connection)

    @cached_property
    def messages(self) -> VolumeMessageStore:
        """Why work failed."""
        return VolumeMessageStore(self._connection)

    @cached_property
    def quotas(self) -> VolumeQuotaStore:
        """Limits and usage."""
        return VolumeQuotaStore(self._connection)

    def get(self, volume_id: str, *, lock: bool = False) -> VolumeRecord | None:
        """The volume of that id; with ``lock`` nobody else changes it until the transaction ends."""
        if lock and self._connection.dialect.name != "sqlite":
            self._connection.execute(_LOCK, {"the_id": volume_id}).first()
        row = self._connection.execute(_BY_ID, {"the_id": volume_id}).first()
        if row is None:
            return None
        return _record(row, self.attachments.of_volume(volume_id))

    def page(self, query: ListQuery) -> list[VolumeRecord]:
        """A page of volumes, those after ``query.marker``."""
        return self._with_attachments(
            page(self._connection, _WITH_TYPE, volumes, query)
        )

    def count(self, query: ListQuery) -> int:
        """How many volumes ``query`` finds on all its pages."""
        return len(page(self._connection, _WITH_TYPE, volumes, query, whole=True))

    def create(self, record: VolumeRecord) -> None:
        """Insert a volume."""
        self._connection.execute(insert(volumes).values(_values(record)))

    def update(self, volume_id: str, changes: dict[str, Any]) -> None:
        """Write ``changes`` in whatever status the volume is."""
        self._connection.execute(
            update(volumes).where(volumes.c.id == volume_id)
            .values({"updated_at": now(), **changes})
        )

    def transition(
        self, volume_id: str, changes: dict[str, Any], *, statuses: Collection[str]
    ) -> bool:
        """Write ``changes`` where the volume is in one of ``statuses``; whether it was."""
        statement = update(volumes).where(
            volumes.c.id == volume_id, volumes.c.status.in_(tuple(statuses))
        )
        values = {"updated_at": now(), **changes}
        return self._connection.execute(statement.values(values)).rowcount == 1

    def delete(self, volume_id: str) -> bool:
        """Remove a volume and its attachments."""
        result = self._connection.execute(delete(volumes).where(volumes.c.id == volume_id))
        return result.rowcount == 1

    def totals(self) -> tuple[int, int]:
        """How many volumes there are, and their GiB, of all projects."""
        row = self._connection.execute(
            select(func.count(), func.coalesce(func.sum(volumes.c.size), 0))
        ).one()
        return int(row[0]), int(row[1])

    def _with_attachments(self, rows: list[Row[Any]]) -> list[VolumeRecord]:
        held: dict[str, list[AttachmentRecord]] = {}
        ids = [row.id for row in rows]
        for start in range(0, len(ids), _BATCH):
            found = self._connection.execute(
                select(volume_attachments)
                .where(volume_attachments.c.volume_id.in_(ids[start:start + _BATCH]))
                .order_by(volume_attachments.c.created_at)
            )
            for row in found:
                held.setdefault(row.volume_id, []).append(attachment_of(row))
        return [_record(row, held.get(row.id, ())) for row in rows]


def _record(row: Row[Any], attachments: Iterable[AttachmentRecord]) -> VolumeRecord:
    values = dict(zip((*_COLUMNS, "type_name"), row, strict=True))
    return VolumeRecord(**values, attachments=tuple(attachments))


def _values(record: VolumeRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in _COLUMNS}
