# SPDX-License-Identifier: Apache-2.0
"""The scheduler service: takes what waits to be placed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Places(Protocol):
    """Who places operations; those that wait already are not put twice."""

    def put(self, operation_ids: Sequence[int]) -> None:
        """These operations are at their step ``place``."""
        ...


class SchedulerService:
    """Endpoint of the ``scheduler`` topic. Any number of schedulers share its queue."""

    def __init__(self, placer: Places) -> None:
        self._placer = placer

    def wake(self, operation_ids: list[int]) -> None:
        """Operations wait to be placed."""
        self._placer.put(operation_ids)
