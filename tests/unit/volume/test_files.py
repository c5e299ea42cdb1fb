# SPDX-License-Identifier: Apache-2.0
"""Volumes as files: what is in them after every operation, and what is refused."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nova.virt.libvirt import qemu_img
from tests.unit.volume.storage import ADMIN, MEMBER, Storage, gone

GIB = 1 << 30
IMAGE = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
needs_qemu_img = pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img is not installed")


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    made = Storage.of_files(tmp_path)
    yield made
    made.stop()


def path_of(storage: Storage, volume_id: str) -> Path:
    backend: Any = storage.backend
    return Path(backend.path(storage.service.volumes.get(ADMIN, volume_id)))


def write(path: Path, data: bytes, place: int) -> None:
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(data)


def read(path: Path, length: int, place: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(place)
        return file.read(length)


def test_an_empty_volume_is_a_sparse_file_that_only_its_owner_reads(storage: Storage) -> None:
    path = path_of(storage, storage.volume(2))
    found = path.stat()
    assert (found.st_size, found.st_blocks, found.st_mode & 0o777) == (2 * GIB, 0, 0o600)
    assert path.name.startswith("volume-")


def test_a_snapshot_keeps_what_was_and_becomes_a_larger_volume(storage: Storage) -> None:
    volume_id = storage.volume(1)
    path = path_of(storage, volume_id)
    write(path, b"before", 700 << 20)
    snapshot = storage.service.snapshots.create(MEMBER, volume_id, "s")
    storage.wait_snapshot(snapshot.id)
    write(path, b"after!", 700 << 20)

    grown = path_of(storage, storage.volume(2, snapshot_id=snapshot.id))
    assert grown.stat().st_size == 2 * GIB
    assert grown.stat().st_blocks * 512 < 20 << 20
    assert read(grown, 6, 700 << 20) == b"before"
    copied = path_of(storage, storage.volume(1, source_id=volume_id))
    assert read(copied, 6, 700 << 20) == b"after!"

    storage.service.volumes.revert(MEMBER, volume_id, snapshot.id)
    storage.wait(volume_id)
    assert read(path, 6, 700 << 20) == b"before"


def test_extending_keeps_the_data(storage: Storage) -> None:
    volume_id = storage.volume(1)
    path = path_of(storage, volume_id)
    write(path, b"here", 12345)
    storage.service.volumes.extend(MEMBER, volume_id, 3)
    storage.wait(volume_id)
    assert path.stat().st_size == 3 * GIB
    assert read(path, 4, 12345) == b"here"
    assert storage.service.volumes.get(MEMBER, volume_id).size == 3


def test_deleting_removes_the_files(storage: Storage, tmp_path: Path) -> None:
    volume_id = storage.volume(1)
    snapshot = storage.service.snapshots.create(MEMBER, volume_id)
    storage.wait_snapshot(snapshot.id)
    assert len(os.listdir(tmp_path / "volumes")) == 2
    storage.service.volumes.delete(MEMBER, volume_id, cascade=True)
    gone(lambda: storage.service.volumes.get(MEMBER, volume_id))
    assert os.listdir(tmp_path / "volumes") == []


def test_a_raw_image_becomes_a_bootable_volume_and_goes_back(storage: Storage) -> None:
    data = b"boot" + bytes(3 << 20) + os.urandom(1000)
    storage.images.add(IMAGE, data, min_disk=1, properties={"os_distro": "红旗"})
    volume_id = storage.volume(1, image_id=IMAGE)
    volume = storage.service.volumes.get(MEMBER, volume_id)
    assert volume.bootable
    assert volume.image_metadata["os_distro"] == "红旗"
    assert volume.image_metadata["image_id"] == IMAGE
    path = path_of(storage, volume_id)
    assert path.stat().st_size == GIB
    assert read(path, len(data), 0) == data

    write(path, b"done", 0)
    os.truncate(path, 5 << 20)  # so that the test has less to read
    _volume, image = storage.service.volumes.upload(MEMBER, volume_id, "neu")
    storage.wait(volume_id)
    assert storage.images.images[image.id].size == 5 << 20
    assert storage.images.data[image.id][:4] == b"done"
    assert storage.images.images[image.id].properties == {"os_distro": "红旗"}


def test_an_image_that_names_another_file_is_refused(storage: Storage, tmp_path: Path) -> None:
    name = b"/etc/passwd"
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 104, len(name), 16, GIB, 0, 1, 196608, 65536, 1, 0,
        0, 0, 0, 0, 4, 104,
    )
    for declared in ("qcow2", "raw"):
        storage.images.add(IMAGE, header + name + bytes(4096), disk_format=declared)
        made = storage.service.volumes.create(MEMBER, 1, image_id=IMAGE)
        assert storage.wait(made.id, "error", "available") == "error"
    assert [each for each in os.listdir(tmp_path / "volumes") if "part" in each] == []


def test_an_image_that_breaks_off_ends_in_error(storage: Storage) -> None:
    storage.images.add(IMAGE, b"x" * 1000, size=2000)
    made = storage.service.volumes.create(MEMBER, 1, image_id=IMAGE)
    assert storage.wait(made.id, "error", "available") == "error"
    storage.service.volumes.delete(MEMBER, made.id)
    gone(lambda: storage.service.volumes.get(MEMBER, made.id))


def test_a_new_image_is_written_over_a_reserved_volume(storage: Storage) -> None:
    volume_id = storage.volume(1)
    write(path_of(storage, volume_id), b"old", 500 << 20)
    storage.images.add(IMAGE, b"new image")
    told: list[str] = []
    storage.service.flows.reimaged = lambda volume, _request: told.append(volume.id)
    storage.service.attachments.reserve(MEMBER, volume_id, None)
    storage.service.volumes.reimage(MEMBER, volume_id, IMAGE, reserved=True)
    storage.wait(volume_id, "reserved")
    path = path_of(storage, volume_id)
    assert read(path, 9, 0) == b"new image"
    assert read(path, 3, 500 << 20) == b"\0\0\0"
    assert path.stat().st_size == GIB
    assert told == [volume_id]


@needs_qemu_img
def test_a_qcow2_image_is_converted(storage: Storage, tmp_path: Path) -> None:
    source, image = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    source.write_bytes(b"inside" + bytes(1 << 20))
    qemu_img.convert(source, "raw", image, "qcow2")
    storage.images.add(IMAGE, image.read_bytes(), disk_format="qcow2")
    path = path_of(storage, storage.volume(1, image_id=IMAGE))
    assert path.stat().st_size == GIB
    assert read(path, 6, 0) == b"inside"


@needs_qemu_img
def test_volumes_may_be_qcow2_files(tmp_path: Path) -> None:
    storage = Storage.of_files(tmp_path, volume_format="qcow2")
    try:
        volume_id = storage.volume(1)
        snapshot = storage.service.snapshots.create(MEMBER, volume_id)
        storage.wait_snapshot(snapshot.id)
        grown = storage.volume(2, snapshot_id=snapshot.id)
        said = qemu_img.info(path_of(storage, grown), "qcow2")
        assert said["virtual-size"] == 2 * GIB
        connection = storage.backend.connection(storage.service.volumes.get(MEMBER, grown), "rw")
        assert connection["data"]["format"] == "qcow2"
    finally:
        storage.stop()


def test_unfinished_files_of_a_dead_process_are_cleared(tmp_path: Path) -> None:
    directory = tmp_path / "volumes"
    directory.mkdir()
    (directory / "volume-x.0000.part").write_bytes(b"half")
    (directory / "volume-y").write_bytes(b"whole")
    Storage.of_files(tmp_path).stop()
    assert os.listdir(directory) == ["volume-y"]
