# SPDX-License-Identifier: Apache-2.0
"""The field's known holes in the handling of images, each by its number, as far as the host's cache or disks.

Of an image that is refused nothing may stay on the host; a disk never becomes what its guest wrote on it.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from nova.virt.libvirt import qemu_img
from nova.virt.libvirt.files import HostFiles
from nova.virt.libvirt.image_cache import ImageCache
from nova.virt.libvirt.image_inspection import ImageUnacceptable
from tests.unit.virt.test_image_cache import files as files
from tests.unit.virt.test_image_cache import leftovers, needs_qemu_img, source
from tests.unit.virt.test_image_inspection import DESCRIPTOR, GIB, extension, qcow2, vmdk

_DATA_FILE = qcow2(incompatible=4, extensions=extension(0x44415441, b"/etc/shadow"))
_NAMED_DATA_FILE = qcow2(extensions=extension(0x44415441, b"/etc/shadow"))
_FLAT = vmdk(DESCRIPTOR.format(kind="monolithicFlat", extent="/etc/shadow"))
_GPT = bytes(512) + b"EFI PART".ljust(512, b"\0") + bytes(4096)
_FOOTER = struct.pack(">8s40xQII", b"conectix", GIB, 0, 4).ljust(512, b"\0")
_ISO = bytes(0x8001) + b"CD001" + bytes(4096)


def _behind(front: bytes, rest: bytes) -> bytes:
    """A file that begins as one thing and goes on as another."""
    return front + rest[len(front):]


@pytest.mark.parametrize(
    ("number", "data", "declared", "reason"),
    [
        ("CVE-2013-2096 more than the flavor has", qcow2(size=1 << 50), "qcow2", "more than the flavor"),
        ("CVE-2013-4469 a small file that unpacks to a huge one", qcow2(size=2 * GIB), "qcow2", "more than"),
        ("CVE-2022-47951 a flat extent", _FLAT, "vmdk", "of the type monolithicFlat"),
        ("CVE-2022-47951 a descriptor alone", DESCRIPTOR.encode(), "vmdk", "vmdk descriptor"),
        ("CVE-2024-32498 an external data file", _DATA_FILE, "qcow2", "data in another file"),
        ("CVE-2024-32498 one without its flag", _NAMED_DATA_FILE, "qcow2", "data in another file"),
        ("CVE-2024-40767 what says raw and is not", _DATA_FILE, "raw", "data in another file"),
        ("CVE-2024-40767 the same, harmless", qcow2(), "raw", "declared as raw, but its content is qcow2"),
        ("CVE-2024-4467 a data file in the form of JSON",
         qcow2(extensions=extension(0x44415441, b'json:{"driver":"file"}')), "qcow2", "data in another file"),
        ("a backing file", qcow2(backing=512), "qcow2", "backing file"),
        ("a backing file of a format that is never used", b"QED\0" + bytes(1020), "raw", "format qed"),
        ("a CD that is a disk with a data file", _behind(_DATA_FILE, _ISO), "iso", "data in another file"),
        ("a CD that is a disk", _behind(qcow2(), _ISO), "iso", "declared as iso, but its content is qcow2"),
        ("a partition table that is a disk", _behind(qcow2(), _GPT), "raw", "its content is qcow2"),
        ("a partitioned disk that ends as a differencing one", _GPT + _FOOTER, "raw", "differencing VHD"),
        ("a CD that ends as a differencing disk", _ISO + _FOOTER, "iso", "differencing VHD"),
    ],
)
def test_a_known_hole_is_closed(
    files: HostFiles, number: str, data: bytes, declared: str, reason: str
) -> None:
    cache = ImageCache(files, force_raw=True)
    with pytest.raises(ImageUnacceptable, match=reason):
        cache.fetch("image", source(data, declared), 1)
    assert leftovers(files) == [], number


@needs_qemu_img
@pytest.mark.parametrize("number", ["CVE-2014-0134", "CVE-2015-7548"])
def test_what_a_guest_writes_on_a_raw_disk_names_no_file_of_the_host(
    files: HostFiles, tmp_path: Path, number: str
) -> None:
    """Rescue and snapshot read it as what it was made, though it begins as a qcow2 with a backing file."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret".ljust(4096))
    forged = tmp_path / "forged"
    qemu_img.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(secret), "-F", "raw", str(forged)])
    disk = tmp_path / "disk"
    disk.write_bytes(forged.read_bytes().ljust(1 << 20, b"\0"))
    copy = tmp_path / "copy"
    qemu_img.convert(disk, "raw", copy, "raw")
    assert copy.read_bytes() == disk.read_bytes(), number
    assert b"secret" not in copy.read_bytes().replace(str(secret).encode(), b"")
    assert "backing-filename" not in qemu_img.info(disk, "raw")


def test_a_look_at_an_image_is_bounded() -> None:
    """CVE-2015-5162: qemu-img may neither take all memory nor run for ever."""
    limits = qemu_img.run(["sh", "-c", "ulimit -t; ulimit -v"], bounded=True).split()
    assert [int(each) for each in limits] == [30, 1 << 20]
