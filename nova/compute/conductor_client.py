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

    def wanted(self, operation_id: int, step: str) -> bool:
        """Whether a step that comes late is still this host's to do; its lease begins anew then."""
        wanted: bool = self._call("step_wanted", operation_id, step)
        return wanted

    def done(self, operation_id: int, step: str, result: StepResult) -> bool:
        """A step is done; answers whether the guest, if there is one here, is to be removed."""
        unwanted: bool = self._call("step_done", operation_id, step, result)
        return unwanted

    def failed(self, operation_id: int, step: str, failure: StepFailure) -> bool:
        """A step failed and what it had done is undone; answers as ``done`` does."""
        unwanted: bool = self._call("step_failed", operation_id, step, failure)
        return unwanted

    def report(self, reports: Sequence[HostReport], running: Sequence[int]) -> None:
        """The host lives, has this size, and is busy with these operations."""
        self._call("host_report", reports, running)

    def guests(self, seen: dict[str, int]) -> list[Instance]:
        """All guests with their power states; answers the deleted instances among them."""
        unwanted: list[Instance] = self._call("guests_seen", seen)
        return unwanted

    def guest_changed(self, uuid: str, power_state: int) -> None:
        """A guest changed its power by itself."""
        self._call("guest_changed", uuid, power_state)

    def guests_wanted(self) -> list[Instance]:
        """The instances that should run here."""
        wanted: list[Instance] = self._call("guests_wanted")
        return wanted

    def _call(self, method: str, *args: object) -> Any:
        return self._transport.call(CONDUCTOR, None, method, self._host, *args)
