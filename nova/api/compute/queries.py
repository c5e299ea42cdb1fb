# SPDX-License-Identifier: Apache-2.0
"""Query parameters that several resources share: ``limit``, ``marker`` and flags."""

from __future__ import annotations

import uuid

from nova.api.compute.request import ApiRequest
from nova.errors import BadRequest


def limit_of(request: ApiRequest) -> int:
    """How many items the answer may hold: what was asked for, at most ``osapi_max_limit``."""
    most = request.cloud.config.default.osapi_max_limit
    wanted = request.integer("limit")
    return most if wanted is None else min(wanted, most)


def unknown_marker(marker: str | None) -> BadRequest:
    """The refusal of a marker that names nothing."""
    return BadRequest(f"Marker {(marker or '')[:255]} could not be found.")


def flag_of(request: ApiRequest, name: str) -> bool:
    """A flag of the query, false where it is missing; ``BadRequest`` for what is neither."""
    text = (request.one(name) or "false").strip().lower()
    if text in ("1", "t", "true", "on", "y", "yes"):
        return True
    if text in ("0", "f", "false", "off", "n", "no"):
        return False
    raise BadRequest(
        f"Invalid input for query parameters {name}. Value: {text[:40]}. "
        f"'{text[:40]}' is not a boolean."
    )


def integer_id(field: str, text: str) -> int:
    """A path's id as a number; ``BadRequest`` where it is none or too large for the database.

    A negative number is a number: it is the id of nothing, which is for the caller to find.
    """
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 10 or int(digits) > 2**31 - 1:
        raise BadRequest(f"Invalid input received: {field} must be an integer: {text[:40]!r}")
    return int(text)


def uuid_id(text: str) -> str:
    """A path's id as a uuid in its usual form; ``BadRequest`` where it is none."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise BadRequest(f"Invalid uuid {text[:64]}") from None


def window_of(request: ApiRequest) -> slice:
    """The part of a list that the older ``offset`` and ``limit`` name."""
    start = request.integer("offset", 0) or 0
    return slice(start, start + limit_of(request))
