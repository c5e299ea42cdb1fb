# SPDX-License-Identifier: Apache-2.0
"""Query strings of lists: filters, order, pages."""

from __future__ import annotations

import ast
import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

from nova.errors import BadRequest, NovaError
from nova.objects.volume_record import ListQuery
from nova.volume.api import versions
from nova.volume.api.request import Request, as_bool

_OPERATORS = ("gt", "gte", "eq", "neq", "lt", "lte")
_PAGING = frozenset(
    {"limit", "marker", "offset", "sort", "sort_key", "sort_dir", "with_count", "all_tenants"}
)
_VOLUME_SORT = {
    "id": "id", "status": "status", "size": "size", "availability_zone": "availability_zone",
    "name": "name", "bootable": "bootable", "created_at": "created_at", "updated_at": "updated_at",
    "display_name": "name", "volume_type_id": "type_id", "user_id": "user_id", "host": "host",
    "project_id": "project_id",
}
_SNAPSHOT_SORT = {
    "id": "id", "status": "status", "volume_id": "volume_id", "volume_size": "size", "size": "size",
    "name": "name", "display_name": "name", "created_at": "created_at", "updated_at": "updated_at",
}
#: Filters on columns that everybody may use.
_VOLUME_FILTERS = {
    "name": "name", "display_name": "name", "status": "status", "size": "size",
    "availability_zone": "availability_zone", "migration_status": "migration_status",
}
_VOLUME_ADMIN_FILTERS = {
    "host": "host", "user_id": "user_id", "id": "id", "snapshot_id": "snapshot_id",
    "source_volid": "source_id",
}
_SNAPSHOT_FILTERS = {
    "name": "name", "display_name": "name", "status": "status", "volume_id": "volume_id",
}


class _Listed(Protocol):
    @property
    def id(self) -> str: ...


_Thing = TypeVar("_Thing", bound=_Listed)


def part_of(
    found: list[_Thing], given: Mapping[str, str], missing: Callable[[str], NovaError]
) -> list[_Thing]:
    """What ``limit`` lets through of a whole list behind its ``marker``.

    Raises what ``missing`` makes of a marker that is not in the list, ``BadRequest`` for the limit.
    """
    marker, limit = given.get("marker"), given.get("limit")
    if marker:
        place = next((index for index, each in enumerate(found) if each.id == marker), None)
        if place is None:
            raise missing(marker[:64])
        found = found[place + 1 :]
    return found if limit is None else found[: whole_number("limit", limit)]


def volume_query(request: Request) -> ListQuery:
    """The query of a list of volumes; filters that are not known are passed over, as Cinder does.

    What refuses them, ``nova.volume.api.filters``, comes before.
    """
    given = dict(request.parameters())
    facts = _common(request, given, _VOLUME_SORT)
    equal: dict[str, Any] = {}
    like: dict[str, str] = {}
    times: list[tuple[str, str, datetime.datetime]] = []
    extra: dict[str, Any] = {}
    columns = {**_VOLUME_FILTERS, **(_VOLUME_ADMIN_FILTERS if request.caller.is_admin else {})}
    for name, value in given.items():
        if name in _PAGING:
            continue
        if name.endswith("~") and name[:-1] in _VOLUME_FILTERS:
            if request.version >= versions.LIKE_FILTERS:
                like[_VOLUME_FILTERS[name[:-1]]] = value
        elif name in columns:
            equal[columns[name]] = whole_number(name, value) if name == "size" else value
        elif name == "bootable":
            equal["bootable"] = _bootable(request, value)
        elif name == "metadata":
            extra["metadata"] = pairs(name, value)
        elif name == "glance_metadata" and request.version >= versions.IMAGE_METADATA_FILTER:
            extra["image_metadata"] = pairs(name, value)
        elif name in ("created_at", "updated_at") and request.version >= versions.TIME_FILTERS:
            times += _times(name, value)
        elif name == "group_id" or _no_quota(request, name, value):
            equal["id"] = ()
    return ListQuery(**facts, **extra, equal=equal, like=like, times=tuple(times))


def snapshot_query(request: Request) -> ListQuery:
    """The query of a list of snapshots."""
    given = dict(request.parameters())
    facts = _common(request, given, _SNAPSHOT_SORT)
    equal: dict[str, Any] = {}
    like: dict[str, str] = {}
    extra: dict[str, Any] = {}
    for name, value in given.items():
        if name.endswith("~") and name[:-1] in _SNAPSHOT_FILTERS:
            if request.version >= versions.LIKE_FILTERS:
                like[_SNAPSHOT_FILTERS[name[:-1]]] = value
        elif name in _SNAPSHOT_FILTERS:
            equal[_SNAPSHOT_FILTERS[name]] = value
        elif name == "metadata" and request.version >= versions.SNAPSHOT_METADATA_FILTER:
            extra["metadata"] = pairs(name, value)
        elif _no_quota(request, name, value) or (
            name == "availability_zone" and value != request.service.section.availability_zone
        ):
            equal["id"] = ()
    return ListQuery(**facts, **extra, equal=equal, like=like)


def _no_quota(request: Request, name: str, value: str) -> bool:
    """Whether only what consumes no quota is asked for, which there is none of."""
    return (
        name == "consumes_quota" and request.version >= versions.CONSUMES_QUOTA
        and not as_bool(name, value)
    )


def _common(request: Request, given: dict[str, str], columns: dict[str, str]) -> dict[str, Any]:
    everywhere = given.get("all_tenants")
    project: str | None = request.caller.project_id
    if request.caller.is_admin and everywhere is not None and as_bool("all_tenants", everywhere):
        project = given.get("project_id") or given.get("tenant_id")
    most = request.service.section.osapi_max_limit
    limit = whole_number("limit", given["limit"]) if "limit" in given else most
    return {
        "project_id": project, "limit": min(limit, most),
        "offset": whole_number("offset", given["offset"]) if "offset" in given else 0,
        "marker": given.get("marker") or None, "sort": _sort(request, given, columns),
    }


def whole_number(name: str, value: str) -> int:
    """A parameter as a number of at most nine digits; ``BadRequest`` else."""
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise BadRequest(f"Invalid input received: {name} param must be an integer of 0 or more.")
    return int(value)


def _sort(
    request: Request, given: dict[str, str], columns: dict[str, str]
) -> tuple[tuple[str, str], ...]:
    keys: list[tuple[str, str]] = []
    if "sort" in given:
        if "sort_key" in given or "sort_dir" in given:
            raise BadRequest(
                "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the "
                "'sort' parameter."
            )
        for part in given["sort"].strip().split(","):
            key, _colon, direction = part.strip().partition(":")
            keys.append((key or "created_at", direction or "desc"))
    else:
        key = given.get("sort_key", "created_at").strip()
        keys.append((key, given.get("sort_dir", "desc").strip()))
    found: list[tuple[str, str]] = []
    for key, direction in keys[:10]:
        if direction not in ("asc", "desc"):
            raise BadRequest("Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.")
        if key not in columns:
            raise BadRequest("Invalid input received: Invalid sort key.")
        found.append((columns[key], direction))
    if ("id", "asc") not in found and ("id", "desc") not in found:
        found.append(("id", found[-1][1]))
    return tuple(found)


def _bootable(request: Request, value: str) -> bool:
    if request.version < versions.STRICT_BOOTABLE:
        return value.lower() != "false"
    if value.lower() in ("t", "true", "1"):
        return True
    if value.lower() in ("f", "false", "0"):
        return False
    raise BadRequest(f"Invalid input received: bootable={value[:40]}")


def pairs(name: str, value: str) -> dict[str, str]:
    """A dictionary in a query string; ``BadRequest`` else.

    Clients write it as Python does, or as JSON, which reads the same here.
    """
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadRequest(f"Invalid input received: {name} must be a dictionary.")
    return {str(key): str(entry) for key, entry in found.items()}


def _times(name: str, value: str) -> list[tuple[str, str, datetime.datetime]]:
    found: list[tuple[str, str, datetime.datetime]] = []
    for part in value.split(","):
        comparison, _colon, written = part.partition(":")
        if comparison not in _OPERATORS:
            raise BadRequest(f"Invalid {name} operator")
        try:
            moment = datetime.datetime.fromisoformat(written)
        except ValueError:
            raise BadRequest(f"Invalid {written[:40]} value") from None
        if moment.tzinfo is not None:
            moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
        found.append((name, comparison, moment))
    return found


def with_next(
    request: Request, collection: str, path: str, found: Sequence[Any], query: ListQuery
) -> dict[str, Any]:
    """The link to the page that follows a full one."""
    if not found or query.limit is None or len(found) < query.limit:
        return {}
    parameters = [
        (name, value) for name, value in request.parameters() if name not in ("marker", "offset")
    ]
    parameters.append(("marker", found[-1].id))
    href = f"{request.url(path)}?{urlencode(parameters)}"
    return {f"{collection}_links": [{"rel": "next", "href": href}]}
