# SPDX-License-Identifier: Apache-2.0
"""Where volumes' data is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from nova.objects.image import Image
from nova.objects.volume_record import SnapshotRecord, VolumeRecord


class Interrupted(Exception):
    """The process ends; the work is to be taken up again later."""


class Backend(Protocol):
    """Holds data. Every method may be called again after it was interrupted at any moment."""

    #: Whether its methods take so little that they run within the request.
    immediate: bool
    #: How hosts reach the data, as types may ask for it (``storage_protocol``).
    protocol: str
    #: Format of new volumes.
    format: str

    def prepare(self) -> None:
        """Get ready, once at start; clear what an earlier process left unfinished."""
        ...

    def stop(self) -> None:
        """Let what runs raise ``Interrupted`` soon."""
        ...

    def create(self, volume: VolumeRecord) -> None:
        """An empty volume of its size."""
        ...

    def write_image(
        self, volume: VolumeRecord, image: Image, read: Callable[[], Iterator[bytes]]
    ) -> None:
        """A volume of its size that begins with an image's disk; what was in it is gone.

        Raises ``ImageUnacceptable`` or another ``NovaError`` where the image cannot be used.
        """
        ...

    def clone(self, volume: VolumeRecord, source: VolumeRecord | SnapshotRecord) -> None:
        """A volume of its size that begins as ``source``."""
        ...

    def delete(self, volume: VolumeRecord) -> None:
        """No volume; one that is gone is no error."""
        ...

    def extend(self, volume: VolumeRecord, size_gb: int) -> None:
        """Make a volume larger."""
        ...

    def snapshot(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> None:
        """Keep the volume as it is now."""
        ...

    def delete_snapshot(self, snapshot: SnapshotRecord) -> None:
        """No snapshot; one that is gone is no error."""
        ...

    def revert(self, volume: VolumeRecord, snapshot: SnapshotRecord) -> None:
        """Make the volume what it was at the snapshot."""
        ...

    def export(
        self, volume: VolumeRecord, disk_format: str
    ) -> AbstractContextManager[Iterator[bytes]]:
        """The volume's data as an image of ``disk_format``, in pieces."""
        ...

    def connection(self, volume: VolumeRecord, mode: str) -> dict[str, Any]:
        """What a host needs to reach the volume: ``driver_volume_type`` and ``data``."""
        ...

    def capacity(self) -> tuple[float, float]:
        """GiB in all, and GiB that are free."""
        ...
