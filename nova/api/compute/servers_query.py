# SPDX-License-Identifier: Apache-2.0
"""The query of ``GET /servers``: filters, sort keys and pages.

Sources: API reference, "List Servers"; the original's ``schemas/servers.py`` (names),
``servers.py`` (who may use which) and its database layer (which are exact, which are patterns).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

import msgspec

from nova import errors
from nova.api.compute.policies import ADMIN
from nova.api.compute.queries import limit_of
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Query
from nova.api.compute.times import changed_between
from nova.compute.lifecycle import states_of
from nova.decoding import json_decoder
from nova.objects.listing import NEWEST_FIRST, ServerQuery, SortKey, StateChoice, TagChoice
from nova.objects.states import SOFT_DELETED
from nova.policy import Rule

ALL_FILTERS_RULE = "os_compute_api:servers:allow_all_filters"
RULES: tuple[Rule, ...] = (
    Rule(ALL_FILTERS_RULE, ADMIN, "Use every filter when listing servers."),
    Rule("os_compute_api:servers:index:get_all_tenants", ADMIN, "List servers of all projects."),
    Rule("os_compute_api:servers:detail:get_all_tenants", ADMIN,
         "List servers of all projects with details."),
)

#: Filters whose value has to be equal, and their columns.
EXACT: Mapping[str, str] = {
    "user_id": "user_id", "project_id": "project_id", "tenant_id": "project_id",
    "image": "image_ref", "image_ref": "image_ref", "vm_state": "vm_state",
    "task_state": "task_state", "host": "host", "uuid": "uuid", "flavor": "flavorid",
    "launch_index": "launch_index", "reservation_id": "reservation_id",
}
#: Filters that are regular expressions, and their columns.
PATTERNS: Mapping[str, str] = {
    "name": "name", "display_name": "name", "description": "description",
    "display_description": "description", "hostname": "hostname", "kernel_id": "kernel_id",
    "ramdisk_id": "ramdisk_id", "key_name": "key_name", "power_state": "power_state",
    "node": "node", "launched_at": "launched_at", "terminated_at": "terminated_at",
    "created_at": "created_at", "availability_zone": "availability_zone",
    "locked_by": "locked_by", "root_device_name": "root_device_name",
    "config_drive": "config_drive", "access_ip_v4": "access_ipv4",
    "access_ip_v6": "access_ipv6", "auto_disk_config": "disk_config", "progress": "progress",
}
_INTEGERS = frozenset({"launch_index"})
_TAG_FILTERS = ("tags", "tags-any", "not-tags", "not-tags-any")
#: Filters that the API takes for regular expressions: an empty one is refused (also of exact ones).
_NEVER_EMPTY = frozenset({*PATTERNS, *_TAG_FILTERS, "flavor", "reservation_id", "ip", "ip6"})
#: Names that stand for joined tables in the original: never filters.
_REFUSED = (
    "block_device_mapping", "services", "metadata", "system_metadata", "info_cache",
    "security_groups", "pci_devices",
)

#: Filters that everybody may use, by the first version that has them.
FOR_EVERYONE: Mapping[str, int] = {
    "reservation_id": 1, "name": 1, "status": 1, "image": 1, "flavor": 1, "ip": 1,
    "changes-since": 1, "all_tenants": 1, "ip6": 5, "tags": 26, "tags-any": 26, "not-tags": 26,
    "not-tags-any": 26, "changes-before": 66, "locked": 73, "availability_zone": 83,
    "config_drive": 83, "key_name": 83, "created_at": 83, "launched_at": 83,
    "terminated_at": 83, "power_state": 83, "task_state": 83, "vm_state": 83, "progress": 83,
    "user_id": 83, "hostname": 90,
}

#: All that a list of servers takes; others are refused from 2.75 on.
QUERY = Query(
    {
        **dict.fromkeys((*EXACT, *PATTERNS, *_REFUSED), 1),
        **dict.fromkeys(
            (
                "sort_key", "sort_dir", "all_tenants", "soft_deleted", "deleted", "status",
                "changes-since", "ip", "ip6", "limit", "marker",
            ),
            1,
        ),
        **dict.fromkeys(_TAG_FILTERS, 26),
        "changes-before": 66,
        "locked": 73,
    },
    strict=75,
)

#: Sort keys and their columns.
_SORT_COLUMNS: Mapping[str, str] = {
    "access_ip_v4": "access_ipv4", "access_ip_v6": "access_ipv6",
    "auto_disk_config": "disk_config", "availability_zone": "availability_zone",
    "config_drive": "config_drive", "created_at": "created_at",
    "display_description": "description", "display_name": "name", "host": "host",
    "hostname": "hostname", "image_ref": "image_ref", "instance_type_id": "flavorid",
    "kernel_id": "kernel_id", "key_name": "key_name", "launch_index": "launch_index",
    "launched_at": "launched_at", "locked_by": "locked_by", "node": "node",
    "power_state": "power_state", "progress": "progress", "project_id": "project_id",
    "ramdisk_id": "ramdisk_id", "root_device_name": "root_device_name",
    "task_state": "task_state", "terminated_at": "terminated_at", "updated_at": "updated_at",
    "user_id": "user_id", "uuid": "uuid", "vm_state": "vm_state", "locked": "locked",
}
#: Sort keys that were once legal: ignored up to 2.74, refused from 2.75 on.
_IGNORED_SORT = frozenset(
    {
        "architecture", "cell_name", "cleaned", "default_ephemeral_device",
        "default_swap_device", "deleted", "deleted_at", "disable_terminate", "ephemeral_gb",
        "ephemeral_key_uuid", "id", "key_data", "launched_on", "memory_mb", "os_type",
        "reservation_id", "root_gb", "shutdown_terminate", "user_data", "vcpus", "vm_mode",
    }
)
_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
_FALSE = frozenset({"0", "f", "false", "off", "n", "no"})
#: The longest pattern, and the longest text that one is tried on.
_LONGEST = 255
#: Two repeats without a bound, and something beside them: milliseconds for a name.
_MOST_WAYS = 16 * _LONGEST**2
_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)
_decode_metadata = json_decoder(dict[str, str]).decode


def nothing(request: ApiRequest) -> bool:
    """Whether the status asked for is unknown where that is no error: the list is empty then."""
    if request.features.refuse_unknown_status:
        return False
    statuses = request.query.get("status")
    return bool(statuses) and not _states(statuses or [])


def server_query(request: ApiRequest, *, detail: bool) -> ServerQuery:
    """The request's query as the store takes it.

    Raises ``BadRequest`` naming a bad parameter, ``PolicyRefused`` or ``Forbidden`` for rights.
    """
    filters = _permitted(request)
    _refuse_empty(request)
    for name in filters:
        of_legacy = request.legacy and name == "metadata"
        if name.startswith("_") or (name in _REFUSED and not of_legacy):
            raise errors.BadRequest(f"Invalid filter field: {name[:64]}.")
    since, before = changed_between(request) if _dated(filters) else (None, None)
    if "changes-before" not in filters:
        before = None
    states = _wanted_states(request, filters)
    deleted = _deleted(request, filters, dated=since is not None or before is not None)
    return ServerQuery(
        project_id=_project(request, filters, detail=detail),
        deleted=deleted,
        soft_deleted=_soft_deleted(filters, states, deleted=deleted),
        states=states,
        equal=_equal(request, filters),
        patterns=_patterns(filters),
        addresses={
            version: tuple(_regex(name, text) for text in filters[name])
            for name, version in (("ip", 4), ("ip6", 6))
            if name in filters
        },
        metadata=_metadata(filters),
        tags=_tags(filters),
        locked=_boolean("locked", filters["locked"][-1]) if "locked" in filters else None,
        changes_since=since, changes_before=before,
        sort=_sort(request), limit=limit_of(request), marker=request.one("marker"),
    )


def _permitted(request: ApiRequest) -> dict[str, list[str]]:
    """The filters that the caller may use; others are dropped in silence."""
    paging = ("limit", "marker", "sort_key", "sort_dir")
    everything = request.allows(ALL_FILTERS_RULE)
    known = QUERY.since
    return {
        name: values
        for name, values in request.query.items()
        if name not in paging
        and (
            (everything and (name.startswith("_") or known.get(name, 1000) <= request.minor))
            or FOR_EVERYONE.get(name, 1000) <= request.minor
        )
    }


def _refuse_empty(request: ApiRequest) -> None:
    if request.legacy:
        return
    for name, values in request.query.items():
        if "" in values and name in _NEVER_EMPTY:
            raise errors.BadRequest(
                f"Invalid input for query parameters {name}. Value: . '' is not a 'regex'"
            )


def _dated(filters: Mapping[str, list[str]]) -> bool:
    return "changes-since" in filters or "changes-before" in filters


def _states(statuses: list[str]) -> tuple[StateChoice, ...]:
    return tuple(
        StateChoice(vm_state, None if tasks is None else tuple(tasks), tuple(others))
        for status in statuses
        for vm_state, tasks, others in states_of(status.upper())
    )


def _wanted_states(
    request: ApiRequest, filters: Mapping[str, list[str]]
) -> tuple[StateChoice, ...] | None:
    if "status" not in filters:
        return None
    found = _states(filters["status"])
    if not found:
        raise errors.BadRequest("Invalid status value")
    if {choice.vm_state for choice in found} == {"deleted"} and not request.caller.is_admin:
        raise errors.Forbidden("Only administrators may list deleted instances")
    return found


def _deleted(
    request: ApiRequest, filters: Mapping[str, list[str]], *, dated: bool
) -> bool | None:
    statuses = {status.upper() for status in filters.get("status", ())}
    if statuses == {"DELETED"} and request.caller.is_admin:
        return True
    if "deleted" in filters:
        return filters["deleted"][-1].strip().lower() in _TRUE
    return None if dated else False


def _soft_deleted(
    filters: Mapping[str, list[str]],
    states: tuple[StateChoice, ...] | None,
    *,
    deleted: bool | None,
) -> bool:
    if states is not None and any(choice.vm_state == SOFT_DELETED for choice in states):
        return True
    if "soft_deleted" in filters:
        return filters["soft_deleted"][-1].strip().lower() in _TRUE
    return deleted is True


def _project(
    request: ApiRequest, filters: Mapping[str, list[str]], *, detail: bool
) -> str | None:
    """The project that the list is of; None is all of them."""
    everyone = "all_tenants" in filters and _all_tenants(filters["all_tenants"][-1])
    if not everyone:
        return request.caller.project_id
    request.check(f"os_compute_api:servers:{'detail' if detail else 'index'}:get_all_tenants")
    named = filters.get("project_id") or filters.get("tenant_id")
    return named[-1] if named else None


def _all_tenants(text: str) -> bool:
    if not text.strip():
        return True
    value = text.strip().lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise errors.BadRequest(
        f"Invalid value for all_tenants: {text[:40]}. Accepted are true and false."
    )


def _boolean(name: str, text: str) -> bool:
    value = text.strip().lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise errors.BadRequest(
        f"Invalid value '{text[:40]}' for {name}; it has to be true or false."
    )


def _equal(request: ApiRequest, filters: Mapping[str, list[str]]) -> dict[str, tuple[Any, ...]]:
    equal: dict[str, tuple[Any, ...]] = {}
    for name, column in EXACT.items():
        if name not in filters or column == "project_id":
            continue
        values: list[Any] = list(filters[name])
        if name in _INTEGERS:
            values = [_number(name, text) for text in values]
        if name in ("image", "flavor"):
            values = [text.rstrip("/").rpartition("/")[2] for text in values]
        equal[column] = tuple(values)
    return equal


def _number(name: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise errors.BadRequest(
            f"Invalid input for query parameters {name}. Value: {text[:40]}. It is not a number."
        )
    return int(text)


def _patterns(filters: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    patterns: dict[str, tuple[str, ...]] = {}
    for name, column in PATTERNS.items():
        if name in filters:
            patterns[column] = tuple(_regex(name, text) for text in filters[name])
    return patterns


def _regex(name: str, text: str) -> str:
    """A regular expression that can be searched for; ``BadRequest`` for one that cannot."""
    try:
        ways = _MOST_WAYS + 1 if len(text) > _LONGEST else _ways(_parser.parse(text), last=True)
        if ways <= _MOST_WAYS:
            re.compile(text)
    except (re.error, RecursionError, OverflowError, ValueError):
        raise errors.BadRequest(
            f"Invalid input for query parameters {name}. Value: {text[:60]}. "
            f"'{text[:60]}' is not a 'regex'"
        ) from None
    if ways > _MOST_WAYS:
        raise errors.BadRequest(
            f"Invalid input for query parameters {name}. Value: {text[:60]}. The regular "
            "expression is too complex: its repeats could run without end."
        )
    return text


def _ways(tree: Any, *, last: bool = False) -> int:
    """In how many ways a pattern may match a name before the search gives up, at most.

    Python tries them all, and nothing else runs meanwhile. What is repeated last is never taken back.
    """
    ways = 1
    items = list(tree)
    for place, (operator, argument) in enumerate(items):
        if operator in _REPEATS:
            low, high, repeated = argument
            high = min(int(high), _LONGEST)
            of_one = _ways(repeated)
            if of_one > 1:
                # Each turn again in each of its ways; more than a few turns are past any limit.
                ways *= of_one ** min(high, 64)
            if not (last and of_one == 1 and place == len(items) - 1):
                ways *= max(1, high - int(low) + 1)
        elif operator is _constants.BRANCH:
            ways *= sum(_ways(each) for each in argument[1])
        else:
            for each in _branches(argument):
                ways *= _ways(each)
        if ways > _MOST_WAYS:
            return _MOST_WAYS + 1
    return ways


def _branches(argument: Any) -> list[Any]:
    """The sub-patterns in one operator's argument."""
    if isinstance(argument, _parser.SubPattern):
        return [argument]
    if isinstance(argument, tuple | list):
        return [branch for part in argument for branch in _branches(part)]
    return []


def _metadata(filters: Mapping[str, list[str]]) -> dict[str, str]:
    """The legacy API's ``metadata={"key": "value"}``."""
    if "metadata" not in filters:
        return {}
    try:
        return _decode_metadata(filters["metadata"][-1])
    except (msgspec.DecodeError, UnicodeError):
        raise errors.BadRequest(
            "Invalid filter field: metadata. It has to be a JSON object of texts."
        ) from None


def _tags(filters: Mapping[str, list[str]]) -> TagChoice | None:
    if not any(name in filters for name in _TAG_FILTERS):
        return None
    every, some, not_every, none_of = (
        tuple(tag for tag in (filters.get(name) or [""])[-1].split(",") if tag)[:100]
        for name in _TAG_FILTERS
    )
    return TagChoice(every=every, some=some, not_every=not_every, none_of=none_of)


def _sort(request: ApiRequest) -> tuple[SortKey, ...]:
    keys = request.query.get("sort_key")
    directions = list(request.query.get("sort_dir") or ())
    for direction in directions:
        if direction not in ("asc", "desc"):
            raise errors.BadRequest("Unknown sort direction, must be 'desc' or 'asc'")
    if not keys and not directions:
        return NEWEST_FIRST
    names = list(keys or ["created_at"])
    if len(directions) > len(names):
        raise errors.BadRequest("Sort direction array size exceeds sort key array size.")
    default = directions[0] if directions else "desc"
    directions += [default] * (len(names) - len(directions))
    found: list[SortKey] = []
    for name, direction in zip(names, directions, strict=True):
        column = _sort_column(request, name)
        if column is not None:
            found.append(SortKey(column, direction == "desc"))
    return tuple(found[:10]) or NEWEST_FIRST


def _sort_column(request: ApiRequest, name: str) -> str | None:
    """The column of a sort key; None where the key is to be ignored."""
    if name in _IGNORED_SORT and not request.features.strict_queries:
        return None
    if name == "locked" and not request.features.sort_by_lock:
        return None
    column = _SORT_COLUMNS.get(name)
    if column is None:
        raise errors.BadRequest(
            f"Invalid input for query parameters sort_key. Value: {name[:40]}. "
            f"'{name[:40]}' is not a sort key of servers."
        )
    if column in ("host", "node") and not request.caller.is_admin:
        raise errors.Forbidden(f"Only administrators can sort servers by {name}")
    return column
