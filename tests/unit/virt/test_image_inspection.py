# SPDX-License-Identifier: Apache-2.0
"""Images that must not be used: each is one way in which the field's clouds were broken into or filled up."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from nova.virt.libvirt.image_inspection import (
    ImageUnacceptable,
    Inspection,
    inspect,
    require_declared,
    require_size,
)

GIB = 1 << 30


def qcow2(
    *, version: int = 3, backing: int = 0, size: int = GIB, crypt: int = 0, incompatible: int = 0,
    extensions: bytes = b"",
) -> bytes:
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", version, backing, 7 if backing else 0, 16, size, crypt,
                       1, 0, 0, 0, 0, 0)
    if version == 3:
        head += struct.pack(">QQQII", incompatible, 0, 0, 4, 104)
    return (head + extensions).ljust(4096, b"\0")


def extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">II", kind, len(data)) + data.ljust((len(data) + 7) // 8 * 8, b"\0")


def vmdk(descriptor: str, *, capacity: int = 2048, directory: int = 21, footer: bytes | None = None) -> bytes:
    head = struct.pack("<4sIIQQQQIQQ", b"KDMV", 1, 3, capacity, 128, 1, 20, 512, 0, directory)
    data = head.ljust(512, b"\0") + descriptor.encode().ljust(20 * 512, b"\0") + bytes(2048)
    if footer is not None:
        data += footer.ljust(512, b"\0") + bytes(512)
    return data


DESCRIPTOR = """# Disk DescriptorFile
version=1
CID=12345678
parentCID=ffffffff
createType="{kind}"
RW 2048 SPARSE "{extent}"
"""


def look(tmp_path: Path, data: bytes) -> Inspection:
    path = tmp_path / "image"
    path.write_bytes(data)
    return inspect(path)


def refused(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(ImageUnacceptable, match=reason):
        look(tmp_path, data)


def test_what_may_be_used(tmp_path: Path) -> None:
    assert look(tmp_path, qcow2()) == Inspection("qcow2", GIB)
    assert look(tmp_path, qcow2(version=2)) == Inspection("qcow2", GIB)
    assert look(tmp_path, bytes(4096)) == Inspection("raw", 4096)
    assert look(tmp_path, b"") == Inspection("raw", 0)
    iso = bytes(0x8001) + b"CD001" + bytes(100)
    assert look(tmp_path, iso) == Inspection("raw", len(iso), iso=True)
    good = vmdk(DESCRIPTOR.format(kind="monolithicSparse", extent="disk.vmdk"))
    assert look(tmp_path, good) == Inspection("vmdk", 2048 * 512)
    vdi = bytearray(1024)
    vdi[0x40:0x44] = b"\x7f\x10\xda\xbe"
    struct.pack_into("<I", vdi, 0x4C, 1)
    struct.pack_into("<Q", vdi, 0x170, GIB)
    assert look(tmp_path, bytes(vdi)) == Inspection("vdi", GIB)
    vhd = bytes(4096) + struct.pack(">8s40xQII", b"conectix", GIB, 0, 2).ljust(512, b"\0")
    assert look(tmp_path, vhd) == Inspection("vpc", GIB)


def test_a_backing_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, qcow2(backing=512), "backing file")
    refused(tmp_path, qcow2(version=2, backing=512), "backing file")
    refused(tmp_path, qcow2(extensions=extension(0xE2792ACA, b"raw")), "backing file")


def test_an_external_data_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, qcow2(incompatible=4), "data in another file")
    refused(tmp_path, qcow2(extensions=extension(0x44415441, b"/etc/shadow")), "data in another file")


def test_unknown_features_and_encryption_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, qcow2(incompatible=1 << 5), "features that are unknown")
    refused(tmp_path, qcow2(crypt=2), "encrypted")
    refused(tmp_path, qcow2(version=4), "version 4")
    refused(tmp_path, b"LUKS\xba\xbe" + bytes(600), "luks")
    refused(tmp_path, b"QED\0" + bytes(600), "qed")
    refused(tmp_path, b"vhdxfile" + bytes(600), "vhdx")


def test_a_header_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, b"QFI\xfb\0\0", "cut off")
    refused(tmp_path, b"KDMV\0\0", "cut off")


def test_extension_lists_without_an_end_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, qcow2(extensions=extension(1, b"x") * 200), "damaged")
    refused(tmp_path, qcow2(extensions=struct.pack(">II", 1, 1 << 30)), "damaged")


@pytest.mark.parametrize(
    ("kind", "extent", "reason"),
    [
        ("monolithicFlat", "disk-flat.vmdk", "of the type monolithicFlat"),
        ("twoGbMaxExtentSparse", "a.vmdk", "of the type"),
        ("monolithicSparse", "/etc/shadow", "in another place"),
        ("monolithicSparse", "..\\\\x", "in another place"),
    ],
)
def test_vmdk_extents_outside_are_refused(tmp_path: Path, kind: str, extent: str, reason: str) -> None:
    refused(tmp_path, vmdk(DESCRIPTOR.format(kind=kind, extent=extent)), reason)


def test_more_vmdk_tricks_are_refused(tmp_path: Path) -> None:
    plain = DESCRIPTOR.format(kind="monolithicSparse", extent="disk.vmdk")
    refused(tmp_path, vmdk(plain + 'RW 2048 FLAT "/etc/shadow" 0\n'), "extents are not its own")
    refused(tmp_path, vmdk(plain.replace("SPARSE", "FLAT")), "extents are not its own")
    refused(tmp_path, vmdk(plain + 'parentFileNameHint="/etc/shadow"\n'), "backing file")
    refused(tmp_path, vmdk(plain.replace("ffffffff", "00000001")), "backing file")
    refused(tmp_path, b"# Disk DescriptorFile\n" + plain.encode(), "vmdk descriptor")
    # A footer that says something else than the header is what QEMU would follow.
    stream = plain.replace("monolithicSparse", "streamOptimized")
    data = vmdk(stream, directory=0xFFFFFFFFFFFFFFFF, footer=b"KDMV" + bytes(508))
    refused(tmp_path, data, "footer differs")


def test_differencing_disks_are_refused(tmp_path: Path) -> None:
    vdi = bytearray(1024)
    vdi[0x40:0x44] = b"\x7f\x10\xda\xbe"
    struct.pack_into("<I", vdi, 0x4C, 4)
    refused(tmp_path, bytes(vdi), "differencing VDI")
    refused(tmp_path, struct.pack(">8s40xQII", b"conectix", GIB, 0, 4).ljust(512, b"\0"), "differencing VHD")


def test_a_disk_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, qcow2(size=1 << 63), "impossible size")
    huge = look(tmp_path, qcow2(size=1 << 50))
    with pytest.raises(ImageUnacceptable, match="more than the flavor's root disk"):
        require_size(huge, GIB, "the flavor's root disk")
    require_size(Inspection("qcow2", GIB), GIB, "the flavor's root disk")


def test_content_of_another_format_than_declared_is_refused() -> None:
    for declared, found in (("raw", "qcow2"), ("qcow2", "raw"), ("iso", "qcow2"), ("vmdk", "raw")):
        with pytest.raises(ImageUnacceptable, match=f"declared as {declared}"):
            require_declared(declared, Inspection(found, 1))
    with pytest.raises(ImageUnacceptable, match="declared as iso, but its content is none"):
        require_declared("iso", Inspection("raw", 1))
    for declared, found, iso in (
        ("raw", "raw", False), ("raw", "raw", True), ("iso", "raw", True), ("vhd", "vpc", False),
        (None, "qcow2", False), ("ami", "raw", False),
    ):
        require_declared(declared, Inspection(found, 1, iso=iso))
