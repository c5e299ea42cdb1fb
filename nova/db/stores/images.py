# SPDX-License-Identifier: Apache-2.0
"""Image records of the built-in image service."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from nova.db.schema.base import now
from nova.db.schema.image import deleted_images, image_properties, image_tags, images
from nova.db.stores.images_listing import listing
from nova.db.stores.images_members import ImageMemberStore
from nova.errors import AlreadyExists
from nova.objects.image_record import ImageQuery, ImageRecord, ImageViewer

_COLUMNS = tuple(column.name for column in images.columns)
_BY_ID = select(images).where(images.c.id == bindparam("the_id"))
_BY_ID_LOCKED = _BY_ID.with_for_update()
_IS_DELETED = select(deleted_images.c.id).where(deleted_images.c.id == bindparam("the_id"))
_STORED = select(func.coalesce(func.sum(images.c.size), 0)).where(
    images.c.owner == bindparam("the_owner")
)
_WITH_DATA = select(func.count()).where(images.c.status.in_(("active", "deactivated")))
# Parameters of one statement; SQLite takes 999 in old builds.
_BATCH = 500


class ImageStore:
    """Rows of ``images`` with their properties and tags."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @cached_property
    def members(self) -> ImageMemberStore:
        """The projects that images are shared with."""
        return ImageMemberStore(self._connection)

    def get(self, image_id: str, *, lock: bool = False) -> ImageRecord | None:
        """The image of that id; with ``lock`` nobody else changes it until the transaction ends."""
        statement = _BY_ID_LOCKED if lock else _BY_ID
        row = self._connection.execute(statement, {"the_id": image_id}).first()
        return None if row is None else _record(row)

    def page(
        self, query: ImageQuery, viewer: ImageViewer, marker: ImageRecord | None = None
    ) -> list[ImageRecord]:
        """A page of the images that ``viewer`` may see, after ``marker``."""
        return [_record(row) for row in self._connection.execute(listing(query, viewer, marker))]

    def was_deleted(self, image_id: str) -> bool:
        """Whether an image had that id and was deleted."""
        return self._connection.execute(_IS_DELETED, {"the_id": image_id}).first() is not None

    def create(self, record: ImageRecord) -> None:
        """Insert an image; ``AlreadyExists`` where an image has or had its id."""
        taken = AlreadyExists(f"Image ID {record.id} already exists!")
        if self.was_deleted(record.id):
            raise taken
        try:
            self._connection.execute(insert(images).values(_values(record)))
        except IntegrityError:
            raise taken from None
        self._index(record)

    def save(self, record: ImageRecord) -> None:
        """Write all fields of an image that is there."""
        self._connection.execute(
            update(images).where(images.c.id == record.id).values(_values(record))
        )
        for table in (image_properties, image_tags):
            self._connection.execute(delete(table).where(table.c.image_id == record.id))
        self._index(record)

    def transition(
        self,
        image_id: str,
        changes: dict[str, Any],
        *,
        statuses: Collection[str],
        upload_id: str | None = None,
    ) -> bool:
        """Write ``changes`` where the image is in one of ``statuses``; whether it was.

        With ``upload_id`` the image must also belong to that upload still.
        """
        statement = update(images).where(images.c.id == image_id, images.c.status.in_(statuses))
        if upload_id is not None:
            statement = statement.where(images.c.upload_id == upload_id)
        values = {"updated_at": now(), **changes}
        return self._connection.execute(statement.values(values)).rowcount == 1

    def delete(self, image_id: str) -> bool:
        """Remove an image and all that hangs on it; its id is never given out again."""
        result = self._connection.execute(delete(images).where(images.c.id == image_id))
        if result.rowcount != 1:
            return False
        self._connection.execute(insert(deleted_images).values(id=image_id, deleted_at=now()))
        return True

    def stored_bytes(self, owner: str) -> int:
        """Bytes of data that a project's images hold."""
        return int(self._connection.execute(_STORED, {"the_owner": owner}).scalar_one())

    def lock_owner(self, owner: str) -> None:
        """Hold off other transactions that want to add data to the same project's images."""
        self._connection.execute(
            select(images.c.id)
            .where(images.c.owner == owner)
            .order_by(images.c.id)
            .with_for_update()
        ).all()

    def in_status(self, statuses: Collection[str]) -> list[ImageRecord]:
        """Every image in one of ``statuses``."""
        rows = self._connection.execute(select(images).where(images.c.status.in_(statuses)))
        return [_record(row) for row in rows]

    def deleted_among(self, stored: Sequence[str]) -> list[str]:
        """Those of the ids that data is ``stored`` for whose image was deleted."""
        if len(stored) <= self._connection.execute(_WITH_DATA).scalar_one():
            # No more files than images that have data: nothing is left over.
            return []
        found: list[str] = []
        for start in range(0, len(stored), _BATCH):
            statement = select(deleted_images.c.id).where(
                deleted_images.c.id.in_(stored[start:start + _BATCH])
            )
            found += self._connection.execute(statement).scalars()
        return found

    def _index(self, record: ImageRecord) -> None:
        if record.properties:
            self._connection.execute(
                insert(image_properties),
                [
                    {"image_id": record.id, "name": name, "value": value}
                    for name, value in record.properties.items()
                ],
            )
        if record.tags:
            self._connection.execute(
                insert(image_tags), [{"image_id": record.id, "tag": tag} for tag in record.tags]
            )


def _record(row: Row[Any]) -> ImageRecord:
    return ImageRecord(**dict(zip(_COLUMNS, row, strict=True)))


def _values(record: ImageRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in _COLUMNS}
