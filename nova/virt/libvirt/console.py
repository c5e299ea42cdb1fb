# SPDX-License-Identifier: Apache-2.0
"""The end of a guest's console log. virtlogd writes it, bounds it and keeps older parts beside it."""

from __future__ import annotations

from pathlib import Path

#: Bytes that are read of the end.
LIMIT = 100 * 1024


def tail(log: Path, limit: int = LIMIT) -> bytes:
    """The last ``limit`` bytes over the log and the part that was rolled over before it."""
    newest = _end(log, limit)
    if len(newest) < limit:
        newest = _end(log.with_name(f"{log.name}.0"), limit - len(newest)) + newest
    return newest


def _end(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - limit))
            return file.read(limit)
    except FileNotFoundError:
        return b""
