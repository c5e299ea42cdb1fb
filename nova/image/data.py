# SPDX-License-Identifier: Apache-2.0
"""Image data: upload, staging and import, download, and what to do after a crash.

    queued --upload--> saving --complete--> active          broken: back to queued, no file
    queued --stage---> uploading --import--> active          broken: back to queued, no file

The file takes its place inside the transaction that makes the image active, so that a record which
says active has its data, and a crash leaves at most a file that ``recover`` removes.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator

import msgspec

from nova.db.engine import Transaction
from nova.errors import BadRequest, Conflict, Forbidden, Gone, NotFound, TooLarge
from nova.image import formats, rights
from nova.image.files import IncomingFile
from nova.image.records import ImageRecords
from nova.objects.context import RequestContext
from nova.objects.image_record import ImageRecord

LOG = logging.getLogger(__name__)

_MEASURES = ("size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value")


class ImageData:
    """Moves data in and out of images."""

    def __init__(self, records: ImageRecords) -> None:
        self._records = records
        self._files = records.files

    def upload(
        self,
        context: RequestContext,
        image_id: str,
        chunks: Iterable[bytes],
        declared_size: int | None = None,
    ) -> ImageRecord:
        """Fill a queued image and make it active.

        ``declared_size`` is what the sender said, in bytes; other data is refused as broken off.
        Raises ``Conflict`` unless queued, ``BadRequest`` without formats or for broken data,
        ``TooLarge`` over the cap or the quota, ``Gone`` where it was deleted meanwhile.
        """
        record = self._begin(context, image_id, declared_size)
        with self._receiving(record, "saving", chunks, declared_size) as incoming:
            measured = incoming.measured(record.disk_format)
            with self._records.database.write() as tx:
                self._claim_room(tx, record, measured.size)
                changes = {
                    "status": "active", "upload_id": None, **msgspec.structs.asdict(measured),
                }
                if not tx.images.transition(
                    image_id, changes, statuses=("saving",), upload_id=incoming.upload_id
                ):
                    raise Gone(f"Image {image_id} was deleted during the upload.")
                self._files.publish(incoming, image_id)
                self._records.announce(tx, image_id)
        return self._records.get(context, image_id)

    def stage(
        self,
        context: RequestContext,
        image_id: str,
        chunks: Iterable[bytes],
        declared_size: int | None = None,
    ) -> None:
        """Take data for a later import, ``uploading`` until then; raises as ``upload``."""
        record = self._begin(context, image_id, declared_size)
        with self._receiving(record, "uploading", chunks, declared_size) as incoming:
            measured = incoming.measured(record.disk_format)
            with self._records.database.write() as tx:
                self._claim_room(tx, record, measured.size)
                if not tx.images.transition(
                    image_id, {"staged": measured, "size": measured.size},
                    statuses=("uploading",), upload_id=incoming.upload_id,
                ):
                    raise Gone(f"Image {image_id} was deleted during the upload.")
                self._files.stage(incoming, image_id)
                self._records.announce(tx, image_id)

    def import_staged(self, context: RequestContext, image_id: str) -> ImageRecord:
        """Make an image active with its staged data. Raises ``Conflict`` where there is none."""
        with self._records.database.write() as tx:
            record = self._records.find(tx, context, image_id, lock=True)
            rights.require_owner(context, record, "import data to")
            if record.status == "active":
                raise Conflict("Image with status active cannot be target for import")
            if record.status != "uploading" or record.staged is None:
                raise Conflict(
                    "Image needs to be staged before 'glance-direct' method can be used"
                )
            self._require_formats(record)
            changes = {
                **msgspec.structs.asdict(record.staged),
                "status": "active", "upload_id": None, "staged": None,
            }
            tx.images.transition(image_id, changes, statuses=("uploading",))
            self._files.publish_staged(image_id)
            tx.after_commit(lambda: self._files.drop_staged(image_id))
            self._records.announce(tx, image_id)
        return self._records.get(context, image_id)

    def readable(self, context: RequestContext, image_id: str) -> ImageRecord:
        """The record of an image to download; ``Forbidden`` for a deactivated one."""
        record = self._records.get(context, image_id)
        if record.status == "deactivated" and not context.is_admin:
            raise Forbidden(
                "The requested image has been deactivated. Image data download is forbidden."
            )
        return record

    def read(
        self, record: ImageRecord, start: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """An image's data in pieces; ``NotFound`` where the file is missing."""
        if length is None:
            length = (record.size or 0) - start
        try:
            return self._files.read(record.id, start, length)
        except FileNotFoundError:
            LOG.error("The data of image %s is missing in %s", record.id, self._files.directory)
            raise NotFound(f"The data of image {record.id} is missing.") from None

    def recover(self) -> None:
        """Undo what uploads that died with their process left: run at start, safe at any time.

        Uploads of living processes on the same directory are left alone.
        """
        running = self._files.clear_abandoned()
        with self._records.database.write() as tx:
            unfinished = tx.images.in_status(("saving", "uploading"))
            staged = set(self._files.staged())
            waiting = set()
            for record in unfinished:
                if record.upload_id in running:
                    continue
                if record.staged is not None and record.id in staged:
                    waiting.add(record.id)
                    continue
                LOG.info("The upload of image %s was interrupted; it is queued again", record.id)
                self._requeue(tx, record.id, record.upload_id)
            for image_id in staged - waiting - {record.id for record in unfinished}:
                if tx.images.get(image_id) is not None or tx.images.was_deleted(image_id):
                    self._files.drop_staged(image_id)
        self._remove_orphans()

    def _remove_orphans(self) -> None:
        """Data of deleted images: the process died between the delete and its unlink.

        Files of which the database knows nothing stay: it may be the wrong database.
        """
        with self._records.database.read() as tx:
            orphans = tx.images.deleted_among(self._files.stored())
        for image_id in orphans:
            LOG.info("Removing the data of image %s, which is deleted", image_id)
            self._files.remove(image_id)

    def _begin(
        self, context: RequestContext, image_id: str, declared_size: int | None
    ) -> ImageRecord:
        with self._records.database.read() as tx:
            record = self._records.find(tx, context, image_id)
            rights.require_owner(context, record, "upload data to")
            if record.status != "queued":
                raise Conflict(
                    f"Image {image_id} has status {record.status}; data can only be given to an "
                    "image with status queued."
                )
            self._require_formats(record)
            if declared_size is not None:
                self._require_room(tx, record, declared_size)
        return record

    @staticmethod
    def _require_formats(record: ImageRecord) -> None:
        missing = [
            name for name in ("disk_format", "container_format") if getattr(record, name) is None
        ]
        if missing:
            raise BadRequest(f"Properties {', '.join(missing)} must be set prior to saving data.")

    @contextlib.contextmanager
    def _receiving(
        self,
        record: ImageRecord,
        status: str,
        chunks: Iterable[bytes],
        declared_size: int | None,
    ) -> Iterator[IncomingFile]:
        """All data, received while the image is in ``status``; any failure queues it again."""
        incoming = self._files.receive(record.id)
        try:
            with self._records.database.write() as tx:
                limit, refusal = self._room(tx, record)
                if not tx.images.transition(
                    record.id, {"status": status, "upload_id": incoming.upload_id},
                    statuses=("queued",),
                ):
                    raise Conflict(f"Image {record.id} is not queued any more.")
                self._records.announce(tx, record.id)
            try:
                incoming.receive(chunks, limit, refusal)
                if declared_size is not None and incoming.size != declared_size:
                    raise BadRequest(
                        f"The data ended after {incoming.size} of {declared_size} bytes."
                    )
                formats.refuse_references(record.disk_format, incoming.head)
                yield incoming
            except BaseException:
                with self._records.database.write() as tx:
                    self._requeue(tx, record.id, incoming.upload_id)
                raise
        finally:
            incoming.close()

    def _requeue(self, tx: Transaction, image_id: str, upload_id: str | None) -> None:
        """Back to queued, without data, if the image still belongs to that upload."""
        cleared: dict[str, object] = dict.fromkeys(_MEASURES)
        if tx.images.transition(
            image_id, {"status": "queued", "upload_id": None, "staged": None, **cleared},
            statuses=("saving", "uploading"), upload_id=upload_id,
        ):
            # Before the commit: after it the next upload may have put its data there already.
            self._files.remove(image_id)
            self._records.announce(tx, image_id)

    def _room(self, tx: Transaction, record: ImageRecord) -> tuple[int, str]:
        """Most bytes that the image may take, and what to say beyond."""
        cap = self._records.section.image_size_cap
        quota = self._records.section.user_storage_quota
        if quota and record.owner:
            left = max(quota - tx.images.stored_bytes(record.owner), 0) + (record.size or 0)
            if left < cap:
                return left, (
                    f"Image exceeds the storage quota: the project may hold {quota} bytes, of "
                    f"which {left} are free."
                )
        return cap, f"Image exceeds the size limit of {cap} bytes."

    def _require_room(self, tx: Transaction, record: ImageRecord, size: int) -> None:
        limit, refusal = self._room(tx, record)
        if size > limit:
            raise TooLarge(refusal)

    def _claim_room(self, tx: Transaction, record: ImageRecord, size: int) -> None:
        """``_require_room`` that parallel uploads of one project can't pass together."""
        if self._records.section.user_storage_quota and record.owner:
            tx.images.lock_owner(record.owner)
        self._require_room(tx, record, size)
