# SPDX-License-Identifier: Apache-2.0
"""Periods of the usage audit: ``hour``, ``day``, ``month`` or ``year``, each ``@`` where it begins.

``month@15`` is from the 15th to the 15th, ``hour@30`` from half past, ``day@18`` from 18:00, ``year@7``
from the first of July.
"""

from __future__ import annotations

import datetime

from nova.errors import BadRequest

_LARGEST = {"hour": 59, "day": 23, "month": 31, "year": 12}

Moment = datetime.datetime


def last_completed_period(text: str, before: Moment) -> tuple[Moment, Moment]:
    """Begin and end of the last whole period that ended before a moment; naive UTC.

    Raises ``BadRequest`` for a text that names no period, ``ValueError`` or ``OverflowError`` for a moment
    before which there is none.
    """
    unit, _, offset = text.partition("@")
    if unit not in _LARGEST or (offset and not offset.isdigit()) or int(offset or 0) > _LARGEST[unit]:
        raise BadRequest(f"There is no usage audit period {text[:40]!r}.")
    number = int(offset or 0)
    end = _border(unit, number, before)
    if end >= before:
        end = _border(unit, number, _previous(unit, end))
    return _border(unit, number, _previous(unit, end)), end


def _border(unit: str, number: int, moment: Moment) -> Moment:
    """The border in the same hour, day, month or year as a moment."""
    if unit == "hour":
        return moment.replace(minute=number, second=0, microsecond=0)
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "day":
        return day.replace(hour=number)
    if unit == "month":
        first = day.replace(day=1)
        last = ((first + datetime.timedelta(days=31)).replace(day=1) - datetime.timedelta(days=1)).day
        return first.replace(day=min(number or 1, last))
    return day.replace(month=number or 1, day=1)


def _previous(unit: str, moment: Moment) -> Moment:
    """A moment in the hour, day, month or year before."""
    if unit == "hour":
        return moment - datetime.timedelta(hours=1)
    if unit == "day":
        return moment - datetime.timedelta(days=1)
    if unit == "month":
        return moment.replace(day=1) - datetime.timedelta(days=1)
    return moment.replace(year=moment.year - 1, day=1)
