# SPDX-License-Identifier: Apache-2.0
"""Copies of files that share their blocks where the file system can, and keep their holes where not."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterable
from pathlib import Path

#: Bytes that are moved at a time.
CHUNK = 4 << 20
#: linux/fs.h: FICLONE, _IOW(0x94, 9, int).
_FICLONE = 0x40049409
_NO_REFLINK = (
    errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.ETXTBSY,
)


def copy(source: Path, target: Path, check: Callable[[], object]) -> None:
    """Copy a whole file; ``check`` is called now and then and may raise to end it."""
    with open(source, "rb", buffering=0) as reader, open(target, "wb", buffering=0) as writer:
        if _reflink(reader.fileno(), writer.fileno()):
            return
        size = os.fstat(reader.fileno()).st_size
        position = 0
        while position < size:
            try:
                begin = os.lseek(reader.fileno(), position, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break
            end = os.lseek(reader.fileno(), begin, os.SEEK_HOLE)
            _copy_range(reader.fileno(), writer.fileno(), begin, end, check)
            position = end
        os.ftruncate(writer.fileno(), size)


def _reflink(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _NO_REFLINK:
            raise
        return False
    return True


def _copy_range(
    source: int, target: int, begin: int, end: int, check: Callable[[], object]
) -> None:
    zeros = bytes(CHUNK)
    while begin < end:
        check()
        piece = os.pread(source, min(CHUNK, end - begin), begin)
        if not piece:
            return
        if piece != zeros[:len(piece)]:
            _write_all(target, piece, begin)
        begin += len(piece)


def _write_all(target: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(target, view, position)
        view, position = view[written:], position + written


def write_chunks(target: Path, chunks: Iterable[bytes], check: Callable[[], object]) -> int:
    """Write pieces into a new file, leaving holes for those that are zeros; answers the size in bytes."""
    size = 0
    with open(target, "wb", buffering=0) as writer:
        for chunk in chunks:
            check()
            if chunk.count(0) != len(chunk):
                _write_all(writer.fileno(), chunk, size)
            size += len(chunk)
        os.ftruncate(writer.fileno(), size)
    return size
