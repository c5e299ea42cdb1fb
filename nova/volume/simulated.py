# SPDX-License-Identifier: Apache-2.0
"""Simulated volumes: records alone, for clouds whose guests are simulated too."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from nova.objects.image import Image
from nova.objects.volume_record import SnapshotRecord, VolumeRecord

#: Room that is told of a backend that holds nothing, GiB.
_ROOM = 100_000.0


class SimulatedBackend:
    """Holds no data: every change is done at once, and an image of a volume is empty."""

    immediate = True
    protocol = "simulated"
    format = "raw"

    def prepare(self) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing runs."""

    def create(self, volume: VolumeRecord) -> None:
        """Nothing to make."""

    def write_image(
        self, volume: VolumeRecord, image: Image, read: Callable[[], Iterator[bytes]]
    ) -> None:
        """Nothing is read."""

    def clone(self, volume: VolumeRecord, source: VolumeRecord | SnapshotRecord) -> None:
        """Nothing to copy."""

    def delete(self, volume: VolumeRecord) -> None:
        """Nothing to remove."""

    def extend(self, volume: VolumeRecord, size_gb: int) -> None:
        """Nothing to grow."""

    def snapshot(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> None:
        """Nothing to keep."""

    def delete_snapshot(self, snapshot: SnapshotRecord) -> None:
        """Nothing to remove."""

    def revert(self, volume: VolumeRecord, snapshot: SnapshotRecord) -> None:
        """Nothing to put back."""

    @contextlib.contextmanager
    def export(self, volume: VolumeRecord, disk_format: str) -> Iterator[Iterator[bytes]]:
        """An image without any data."""
        yield iter(())

    def connection(self, volume: VolumeRecord, mode: str) -> dict[str, Any]:
        """A connection without a device behind it."""
        return {
            "driver_volume_type": "simulated",
            "data": {
                "volume_id": volume.id, "name": f"volume-{volume.id}", "access_mode": mode,
                "qos_specs": None, "encrypted": False, "discard": True,
            },
        }

    def capacity(self) -> tuple[float, float]:
        """As much as anybody asks for."""
        return _ROOM, _ROOM
