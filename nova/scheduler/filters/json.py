# SPDX-License-Identifier: Apache-2.0
"""The filter by a query in the ``query`` hint."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from nova.decoding import decode_json
from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.base import Attempt, Filter
from nova.scheduler.host_state import HostState
from nova.scheduler.table import HostTable, Mask


class QueryError(Exception):
    """The query is none."""


def _compares(compare: Callable[[Any, Any], bool]) -> Callable[[list[Any]], bool]:
    def all_hold(arguments: list[Any]) -> bool:
        if len(arguments) < 2:
            return False
        try:
            return all(compare(arguments[0], other) for other in arguments[1:])
        except TypeError:
            # A string is not less than a number: such hosts fail.
            return False

    return all_hold


_COMMANDS: dict[str, Callable[[list[Any]], Any]] = {
    "=": _compares(operator.eq),
    "<": _compares(operator.lt),
    ">": _compares(operator.gt),
    "<=": _compares(operator.le),
    ">=": _compares(operator.ge),
    "in": lambda arguments: len(arguments) > 1 and arguments[0] in arguments[1:],
    "not": lambda arguments: [not each for each in arguments],
    "or": any,
    "and": all,
}


class JsonFilter(Filter):
    """Hosts for which the query of the ``query`` hint holds.

    A query is a JSON list of an operator (``= < > <= >= in not or and``) and arguments: values,
    queries, and ``$name`` or ``$name.key`` for what is known of the host (``$free_ram_mb``).
    """

    def applies(self, spec: RequestSpec) -> bool:
        """Only with the hint."""
        return bool(spec.hints.get("query"))

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows for which the query holds; none if it is malformed."""
        try:
            query = decode_json(spec.hints["query"][0])
            held = [_holds(query, HostState(table, row)) for row in range(len(table))]
        except (msgspec.DecodeError, QueryError):
            return np.zeros(len(table), dtype=bool)
        return np.array(held, dtype=bool)

    def reason(self, table: HostTable, spec: RequestSpec, left: Mask) -> str:
        """The query, and what is wrong with it if it is none."""
        text = spec.hints["query"][0]
        try:
            _holds(decode_json(text), HostState(table, 0))
        except (msgspec.DecodeError, QueryError) as error:
            return f"the query {text[:120]} is malformed: {error}"
        return f"query {text[:120]}"


def _holds(query: Any, host: HostState) -> bool:
    if not isinstance(query, list):
        raise QueryError("a query is a list")
    result = _process(query, host)
    return any(result) if isinstance(result, list) else bool(result)


def _process(query: list[Any], host: HostState) -> Any:
    if not query:
        return True
    if not isinstance(query[0], str) or query[0] not in _COMMANDS:
        raise QueryError(f"{query[0]!r} is no operator")
    arguments = []
    for argument in query[1:]:
        if isinstance(argument, list):
            argument = _process(argument, host)
        elif isinstance(argument, str):
            argument = _looked_up(argument, host)
        if argument is not None:
            arguments.append(argument)
    return _COMMANDS[query[0]](arguments)


def _looked_up(text: str, host: HostState) -> Any:
    if not text.startswith("$"):
        return text or None
    name, *path = text[1:].split(".")
    value = None if name.startswith("_") else getattr(host, name, None)
    for each in path:
        value = value.get(each) if isinstance(value, dict) else None
    return value
