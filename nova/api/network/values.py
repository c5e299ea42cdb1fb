# SPDX-License-Identifier: Apache-2.0
"""Attributes of request bodies: what may be sent when, by whom, and how a value is read.

Sources: neutron-lib, ``api/definitions`` (which attribute may be sent) and ``api/validators``.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import uuid as uuids
from collections.abc import Callable, Mapping
from typing import Any

from nova.api.network.error_body import typed
from nova.errors import BadRequest, InvalidInput, NovaError
from nova.network.ranges import unscoped

Reader = Callable[[str, Any], Any]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_TRUE = frozenset({"true", "1", "t", "on", "y", "yes"})
_FALSE = frozenset({"false", "0", "f", "off", "n", "no"})
_MAC = re.compile(r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")


@dataclasses.dataclass(frozen=True)
class Attribute:
    """One attribute of a resource in request bodies.

    ``rule`` marks one that needs a right of its own (``create_network:shared``), ``convert`` one whose
    filters are read like it, and refused like it.
    """

    name: str
    read: Reader
    post: bool = True
    put: bool = True
    required: bool = False
    rule: bool = False
    convert: bool = False


def read_values(
    attributes: Mapping[str, Attribute], raw: Any, *, singular: str, creating: bool
) -> dict[str, Any]:
    """The given values, checked; ``BadRequest`` naming the attribute for what is wrong."""
    if not isinstance(raw, dict):
        raise BadRequest(f"Unable to find '{singular}' in request body.")
    given = dict(raw)
    if "project_id" in given:
        project = given.pop("project_id")
        if given.setdefault("tenant_id", project) != project:
            raise BadRequest("'project_id' and 'tenant_id' do not match.")
    unknown = sorted(name for name in given if name not in attributes)
    if unknown:
        raise BadRequest(f"Unrecognized attribute(s) '{', '.join(map(str, unknown))[:200]}'")
    values: dict[str, Any] = {}
    for name, value in given.items():
        attribute = attributes[name]
        if not (attribute.post if creating else attribute.put):
            verb = "POST" if creating else "PUT"
            raise BadRequest(
                f"Attribute '{name}' not allowed in {verb}"
                if creating else f"Cannot update read-only attribute {name}"
            )
        values[name] = attribute.read(name, value)
    if creating:
        for attribute in attributes.values():
            if attribute.required and attribute.name not in values:
                raise BadRequest(
                    "Failed to parse request. Required attribute "
                    f"'{attribute.name}' not specified"
                )
    return values


def wrong(name: str, reason: str) -> NovaError:
    """The refusal of a value."""
    return typed(BadRequest(f"Invalid input for {name}. Reason: {reason}"), "HTTPBadRequest")


def text(longest: int = 255) -> Reader:
    """Text; null is empty."""

    def read(name: str, value: Any) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            raise wrong(name, f"'{str(value)[:80]}' is not a valid string.")
        if len(value) > longest:
            raise wrong(name, f"It exceeds the maximum length of {longest}.")
        if _CONTROL.search(value):
            raise wrong(name, "It holds control characters.")
        return value

    return read


def boolean(name: str, value: Any) -> bool:
    """A truth value, or the words for it (oslo.utils, ``strutils.bool_from_string``)."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, int | str) else ""
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise typed(
        BadRequest(f"Invalid input for operation: {name} '{str(value)[:80]}' cannot be converted to "
                   "boolean."),
        "InvalidInput",
    )


def number(text: str) -> int | None:
    """The number that a few digits are; None for any other text."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def integer(low: int, high: int, *, nullable: bool = False) -> Reader:
    """A number between two bounds."""

    def read(name: str, value: Any) -> int | None:
        if value is None and nullable:
            return None
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong(name, f"'{str(value)[:80]}' is not an integer.")
        if not low <= value <= high:
            raise wrong(name, f"'{value}' is not in range {low} through {high}.")
        return value

    return read


def uuid(name: str, value: Any) -> str:
    """A uuid, lower case."""
    try:
        return str(uuids.UUID(value))
    except (ValueError, AttributeError, TypeError):
        raise wrong(name, f"'{str(value)[:80]}' is not a valid UUID.") from None


def nullable(read: Reader) -> Reader:
    """Null, or what ``read`` takes."""
    return lambda name, value: None if value is None else read(name, value)


def address(name: str, value: Any) -> str:
    """An IP address in its usual form, without a scope: that may hold whatever text, lines too."""
    try:
        if not isinstance(value, str):
            raise ValueError
        return str(ipaddress.ip_address(unscoped(value)))
    except ValueError:
        raise wrong(name, f"'{str(value)[:80]}' is not a valid IP address.") from None


def cidr(name: str, value: Any) -> str:
    """A range in its usual form; bits behind the prefix are dropped."""
    try:
        if not isinstance(value, str):
            raise ValueError
        return str(ipaddress.ip_network(unscoped(value), strict=False))
    except ValueError:
        raise wrong(name, f"'{str(value)[:80]}' is not a valid IP subnet.") from None


def mac(name: str, value: Any) -> str:
    """A MAC address of one card, lower case with colons."""
    shown = str(value).lower().replace("-", ":")
    if not isinstance(value, str) or not _MAC.match(shown) or int(shown[1], 16) & 1:
        raise wrong(name, f"'{str(value)[:80]}' is not a valid MAC address.")
    if shown == "00:00:00:00:00:00":
        raise wrong(name, f"'{shown}' is not a valid MAC address.")
    return shown


def one_of(*allowed: Any) -> Reader:
    """One of a few values."""

    def read(name: str, value: Any) -> Any:
        if value not in allowed or isinstance(value, dict | list):
            shown = ", ".join(map(str, allowed))
            raise wrong(name, f"'{str(value)[:80]}' is not in [{shown}].")
        return value

    return read


def document(name: str, value: Any) -> dict[str, Any]:
    """A small free object; null is empty."""
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > 64:
        raise wrong(name, f"'{str(value)[:80]}' is not a dictionary.")
    return value


def list_of(read: Reader, most: int = 100) -> Reader:
    """A list of what ``read`` takes; null is empty."""

    def read_all(name: str, value: Any) -> list[Any]:
        if value is None or value == "":
            return []
        if not isinstance(value, list):
            raise wrong(name, f"'{str(value)[:80]}' is not a list.")
        if len(value) > most:
            raise wrong(name, f"It has more than {most} items.")
        return [read(name, item) for item in value]

    return read_all


def structure(**readers: Reader) -> Reader:
    """An object with these keys and no others; keys may be left out."""

    def read(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong(name, f"'{str(value)[:80]}' is not a dictionary.")
        unknown = value.keys() - readers.keys()
        if unknown:
            raise wrong(name, f"Unexpected key '{str(sorted(map(str, unknown))[0])[:80]}'.")
        return {key: readers[key](key, item) for key, item in value.items()}

    return read


def tag(name: str, value: Any) -> str:
    """A tag: 1 to 255 characters without a slash or a comma (neutron, ``extensions/tagging``)."""
    shown = str(text(255)(name, value))
    if not shown or "/" in shown or "," in shown:
        raise InvalidInput(name, "A tag has 1 to 255 characters, and no '/' and no ','.", shown)
    return shown


PROJECT = Attribute("tenant_id", text(64), put=False)
NAME = Attribute("name", text())
DESCRIPTION = Attribute("description", text())
TAGS = Attribute("tags", list_of(tag, 50), put=False)


def table(*attributes: Attribute) -> dict[str, Attribute]:
    """Attributes by their names."""
    return {each.name: each for each in attributes}
