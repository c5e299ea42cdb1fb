# SPDX-License-Identifier: Apache-2.0
"""Volumes as files: one file a volume, one file a snapshot, in a directory that compute hosts see too.

A file gets its name once it is complete. Copies share their blocks where the file system can (XFS,
Btrfs), and are sparse elsewhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nova.conf.volume import VolumeSection
from nova.errors import NovaError, TooLarge
from nova.objects.image import Image
from nova.objects.volume_record import SnapshotRecord, VolumeRecord
from nova.volume import sparse
from nova.volume.backend import Interrupted

GIB = 1 << 30
#: Kept of unfinished files that belong to a living process.
_PART = ".part"


class VolumeFiles:
    """A directory of volumes. Ids given here are those of records."""

    immediate = False
    protocol = "file"

    def __init__(self, directory: Path, section: VolumeSection) -> None:
        self.directory = directory
        self.format = section.volume_format
        self._volume_name = section.volume_name_template
        self._snapshot_name = section.snapshot_name_template
        self._ending = threading.Event()

    def prepare(self) -> None:
        """Make the directory, and remove the unfinished files of processes that are gone."""
        self.directory.mkdir(parents=True, exist_ok=True)
        # The hypervisor's user passes through here to the files that are given to it.
        self.directory.chmod(0o711)
        for path in self.directory.glob(f"*{_PART}"):
            with contextlib.suppress(FileNotFoundError, BlockingIOError), open(path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)

    def stop(self) -> None:
        """End copies that run."""
        self._ending.set()

    def path(self, record: VolumeRecord | SnapshotRecord) -> Path:
        """The file of a volume or a snapshot."""
        snapshot = isinstance(record, SnapshotRecord)
        return self.directory / ((self._snapshot_name if snapshot else self._volume_name) % record.id)

    # --- volumes ---------------------------------------------------------------------------------

    def create(self, volume: VolumeRecord) -> None:
        """An empty file of the volume's size."""
        with self._fresh(self.path(volume)) as part:
            if volume.format == "raw":
                os.truncate(part, volume.size * GIB)
            else:
                from nova.virt.libvirt import qemu_img

                qemu_img.create(part, volume.format, volume.size * GIB)

    def write_image(
        self, volume: VolumeRecord, image: Image, read: Callable[[], Iterator[bytes]]
    ) -> None:
        """The image's disk, read from what the file itself says and nothing else, at the volume's size."""
        from nova.virt.libvirt import image_inspection

        target = self.path(volume)
        with self._fresh(target) as part:
            written = sparse.write_chunks(part, read(), self._check)
            if image.size is not None and written != image.size:
                raise NovaError(
                    f"The image service sent {written} bytes of an image of {image.size} bytes."
                )
            found = image_inspection.inspect(part)
            image_inspection.require_declared(image.disk_format, found)
            image_inspection.require_size(found, volume.size * GIB, "the volume")
            if found.format == "raw" == volume.format:
                os.truncate(part, volume.size * GIB)
                return
            self._convert(part, found.format, volume.format)
            self._resize(part, volume.format, volume.size)

    def clone(self, volume: VolumeRecord, source: VolumeRecord | SnapshotRecord) -> None:
        """A copy of the source's file at the volume's size."""
        with self._fresh(self.path(volume)) as part:
            sparse.copy(self.path(source), part, self._check)
            if source.format != volume.format:
                self._convert(part, source.format, volume.format)
            self._resize(part, volume.format, volume.size)

    def delete(self, volume: VolumeRecord) -> None:
        """No file."""
        self.path(volume).unlink(missing_ok=True)

    def extend(self, volume: VolumeRecord, size_gb: int) -> None:
        """A larger file."""
        self._resize(self.path(volume), volume.format, size_gb)

    # --- snapshots -------------------------------------------------------------------------------

    def snapshot(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> None:
        """A copy of the volume's file."""
        target = self.path(snapshot)
        if not target.exists():
            with self._fresh(target) as part:
                sparse.copy(self.path(volume), part, self._check)

    def delete_snapshot(self, snapshot: SnapshotRecord) -> None:
        """No file."""
        self.path(snapshot).unlink(missing_ok=True)

    def revert(self, volume: VolumeRecord, snapshot: SnapshotRecord) -> None:
        """A copy of the snapshot's file in the volume's place."""
        with self._fresh(self.path(volume)) as part:
            sparse.copy(self.path(snapshot), part, self._check)

    # --- images, connections ---------------------------------------------------------------------

    @contextlib.contextmanager
    def export(self, volume: VolumeRecord, disk_format: str) -> Iterator[Iterator[bytes]]:
        """The file, converted beside it where the image is to be of another format."""
        path = self.path(volume)
        wanted = {"vhd": "vpc", "iso": "raw", "ami": "raw"}.get(disk_format, disk_format)
        if wanted == volume.format:
            yield self._pieces(path)
            return
        from nova.virt.libvirt import qemu_img

        converted = self._part_name(path)
        try:
            qemu_img.convert(path, volume.format, converted, wanted)
            yield self._pieces(converted)
        finally:
            converted.unlink(missing_ok=True)

    def connection(self, volume: VolumeRecord, mode: str) -> dict[str, Any]:
        """The file's path, which hosts have too."""
        path = self.path(volume)
        return {
            "driver_volume_type": "file",
            "data": {
                "volume_id": volume.id, "device_path": str(path), "name": path.name,
                "export": str(self.directory), "format": volume.format, "access_mode": mode,
                "qos_specs": None, "encrypted": False, "discard": True,
            },
        }

    def capacity(self) -> tuple[float, float]:
        """Of the file system."""
        room = os.statvfs(self.directory)
        return (
            round(room.f_blocks * room.f_frsize / GIB, 2), round(room.f_bavail * room.f_frsize / GIB, 2)
        )

    # --- parts -----------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._ending.is_set():
            raise Interrupted

    def _part_name(self, target: Path) -> Path:
        return target.with_name(f"{target.name}.{uuid.uuid4().hex}{_PART}")

    @contextlib.contextmanager
    def _fresh(self, target: Path) -> Iterator[Path]:
        """A new file that gets the name ``target`` at the end of the block; nothing where that fails."""
        part = self._part_name(target)
        try:
            with open(part, "xb") as file:
                os.fchmod(file.fileno(), 0o600)
                fcntl.flock(file, fcntl.LOCK_EX)
                yield part
                descriptor = os.open(part, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                os.replace(part, target)
        except OSError as error:
            if error.errno in (28, 122):
                raise TooLarge("The volumes' file system is full.") from error
            raise
        finally:
            part.unlink(missing_ok=True)

    def _convert(self, part: Path, before: str, after: str) -> None:
        """Convert an unfinished file in its place."""
        from nova.virt.libvirt import qemu_img
        from nova.virt.libvirt.image_inspection import ImageUnacceptable

        said: dict[str, Any] = qemu_img.info(part, before)
        specific = (said.get("format-specific") or {}).get("data") or {}
        if said.get("backing-filename") or specific.get("data-file"):
            raise ImageUnacceptable("The image refers to another file; images have to be complete.")
        converted = self._part_name(part)
        try:
            qemu_img.convert(part, before, converted, after)
            os.chmod(converted, 0o600)
            os.replace(converted, part)
        finally:
            converted.unlink(missing_ok=True)

    def _resize(self, path: Path, disk_format: str, size_gb: int) -> None:
        if disk_format == "raw":
            if path.stat().st_size < size_gb * GIB:
                os.truncate(path, size_gb * GIB)
            return
        from nova.virt.libvirt import qemu_img
        from nova.virt.libvirt.image_inspection import inspect

        if inspect(path).virtual_size < size_gb * GIB:
            qemu_img.resize(path, disk_format, size_gb * GIB)

    def _pieces(self, path: Path) -> Iterator[bytes]:
        with open(path, "rb", buffering=0) as file:
            while piece := file.read(sparse.CHUNK):
                self._check()
                yield piece
