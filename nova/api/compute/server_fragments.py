# SPDX-License-Identifier: Apache-2.0
"""Servers as encoded JSON, kept until they change.

Every write of a server raises its ``revision``. With whatever else a view shows (the host's zone and status)
it says whether a fragment still holds; what a fragment belongs to is the server and the style (the caller's
rights, the version, the address that was called). A newer fragment takes an older one's place, so that a
client that watches a server come up leaves one behind and not one of each step.
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


#: (number of the style, uuid)
FragmentKey = tuple[int, str]
#: (revision, the host's zone, the host's status)
Shown = tuple[int, str, str]

#: What an entry costs beside its fragment, bytes: the key, the uuid, what is shown, its place in the table.
_ENTRY_BYTES = 450


class FragmentCache:
    """A map of so many ``megabytes`` in two generations: what a generation does not ask for is forgotten.

    Safe for threads without a lock: each step is one operation on a dictionary, and losing an entry, or the
    count of its bytes, in a race only costs rendering it again or a little room.
    """

    def __init__(self, megabytes: float = 24.0, styles: int = 256) -> None:
        self._half = int(megabytes * 1024 * 1024 / 2)
        self._young: dict[FragmentKey, tuple[Shown, bytes]] = {}
        self._old: dict[FragmentKey, tuple[Shown, bytes]] = {}
        self._young_bytes = 0
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

    def get(self, key: FragmentKey, shown: Shown) -> bytes | None:
        """The fragment that shows this, or None."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is None or found[0] != shown:
                return None
            self.put(key, *found)
        return found[1] if found[0] == shown else None

    def put(self, key: FragmentKey, shown: Shown, fragment: bytes) -> None:
        """Keep a fragment in the place of the one before."""
        before = self._young.get(key)
        if before is not None:
            self._young_bytes += len(fragment) - len(before[1])
        else:
            cost = len(fragment) + _ENTRY_BYTES
            if self._young_bytes + cost > self._half:
                self._old, self._young, self._young_bytes = self._young, {}, 0
            self._young_bytes += cost
        self._young[key] = (shown, fragment)

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
