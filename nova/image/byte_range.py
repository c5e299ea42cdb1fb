# SPDX-License-Identifier: Apache-2.0
"""The Range header of a download (RFC 9110, section 14)."""

from __future__ import annotations

import re

from nova.errors import BadRequest, RangeNotSatisfiable

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.ASCII)
# No file is longer; more digits than these are refused before they are made a number.
_MOST_DIGITS = 20


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """(first byte, number of bytes) of the part asked for; None where the whole is.

    Raises ``RangeNotSatisfiable`` for a malformed range or one outside of ``size`` bytes, and
    ``BadRequest`` for several ranges, as Glance does.
    """
    if header is None:
        return None
    if "," in header:
        raise BadRequest("Requests with multiple ranges are not supported; ask for one at a time.")
    match = _RANGE.fullmatch(header)
    first, last = match.groups() if match else ("", "")
    if not (first or last) or max(len(first), len(last)) > _MOST_DIGITS:
        raise _outside("Invalid Range header.", size)
    if not first:
        length = min(int(last), size)
        if length == 0:
            raise _outside("Invalid Range header: it asks for no bytes.", size)
        return size - length, length
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        raise _outside("Invalid Range header.", size)
    if start >= size:
        raise _outside(
            f"Invalid start position in Range header. The image has {size} bytes.", size
        )
    return start, end - start + 1


def _outside(message: str, size: int) -> RangeNotSatisfiable:
    error = RangeNotSatisfiable(message)
    error.headers = {"Content-Range": f"bytes */{size}"}
    return error
