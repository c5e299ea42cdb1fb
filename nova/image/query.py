# SPDX-License-Identifier: Apache-2.0
"""Reads the query string of a list of images: filters, order, paging.

Filters on fields compare (``name=``, ``size_min=``, ``created_at=gt:2015-…``, ``status=in:a,b``);
every other parameter is a free property that must have that value.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Any

from nova.conf.image import ImageSection
from nova.errors import BadRequest, InvalidInput
from nova.image.fields import VISIBILITIES, text
from nova.objects.image_record import ImageComparison, ImageQuery

SORT_KEYS = (
    "name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at",
)
_MEMBER_STATUSES = ("pending", "accepted", "rejected", "all")
_TIME_OPERATORS = ("eq", "neq", "gt", "gte", "lt", "lte")
_LISTED = ("name", "id", "status", "container_format", "disk_format")
_PLAIN = ("owner", "checksum", "os_hash_algo", "os_hash_value")
_NUMBERS = ("size", "virtual_size", "min_disk", "min_ram")
_BOOLEANS = ("protected", "os_hidden")
_NOT_FILTERS = (
    "limit", "marker", "sort", "sort_key", "sort_dir", "member_status", "visibility", "tag",
    "deleted",
)
# A quoted value, in which backslash escapes, or anything up to a comma.
_LISTED_VALUE = re.compile(r'"((?:[^"\\]|\\.)*)"(?:,|$)|([^,"]*)(?:,|$)')
_GREATEST = 2**63 - 1


def parse_query(parameters: Sequence[tuple[str, str]], section: ImageSection) -> ImageQuery:
    """The query that a list request asks; ``BadRequest`` names the parameter that is wrong."""
    values: dict[str, str] = {}
    for name, value in parameters:
        text("query parameter", name, None)
        values[name] = text(name, value, None)
    if values.get("changes-since"):
        raise BadRequest('The "changes-since" filter is no longer available on v2.')
    visibility = values.get("visibility") or None
    if visibility is not None and visibility not in (*VISIBILITIES, "all"):
        raise InvalidInput(
            "visibility", f"It must be one of: {', '.join(VISIBILITIES)}, all.", visibility
        )
    member_status = values.get("member_status", "accepted")
    if member_status not in _MEMBER_STATUSES:
        raise InvalidInput(
            "member_status", f"It must be one of: {', '.join(_MEMBER_STATUSES)}.", member_status
        )
    comparisons, properties = _filters(values)
    return ImageQuery(
        comparisons=tuple(comparisons),
        properties=tuple(properties),
        tags=tuple(value.strip() for name, value in parameters if name == "tag"),
        visibility=visibility,
        member_status=member_status,
        sort=_sorting(parameters),
        limit=_limit(values.get("limit"), section),
        marker=values.get("marker"),
    )


def _filters(values: dict[str, str]) -> tuple[list[ImageComparison], list[tuple[str, str]]]:
    comparisons: list[ImageComparison] = []
    properties: list[tuple[str, str]] = []
    for name, value in {"os_hidden": "false", **values}.items():
        if name in _NOT_FILTERS:
            continue
        comparison = _comparison(name, value)
        if comparison is None:
            properties.append((name, value))
        else:
            comparisons.append(comparison)
    return comparisons, properties


def _comparison(name: str, value: str) -> ImageComparison | None:
    """The condition that a parameter sets on a field; None for a free property."""
    if name in _LISTED:
        return _listed(name, value)
    if name in _PLAIN:
        return ImageComparison(name, "eq", value)
    if name in _NUMBERS:
        return ImageComparison(name, "eq", _number(name, value))
    if name in _BOOLEANS:
        if value.lower() not in ("true", "false"):
            raise InvalidInput(name, "It must be true or false.", value)
        return ImageComparison(name, "eq", value.lower() == "true")
    if name in ("created_at", "updated_at"):
        return _moment(name, value)
    field, _, bound = name.rpartition("_")
    if field in _NUMBERS and bound in ("min", "max"):
        return ImageComparison(field, "gte" if bound == "min" else "lte", _number(name, value))
    return None


def _number(name: str, value: str) -> int:
    try:
        number = int(value) if len(value) <= 20 else _GREATEST + 1
    except ValueError:
        raise InvalidInput(name, "It must be an integer.", value) from None
    if not -_GREATEST <= number <= _GREATEST:
        raise InvalidInput(name, f"It must be at most {_GREATEST}.", value)
    return number


def _listed(name: str, value: str) -> ImageComparison:
    """``value``, ``eq:value`` or ``in:a,"b,c"``.

    A name may hold a colon itself (``ubuntu:22.04``), so an unknown operator is part of it there.
    """
    operator, colon, rest = value.partition(":")
    if colon and operator == "in":
        return ImageComparison(name, "in", _split(name, rest))
    if colon and operator == "eq":
        return ImageComparison(name, "eq", rest)
    if colon and name not in ("name", "id"):
        raise InvalidInput(name, f"Unable to filter by unknown operator '{operator[:40]}'.")
    return ImageComparison(name, "eq", value)


def _split(name: str, value: str) -> tuple[str, ...]:
    found: list[str] = []
    position = 0
    while position < len(value):
        match = _LISTED_VALUE.match(value, position)
        if match is None:
            raise InvalidInput(name, "The quotes in the list are not closed or not apart.", value)
        quoted, plain = match.groups()
        found.append(plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        position = match.end()
    return tuple(found)


def _moment(name: str, value: str) -> ImageComparison:
    operator, colon, rest = value.partition(":")
    if colon and operator in _TIME_OPERATORS:
        value = rest
    else:
        operator = "eq"
    try:
        moment = datetime.datetime.fromisoformat(value.strip().replace(" ", "+"))
        if moment.tzinfo is not None:
            moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise InvalidInput(name, "Use ISO 8601 DateTime notation.", value) from None
    return ImageComparison(name, operator, moment)


def _limit(value: str | None, section: ImageSection) -> int:
    if value is None:
        return min(section.limit_param_default, section.api_limit_max)
    number = _number("limit", value)
    if number < 0:
        raise InvalidInput("limit", "It must be positive.", value)
    return min(number, section.api_limit_max)


def _sorting(parameters: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """``sort=key:dir,…`` or any number of ``sort_key`` and ``sort_dir``; made unique at the end."""
    sorts = [value for name, value in parameters if name == "sort"]
    keys = [value.strip() for name, value in parameters if name == "sort_key"]
    directions = [value.strip() for name, value in parameters if name == "sort_dir"]
    if sorts:
        if keys or directions:
            raise BadRequest("Old and new sorting syntax cannot be combined")
        pairs = [part.partition(":") for part in sorts[-1].strip().split(",")]
        keys = [key.strip() for key, _, _ in pairs]
        directions = [direction.strip() or "desc" for _, _, direction in pairs]
    else:
        keys = keys or ["created_at"]
        if len(directions) > 1 and len(directions) != len(keys):
            raise BadRequest("Number of sort dirs does not match the number of sort keys")
        directions = directions or ["desc"]
        if len(directions) == 1:
            directions = directions * len(keys)
    for key in keys:
        if key not in SORT_KEYS:
            raise InvalidInput("sort_key", f"It must be one of: {', '.join(SORT_KEYS)}.", key)
    for direction in directions:
        if direction not in ("asc", "desc"):
            raise InvalidInput("sort_dir", "It must be asc or desc.", direction)
    order: dict[str, Any] = {}
    for key, direction in zip(keys, directions, strict=True):
        order.setdefault(key, direction)
    for key in ("created_at", "id"):
        order.setdefault(key, directions[0])
    return tuple(order.items())
