# SPDX-License-Identifier: Apache-2.0
"""What an image file really is, read from the file itself, and whether it may be used.

What the image service or a user says of a format counts for nothing: a file that says raw and is qcow2
could name any file of the host as its backing file. Refused are images that refer to other files
(backing files, qcow2 external data files, VMDK extents, differencing VDI and VHD disks), encrypted ones,
those with features that are unknown here, and those that claim more than they may hold.

Formats: QEMU docs/interop/qcow2.rst, VMware "Virtual Disk Format 5.0", Microsoft "Virtual Hard Disk
Image Format Specification", VirtualBox VDI header, ECMA-119.
"""

from __future__ import annotations

import dataclasses
import os
import re
import struct
from pathlib import Path
from typing import BinaryIO

from nova.errors import NovaError

_SECTOR = 512
_DESCRIPTOR_LIMIT = 1 << 20

_QCOW2_KNOWN_INCOMPATIBLE = 0b11011  # dirty, corrupt, compression type, extended L2 entries
_QCOW2_DATA_FILE = 1 << 2
_QCOW2_DATA_FILE_NAME = 0x44415441
_QCOW2_BACKING_FORMAT = 0xE2792ACA

#: Formats that are known by their beginning and never used.
_REFUSED = {
    b"QED\0": "qed", b"vhdxfile": "vhdx", b"LUKS\xba\xbe": "luks", b"WithoutFreeSpace": "parallels",
    b"WithouFreSpacExt": "parallels", b"# Disk DescriptorFile": "vmdk descriptor",
    b"COWD": "vmdk (ESX sparse)",
}


class ImageUnacceptable(NovaError):
    """The image cannot be used for a server."""

    status = 400


@dataclasses.dataclass(frozen=True)
class Inspection:
    """An image's format in QEMU's words (raw, qcow2, vmdk, vdi, vpc) and its disk's size in bytes.

    ``iso`` marks raw data that is a CD.
    """

    format: str
    virtual_size: int
    iso: bool = False


def inspect(path: Path) -> Inspection:
    """Look into a file; ``ImageUnacceptable`` with the reason for one that may not be used."""
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        head = _read(file, 0, 512)
        for magic, name in _REFUSED.items():
            if head.startswith(magic):
                raise ImageUnacceptable(f"The image is in the format {name}, which is not used here.")
        try:
            if head.startswith(b"QFI\xfb"):
                return _qcow2(file, size)
            if head.startswith(b"KDMV"):
                return _vmdk(file, size)
            if head[0x40:0x44] == b"\x7f\x10\xda\xbe":
                return _vdi(head)
            if head.startswith(b"conectix"):
                return _vhd(head)
            if size >= 512 and (footer := _read(file, size - 512, 512)).startswith(b"conectix"):
                return _vhd(footer)
        except struct.error:
            raise ImageUnacceptable("The image's header is cut off.") from None
        return Inspection("raw", size, iso=_read(file, 0x8001, 5) == b"CD001")


def is_iso(path: Path) -> bool:
    """Whether raw data is a CD."""
    with open(path, "rb", buffering=0) as file:
        return _read(file, 0x8001, 5) == b"CD001"


def require_declared(declared: str | None, found: Inspection) -> None:
    """Refuse an image whose content is not of the format that the image service says.

    A disk on which a guest wrote another format's header must not become that format.
    """
    names = {"vhd": "vpc", "iso": "raw", "ami": "raw", "ari": "raw", "aki": "raw"}
    if declared is not None and names.get(declared, declared) != found.format:
        raise ImageUnacceptable(
            f"The image is declared as {declared}, but its content is {found.format}."
        )
    if declared == "iso" and not found.iso:
        raise ImageUnacceptable("The image is declared as iso, but its content is none.")


def require_size(found: Inspection, limit: int, what: str) -> None:
    """Refuse a disk larger than ``limit`` bytes; ``what`` names the limit."""
    if found.virtual_size > limit:
        raise ImageUnacceptable(
            f"The image holds a disk of {found.virtual_size} bytes, more than {what} "
            f"of {limit} bytes."
        )


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length) or b""


def _qcow2(file: BinaryIO, size: int) -> Inspection:
    head = _read(file, 0, 104)
    (version, backing_offset, backing_size, _bits, virtual_size, encryption) = struct.unpack_from(
        ">IQIIQI", head, 4
    )
    if version not in (2, 3):
        raise ImageUnacceptable(f"The image is qcow version {version}; 2 and 3 are used here.")
    if backing_offset or backing_size:
        raise ImageUnacceptable("The image has a backing file; images have to be complete.")
    if encryption:
        raise ImageUnacceptable("The image is encrypted.")
    header_length = 72
    if version == 3:
        incompatible = struct.unpack_from(">Q", head, 72)[0]
        header_length = struct.unpack_from(">I", head, 100)[0]
        if incompatible & _QCOW2_DATA_FILE:
            raise ImageUnacceptable("The image keeps its data in another file.")
        if incompatible & ~_QCOW2_KNOWN_INCOMPATIBLE:
            raise ImageUnacceptable("The image has qcow2 features that are unknown here.")
    _qcow2_extensions(file, header_length)
    return Inspection("qcow2", _plausible(virtual_size))


def _qcow2_extensions(file: BinaryIO, offset: int) -> None:
    """The header extensions: none may name a data file."""
    for _count in range(64):
        header = _read(file, offset, 8)
        if len(header) < 8:
            return
        kind, length = struct.unpack(">II", header)
        if kind == 0:
            return
        if kind == _QCOW2_DATA_FILE_NAME:
            raise ImageUnacceptable("The image keeps its data in another file.")
        if kind == _QCOW2_BACKING_FORMAT and length:
            raise ImageUnacceptable("The image has a backing file; images have to be complete.")
        if length > 1 << 20:
            break
        offset += 8 + (length + 7) // 8 * 8
    raise ImageUnacceptable("The image's qcow2 header extensions are damaged.")


def _plausible(virtual_size: int) -> int:
    if virtual_size >= 1 << 63:
        raise ImageUnacceptable("The image claims a disk of an impossible size.")
    return int(virtual_size)


def _vmdk(file: BinaryIO, size: int) -> Inspection:
    """A sparse extent with its descriptor inside. QEMU would follow whatever the descriptor names."""
    head = _read(file, 0, 512)
    version, _flags, capacity, _grain, offset, length, _entries, _rgd, directory = (
        struct.unpack_from("<IIQQQQIQQ", head, 4)
    )
    if version not in (1, 2, 3):
        raise ImageUnacceptable(f"The image is VMDK version {version}, which is unknown here.")
    if directory == 0xFFFFFFFFFFFFFFFF:
        # QEMU takes the header at the end then: it has to say the same.
        footer = _read(file, max(0, size - 1024), 512)
        if footer[:4] != b"KDMV" or footer[4:44] != head[4:44]:
            raise ImageUnacceptable("The image's VMDK footer differs from its header.")
    if not offset or not length or length * _SECTOR > _DESCRIPTOR_LIMIT:
        raise ImageUnacceptable("The image is a VMDK extent without a descriptor of its own.")
    descriptor = _read(file, offset * _SECTOR, length * _SECTOR).split(b"\0", 1)[0]
    _vmdk_descriptor(descriptor.decode("utf-8", "replace"))
    return Inspection("vmdk", _plausible(capacity * _SECTOR))


def _vmdk_descriptor(text: str) -> None:
    kind = re.search(r'^\s*createType\s*=\s*"?([^"\s]*)', text, re.MULTILINE)
    if kind is None or kind.group(1) not in ("monolithicSparse", "streamOptimized"):
        raise ImageUnacceptable(
            f"The image is a VMDK of the type {kind.group(1) if kind else 'unknown'}; only "
            "monolithicSparse and streamOptimized hold all of their data."
        )
    parent = re.search(r'^\s*parentCID\s*=\s*"?(\w+)', text, re.MULTILINE)
    if parent is not None and parent.group(1).lower() != "ffffffff":
        raise ImageUnacceptable("The image has a backing file; images have to be complete.")
    if re.search(r"^\s*parentFileNameHint", text, re.MULTILINE):
        raise ImageUnacceptable("The image has a backing file; images have to be complete.")
    extents = re.findall(r"^\s*(?:RW|RDONLY|NOACCESS)\s+(\d+)\s+(\w+)\s*(.*)$", text, re.MULTILINE)
    if len(extents) != 1 or extents[0][1] != "SPARSE":
        raise ImageUnacceptable("The image is a VMDK whose extents are not its own.")
    name = re.match(r'"([^"]*)"', extents[0][2])
    if name is None or "/" in name.group(1) or "\\" in name.group(1):
        raise ImageUnacceptable("The image is a VMDK whose extent is in another place.")


def _vdi(head: bytes) -> Inspection:
    kind = struct.unpack_from("<I", head, 0x4C)[0]
    if kind not in (1, 2):
        raise ImageUnacceptable("The image is a differencing VDI; images have to be complete.")
    return Inspection("vdi", _plausible(struct.unpack_from("<Q", head, 0x170)[0]))


def _vhd(footer: bytes) -> Inspection:
    size, _geometry, kind = struct.unpack_from(">QII", footer, 48)
    if kind not in (2, 3):
        raise ImageUnacceptable("The image is a differencing VHD; images have to be complete.")
    return Inspection("vpc", _plausible(size))
