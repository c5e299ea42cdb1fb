# SPDX-License-Identifier: Apache-2.0
"""Fetching images onto a host: once, whole, checked."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nova.virt.driver import SourceImage
from nova.virt.libvirt import qemu_img
from nova.virt.libvirt.files import HostFiles
from nova.virt.libvirt.image_cache import ImageCache
from nova.virt.libvirt.image_inspection import ImageUnacceptable
from nova.virt.libvirt.storage import backing_file
from tests.unit.virt.test_image_inspection import qcow2

needs_qemu_img = pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img is not installed")


@pytest.fixture
def files(tmp_path: Path) -> HostFiles:
    made = HostFiles(tmp_path / "instances", tmp_path / "instances/snapshots", "host")
    made.prepare()
    return made


def source(data: bytes, disk_format: str = "raw", **facts: Any) -> Callable[[str], SourceImage]:
    values: dict[str, Any] = {
        "disk_format": disk_format, "size": len(data), "os_hash_algo": "sha512",
        "os_hash_value": hashlib.sha512(data).hexdigest(), **facts,
    }
    return lambda image_id: SourceImage(id=image_id, read=lambda: iter([data[:100], data[100:]]), **values)


def leftovers(files: HostFiles) -> list[str]:
    return sorted(path.name for path in files.base.iterdir())


def test_an_image_is_fetched_once_however_many_guests_want_it(files: HostFiles) -> None:
    data = os.urandom(4096)
    reads = []

    def open_image(image_id: str) -> SourceImage:
        reads.append(image_id)
        return source(data)(image_id)

    cache = ImageCache(files, force_raw=True)
    threads = [threading.Thread(target=cache.fetch, args=("image", open_image, 1)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reads == ["image"]
    found = cache.fetch("image", open_image, 1)
    assert found.path.name == hashlib.sha1(b"image").hexdigest()
    assert (found.path.read_bytes(), found.format, found.virtual_size) == (data, "raw", 4096)
    assert found.path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"os_hash_value": "0" * 128}, "does not match its hash"),
        ({"os_hash_algo": None, "os_hash_value": None, "checksum": "0" * 32}, "does not match its hash"),
        ({"os_hash_algo": "rot13"}, "rot13"),
        ({"size": 100}, "more data than the image's size"),
        ({"size": 100000}, "sent 4096 bytes of an image of 100000"),
    ],
)
def test_data_that_is_not_the_images_is_refused(files: HostFiles, facts: dict[str, Any], reason: str) -> None:
    with pytest.raises(ImageUnacceptable, match=reason):
        ImageCache(files, force_raw=True).fetch("image", source(bytes(4096), **facts), 1)
    assert leftovers(files) == []


def test_an_interrupted_fetch_leaves_no_image(files: HostFiles) -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(100)
        raise ConnectionError("gone")

    image = SourceImage(id="image", read=broken, disk_format="raw")
    with pytest.raises(ConnectionError):
        ImageCache(files, force_raw=True).fetch("image", lambda _id: image, 1)
    assert leftovers(files) == []


def test_a_backing_file_never_reaches_qemu_img(files: HostFiles) -> None:
    with pytest.raises(ImageUnacceptable, match="backing file"):
        ImageCache(files, force_raw=True).fetch("image", source(qcow2(backing=512), "qcow2"), 1)
    assert leftovers(files) == []


def test_a_huge_claim_is_refused_before_anything_is_written(files: HostFiles) -> None:
    with pytest.raises(ImageUnacceptable, match="flavor's root disk"):
        ImageCache(files, force_raw=True).fetch("image", source(qcow2(size=1 << 45), "qcow2"), 10)
    # A flavor without a disk size is bounded by the host.
    with pytest.raises(ImageUnacceptable, match="host's free space"):
        ImageCache(files, force_raw=True).fetch("image", source(qcow2(size=1 << 60), "qcow2"), 0)
    assert leftovers(files) == []


def test_a_cached_image_too_large_for_the_flavor_is_refused(files: HostFiles) -> None:
    cache = ImageCache(files, force_raw=True)
    cache.fetch("image", source(b"x" * 4096), 0)
    os.truncate(files.base / hashlib.sha1(b"image").hexdigest(), 3 << 30)
    with pytest.raises(ImageUnacceptable, match="flavor's root disk"):
        cache.fetch("image", source(b""), 2)


@needs_qemu_img
def test_a_disk_that_holds_another_formats_header_stays_a_disk(files: HostFiles, tmp_path: Path) -> None:
    """A guest may write a qcow2 header with a backing file on its raw disk and have it snapshotted."""
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.write_bytes(qcow2(backing=512).ljust(1 << 20, b"\0"))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", inner, outer], check=True)
    cache = ImageCache(files, force_raw=True)
    for _ in range(2):
        found = cache.fetch("image", source(outer.read_bytes(), "qcow2"), 1)
        assert (found.format, found.virtual_size) == ("raw", 1 << 20)
    assert found.path.read_bytes()[:4] == b"QFI\xfb"


@needs_qemu_img
def test_qcow2_is_kept_where_raw_is_not_wanted(files: HostFiles, tmp_path: Path) -> None:
    image = tmp_path / "image"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
    found = ImageCache(files, force_raw=False).fetch("image", source(image.read_bytes(), "qcow2"), 1)
    assert (found.format, found.path.suffix, found.virtual_size) == ("qcow2", ".qcow2", 1 << 20)


@needs_qemu_img
def test_the_base_of_a_disk_is_read_from_its_header(files: HostFiles) -> None:
    base, disk = files.base / "b", files.instances / "disk"
    base.write_bytes(bytes(1 << 20))
    assert backing_file(base) is None
    assert backing_file(files.instances / "none") is None
    qemu_img.create_overlay(disk, base, "raw", 2 << 20)
    assert backing_file(disk) == str(base)
    assert qemu_img.info(disk, "qcow2")["virtual-size"] == 2 << 20


def test_images_that_no_guest_uses_go_after_a_while(files: HostFiles) -> None:
    cache = ImageCache(files, force_raw=True)
    used = cache.fetch("used", source(b"a" * 512), 0).path
    idle = cache.fetch("idle", source(b"b" * 512), 0).path
    again = cache.fetch("again", source(b"d" * 512), 0).path
    for path in (used, idle, again, *(files.instances / "locks").iterdir()):
        os.utime(path, (1, 1))
    young = cache.fetch("young", source(b"c" * 512), 0).path
    # The hypervisor made it its own; that it was wanted again counts all the same.
    cache.fetch("again", source(b"d" * 512), 0)
    assert again.stat().st_mtime == 1
    assert cache.remove_unused({used}, 3600) == [idle]
    assert used.exists()
    assert young.exists()
    assert again.exists()
    assert not idle.exists()
