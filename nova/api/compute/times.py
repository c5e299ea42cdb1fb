# SPDX-License-Identifier: Apache-2.0
"""Times as the compute API writes and reads them."""

from __future__ import annotations

import datetime

from nova.api.compute.request import ApiRequest
from nova.errors import BadRequest


def precise(moment: datetime.datetime | None) -> str | None:
    """``2016-06-23T14:42:02.000000``: microseconds always, no zone (all resources but servers)."""
    return None if moment is None else moment.isoformat(timespec="microseconds")


def read_time(field: str, text: str) -> datetime.datetime:
    """An ISO 8601 time as naive UTC; without a zone it is taken to be UTC.

    Raises ``BadRequest`` naming the field.
    """
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise BadRequest(
            f"Invalid input for query parameters {field}. Value: {text[:40]}. "
            f"'{text[:40]}' is not a 'date-time'"
        ) from None
    return moment


def time_of(request: ApiRequest, name: str) -> datetime.datetime | None:
    """A query parameter as a moment; ``BadRequest`` where it is none."""
    text = request.one(name)
    return None if text is None else read_time(name, text)


def changed_between(
    request: ApiRequest,
) -> tuple[datetime.datetime | None, datetime.datetime | None]:
    """The query's ``changes-since`` and ``changes-before``.

    Raises ``BadRequest`` where they are swapped.
    """
    since, before = time_of(request, "changes-since"), time_of(request, "changes-before")
    if since is not None and before is not None and before < since:
        raise BadRequest(
            "The value of changes-since must be less than or equal to changes-before."
        )
    return since, before
