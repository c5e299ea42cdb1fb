# SPDX-License-Identifier: Apache-2.0
"""Sets of CPUs, and numbers, as operators, flavors and images write them: ``4-12,^8,15``."""

from __future__ import annotations

from collections.abc import Iterable

#: CPU numbers are below this: a set of a few characters must not fill the memory.
_MOST = 1 << 16


def count_of(text: str) -> int | None:
    """The number that at most nine digits are, blanks around them aside; None for any other text."""
    digits = text.strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 9 else None


def parse_cpus(text: str) -> frozenset[int]:
    """The CPUs that a set names; ``^`` excludes. Raises ``ValueError`` naming the part that is wrong."""
    chosen: set[int] = set()
    excluded: set[int] = set()
    for part in text.split(","):
        piece = part.strip()
        if not piece:
            continue
        target = excluded if piece.startswith("^") else chosen
        first, dash, last = piece.lstrip("^").partition("-")
        try:
            numbers = range(int(first), int(last if dash else first) + 1)
        except ValueError:
            raise ValueError(f"{piece} is neither a CPU nor a range of CPUs") from None
        if not numbers:
            raise ValueError(f"{piece} is an empty range")
        if numbers.stop > _MOST:
            raise ValueError(f"{piece} names CPUs beyond {_MOST - 1}")
        target.update(numbers)
    return frozenset(chosen - excluded)


def format_cpus(cpus: Iterable[int]) -> str:
    """A set of CPUs as text, with ranges: ``0-3,8``."""
    parts: list[str] = []
    run: list[int] = []
    for cpu in sorted(set(cpus)):
        if run and cpu == run[-1] + 1:
            run.append(cpu)
            continue
        if run:
            parts.append(_run(run))
        run = [cpu]
    if run:
        parts.append(_run(run))
    return ",".join(parts)


def _run(run: list[int]) -> str:
    return str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}"
