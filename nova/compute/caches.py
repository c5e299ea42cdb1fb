# SPDX-License-Identifier: Apache-2.0
"""What a process keeps in memory of what other processes may change.

Everything is also read again after a few seconds at most, so that a message which is lost makes a change
late and never lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping


class Caches:
    """Endpoint of the ``caches`` topic, which every process of the control side hears."""

    def __init__(self, forgetters: Mapping[str, Callable[[], object]]) -> None:
        self._forgetters = forgetters

    def forget(self, names: list[str]) -> None:
        """What these names stand for has changed; those that are not kept here are passed over."""
        for name in names:
            forget = self._forgetters.get(name)
            if forget is not None:
                forget()
