# SPDX-License-Identifier: Apache-2.0
"""Image data on disk: one file an image, named by its id, in one directory.

Data that is being received lives in ``incoming/`` under a name of its own, locked (flock) for as
long as its writer lives, so that a later start can tell the remains of a dead upload from a running
one. Data that waits for its import lives in ``staging/``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from nova.errors import TooLarge
from nova.image import formats
from nova.objects.image_record import StagedData

#: Bytes that are read at a time.
CHUNK = 512 * 1024
#: Algorithm of ``os_hash_value``; Glance's default too.
HASH_ALGORITHM = "sha512"


class IncomingFile:
    """Data of one image while it is received; measured as it is written."""

    def __init__(self, path: Path, upload_id: str) -> None:
        self.upload_id = upload_id
        self.path = path
        self.size = 0
        self.head = b""
        self._checksum = hashlib.md5(usedforsecurity=False)
        self._hash = hashlib.new(HASH_ALGORITHM)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def receive(self, chunks: Iterable[bytes], limit: int, refusal: str) -> None:
        """Write all of ``chunks``; ``TooLarge`` with ``refusal`` beyond ``limit`` bytes."""
        for chunk in chunks:
            self.size += len(chunk)
            if self.size > limit:
                raise TooLarge(refusal)
            if len(self.head) < formats.HEAD_BYTES:
                self.head += bytes(chunk[: formats.HEAD_BYTES - len(self.head)])
            self._write(chunk)
            self._checksum.update(chunk)
            self._hash.update(chunk)

    def _write(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        try:
            while view:
                view = view[os.write(self._descriptor, view):]
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise TooLarge("Image storage media is full.") from error
            raise

    def measured(self, disk_format: str | None) -> StagedData:
        """Size and digests of what was received."""
        return StagedData(
            size=self.size,
            virtual_size=formats.virtual_size(disk_format, self.head, self.size),
            checksum=self._checksum.hexdigest(),
            os_hash_algo=HASH_ALGORITHM,
            os_hash_value=self._hash.hexdigest(),
        )

    def close(self) -> None:
        """Let go of the file, and remove it unless it was moved to its place."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        os.close(self._descriptor)


class ImageFiles:
    """The data directory. Image ids given here have been checked to be UUIDs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._incoming = directory / "incoming"
        self._staging = directory / "staging"
        for path in (directory, self._incoming, self._staging):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def receive(self, image_id: str) -> IncomingFile:
        """A new file to write an image's data into; ``close`` it in any case."""
        upload_id = str(uuid.uuid4())
        with self._gate(fcntl.LOCK_SH):
            return IncomingFile(self._incoming / f"{image_id}.{upload_id}", upload_id)

    def publish(self, incoming: IncomingFile, image_id: str) -> None:
        """Make what was received the image's data."""
        os.replace(incoming.path, self.directory / image_id)

    def stage(self, incoming: IncomingFile, image_id: str) -> None:
        """Keep what was received until the image's import."""
        os.replace(incoming.path, self._staging / image_id)

    def publish_staged(self, image_id: str) -> None:
        """Make the staged data the image's; the staged name stays until ``drop_staged``."""
        target = self.directory / image_id
        target.unlink(missing_ok=True)
        os.link(self._staging / image_id, target)

    def drop_staged(self, image_id: str) -> None:
        """Remove data that waited for its import."""
        (self._staging / image_id).unlink(missing_ok=True)

    def is_staged(self, image_id: str) -> bool:
        """Whether data waits for the image's import."""
        return (self._staging / image_id).exists()

    def remove(self, image_id: str) -> None:
        """Remove an image's data, staged data too."""
        (self.directory / image_id).unlink(missing_ok=True)
        self.drop_staged(image_id)

    def read(self, image_id: str, start: int, length: int) -> Iterator[bytes]:
        """``length`` bytes of an image's data from ``start``, in pieces.

        The file is opened at once: ``FileNotFoundError`` comes from this call, and a delete
        meanwhile doesn't end a download.
        """
        return _pieces(open(self.directory / image_id, "rb", buffering=0), start, length)

    def stored(self) -> list[str]:
        """The ids that data is kept for."""
        with os.scandir(self.directory) as entries:
            return [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]

    def staged(self) -> list[str]:
        """The ids that staged data is kept for."""
        return os.listdir(self._staging)

    def clear_abandoned(self) -> set[str]:
        """Remove what dead uploads left behind; returns the upload ids of those that still run."""
        running: set[str] = set()
        with self._gate(fcntl.LOCK_EX):
            for name in os.listdir(self._incoming):
                if name == "gate":
                    continue
                path = self._incoming / name
                try:
                    descriptor = os.open(path, os.O_RDONLY)
                except FileNotFoundError:
                    continue
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink(missing_ok=True)
                except BlockingIOError:
                    running.add(name.rpartition(".")[2])
                finally:
                    os.close(descriptor)
        return running

    @contextlib.contextmanager
    def _gate(self, mode: int) -> Iterator[None]:
        """Keeps a file from being taken for abandoned between its creation and its lock."""
        descriptor = os.open(self._incoming / "gate", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, mode)
            yield
        finally:
            os.close(descriptor)


def _pieces(source: io.FileIO, start: int, length: int) -> Iterator[bytes]:
    with source:
        source.seek(start)
        while length > 0:
            piece = source.read(min(CHUNK, length))
            if not piece:
                return
            length -= len(piece)
            yield piece
