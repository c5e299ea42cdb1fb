# SPDX-License-Identifier: Apache-2.0
"""[fake]: the simulated compute hosts."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "fake"


@dataclasses.dataclass(frozen=True)
class FakeSection:
    """Options of the fake driver. Latencies are seconds."""

    hosts: int = option(4, "How many compute hosts are simulated.", minimum=0)
    host_prefix: str = option("fake-", "Hosts are named by this and a number.")
    vcpus: int = option(1000, "Physical CPUs of each.", minimum=1)
    memory_mb: int = option(800000, "Memory of each, MiB.", minimum=1)
    local_gb: int = option(600000, "Disk of each, GiB.", minimum=0)
    zones: tuple[str, ...] = option(
        (), "Availability zones, dealt to the hosts in turn; none is the default zone."
    )
    spawn_latency: float = option(0.0, "Time that creating a guest takes.", minimum=0.0)
    destroy_latency: float = option(0.0, "Time that deleting a guest takes.", minimum=0.0)
    power_latency: float = option(0.0, "Time that a change of power takes.", minimum=0.0)
    snapshot_latency: float = option(0.0, "Time that a snapshot takes.", minimum=0.0)
    migrate_latency: float = option(0.0, "Time that moving a guest takes.", minimum=0.0)
    fail_spawn_hosts: tuple[str, ...] = option((), "Hosts on which creating a guest fails.")
