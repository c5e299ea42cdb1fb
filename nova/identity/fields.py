# SPDX-License-Identifier: Apache-2.0
"""Checks of request bodies and queries: one table of fields a resource, one message a mistake."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from nova.errors import InvalidInput

Kind = Literal["string", "boolean", "object", "strings", "list"]

#: How large, in bytes of JSON, and how deep a property may be that is kept as it is for the client.
LARGEST_EXTRA = 16384
DEEPEST = 20

_TYPES: dict[str, tuple[type[Any], str]] = {
    "string": (str, "a string"),
    "boolean": (bool, "a boolean"),
    "object": (dict, "an object"),
    "list": (list, "an array"),
    "strings": (list, "an array of strings"),
}


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a request body. Lengths are in characters."""

    name: str
    kind: Kind = "string"
    required: bool = False
    nullable: bool = False
    minimum: int = 0
    maximum: int | None = None
    pattern: str | None = None
    choices: tuple[str, ...] = ()


def member(body: Any, key: str) -> dict[str, Any]:
    """``body[key]``, which must be an object."""
    if not isinstance(body, dict):
        raise InvalidInput("body", "The request body must be an object.")
    if key not in body:
        raise InvalidInput(key, "It is required.")
    value = body[key]
    if not isinstance(value, dict):
        raise InvalidInput(key, "It must be an object.")
    return value


def check(
    values: Mapping[str, Any], table: Sequence[Field], where: str, *, partial: bool = False
) -> None:
    """Refuse the first field that does not fit its row of ``table``.

    ``partial`` is for updates, in which nothing is required. Raises ``InvalidInput`` with the path
    of the field, such as ``user.name``.
    """
    for field in table:
        path = f"{where}.{field.name}"
        if field.name not in values:
            if field.required and not partial:
                raise InvalidInput(path, "It is required.")
            continue
        _check_one(path, field, values[field.name])


def _check_one(path: str, field: Field, value: Any) -> None:
    if value is None:
        if not field.nullable:
            raise InvalidInput(path, "It must not be null.")
        return
    expected, words = _TYPES[field.kind]
    if not isinstance(value, expected):
        raise InvalidInput(path, f"It must be {words}.", value)
    if field.kind in ("object", "list"):
        _refuse_heavy(path, value)
    if field.kind == "strings":
        for position, one in enumerate(value):
            _check_text(f"{path}[{position}]", field, one)
    elif field.kind == "string":
        _check_text(path, field, value)


def _check_text(path: str, field: Field, value: Any) -> None:
    if not isinstance(value, str):
        raise InvalidInput(path, "It must be a string.", value)
    if len(value) < field.minimum:
        raise InvalidInput(path, f"It must have at least {field.minimum} character(s).")
    if field.maximum is not None and len(value) > field.maximum:
        raise InvalidInput(path, f"It must have at most {field.maximum} characters.", value)
    if field.pattern is not None and re.search(field.pattern, value) is None:
        raise InvalidInput(path, f"It must match {field.pattern}.", value)
    if field.choices and value not in field.choices:
        raise InvalidInput(path, f"It must be one of {', '.join(field.choices)}.", value)


def extras(
    values: Mapping[str, Any], table: Sequence[Field], where: str, own: Sequence[str] = ()
) -> dict[str, Any]:
    """The properties that the table does not know, which the API keeps and gives back.

    ``own`` are names that the service itself sets. ``InvalidInput`` where they are too large.
    """
    known = {field.name for field in table}
    known.update(("id", "links", *own))
    kept = {name: value for name, value in values.items() if name not in known}
    for name, value in kept.items():
        if len(name) > 255:
            raise InvalidInput(f"{where}.{name[:40]}", "A name has at most 255 characters.")
        _refuse_heavy(f"{where}.{name}", value)
    return kept


def _refuse_heavy(path: str, value: Any) -> None:
    """Refuse what is too deep or too large to keep as a document."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise InvalidInput(path, f"It may be at most {DEEPEST} levels deep.")
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner.extend(one.values())
            elif isinstance(one, list):
                inner.extend(one)
        level = inner
    if len(msgspec.json.encode(value)) > LARGEST_EXTRA:
        raise InvalidInput(path, f"It may take at most {LARGEST_EXTRA} bytes.")


def text(values: Mapping[str, Any], key: str, where: str, *, required: bool = False) -> str | None:
    """A string of an authentication request."""
    value = values.get(key)
    if value is None:
        if required or key in values:
            raise InvalidInput(f"{where}.{key}", "It must be a string.")
        return None
    if not isinstance(value, str):
        raise InvalidInput(f"{where}.{key}", "It must be a string.")
    return value


def mapping(
    values: Mapping[str, Any], key: str, where: str, *, required: bool = False
) -> dict[str, Any] | None:
    """An object of an authentication request."""
    value = values.get(key)
    if value is None and not required and key not in values:
        return None
    if not isinstance(value, dict):
        raise InvalidInput(f"{where}.{key}", "It must be an object.")
    return value


TRUE_WORDS = frozenset(("1", "t", "true", "on", "y", "yes"))
FALSE_WORDS = frozenset(("0", "f", "false", "off", "n", "no"))


def truth(value: str) -> bool:
    """A boolean of a query: anything but a word for no is yes, as the identity API has it."""
    return value.strip().lower() not in FALSE_WORDS
