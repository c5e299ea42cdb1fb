# SPDX-License-Identifier: Apache-2.0
"""Reads the size of the disk that an image file stands for from the file's first bytes.

Formats: qcow2 (QEMU docs/interop/qcow2.rst), VDI, VHD (Microsoft's specification 1.0), VMDK sparse
extents (VMware's specification 5.0).
"""

from __future__ import annotations

import struct

from nova.errors import UnsupportedMediaType

#: Bytes of the beginning that the functions here want to see.
HEAD_BYTES = 1024

_QCOW_MAGIC = b"QFI\xfb"
_QCOW_EXTERNAL_DATA = 1 << 2
_SECTOR = 512


def virtual_size(disk_format: str | None, head: bytes, size: int) -> int | None:
    """Bytes of the disk; None where the format doesn't say or the head is not of that format."""
    if disk_format in ("raw", "iso", "ami"):
        return size
    reader = _READERS.get(disk_format or "")
    if reader is None:
        return None
    try:
        found = reader(head)
    except struct.error:
        return None
    return found if found is not None and found < 2**63 else None


def refuse_references(disk_format: str | None, head: bytes) -> None:
    """Refuse a qcow2 image that reads other files.

    A hypervisor that opens it would hand the guest any file of the host that the header names.
    """
    if disk_format != "qcow2" or not head.startswith(_QCOW_MAGIC) or len(head) < 80:
        return
    version, backing_offset = struct.unpack_from(">IQ", head, 4)
    incompatible = struct.unpack_from(">Q", head, 72)[0] if version >= 3 else 0
    if backing_offset or incompatible & _QCOW_EXTERNAL_DATA:
        raise UnsupportedMediaType(
            "The image refers to another file (backing file or external data file); upload a qcow2 "
            "image that holds all of its data."
        )


def _qcow2(head: bytes) -> int | None:
    if not head.startswith(_QCOW_MAGIC):
        return None
    return int(struct.unpack_from(">Q", head, 24)[0])


def _vdi(head: bytes) -> int | None:
    if struct.unpack_from("<I", head, 0x40)[0] != 0xBEDA107F:
        return None
    return int(struct.unpack_from("<Q", head, 0x170)[0])


def _vhd(head: bytes) -> int | None:
    """Dynamic disks repeat their footer at the beginning; fixed ones have it at the end alone."""
    if not head.startswith(b"conectix"):
        return None
    return int(struct.unpack_from(">Q", head, 48)[0])


def _vmdk(head: bytes) -> int | None:
    if not head.startswith(b"KDMV"):
        return None
    return int(struct.unpack_from("<Q", head, 12)[0]) * _SECTOR


_READERS = {"qcow2": _qcow2, "vdi": _vdi, "vhd": _vhd, "vmdk": _vmdk}
