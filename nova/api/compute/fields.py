# SPDX-License-Identifier: Apache-2.0
"""Field tables: a resource's view as data, lowered to a version once and then reused.

A table is a tuple of ``Field``; ``View(table).at(minor, flags)`` gives a function that renders one object.
``flags`` name what the caller may see (a field with ``only="host"`` is rendered where "host" is in them).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

Getter = Callable[[Any, Any], Any]

#: A getter returns this to leave the key out for that object.
ABSENT: Any = object()


@dataclasses.dataclass(frozen=True)
class Field:
    """One key of a view: how to get it from (object, scene), and the versions that have it.

    ``scene`` is whatever the resource needs beside the object (base URLs, names looked up once).
    ``until`` is the last version that has the key.
    """

    key: str
    get: Getter
    since: int = 1
    until: int | None = None
    only: str | None = None
    maybe_absent: bool = False


class View:
    """A field table with its compiled forms."""

    def __init__(self, *fields: Field) -> None:
        self.fields = fields
        self._compiled: dict[tuple[int, frozenset[str]], Callable[[Any, Any], dict[str, Any]]] = {}

    def at(
        self, minor: int, flags: Iterable[str] = frozenset()
    ) -> Callable[[Any, Any], dict[str, Any]]:
        """The function (object, scene) -> dict for a version and what the caller may see."""
        key = (minor, frozenset(flags))
        render = self._compiled.get(key)
        if render is None:
            render = self._compiled[key] = _compile(self.fields, minor, key[1])
        return render


def _compile(
    fields: tuple[Field, ...], minor: int, flags: frozenset[str]
) -> Callable[[Any, Any], dict[str, Any]]:
    chosen = [
        field
        for field in fields
        if field.since <= minor
        and (field.until is None or minor <= field.until)
        and (field.only is None or field.only in flags)
    ]
    pairs = [(field.key, field.get) for field in chosen]
    if not any(field.maybe_absent for field in chosen):
        return lambda thing, scene: {key: get(thing, scene) for key, get in pairs}

    def render(thing: Any, scene: Any) -> dict[str, Any]:
        shown = {key: get(thing, scene) for key, get in pairs}
        return {key: value for key, value in shown.items() if value is not ABSENT}

    return render


def attribute(name: str) -> Getter:
    """A getter of a plain attribute."""
    return lambda thing, _scene: getattr(thing, name)
