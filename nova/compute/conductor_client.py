# SPDX-License-Identifier: Apache-2.0
"""What a compute host may ask of the conductor: its only way to any data."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from nova.errors import ServiceUnavailable
from nova.objects.host import HostReport, ReportAnswer
from nova.objects.instance import Instance
from nova.objects.migration import MigrationProgress
from nova.objects.operation import StepFailure, StepResult
from nova.objects.volume_connection import VolumeConnection
from nova.rpc.calls import CONDUCTOR
from nova.rpc.transport import Transport

LOG = logging.getLogger(__name__)

#: How long a report of a step is offered to a control side that is away, and the pauses, seconds.
_PATIENCE = 300.0
_PAUSE = 0.5
_LONGEST_PAUSE = 5.0


class ConductorClient:
    """The conductor, as seen from one host."""

    def __init__(self, transport: Transport, host: str) -> None:
        self._transport = transport
        self._host = host
        #: Set when the host's service ends: nothing is insisted on any more.
        self.ending = threading.Event()

    def progress(self, operation_id: int, task_state: str) -> None:
        """A step has come to its next task state."""
        self._insist("step_progress", operation_id, task_state)

    def migration_progress(self, operation_id: int, progress: MigrationProgress) -> None:
        """How far a live migration away from here is."""
        self._call("migration_progress", operation_id, progress)

    def wanted(self, operation_id: int, step: str) -> bool:
        """Whether a step that comes late is still this host's to do; its lease begins anew then."""
        wanted: bool = self._insist("step_wanted", operation_id, step)
        return wanted

    def done(self, operation_id: int, step: str, result: StepResult) -> bool:
        """A step is done; answers whether the guest, if there is one here, is to be removed."""
        unwanted: bool = self._insist("step_done", operation_id, step, result)
        return unwanted

    def failed(self, operation_id: int, step: str, failure: StepFailure) -> bool:
        """A step failed and what it had done is undone; answers as ``done`` does."""
        unwanted: bool = self._insist("step_failed", operation_id, step, failure)
        return unwanted

    def connect_volumes(
        self, operation_id: int, connector: dict[str, Any]
    ) -> list[VolumeConnection]:
        """Open the volumes that an operation here is about to this host."""
        found: list[VolumeConnection] = self._call("connect_volumes", operation_id, connector)
        return found

    def complete_volumes(self, operation_id: int) -> None:
        """The guest has the disks of these volumes."""
        self._insist("complete_volumes", operation_id)

    def report(self, reports: Sequence[HostReport], running: Sequence[int]) -> ReportAnswer:
        """The host lives, has this size, and is busy with these operations.

        No reports say that nothing has changed; the answer tells whether the conductor wants them all the
        same, and how soon it wants to hear of this host again.
        """
        answer: ReportAnswer = self._call("host_report", reports, running)
        return answer

    def guests(self, seen: dict[str, int]) -> list[str]:
        """All guests with their power states; answers those that are to be removed."""
        unwanted: list[str] = self._call("guests_seen", seen)
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

    def _insist(self, method: str, *args: object) -> Any:
        """Ask again for a while where the control side is away: what was done must not be done again."""
        deadline = time.monotonic() + _PATIENCE
        pause = _PAUSE
        while True:
            try:
                return self._call(method, *args)
            except ServiceUnavailable as error:
                if time.monotonic() > deadline or self.ending.is_set():
                    raise
                LOG.warning("host %s asks %s again: %s", self._host, method, error.message)
            self.ending.wait(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)
