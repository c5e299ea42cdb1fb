# SPDX-License-Identifier: Apache-2.0
"""Every remote call, as a table. A transport carries nothing that is not in it.

``cast`` is a wake-up: it may be lost or come twice, the row it is about is what counts. ``call`` waits for
an answer, for at most ``timeout`` seconds. ``from_host`` marks what a compute host may ask of the control
side; it always names the host itself as its first argument, and the conductor checks the rows against it.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Call:
    """One row."""

    topic: str
    method: str
    cast: bool = False
    timeout: float = 60.0
    from_host: bool = False


CONDUCTOR = "conductor"
COMPUTE = "compute"

_ROWS = (
    Call(CONDUCTOR, "wake", cast=True),
    Call(CONDUCTOR, "discard", cast=True),
    Call(CONDUCTOR, "step_wanted", from_host=True),
    Call(CONDUCTOR, "step_progress", from_host=True),
    Call(CONDUCTOR, "step_done", from_host=True),
    Call(CONDUCTOR, "step_failed", from_host=True),
    Call(CONDUCTOR, "host_report", from_host=True),
    Call(CONDUCTOR, "guests_seen", from_host=True),
    Call(CONDUCTOR, "guest_changed", from_host=True),
    Call(CONDUCTOR, "guests_wanted", from_host=True),
    Call(COMPUTE, "run_step", cast=True),
    Call(COMPUTE, "console_output", timeout=30.0),
    Call(COMPUTE, "diagnostics", timeout=30.0),
    Call(COMPUTE, "plug_interface"),
    Call(COMPUTE, "unplug_interface"),
    Call(COMPUTE, "uptime", timeout=10.0),
    Call(COMPUTE, "abort_live_migration", timeout=30.0),
    Call(COMPUTE, "force_complete_live_migration", timeout=30.0),
)

CALLS = {(row.topic, row.method): row for row in _ROWS}
