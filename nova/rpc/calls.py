# SPDX-License-Identifier: Apache-2.0
"""Every remote call, as a table. A transport carries nothing that is not in it.

``cast`` is a wake-up: it may be lost or come twice, the row it is about is what counts. ``call`` waits for
an answer, for at most ``timeout`` seconds; over a broker it may be carried out twice, so everything here is
safe to repeat. ``from_host`` marks what a compute host may ask of the control side; it always names the
host itself as its first argument, and the conductor checks the rows against it. ``every`` goes to each
process that serves the topic. ``result`` is the type of the answer, the same as the method's own: arguments
are decoded by the method's signature where it is, the answer where the method cannot be seen.

Daemons of two releases that follow one another work together, whichever is replaced first. So between
releases

- an argument is added last, with a default, and a Struct's field with a default (last, where the Struct is
  ``array_like``). Who does not know it passes it over, who is not told it takes the default: both must be
  right, if only as well as in the release before;
- nothing is taken away, renamed, moved, given another type, or a new value where a type lists its values;
- a new row is served one release before anybody needs its answer, and an old one is served one release
  longer than anybody asks;
- what cannot be said so is a new row.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from nova.objects.console import ConsoleEndpoint, ConsoleToken
from nova.objects.diagnostics import Diagnostics
from nova.objects.host import ReportAnswer
from nova.objects.host_filters import HostFilters
from nova.objects.host_network import HostNetworkState
from nova.objects.image_ticket import ImageTicket
from nova.objects.instance import Instance
from nova.objects.volume_connection import VolumeConnection


@dataclasses.dataclass(frozen=True)
class Call:
    """One row."""

    topic: str
    method: str
    cast: bool = False
    timeout: float = 60.0
    from_host: bool = False
    every: bool = False
    result: Any = None


CONDUCTOR = "conductor"
COMPUTE = "compute"
METADATA = "metadata"
CONSOLES = "consoles"
SCHEDULER = "scheduler"
#: What processes of the control side keep in memory.
CACHES = "caches"
NETWORK = "network"

_ROWS = (
    Call(CACHES, "forget", cast=True, every=True),
    Call(SCHEDULER, "wake", cast=True),
    Call(CONDUCTOR, "discard", cast=True),
    Call(CONDUCTOR, "allocate", cast=True),
    Call(CONDUCTOR, "plugging", cast=True),
    Call(CONDUCTOR, "volumes", cast=True),
    Call(CONDUCTOR, "network_tasks", cast=True),
    Call(CONDUCTOR, "step_wanted", from_host=True, result=bool),
    Call(CONDUCTOR, "step_progress", from_host=True),
    Call(CONDUCTOR, "migration_progress", from_host=True),
    Call(CONDUCTOR, "step_done", from_host=True, result=bool),
    Call(CONDUCTOR, "step_failed", from_host=True, result=bool),
    Call(CONDUCTOR, "host_report", from_host=True, result=ReportAnswer),
    Call(CONDUCTOR, "guests_seen", from_host=True, result=list[str]),
    Call(CONDUCTOR, "guest_changed", from_host=True),
    Call(CONDUCTOR, "guests_wanted", from_host=True, result=list[Instance]),
    Call(CONDUCTOR, "network_state", from_host=True, result=HostNetworkState),
    Call(CONDUCTOR, "network_report", from_host=True),
    Call(CONDUCTOR, "host_filters", from_host=True, result=HostFilters),
    Call(CONDUCTOR, "host_names", from_host=True, result=tuple[tuple[str, str], ...]),
    Call(CONDUCTOR, "lease_changed", from_host=True, result=bool),
    Call(CONDUCTOR, "guest_by_address", from_host=True, timeout=10.0, result=Instance | None),
    Call(CONDUCTOR, "guest_by_uuid", from_host=True, timeout=10.0, result=Instance | None),
    Call(CONDUCTOR, "set_guest_password", from_host=True),
    Call(CONDUCTOR, "image_ticket", from_host=True, result=ImageTicket),
    Call(CONDUCTOR, "connect_volumes", from_host=True, timeout=120.0, result=list[VolumeConnection]),
    Call(CONDUCTOR, "complete_volumes", from_host=True, timeout=120.0),
    Call(COMPUTE, "run_step", cast=True),
    Call(COMPUTE, "cache_images", cast=True),
    Call(COMPUTE, "console_output", timeout=30.0, result=bytes),
    Call(COMPUTE, "console_endpoint", timeout=10.0, result=ConsoleEndpoint),
    Call(COMPUTE, "diagnostics", timeout=30.0, result=Diagnostics),
    # Shorter than the lease of the operation that it is a part of.
    Call(COMPUTE, "plug_interface", timeout=30.0, result=dict[str, list[str]]),
    Call(COMPUTE, "unplug_interface", timeout=30.0),
    Call(COMPUTE, "uptime", timeout=10.0, result=str),
    Call(COMPUTE, "abort_live_migration", timeout=30.0),
    Call(COMPUTE, "force_complete_live_migration", timeout=30.0),
    Call(NETWORK, "refresh", cast=True),
    Call(NETWORK, "prepare"),
    Call(NETWORK, "probe", timeout=5.0, result=dict[str, str | None]),
    Call(METADATA, "forget_guest", cast=True),
    Call(CONSOLES, "redeem", from_host=True, timeout=15.0, result=ConsoleToken | None),
)

CALLS = {(row.topic, row.method): row for row in _ROWS}
