# SPDX-License-Identifier: Apache-2.0
"""Bad requests for every route of the compute API, made from the tables that serve them."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from nova.api.compute.openapi import document
from nova.api.compute.versions import MAXIMUM, MINIMUM

DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]

#: Sent in place of every field of every body.
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 1e308, 2**31, 2**63, -(2**70), "", " ", "-1", "é" * 300, "x" * 70_000,
    "a\x00b", "\u202e\U0001f600", "%s%n", "'; DROP TABLE instances; --", "../../etc/passwd",
    "1.5", "0x10", "999999999999999999999", [], [None], [[]], ["x"] * 300, {}, {"": ""},
    {"id": {}}, {"x" * 300: "y"}, DEEP,
)

#: Sent in place of every parameter of every path.
ODD_IDS = (
    "0", "-1", "99999999999999999999", "nobody", "%C3%A9", "a" * 4000, "%00", "%ff%fe", "..", "%2e%2e",
    "a%2Fb", "%20", "%0a", "00000000-0000-0000-0000-000000000000", "'--", "*", "1;2", "null", "%F0%9F%90%98",
)

#: Sent as every query parameter.
ODD_QUERIES = (
    "", "-1", "0", "99999999999999999999", "1.5", "nobody", "%00", "%ff", "a" * 4000, "%F0%9F%90%98",
    "[[", "*", "%5B%5D", "0001-01-01T00:00:00", "9999-99-99", "true", "'",
)

_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclasses.dataclass(frozen=True)
class Case:
    """One request and what it is meant to try."""

    minor: int
    method: str
    path: str
    body: Any = None
    what: str = ""

    def __str__(self) -> str:
        return f"2.{self.minor} {self.method} {self.path[:200]} {self.what}: {str(self.body)[:300]}"


def operations(minor: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(method, path, operation) of everything that a version serves."""
    for path, methods in document(minor)["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def filled(path: str, known: Mapping[str, str]) -> str:
    """A path with an id that is there for each parameter, as far as there is one."""
    return _PARAMETER.sub(lambda found: quote(known.get(found.group(1), "1"), safe=""), path)


def each_operation() -> Iterator[tuple[int, str, str, dict[str, Any]]]:
    """(minor, method, path, operation): the newest version's, and what only the oldest serves."""
    newest = list(operations(MAXIMUM))
    served = {(method, path) for method, path, _ in newest}
    for method, path, operation in newest:
        yield MAXIMUM, method, path, operation
    for method, path, operation in operations(MINIMUM):
        if (method, path) not in served:
            yield MINIMUM, method, path, operation


def body_cases(known: Mapping[str, str]) -> Iterator[Case]:
    """Every field of every body with every odd value, then the whole body."""
    for minor, method, path, operation in each_operation():
        schema = _body_schema(operation)
        if schema is None:
            continue
        target = filled(path, known)
        for one in schema.get("oneOf", [schema]):
            whole = example(one, known)
            for odd in ODD:
                yield Case(minor, method, target, odd, "whole body")
            for where in places(whole):
                for odd in ODD:
                    changed = replaced(whole, where, odd)
                    yield Case(minor, method, target, changed, ".".join(map(str, where)))


def id_cases() -> Iterator[Case]:
    """Every parameter of every path with every odd id."""
    for minor, method, path, operation in each_operation():
        schema = _body_schema(operation)
        body = None if schema is None else example(schema.get("oneOf", [schema])[0], {})
        for name in _PARAMETER.findall(path):
            for odd in ODD_IDS:
                start = path.replace(f"{{{name}}}", odd)
                yield Case(minor, method, filled(start, {}), body, name)


def query_cases(known: Mapping[str, str]) -> Iterator[Case]:
    """Every query parameter with every odd value, and one nobody knows."""
    for minor, method, path, operation in each_operation():
        if method != "GET":
            continue
        target = filled(path, known)
        named = [each["name"] for each in operation["parameters"] if each.get("in") == "query"]
        for name in dict.fromkeys([*named, "limit", "marker", "nobody"]):
            for odd in ODD_QUERIES:
                yield Case(minor, method, f"{target}?{quote(name)}={odd}", what=name)


def _body_schema(operation: dict[str, Any]) -> dict[str, Any] | None:
    if "requestBody" not in operation:
        return None
    schema: dict[str, Any] = operation["requestBody"]["content"]["application/json"]["schema"]
    return schema


def example(schema: dict[str, Any], known: Mapping[str, str], name: str = "") -> Any:
    """A plain value that fits a schema, with every property."""
    for choices in ("anyOf", "oneOf"):
        if choices in schema:
            fitting = [each for each in schema[choices] if each.get("type") != "null"]
            return example((fitting or schema[choices])[0], known, name)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        if "properties" not in schema:
            return {"key": "value"}
        return {
            each: example(value, known, each) for each, value in schema["properties"].items()
        }
    if kind == "array":
        return [example(schema.get("items") or {}, known, name)]
    if kind == "string":
        return known.get(name, "1")
    return {"integer": schema.get("minimum", 1), "number": 1.0, "boolean": False}.get(kind or "")


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside a value."""
    inner = value.items() if isinstance(value, dict) else (
        enumerate(value) if isinstance(value, list) else ()
    )
    for key, each in inner:
        yield (*here, key)
        yield from places(each, (*here, key))


def replaced(value: Any, where: tuple[Any, ...], odd: Any) -> Any:
    """A copy with another value at one place."""
    changed = copy.deepcopy(value)
    inner = changed
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = odd
    return changed
