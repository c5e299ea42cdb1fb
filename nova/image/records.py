# SPDX-License-Identifier: Apache-2.0
"""How the parts of the image service reach a record: by id, as far as the caller may see it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from nova.conf.image import ImageSection
from nova.db.engine import Database, Transaction
from nova.db.schema.base import now
from nova.errors import ImageNotFound
from nova.image import rights
from nova.image.cache import ImageCache
from nova.image.fields import is_image_id
from nova.image.files import ImageFiles
from nova.objects.context import RequestContext
from nova.objects.image_record import ImageRecord


class ImageRecords:
    """The database, the files and the cache that the parts of the service share."""

    def __init__(
        self, database: Database, section: ImageSection, files: ImageFiles, cache: ImageCache
    ) -> None:
        self.database = database
        self.section = section
        self.files = files
        self.cache = cache

    def find(
        self, tx: Transaction, context: RequestContext, image_id: str, *, lock: bool = False
    ) -> ImageRecord:
        """The record, if the caller may see it; else ``ImageNotFound``."""
        record = tx.images.get(image_id, lock=lock) if is_image_id(image_id) else None
        if record is None:
            raise ImageNotFound(image_id[:80])
        shared = (
            record.visibility == "shared"
            and bool(context.project_id)
            and tx.images.members.get(image_id, context.project_id) is not None
        )
        if not rights.may_see(context, record, (context.project_id,) if shared else ()):
            raise ImageNotFound(image_id)
        return record

    def get(self, context: RequestContext, image_id: str) -> ImageRecord:
        """``find`` in a transaction of its own."""
        with self.database.read() as tx:
            return self.find(tx, context, image_id)

    def change(
        self,
        context: RequestContext,
        image_id: str,
        action: str,
        edit: Callable[[ImageRecord], ImageRecord],
    ) -> ImageRecord:
        """Replace a record of the caller's own by what ``edit`` makes of it.

        Raises ``ImageNotFound``; ``Forbidden`` for another's image, "not permitted to ``action``".
        """
        with self.database.write() as tx:
            record = self.find(tx, context, image_id, lock=True)
            rights.require_owner(context, record, action)
            edited = edit(record)
            if edited is record:
                return record
            edited = msgspec.structs.replace(edited, updated_at=now())
            tx.images.save(edited)
            self.announce(tx, image_id)
            return edited

    def announce(self, tx: Transaction, image_id: str) -> None:
        """Drop what is cached of the image once the transaction is committed."""
        tx.after_commit(lambda: self.cache.forget(image_id))
