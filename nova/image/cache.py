# SPDX-License-Identifier: Apache-2.0
"""Images as compute sees them, kept for a moment so that booting many servers is cheap."""

from __future__ import annotations

import threading
import time

from nova.objects.image import Image
from nova.objects.image_record import ImageRecord

#: Seconds after which an entry is read again; bounds how late the writes of other processes are
#: seen.
TTL = 2.0
#: Entries kept at most; the cache starts anew beyond.
MOST = 10_000


class CachedImage:
    """An image and the projects that it is shared with."""

    __slots__ = ("expires", "image", "members", "record")

    def __init__(self, record: ImageRecord, members: frozenset[str], expires: float) -> None:
        self.record = record
        self.image: Image = record.to_image()
        self.members = members
        self.expires = expires


class ImageCache:
    """Entries by image id. Every write of this process drops the image's entry at once."""

    def __init__(self) -> None:
        self._entries: dict[str, CachedImage] = {}
        self._lock = threading.Lock()
        self._writes = 0

    @property
    def writes(self) -> int:
        """How many writes were seen; ``keep`` wants the count from before the image was read."""
        return self._writes

    def get(self, image_id: str) -> CachedImage | None:
        """The entry, if it is young enough."""
        entry = self._entries.get(image_id)
        return entry if entry is not None and entry.expires > time.monotonic() else None

    def keep(self, record: ImageRecord, members: frozenset[str], writes: int) -> CachedImage:
        """Make an entry; it is not kept where a write came in between, which it may not show."""
        entry = CachedImage(record, members, time.monotonic() + TTL)
        with self._lock:
            if self._writes == writes:
                if len(self._entries) >= MOST:
                    self._entries.clear()
                self._entries[record.id] = entry
        return entry

    def forget(self, image_id: str) -> None:
        """The image was written."""
        with self._lock:
            self._writes += 1
            self._entries.pop(image_id, None)
