# SPDX-License-Identifier: Apache-2.0
"""What a compute host may ask of the conductor: its only way to any data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nova.objects.host import HostReport
from nova.objects.instance import Instance
from nova.objects.operation import StepFailure, StepResult
from nova.rpc.calls import CONDUCTOR
from nova.rpc.transport import Transport


class ConductorClient:
    """The conductor, as seen from one host."""

    def __init__(self, transport: Transport, host: str) -> None:
        self._transport = transport
        self._host = host

    def progress(self, operation_id: int, task_state: str) -> None:
        """A step has come to its next task state."""
        self._call("step_progress", operation_id, task_state)

    def done(self, operation_id: int, step: str, result: StepResult) -> None:
        """A step is done."""
        self._call("step_done", operation_id, step, result)

    def failed(self, operation_id: int, step: str, failure: StepFailure) -> None:
        """A step failed and what it had done is undone."""
        self._call("step_failed", operation_id, step, failure)

    def report(self, reports: Sequence[HostReport], running: Sequence[int]) -> None:
        """The host lives, has this size, and is busy with these operations."""
        self._call("host_report", reports, running)

    def guests(self, seen: dict[str, int]) -> list[Instance]:
        """All guests with their power states; answers the deleted instances among them."""
        unwanted: list[Instance] = self._call("guests_seen", seen)
        return unwanted

    def _call(self, method: str, *args: object) -> Any:
        return self._transport.call(CONDUCTOR, None, method, self._host, *args)
