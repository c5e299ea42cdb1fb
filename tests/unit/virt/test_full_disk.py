# SPDX-License-Identifier: Apache-2.0
"""A host's disk that is full: nothing is kept by halves, and the user is told."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nova.errors import VirtError
from nova.objects.states import ACTIVE, ERROR
from nova.virt.driver import SourceImage
from nova.virt.fake import FakeDriver, GuestJournal
from nova.virt.libvirt.files import HostFiles
from nova.virt.libvirt.image_cache import ImageCache
from tests.unit.compute.small_cloud import SmallCloud


class _Nearly(io.FileIO):
    """A file on a disk with little room: it takes a part of what it is given, then nothing."""

    room = 0

    def write(self, data: Any) -> int:
        piece = bytes(data)[:min(1000, _Nearly.room)]
        if not piece:
            raise OSError(errno.ENOSPC, "No space left on device")
        _Nearly.room -= len(piece)
        return super().write(piece)


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Nearly]]:
    opened = Path.open

    def open_(path: Path, mode: str = "r", buffering: int = -1, *more: Any, **options: Any) -> Any:
        if mode not in ("wb", "ab"):
            return opened(path, mode, buffering, *more, **options)
        raw = _Nearly(str(path), mode)
        return raw if buffering == 0 else io.BufferedWriter(raw)

    monkeypatch.setattr(Path, "open", open_)
    yield _Nearly
    _Nearly.room = 0


def _cache(tmp_path: Path) -> ImageCache:
    files = HostFiles(tmp_path / "instances", tmp_path / "snapshots", "h1")
    files.prepare()
    return ImageCache(files, force_raw=False)


def _image(data: bytes) -> SourceImage:
    return SourceImage(id="i", size=len(data), disk_format="raw", read=lambda: iter([data]))


def test_an_image_whose_last_piece_is_taken_in_parts_is_whole(
    tmp_path: Path, little_room: type[_Nearly]
) -> None:
    data = b"\0" * 2048 + b"end" * 1000
    little_room.room = 10**6
    cached = _cache(tmp_path).fetch("i", lambda _id: _image(data), 1)
    assert cached.path.read_bytes() == data


def test_an_image_that_does_not_fit_is_not_in_the_cache(
    tmp_path: Path, little_room: type[_Nearly]
) -> None:
    little_room.room = 1500
    cache = _cache(tmp_path)
    with pytest.raises(OSError, match="No space left"):
        cache.fetch("i", lambda _id: _image(b"x" * 4096), 1)
    assert list((tmp_path / "instances" / "_base").iterdir()) == []


def test_a_journal_keeps_nothing_of_a_line_that_does_not_fit(
    tmp_path: Path, little_room: type[_Nearly]
) -> None:
    path = tmp_path / "h1.guests"
    journal = GuestJournal(path)
    little_room.room = 15
    journal.write(b"-first")
    with pytest.raises(VirtError, match="No space left"):
        journal.write(b"-a line that is too long")
    assert path.read_bytes() == b"-first\n"
    little_room.room = 100
    journal.write(b"-second")
    assert path.read_bytes() == b"-first\n-second\n"
    journal.close()


def test_a_server_for_which_no_host_has_space_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = SmallCloud(tmp_path)
    try:
        with monkeypatch.context() as patch:
            def full(*_: Any) -> None:
                raise OSError(errno.ENOSPC, "No space left on device")

            patch.setattr(FakeDriver, "_make", full)
            instance = cloud.boot()
        assert instance.vm_state == ERROR
        assert instance.fault is not None
        assert "has no space left for spawn" in instance.fault.message
        assert cloud.leaks() == []
        assert cloud.boot().vm_state == ACTIVE
    finally:
        cloud.stop()
