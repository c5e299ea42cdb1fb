# SPDX-License-Identifier: Apache-2.0
"""How long answers are waited for once a process was told to end."""

from __future__ import annotations

import time

#: What a call has for its answer, seconds, and a broker that is away, for all calls together.
_LAST_SECONDS = 4.0


class Ending:
    """A process's end, as calls see it.

    Each has a moment for its answer, or as much of the process's patience as is left: a peer may be just
    coming back. This holds as long as there is a broker; one that goes has a moment to come back itself.
    """

    def __init__(self) -> None:
        self._told: float | None = None
        self._until = 0.0
        self._away_since = 0.0

    @property
    def is_near(self) -> bool:
        """Whether the process was told to end."""
        return self._told is not None

    def begin(self, patience: float) -> None:
        """The process was told to end, and calls may have their answers for ``patience`` seconds."""
        now = time.monotonic()
        self._until, self._told = now + patience, now

    def broker_went(self) -> None:
        """There is no broker from now on."""
        self._away_since = time.monotonic()

    def latest(self, deadline: float, began: float, *, connected: bool) -> float:
        """Until when a call that ``began`` then waits for its answer, as things stand now."""
        if self._told is None:
            return deadline
        latest = max(self._until, began + _LAST_SECONDS)
        if not connected:
            latest = min(latest, self._away_since + _LAST_SECONDS)
        return min(deadline, max(latest, self._told + _LAST_SECONDS))
