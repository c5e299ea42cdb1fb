# SPDX-License-Identifier: Apache-2.0
"""The pure parts: formats, the qcow2 writer, ranges, json pointers, rights."""

from __future__ import annotations

import datetime
import struct
from typing import Any

import pytest

from nova.errors import BadRequest, Forbidden, RangeNotSatisfiable, UnsupportedMediaType
from nova.image import formats, rights
from nova.image.byte_range import parse_range
from nova.image.patch import apply_changes, parse_patch
from nova.image.qcow2 import CLUSTER, boot_sector, minimal_qcow2
from nova.objects.context import RequestContext
from nova.objects.image_record import ImageRecord

MOMENT = datetime.datetime(2015, 1, 1)


def _record(**values: Any) -> ImageRecord:
    facts = {"id": "i", "owner": "a", "created_at": MOMENT, "updated_at": MOMENT, **values}
    return ImageRecord(**facts)


def _read_qcow2(image: bytes, offset: int, length: int) -> bytes:
    """A reader written from the format's description, apart from the writer."""
    bits = struct.unpack_from(">I", image, 20)[0]
    l1_offset = struct.unpack_from(">Q", image, 40)[0]
    cluster = 1 << bits
    index = offset // cluster
    l1 = struct.unpack_from(">Q", image, l1_offset + index // (cluster // 8) * 8)[0]
    l2_offset = l1 & 0x00FFFFFFFFFFFE00
    if not l2_offset:
        return bytes(length)
    l2 = struct.unpack_from(">Q", image, l2_offset + index % (cluster // 8) * 8)[0]
    start = l2 & 0x00FFFFFFFFFFFE00
    if not start:
        return bytes(length)
    return image[start + offset % cluster:start + offset % cluster + length]


def test_the_written_qcow2_reads_back() -> None:
    sector = boot_sector("hello")
    image = minimal_qcow2(10 << 20, sector)
    assert _read_qcow2(image, 0, 512) == sector
    assert sector[510:] == b"\x55\xaa"
    assert b"hello" in sector[:446]
    assert _read_qcow2(image, 512, 512) == bytes(512)
    assert _read_qcow2(image, (10 << 20) - 512, 512) == bytes(512)
    assert formats.virtual_size("qcow2", image[:1024], len(image)) == 10 << 20
    assert len(image) < 300_000
    table = struct.unpack_from(">Q", image, 48)[0]
    block = struct.unpack_from(">Q", image, table)[0]
    counts = struct.unpack_from(f">{CLUSTER // 2}H", image, block)
    assert sum(counts) == len(image) // CLUSTER


def test_what_a_minimal_qcow2_can_not_hold() -> None:
    with pytest.raises(ValueError, match="at most"):
        minimal_qcow2(2 << 30, b"")
    with pytest.raises(ValueError, match="at most"):
        minimal_qcow2(1 << 20, bytes(CLUSTER + 1))
    with pytest.raises(ValueError, match="boot sector"):
        boot_sector("x" * 500)


@pytest.mark.parametrize(("disk_format", "head", "expected"), [
    ("raw", b"", 7),
    ("iso", b"x", 7),
    ("qcow2", b"QFI\xfb" + bytes(20) + (5 << 30).to_bytes(8, "big"), 5 << 30),
    ("qcow2", b"QFI\xfb", None),
    ("qcow2", b"not that", None),
    ("qcow2", b"QFI\xfb" + bytes(20) + b"\xff" * 8, None),
    ("vdi", bytes(0x40) + b"\x7f\x10\xda\xbe" + bytes(0x170 - 0x44) + (9).to_bytes(8, "little"),
     9),
    ("vdi", bytes(1024), None),
    ("vhd", b"conectix" + bytes(40) + (1 << 33).to_bytes(8, "big"), 1 << 33),
    ("vmdk", b"KDMV" + bytes(8) + (2048).to_bytes(8, "little"), 1 << 20),
    ("vmdk", b"# Disk DescriptorFile", None),
    ("aki", b"kernel", None),
    (None, b"", None),
])
def test_virtual_size(disk_format: str | None, head: bytes, expected: int | None) -> None:
    assert formats.virtual_size(disk_format, head, 7) == expected


def test_qcow2_that_refers_to_other_files_is_refused() -> None:
    plain = minimal_qcow2(1 << 20, b"")[:1024]
    formats.refuse_references("qcow2", plain)
    backed = plain[:8] + (512).to_bytes(8, "big") + plain[16:]
    external = bytearray(plain)
    struct.pack_into(">I", external, 4, 3)
    struct.pack_into(">Q", external, 72, 4)
    for head in (backed, bytes(external)):
        with pytest.raises(UnsupportedMediaType):
            formats.refuse_references("qcow2", head)
        formats.refuse_references("raw", head)


@pytest.mark.parametrize(("header", "expected"), [
    (None, None), ("bytes=0-", (0, 10)), ("bytes=3-5", (3, 3)), ("bytes=-4", (6, 4)),
    ("bytes=9-9", (9, 1)), ("bytes=-99", (0, 10)), (" bytes = 1 - 2 ", (1, 2)),
])
def test_range(header: str | None, expected: tuple[int, int] | None) -> None:
    assert parse_range(header, 10) == expected


def test_a_refused_range_says_the_size() -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        parse_range("bytes=10-", 10)
    assert refused.value.headers == {"Content-Range": "bytes */10"}
    with pytest.raises(RangeNotSatisfiable):
        parse_range("bytes=0-0", 0)


def test_json_pointers() -> None:
    changes = parse_patch([{"op": "add", "path": "/a~1b~01", "value": "x"}], False)
    assert [change.name for change in changes] == ["a/b~1"]
    for pointer in ("/~2", "/~", "a", "", "/", "/a//b"):
        with pytest.raises(BadRequest):
            parse_patch([{"op": "remove", "path": pointer}], False)


def test_changes_leave_the_record_they_came_from_alone() -> None:
    record = _record(properties={"a": "1"})
    changes = parse_patch([{"op": "replace", "path": "/a", "value": "2"}], False)
    assert apply_changes(record, changes, is_admin=False).properties == {"a": "2"}
    assert record.properties == {"a": "1"}


def test_an_image_without_owner_is_seen_by_all_and_changed_by_administrators() -> None:
    record = _record(owner=None, visibility="private")
    nobody = RequestContext()
    assert rights.may_see(nobody, record, ())
    with pytest.raises(Forbidden):
        rights.require_owner(nobody, record, "change")
    rights.require_owner(RequestContext(is_admin=True), record, "change")


def test_documents_among_the_properties() -> None:
    image = _record(properties={"block_device_mapping": '[{"a": 1}]', "mappings": "rubbish["})
    seen = image.to_image().properties
    assert seen == {"block_device_mapping": [{"a": 1}], "mappings": "rubbish["}
