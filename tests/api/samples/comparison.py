# SPDX-License-Identifier: Apache-2.0
"""How an answer is compared with a sample: keys, nesting, types and forms of text, not values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

#: Objects whose keys are somebody's data: only the values are compared, by their first.
MAPS = frozenset(
    {"metadata", "extra_specs", "properties", "addresses", "scheduler_hints", "meta"}
)

_FORMS = {
    "uuid": re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    "time with Z": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
    "time without Z": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?"),
    "time with a blank": re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?"),
    "MAC address": re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}"),
    "address": re.compile(r"\d{1,3}(\.\d{1,3}){3}"),
    "URL": re.compile(r"https?://.*"),
}


def form_of(text: str) -> str:
    """The name of a text's form."""
    for name, pattern in _FORMS.items():
        if pattern.fullmatch(text):
            return name
    return "text"


def differences(
    answer: Any, wanted: Any, free: frozenset[str] = frozenset(), where: str = "",
    maps: frozenset[str] = MAPS, more: bool = False,
) -> Iterator[str]:
    """What is not alike, one line each.

    A sample's null goes with any value, as it does not say more, and its empty text with null.
    ``free`` names keys whose value is another kind by design: they only have to be there. ``maps``
    names objects whose keys are data. With ``more`` the answer may have keys that the sample has not.
    """
    if wanted is None or (wanted == "" and answer is None):
        return
    if isinstance(wanted, dict) and isinstance(answer, dict):
        yield from _objects(answer, wanted, free, where, maps, more)
    elif isinstance(wanted, list) and isinstance(answer, list):
        if wanted and not answer:
            yield f"{where} is empty"
        elif wanted:
            yield from differences(answer[0], wanted[0], free, f"{where}[0]", maps, more)
    elif type(answer) is not type(wanted):
        yield f"{where} is {answer!r:.60}, not like {wanted!r:.60}"
    elif isinstance(wanted, str):
        form = form_of(wanted)
        if form != "text" and form_of(answer) != form:
            yield f"{where} is {answer!r:.60}, which is no {form}"


def _objects(
    answer: dict[str, Any], wanted: dict[str, Any], free: frozenset[str], where: str,
    maps: frozenset[str], more: bool,
) -> Iterator[str]:
    if where.rpartition(".")[2] in maps:
        if wanted and not answer:
            yield f"{where} is empty"
        elif wanted:
            yield from differences(
                next(iter(answer.values())), next(iter(wanted.values())), free, f"{where}[]", maps,
                more,
            )
        return
    for key in sorted(set(wanted) - set(answer)):
        yield f"{where}.{key} is missing"
    for key in () if more else sorted(set(answer) - set(wanted)):
        yield f"{where}.{key} is not in the sample"
    for key in wanted:
        if key in answer and key not in free:
            yield from differences(answer[key], wanted[key], free, f"{where}.{key}", maps, more)
