# SPDX-License-Identifier: Apache-2.0
"""The small language in which flavors ask for values of hosts or aggregates.

A requirement is a plain value, which must be equal, or an operator and operands: numbers ``= == !=
>= <=`` (``=`` means at least), strings ``s== s!= s>= s> s<= s<``, ``<in> part``, ``<all-in> a b``,
and ``<or> a <or> b`` (administration guide, "Compute schedulers").
"""

from __future__ import annotations

import operator
from collections.abc import Callable

_NUMBERS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
}
_STRINGS: dict[str, Callable[[str, str], bool]] = {
    "s==": operator.eq,
    "s!=": operator.ne,
    "s>=": operator.ge,
    "s>": operator.gt,
    "s<=": operator.le,
    "s<": operator.lt,
}


def matches(value: str, requirement: str) -> bool:
    """Whether ``value`` meets ``requirement``; what is no number never meets a numeric one."""
    words = requirement.split()
    name = words[0] if words else ""
    operands = words[1:]
    if name == "<or>":
        return value in operands[::2]
    if name not in _NUMBERS and name not in _STRINGS and name not in ("<in>", "<all-in>"):
        return value == requirement
    if not operands:
        return False
    if name == "<in>":
        return operands[0] in value
    if name == "<all-in>":
        return all(each in value for each in operands)
    if name in _STRINGS:
        return _STRINGS[name](value, operands[0])
    try:
        return _NUMBERS[name](float(value), float(operands[0]))
    except ValueError:
        return False
