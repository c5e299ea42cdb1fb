# SPDX-License-Identifier: Apache-2.0
"""Servers as encoded JSON, kept until they change.

Every write of a server raises its ``revision``, so (uuid, revision) names what a row holds.
Whatever else a view shows (the host's zone and status, the caller's rights, the version, the
address that was called) is part of the key too; nothing has to be thrown out for being wrong.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple


class Style(NamedTuple):
    """How a server is rendered: the version, what the caller may see, and the base of links."""

    minor: int
    flags: frozenset[str]
    base: str
    root: str


#: (number of the style, uuid, revision, the host's zone, the host's status)
FragmentKey = tuple[int, str, int, str, str]


class FragmentCache:
    """A bounded map in two generations: what is not asked for during a generation is forgotten.

    Safe for threads without a lock: each step is one operation on a dictionary, and losing an entry
    in a race only costs rendering it again.
    """

    def __init__(self, limit: int = 20000, styles: int = 256) -> None:
        self._half = max(1, limit // 2)
        self._young: dict[FragmentKey, bytes] = {}
        self._old: dict[FragmentKey, bytes] = {}
        self._styles: dict[Style, int] = {}
        self._style_limit = styles
        self._numbers = itertools.count(1)

    def style(self, style: Style) -> int:
        """The number that stands for a style in keys."""
        number = self._styles.get(style)
        if number is None:
            if len(self._styles) >= self._style_limit:
                self._styles = {}
            number = self._styles.setdefault(style, next(self._numbers))
        return number

    def get(self, key: FragmentKey) -> bytes | None:
        """The fragment, or None."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: FragmentKey, fragment: bytes) -> None:
        """Keep a fragment."""
        young = self._young
        if len(young) >= self._half:
            self._old = young
            young = self._young = {}
        young[key] = fragment

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
