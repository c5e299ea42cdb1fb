# SPDX-License-Identifier: Apache-2.0
"""A unit of work, and the process that runs one or several of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Protocol

from nova.service import Periodic, PeriodicTask

LOG = logging.getLogger(__name__)

#: Periodic tasks run beside each other on so many threads, so that a slow one holds up few.
_THREADS = 4
#: How long the end waits for those that are under way, seconds.
_PATIENCE = 4.0


class Unit(Protocol):
    """One daemon's work, on parts that the composition root has built."""

    def start(self) -> None:
        """Begin. Waits for what it needs, saying so in the log."""
        ...

    def tasks(self) -> Sequence[PeriodicTask]:
        """What it does again and again, from when it has started on."""
        ...

    def stop(self) -> None:
        """Take nothing new, finish what is under way."""
        ...


class Units:
    """Units started in order, their periodic work, and their end in reverse."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self._units = units
        self._started: list[Unit] = []
        self._periodic: list[Periodic] = []

    def start(self) -> None:
        """Start all; what was started is stopped by ``stop`` even where a later one fails."""
        for unit in self._units:
            self._started.append(unit)
            unit.start()
        tasks = [task for unit in self._units for task in unit.tasks()]
        for first in range(min(_THREADS, len(tasks))):
            periodic = Periodic(tasks[first::_THREADS])
            periodic.start()
            self._periodic.append(periodic)

    def dead(self) -> Sequence[str]:
        """What of the periodic work has no thread any more, from its start to its end."""
        return ["periodic" for each in self._periodic if not each.is_alive]

    def end_tasks(self) -> None:
        """Stop the periodic work; what hangs in it is waited for once and not again by each thread."""
        for periodic in self._periodic:
            periodic.end()
        until = time.monotonic() + _PATIENCE
        for periodic in self._periodic:
            periodic.stop(until - time.monotonic())
        self._periodic.clear()

    def stop(self) -> None:
        """Stop the periodic work, then the units, the last started first."""
        self.end_tasks()
        for unit in reversed(self._started):
            try:
                unit.stop()
            except Exception:
                LOG.exception("%s did not stop cleanly", type(unit).__name__)
        self._started.clear()
