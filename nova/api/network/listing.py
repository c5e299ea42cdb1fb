# SPDX-License-Identifier: Apache-2.0
"""Filters, sorting, paging and chosen fields of lists (Networking API reference, "Filtering")."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from nova.api.network import values as read
from nova.api.network.error_body import typed
from nova.api.network.resource import Call, Matcher, Resource, Shown
from nova.errors import BadRequest, NotFound

_CONTROL = frozenset({"fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"})
_TAGS = frozenset({"tags", "tags-any", "not-tags", "not-tags-any"})


def listed(call: Call, resource: Resource, things: list[Shown]) -> dict[str, Any]:
    """The answer of a list: filtered, sorted, one page of it, with the fields asked for."""
    if not call.query:
        return {resource.plural: things}
    things = _filtered(call, resource, things)
    things = _sorted(call, resource, things)
    answer: dict[str, Any] = {}
    limit = _limit(call)
    marker = _last(call, "marker")
    if limit is not None or marker:
        reverse = (_last(call, "page_reverse") or "").lower() in ("true", "1")
        things, links = _page(call, things, limit, marker, reverse)
        if links:
            answer[f"{resource.plural}_links"] = links
    answer[resource.plural] = chosen(call, things)
    return answer


def chosen(call: Call, things: list[Shown]) -> list[Shown]:
    """The things with the fields asked for alone."""
    wanted = [name for name in call.query.get("fields", ()) if name]
    if not wanted:
        return things
    return [{name: thing[name] for name in wanted if name in thing} for thing in things]


def _last(call: Call, name: str) -> str | None:
    found = call.query.get(name)
    return found[-1] if found else None


def _limit(call: Call) -> int | None:
    text = _last(call, "limit")
    if not text:
        return None
    limit = read.number(text)
    if limit is None:
        raise BadRequest(f"Invalid value for limit: '{text[:40]}'. It must be a number of 0 or more.")
    return limit or None


def _filtered(call: Call, resource: Resource, things: list[Shown]) -> list[Shown]:
    for name, values in call.query.items():
        if name in _CONTROL:
            continue
        if name in _TAGS and resource.taggable:
            wanted = {tag for value in values for tag in value.split(",") if tag}
            things = [thing for thing in things if _tagged(name, set(thing["tags"]), wanted)]
            continue
        if name == "changed_since" and "updated_at" in resource.keys:
            since = _moment(values[0])
            things = [thing for thing in things if _changed(thing, since)]
            continue
        matcher = resource.matchers.get(name)
        if matcher is None:
            if name not in resource.keys:
                raise BadRequest(f"['{name[:80]}'] is invalid attribute for filtering")
            attribute = resource.attributes.get(name)
            if attribute is not None and (attribute.convert or attribute.read is read.boolean):
                values = [str(attribute.read(name, value)) for value in values if value]
                if not values:
                    continue
            matcher = _equals(name)
        things = [thing for thing in things if matcher(thing, values)]
    return things


def _moment(text: str) -> str:
    """A time in UTC as things show theirs; its fraction of a second is dropped, as theirs is."""
    try:
        found = datetime.datetime.fromisoformat(text)
        if found.tzinfo is not None:
            found = found.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise typed(
            BadRequest("Invalid input for operation: The input changed_since must be in the following "
                       "format: YYYY-MM-DDTHH:MM:SSZ."),
            "InvalidInput",
        ) from None
    return found.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + "Z"


def _changed(thing: Shown, since: str) -> bool:
    """Whether it changed at that time or later, as far as one knows (neutron, ``services/timestamp``)."""
    updated = thing.get("updated_at")
    return updated is None or updated >= since


def _tagged(name: str, tags: set[str], wanted: set[str]) -> bool:
    if name == "tags":
        return wanted <= tags
    if name == "tags-any":
        return bool(wanted & tags)
    if name == "not-tags":
        return not wanted <= tags
    return not wanted & tags


def _equals(name: str) -> Matcher:
    def matches(thing: Shown, values: Sequence[str]) -> bool:
        return any(same(thing.get(name), value) for value in values)

    return matches


def same(value: Any, text: str) -> bool:
    """Whether a shown value is what a filter says."""
    if isinstance(value, bool):
        return text.lower() in (("true", "1") if value else ("false", "0"))
    if value is None:
        return text in ("", "None", "null")
    if isinstance(value, list):
        return text in value
    return str(value) == text


def _sorted(call: Call, resource: Resource, things: list[Shown]) -> list[Shown]:
    names = [each for each in call.query.get("sort_key", ()) if each]
    directions = [each for each in call.query.get("sort_dir", ()) if each]
    if len(names) != len(directions):
        raise BadRequest("The number of sort_keys and sort_dirs must be same")
    for name in names:
        if name not in resource.keys:
            raise BadRequest(f"{name[:80]} is invalid attribute for sort_keys")
    for index in reversed(range(len(names))):
        name = names[index]
        direction = directions[index]
        if direction not in ("asc", "desc"):
            raise BadRequest(f"sort_dir must be asc or desc, not {direction[:40]}.")
        things = sorted(things, key=lambda thing: _order(thing[name]), reverse=direction == "desc")
    return things


def _order(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, "")
    if isinstance(value, bool | int):
        return (1, value)
    return (2, str(value))


def _page(
    call: Call, things: list[Shown], limit: int | None, marker: str | None, reverse: bool
) -> tuple[list[Shown], list[dict[str, str]]]:
    if marker:
        index = next((i for i, thing in enumerate(things) if thing["id"] == marker), None)
        if index is None:
            raise typed(NotFound(f"Marker {marker[:64]} could not be found."), "HTTPNotFound")
        things = things[:index] if reverse else things[index + 1 :]
    whole = len(things)
    if limit is not None:
        things = things[-limit:] if reverse else things[:limit]
    links = []
    if things and limit is not None:
        more = whole > len(things)
        if more or reverse:
            links.append(_link(call, "next", things[-1]["id"], reverse=False))
        if marker or (reverse and more):
            links.append(_link(call, "previous", things[0]["id"], reverse=True))
    return things, links


def _link(call: Call, relation: str, marker: str, *, reverse: bool) -> dict[str, str]:
    pairs = [
        (name, value)
        for name, values in call.query.items()
        if name not in ("marker", "page_reverse")
        for value in values
    ]
    pairs.append(("marker", marker))
    if reverse:
        pairs.append(("page_reverse", "True"))
    return {"rel": relation, "href": f"{call.base}{call.http.path}?{urlencode(pairs)}"}
