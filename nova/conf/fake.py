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
    daemon_hosts: int = option(
        1, "How many hosts a nova-compute of its own simulates; one is the host itself, more are named by "
        "the host and a number.", minimum=1,
    )
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
    console_host: str = option(
        "127.0.0.1", "Address that consoles of simulated guests are said to be at."
    )
    console_port: int = option(
        6969, "Port that consoles of simulated guests are said to be at.", minimum=1, maximum=65533
    )
    fail_spawn_hosts: tuple[str, ...] = option((), "Hosts on which creating a guest fails.")
    numa_cells: int = option(
        2, "NUMA cells of each host, over which its CPUs and memory are dealt; 0 simulates hosts that "
        "report none.", minimum=0,
    )
    threads_per_core: int = option(2, "Thread siblings of each core.", minimum=1)
    huge_pages: tuple[str, ...] = option(
        (), "Huge pages of each cell, as size in KiB and number, such as 2048:512; the rest of "
        "memory_mb, dealt to the cells, is ordinary memory.",
    )
    dedicated_cpus: str | None = option(
        None, "CPUs of each host kept apart for pinned guests, such as 2-15.",
    )
    pci_devices: tuple[str, ...] = option(
        (), "PCI devices of each host, as vendor:product:number or vendor:product:number:type-VF, dealt "
        "to the cells in turn.",
    )

    @property
    def serial_port(self) -> int:
        """Port that serial consoles are said to be at; between them is SPICE's port for TLS."""
        return self.console_port + 2
