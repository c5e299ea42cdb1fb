# SPDX-License-Identifier: Apache-2.0
"""Steps that come late to their host: it asks whether they are still its own, whatever its own clock says."""

from __future__ import annotations

import datetime
import types
from typing import Any

import pytest

from nova.compute.manager import ComputeManager
from nova.objects.operation import StepTask

LEASE_END = datetime.datetime(2026, 1, 1)


@pytest.mark.parametrize(("seconds", "asks"), [(60, True), (-60, False)])
def test_whether_a_lease_is_over_is_told_by_the_control_side_s_clock(seconds: int, asks: bool) -> None:
    # By this machine's clock, which is the present or anything else, the lease ended long ago or never.
    time = LEASE_END.replace(tzinfo=datetime.UTC).timestamp() + seconds
    asked: list[int] = []
    reported: list[int] = []

    def wanted(operation_id: int, _step: str) -> bool:
        asked.append(operation_id)
        return False

    def failed(operation_id: int, *_: Any) -> bool:
        reported.append(operation_id)
        return False

    host: Any = types.SimpleNamespace(
        name="h1", conductor=types.SimpleNamespace(wanted=wanted, failed=failed)
    )
    instance: Any = types.SimpleNamespace(uuid="u", user_id="u", project_id="p")
    manager = ComputeManager(host, max_concurrent_builds=0, clock=lambda: time)
    manager.run_step(StepTask(
        operation_id=7, request_id="req-1", flow="start", step="run", host="h1", instance=instance,
        payload={}, lease_until=LEASE_END,
    ))
    assert asked == ([7] if asks else [])
    # It was carried out (which fails, as this host has no driver) exactly where nobody had to be asked.
    assert reported == ([] if asks else [7])
