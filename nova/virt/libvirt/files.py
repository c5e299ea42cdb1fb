# SPDX-License-Identifier: Apache-2.0
"""The directories of a compute host: where disks, cached images and locks are."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import os
import shutil
import uuid as uuids
from collections.abc import Iterator
from pathlib import Path

import msgspec

from nova.decoding import json_decoder

_decode_formats = json_decoder(dict[str, str]).decode


class GuestDirectory:
    """The files of one guest, named as in Kilo.

    ``disk.info`` records the format of each disk as we made it: what a guest writes into its disk must
    never decide how the disk is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def console_log(self) -> Path:
        """What the guest wrote to its serial console."""
        return self.path / "console.log"

    def file(self, name: str) -> Path:
        """A file by its name."""
        return self.path / name

    def make(self) -> None:
        """Make the directory; the hypervisor's user has to be able to enter it."""
        self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.path.chmod(0o711)

    def exists(self) -> bool:
        """Whether it is there."""
        return self.path.is_dir()

    def formats(self) -> dict[str, str]:
        """The recorded formats by file name."""
        try:
            return _decode_formats((self.path / "disk.info").read_bytes())
        except FileNotFoundError:
            return {}

    def record(self, name: str, disk_format: str | None) -> None:
        """Record a disk's format, or forget the disk."""
        formats = self.formats()
        formats.pop(name, None)
        if disk_format is not None:
            formats[name] = disk_format
        fresh = self.path / "disk.info.new"
        fresh.write_bytes(msgspec.json.encode(formats))
        os.replace(fresh, self.path / "disk.info")

    def remove_disk(self, name: str) -> None:
        """Remove a disk and forget it."""
        self.record(name, None)
        (self.path / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove everything."""
        if self.path.is_dir():
            shutil.rmtree(self.path)


@dataclasses.dataclass(frozen=True)
class HostFiles:
    """The tree under ``instances_path``."""

    instances: Path
    snapshots: Path
    host: str

    @property
    def base(self) -> Path:
        """Cached images."""
        return self.instances / "_base"

    def guest(self, uuid: str) -> GuestDirectory:
        """The directory of a guest."""
        return GuestDirectory(self.instances / uuid)

    def kept(self, uuid: str) -> GuestDirectory:
        """What a move left behind until it is confirmed or reverted."""
        return GuestDirectory(self.instances / f"{uuid}_resize")

    def moved(self, uuid: str) -> GuestDirectory:
        """The disks of a guest that moved away while it ran, until it has arrived."""
        return GuestDirectory(self.instances / f"{uuid}_moved")

    def keeps(self, uuid: str) -> bool:
        """Whether this host, and not another on the same shared storage, keeps a guest that moved."""
        try:
            return (self.kept(uuid).path / "kept-by").read_text() == self.host
        except FileNotFoundError:
            return False

    def prepare(self) -> None:
        """Make the directories, and clear what unfinished snapshots left."""
        for path in (self.instances, self.base, self.snapshots, self.instances / "locks"):
            path.mkdir(parents=True, exist_ok=True)
            # The umask may be stricter; the hypervisor's user has to pass through.
            path.chmod(0o711)
        for leftover in self.snapshots.iterdir():
            if leftover.name.startswith(f"{self.host}--"):
                leftover.unlink(missing_ok=True)

    def new_snapshot(self, uuid: str) -> Path:
        """A file for a snapshot on its way; a later start of this host removes it if it stays."""
        return self.snapshots / f"{self.host}--{uuid}-{uuids.uuid4().hex[:8]}"

    def hold(self, uuid: str) -> None:
        """Write down that the guest is this host's: on shared storage others leave its disks alone."""
        holder = self.guest(uuid).file("held-by")
        if self.holder(uuid) != self.host:
            holder.write_text(self.host)

    def holder(self, uuid: str) -> str | None:
        """The host that a guest's disks belong to; None where nobody said so."""
        try:
            return self.guest(uuid).file("held-by").read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _lock(self, name: str) -> Path:
        digest = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
        return self.instances / "locks" / digest

    def stamp(self, name: str) -> None:
        """Note that what this lock is for was wanted now; the lock is held.

        Not on the file itself: the hypervisor makes what it reads its own.
        """
        os.utime(self._lock(name))

    def stamped(self, name: str) -> float:
        """When it was noted last, as time.time() has it; 0 where it never was."""
        try:
            return self._lock(name).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold a lock against every thread and process of this host."""
        descriptor = os.open(self._lock(name), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


@functools.lru_cache(maxsize=64)
def supports_direct_io(directory: Path) -> bool:
    """Whether files there can be opened past the page cache."""
    probe = directory / f".direct-io-{os.getpid()}"
    try:
        descriptor = os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_DIRECT, 0o600)
    except OSError:
        return False
    else:
        os.close(descriptor)
        return True
    finally:
        probe.unlink(missing_ok=True)
