# SPDX-License-Identifier: Apache-2.0
"""The operations of the built-in image service, for its HTTP face and for compute in-process."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from nova.conf.image import ImageSection
from nova.db.engine import Database
from nova.db.schema.base import now
from nova.errors import BadRequest, Forbidden, NotFound
from nova.image import rights
from nova.image.cache import ImageCache
from nova.image.data import ImageData
from nova.image.fields import check_quota, text
from nova.image.files import ImageFiles
from nova.image.members import ImageMembers
from nova.image.patch import ImageChange, apply_changes
from nova.image.records import ImageRecords
from nova.objects.context import RequestContext
from nova.objects.image_record import ImageQuery, ImageRecord


class ImageService:
    """Images: records in the database, data as files in ``data_directory`` (made if missing).

    ``data`` moves image data, ``members`` is the sharing with projects. Every operation takes the
    caller first, and raises ``ImageNotFound`` for what the caller may not see.
    """

    def __init__(self, db: Database, section: ImageSection, data_directory: Path) -> None:
        self.section = section
        self.cache = ImageCache()
        self._records = ImageRecords(db, section, ImageFiles(data_directory), self.cache)
        self._database = db
        self.data = ImageData(self._records)
        self.members = ImageMembers(self._records)

    def recover(self) -> None:
        """Undo what interrupted uploads left; call once at start."""
        self.data.recover()

    def get(self, context: RequestContext, image_id: str) -> ImageRecord:
        """One image."""
        return self._records.get(context, image_id)

    def members_of(self, image_id: str) -> frozenset[str]:
        """The projects that an image is shared with, whatever they answered."""
        with self._database.read() as tx:
            return frozenset(member.member for member in tx.images.members.of_image(image_id))

    def list(self, context: RequestContext, query: ImageQuery) -> list[ImageRecord]:
        """A page of the caller's images; ``BadRequest`` for a marker that the caller can't see."""
        with self._database.read() as tx:
            marker = None
            if query.marker is not None:
                try:
                    marker = self._records.find(tx, context, query.marker)
                except NotFound as error:
                    raise BadRequest(f"Invalid marker: {error.message}") from None
            return tx.images.page(query, rights.viewer_of(context), marker)

    def create(
        self, context: RequestContext, fields: Mapping[str, Any], properties: Mapping[str, str]
    ) -> ImageRecord:
        """Register an image without data; the arguments are checked (``fields.split_body``).

        Raises ``AlreadyExists`` for an id that is or was in use, ``Forbidden`` for another's owner
        or for public without being an administrator, ``TooLarge`` for too many properties or tags.
        """
        rights.require_writer(context)
        values = dict(fields)
        values.setdefault("owner", context.project_id or None)
        if not context.is_admin and (
            not context.project_id or values["owner"] != context.project_id
        ):
            raise Forbidden(
                f"You are not permitted to create images owned by '{values['owner']}'"
            )
        rights.require_visibility(context, values.get("visibility", "shared"))
        moment = now()
        values.setdefault("id", str(uuid.uuid4()))
        record = ImageRecord(
            **values, properties=dict(properties), created_at=moment, updated_at=moment
        )
        self._check_quotas(record)
        with self._database.write() as tx:
            tx.images.create(record)
            self._records.announce(tx, record.id)
        return record

    def update(
        self, context: RequestContext, image_id: str, changes: Sequence[ImageChange]
    ) -> ImageRecord:
        """Apply changes in order, all or none; raises as ``patch.apply_changes``."""

        def edit(record: ImageRecord) -> ImageRecord:
            if not changes:
                return record
            edited = apply_changes(record, changes, is_admin=context.is_admin)
            if edited.visibility != record.visibility:
                rights.require_visibility(context, edited.visibility)
            self._check_quotas(edited)
            return edited

        return self._records.change(context, image_id, "modify", edit)

    def set_properties(
        self, context: RequestContext, image_id: str, properties: Mapping[str, str], *, purge: bool
    ) -> ImageRecord:
        """Write free properties; with ``purge`` those that are not named are removed."""

        def edit(record: ImageRecord) -> ImageRecord:
            kept = {} if purge else record.properties
            edited = msgspec.structs.replace(record, properties={**kept, **properties})
            self._check_quotas(edited)
            return edited

        return self._records.change(context, image_id, "modify", edit)

    def add_tag(self, context: RequestContext, image_id: str, tag: str) -> None:
        """Tag an image; a tag that it has already changes nothing."""
        text("tag", tag)

        def edit(record: ImageRecord) -> ImageRecord:
            if tag in record.tags:
                return record
            edited = msgspec.structs.replace(record, tags=[*record.tags, tag])
            self._check_quotas(edited)
            return edited

        self._records.change(context, image_id, "update tags for", edit)

    def remove_tag(self, context: RequestContext, image_id: str, tag: str) -> None:
        """Remove a tag; ``NotFound`` where the image has no such tag."""

        def edit(record: ImageRecord) -> ImageRecord:
            if tag not in record.tags:
                raise NotFound(f"Image {image_id} has no tag {tag[:80]!r}.")
            return msgspec.structs.replace(
                record, tags=[kept for kept in record.tags if kept != tag]
            )

        self._records.change(context, image_id, "delete tags for", edit)

    def deactivate(self, context: RequestContext, image_id: str) -> None:
        """Refuse downloads of an active image from now on."""
        self._switch(context, image_id, "deactivate", "active", "deactivated")

    def reactivate(self, context: RequestContext, image_id: str) -> None:
        """Allow downloads of a deactivated image again."""
        self._switch(context, image_id, "reactivate", "deactivated", "active")

    def _switch(
        self, context: RequestContext, image_id: str, action: str, before: str, after: str
    ) -> None:
        def edit(record: ImageRecord) -> ImageRecord:
            if record.status == after:
                return record
            if record.status != before:
                raise Forbidden(f"Not allowed to {action} image in status '{record.status}'")
            return msgspec.structs.replace(record, status=after)

        self._records.change(context, image_id, action, edit)

    def delete(self, context: RequestContext, image_id: str) -> None:
        """Delete an image and its data; ``Forbidden`` where it is protected or another's."""
        with self._database.write() as tx:
            record = self._records.find(tx, context, image_id, lock=True)
            rights.require_owner(context, record, "delete")
            if record.protected:
                raise Forbidden(
                    f"Image {image_id} is protected and cannot be deleted. Set protected to false "
                    "first."
                )
            tx.images.delete(record.id)
            tx.after_commit(lambda: self._records.files.remove(record.id))
            self._records.announce(tx, record.id)

    def upload(
        self,
        context: RequestContext,
        image_id: str,
        chunks: Iterable[bytes],
        declared_size: int | None = None,
    ) -> ImageRecord:
        """Fill a queued image with data; raises as ``ImageData.upload``."""
        return self.data.upload(context, image_id, chunks, declared_size)

    def download(self, context: RequestContext, image_id: str) -> Iterator[bytes]:
        """All data of an image, in pieces; nothing for an image without data."""
        return self.data.read(self.data.readable(context, image_id))

    def status_of(self, image_id: str) -> str | None:
        """The status of an image, ``deleted`` of one that was; None where there never was one."""
        with self._database.read() as tx:
            record = tx.images.get(image_id)
            if record is not None:
                return record.status
            return "deleted" if tx.images.was_deleted(image_id) else None

    def _check_quotas(self, record: ImageRecord) -> None:
        check_quota("properties", len(record.properties), self.section.image_property_quota)
        check_quota("tags", len(record.tags), self.section.image_tag_quota)
