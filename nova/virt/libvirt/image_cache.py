# SPDX-License-Identifier: Apache-2.0
"""Images on the host, each fetched, checked and converted once, then shared by all guests made of it.

A cached image is ``_base/<sha1 of the image's id>``, as in Kilo, raw; one kept as qcow2 has that suffix. The
name tells the format, for what a raw disk begins with is the guest's affair. A file appears complete under
its name or not at all: an interrupted fetch leaves only files that end in ``.part``.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nova.virt.driver import SourceImage
from nova.virt.libvirt import qemu_img
from nova.virt.libvirt.files import HostFiles
from nova.virt.libvirt.image_inspection import (
    ImageUnacceptable,
    Inspection,
    inspect,
    is_iso,
    require_declared,
    require_size,
)

LOG = logging.getLogger(__name__)

_GIB = 1 << 30


class CachedImage:
    """A base file: where, in which format (raw or qcow2), its disk's size in bytes."""

    __slots__ = ("format", "iso", "path", "virtual_size")

    def __init__(self, path: Path, disk_format: str, virtual_size: int, *, iso: bool) -> None:
        self.path = path
        self.format = disk_format
        self.virtual_size = virtual_size
        self.iso = iso


class ImageCache:
    """``force_raw`` keeps every image as raw, which costs space once and saves time in every guest."""

    def __init__(self, files: HostFiles, *, force_raw: bool) -> None:
        self._files = files
        self._force_raw = force_raw

    def fetch(self, image_id: str, source: Callable[[str], SourceImage], limit_gb: int) -> CachedImage:
        """The image's base file, fetched if it is not here.

        ``limit_gb`` is the size of the disk it is for, 0 for no limit but the host's own. Raises
        ``ImageUnacceptable`` for an image that may not be used, ``VirtError`` where it cannot be had.
        """
        name = hashlib.sha1(image_id.encode(), usedforsecurity=False).hexdigest()
        raw, qcow2 = self._files.base / name, self._files.base / f"{name}.qcow2"
        with self._files.locked(f"image-{name}"):
            path = next((each for each in (raw, qcow2) if each.exists()), None)
            if path is None:
                path = self._fetch(raw, qcow2, source(image_id), limit_gb)
            self._files.stamp(f"image-{name}")
        if path == qcow2:
            found = inspect(path)
        else:
            found = Inspection("raw", path.stat().st_size, iso=is_iso(path))
        require_size(found, self._limit(limit_gb), _limit_name(limit_gb))
        return CachedImage(path, found.format, found.virtual_size, iso=found.iso)

    def blank(self, name: str, size: int, make: Callable[[Path], object] | None) -> Path:
        """A raw base file of ``size`` bytes that is the same for all guests: a file system or swap."""
        path = self._files.base / name
        with self._files.locked(f"blank-{name}"):
            if not path.exists():
                part = path.with_suffix(".part")
                part.unlink(missing_ok=True)
                with part.open("wb") as file:
                    file.truncate(size)
                if make is not None:
                    make(part)
                _publish(part, path)
        return path

    def remove_unused(self, used: set[Path], minimum_age: float) -> list[Path]:
        """Remove base files that no disk in ``used`` needs and that were not asked for lately."""
        removed = []
        for path in self._files.base.iterdir():
            if path in used or path.suffix == ".part" or not path.is_file():
                continue
            with self._files.locked(f"image-{path.stem}"):
                if not path.exists():
                    continue
                wanted = max(path.stat().st_mtime, self._files.stamped(f"image-{path.stem}"))
                if time.time() - wanted > minimum_age:
                    path.unlink()
                    removed.append(path)
                    LOG.info("removed the cached image %s: no guest uses it", path.name)
        return removed

    def _fetch(self, raw: Path, qcow2: Path, image: SourceImage, limit_gb: int) -> Path:
        began = time.monotonic()
        part = raw.with_suffix(".part")
        converted = raw.with_suffix(".converted.part")
        path = raw
        try:
            _download(part, image)
            found = inspect(part)
            require_declared(image.disk_format, found)
            require_size(found, self._limit(limit_gb), _limit_name(limit_gb))
            if found.format == "raw":
                _publish(part, raw)
            elif found.format == "qcow2" and not self._force_raw:
                path = qcow2
                _publish(part, qcow2)
            else:
                self._convert(part, found, converted)
                _publish(converted, raw)
        finally:
            part.unlink(missing_ok=True)
            converted.unlink(missing_ok=True)
        LOG.info("fetched image %s in %.1f s", image.id, time.monotonic() - began)
        return path

    def _convert(self, source: Path, found: Inspection, target: Path) -> None:
        """To raw, after qemu-img itself was asked once more what the file refers to."""
        said: dict[str, Any] = qemu_img.info(source, found.format)
        specific = (said.get("format-specific") or {}).get("data") or {}
        if said.get("backing-filename") or specific.get("data-file"):
            raise ImageUnacceptable("The image refers to another file; images have to be complete.")
        if int(said["virtual-size"]) != found.virtual_size:
            raise ImageUnacceptable("The image is damaged: its header tells two sizes.")
        qemu_img.convert(source, found.format, target, "raw")

    def _limit(self, limit_gb: int) -> int:
        if limit_gb:
            return limit_gb * _GIB
        room = os.statvfs(self._files.instances)
        return room.f_bavail * room.f_frsize


def _limit_name(limit_gb: int) -> str:
    return "the flavor's root disk" if limit_gb else "the host's free space"


def _download(path: Path, image: SourceImage) -> None:
    """Write the image's data, and compare its size and digests with what the image service says."""
    digests = {}
    if image.os_hash_algo and image.os_hash_value:
        try:
            digests[image.os_hash_value] = hashlib.new(image.os_hash_algo)
        except ValueError:
            raise ImageUnacceptable(
                f"The image's hash is a {image.os_hash_algo}, which is not known on this host."
            ) from None
    elif image.checksum:
        digests[image.checksum] = hashlib.md5(usedforsecurity=False)
    size = 0
    path.unlink(missing_ok=True)
    # Not unbuffered: a disk that fills up takes a part of a piece, and says so only at the next one.
    with path.open("wb") as file:
        for chunk in image.read():
            size += len(chunk)
            if image.size is not None and size > image.size:
                raise ImageUnacceptable("The image service sent more data than the image's size.")
            file.write(chunk)
            for digest in digests.values():
                digest.update(chunk)
    if image.size is not None and size != image.size:
        raise ImageUnacceptable(
            f"The image service sent {size} bytes of an image of {image.size} bytes."
        )
    for expected, digest in digests.items():
        if digest.hexdigest() != expected:
            raise ImageUnacceptable("The image's data does not match its hash.")


def _publish(part: Path, path: Path) -> None:
    """Give a complete file its name. The hypervisor's user has to be able to read it."""
    descriptor = os.open(part, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.fchmod(descriptor, 0o644)
    finally:
        os.close(descriptor)
    os.replace(part, path)
