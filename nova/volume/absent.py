# SPDX-License-Identifier: Apache-2.0
"""Block storage where there is none: nothing is found, and whatever else is asked is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from nova.errors import ServiceUnavailable, VolumeNotFound, VolumeSnapshotNotFound
from nova.volume.interface import BlockStorage


class _Absent:
    def show(self, _context: Any, volume_id: str) -> Any:
        raise VolumeNotFound(volume_id)

    def show_snapshot(self, _context: Any, snapshot_id: str) -> Any:
        raise VolumeSnapshotNotFound(snapshot_id)

    def list_volumes(self, _context: Any) -> list[Any]:
        return []

    def list_snapshots(self, _context: Any) -> list[Any]:
        return []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name not in BlockStorage.__dict__:
            raise AttributeError(name)

        def refuse(*_arguments: Any, **_options: Any) -> Any:
            raise ServiceUnavailable("There is no volume service in this cloud.")

        return refuse


def no_volumes() -> BlockStorage:
    """A block storage service without volumes, which refuses to make any with ``ServiceUnavailable``."""
    return cast(BlockStorage, _Absent())
