# SPDX-License-Identifier: Apache-2.0
"""The host table: one row per compute node, one NumPy column per size, claim or fact.

Filters and weighers read whole columns. What changes with every server (what is claimed) is written
in place; what changes rarely (facts of hosts, services, aggregates) raises ``generation``, by which
the scheduler knows that masks it keeps are out of date. Everything is under ``lock``.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from nova.objects.host import Aggregate, ComputeNode, HostReport, NodeUsage, Service
from nova.objects.topology import GuestTopology, HostUsage
from nova.scheduler.columns import OWN_COLUMNS, Floats, Integers, Mask
from nova.scheduler.facts import (
    AggregateSet,
    HostFacts,
    facts_differ,
)
from nova.scheduler.heat import measured
from nova.scheduler.load import LoadColumns, LoadParts
from nova.scheduler.peers import phases
from nova.scheduler.rooms import NodeRooms, Rooms
from nova.topology.usage import without_guest

__all__ = [
    "AggregateSet", "Floats", "HostFacts", "HostTable", "Integers", "LoadParts", "Mask",
]

ZONE = "availability_zone"
COMPUTE_BINARY = "nova-compute"

#: What a host reports of its sizes.
_SIZES = (
    "vcpus", "pcpus", "memory_mb", "local_gb", "reserved_vcpus", "reserved_memory_mb",
    "reserved_disk_gb", "cpu_allocation_ratio", "ram_allocation_ratio", "disk_allocation_ratio",
)  # fmt: skip

_encode = msgspec.msgpack.Encoder().encode


class HostTable(LoadColumns):
    """Compute nodes in columns. Memory is MiB, disk GiB; ``load`` is 0 (empty) to about 1 (full).

    ``load`` is the whole view: what the database said last and what was placed here since. For
    clouds with several schedulers ``own_load`` is what this one placed (net of its releases) and
    ``others_load`` a damped view of the rest (see ``nova.scheduler.peers``).
    """

    def __init__(self, parts: LoadParts | None = None) -> None:
        super().__init__(parts or LoadParts())
        self.lock = threading.RLock()
        #: Raised by every change of facts, services or aggregates, and of the set of rows.
        self.generation = 0
        #: Raised by every change of sizes and limits.
        self.sizes_generation = 0
        self.facts: list[HostFacts] = []
        self.aggregate_sets: list[AggregateSet] = [AggregateSet()]
        #: The states of NUMA cells and PCI devices that hosts are in.
        self.rooms = Rooms()
        self._row: dict[int, int] = {}
        self._rows_of_host: dict[str, list[int]] = {}
        self._facts_numbers: dict[bytes, int] = {}
        self._services: dict[str, Service] = {}
        self._aggregates: tuple[Aggregate, ...] = ()

    def __len__(self) -> int:
        return len(self.nodes)

    # --- whole-table changes ---------------------------------------------------------------------

    def rebuild(
        self,
        nodes: Sequence[ComputeNode],
        services: Iterable[Service],
        aggregates: Iterable[Aggregate],
        now: datetime.datetime,
        down_after: float,
    ) -> None:
        """Take everything from the database; a service silent for ``down_after`` seconds is down.

        What this process placed and what it is building is remembered for nodes that are still
        there.
        """
        with self.lock:
            kept = {
                node.id: tuple(getattr(self, name)[row] for name in OWN_COLUMNS)
                for row, node in enumerate(self.nodes)
            }
            fresh = not kept
            self.nodes = list(nodes)
            self._row = {node.id: row for row, node in enumerate(self.nodes)}
            self._rows_of_host = {}
            for row, node in enumerate(self.nodes):
                self._rows_of_host.setdefault(node.host, []).append(row)
            self.allocate(len(self.nodes))
            self.fill(self.nodes)
            self.facts, self._facts_numbers = [], {}
            self.facts_of[:] = [self._facts_number(node) for node in self.nodes]
            self._write_rooms(range(len(self.nodes)))
            self.compute_limits(slice(None))
            self._services = {each.host: each for each in services if each.binary == COMPUTE_BINARY}
            for host, service in self._services.items():
                self._write_service(host, service.is_up(now, down_after), service.disabled)
            self._write_aggregates(tuple(aggregates))
            for row, node in enumerate(self.nodes):
                if node.id in kept:
                    for name, value in zip(OWN_COLUMNS, kept[node.id], strict=True):
                        getattr(self, name)[row] = value
            self.compute_heat()
            self.compute_all_loads()
            if fresh and self.peer_count > 1:
                self.others_load[:] = (self.load - self.extra) / self.peer_count
            else:
                self.follow_others()
            self.generation += 1
            self.sizes_generation += 1

    def refresh(self, usage: Iterable[NodeUsage]) -> list[int]:
        """Take only what is claimed and measured, from the database: the cheap way to follow others.

        Answers the ids of the nodes whose topology changed meanwhile: ``update_topologies`` wants them.
        """
        changed = []
        with self.lock:
            for used in usage:
                row = self._row.get(used.id)
                if row is None:
                    continue
                self.vcpus_used[row] = used.vcpus_used
                self.memory_mb_used[row] = used.memory_mb_used
                self.local_gb_used[row] = used.local_gb_used
                self.instances[row] = used.instances_used
                self.pcpus_used[row] = used.pcpus_used
                if used.topology_generation != self.topology_generation[row]:
                    changed.append(used.id)
                if used.metrics is not None and used.metrics != self.nodes[row].metrics:
                    self._take_metrics(row, used.metrics)
            self.compute_heat()
            self.compute_all_loads()
            self.follow_others()
        return changed

    def _take_metrics(self, row: int, metrics: dict[str, float]) -> None:
        before = self.nodes[row]
        self.nodes[row] = msgspec.structs.replace(before, metrics=metrics)
        self.cpu_measured[row], self.memory_measured[row] = measured(self.nodes[row])
        if metrics.keys() != before.metrics.keys():
            # Which metrics a host has is a fact that filters look at.
            self.generation += 1

    def update_topologies(self, nodes: Iterable[ComputeNode]) -> None:
        """Take what hosts have and what is taken of it, for nodes just read from the database."""
        with self.lock:
            rows = []
            for node in nodes:
                row = self._row.get(node.id)
                if row is not None:
                    self.nodes[row] = node
                    self.pcpus[row] = node.pcpus
                    self.topology_generation[row] = node.topology_generation
                    rows.append(row)
            self._write_rooms(rows)

    def set_topology_used(self, node_id: int, generation: int, used: HostUsage) -> None:
        """Note what guests hold of a node from that generation on, after a claim of this process."""
        with self.lock:
            row = self._row.get(node_id)
            if row is not None and generation > self.topology_generation[row]:
                self.topology_generation[row] = generation
                self.known_room_of[row] = self.rooms.changed(int(self.known_room_of[row]), used)
                self.room_of[row] = self.known_room_of[row]

    def release_topology(self, node_id: int, guest: GuestTopology) -> None:
        """Note that a guest gave its place on a node back; the next ``refresh`` brings the truth."""
        with self.lock:
            row = self._row.get(node_id)
            room = None if row is None else self.rooms.get(int(self.known_room_of[row]))
            if row is None or room is None:
                return
            self.known_room_of[row] = self.room_of[row] = self.rooms.changed(
                int(self.known_room_of[row]), without_guest(room.usage, guest)
            )

    def forget_choice(self, node_id: int) -> None:
        """Places chosen on a node and not claimed are free again."""
        with self.lock:
            row = self._row.get(node_id)
            if row is not None:
                self.room_of[row] = self.known_room_of[row]

    def set_aggregates(self, aggregates: Iterable[Aggregate]) -> None:
        """Take all aggregates anew."""
        with self.lock:
            self._write_aggregates(tuple(aggregates))
            self.generation += 1

    def set_peers(self, peer: int, peer_count: int) -> None:
        """Say which of how many active schedulers this is: 0 <= ``peer`` < ``peer_count``."""
        if not 0 <= peer < peer_count:
            raise ValueError(f"peer {peer} is not one of {peer_count}")
        with self.lock:
            self.peer, self.peer_count = peer, peer_count
            self.phase[:] = phases(self.aggregates_of, peer, peer_count)

    # --- changes of one host ---------------------------------------------------------------------

    def update_report(self, node: ComputeNode) -> None:
        """Take one node from the database: a new one, new sizes, new facts, what is claimed."""
        with self.lock:
            row = self._row.get(node.id)
            if row is None:
                row = self._append(node)
            before = self.nodes[row]
            self.nodes[row] = node
            self.write_node(row, node)
            if (
                node.topology_generation != before.topology_generation
                or node.topology is not before.topology or before is node
            ):
                self._write_rooms([row])
            if facts_differ(before, node) or before is node:
                self.facts_of[row] = self._facts_number(node)
                self.generation += 1
            if node.metrics != before.metrics:
                self.generation += 1
            self.compute_limits(slice(row, row + 1))
            self.compute_load(row)
            self.sizes_generation += 1

    def differs(self, report: HostReport) -> bool:
        """Whether a host reports other sizes, or another topology, than the table has of it."""
        with self.lock:
            for row in self._rows_of_host.get(report.host, ()):
                node = self.nodes[row]
                if node.hypervisor_hostname == report.hypervisor_hostname:
                    room = self.rooms.get(self.known_room_of.item(row))
                    return any(
                        getattr(node, name) != getattr(report, name) for name in _SIZES
                    ) or (room.host if room else None) != report.topology
        return True

    def forget(self, node_id: int) -> None:
        """Drop a node that was removed from the cloud."""
        with self.lock:
            gone = self._row.get(node_id)
            if gone is None:
                return
            self.drop_row(gone)
            self._row = {node.id: row for row, node in enumerate(self.nodes)}
            self._rows_of_host = {}
            for row, node in enumerate(self.nodes):
                self._rows_of_host.setdefault(node.host, []).append(row)
            self.generation += 1
            self.sizes_generation += 1

    def set_service(self, host: str, up: bool, disabled: bool) -> None:
        """Note the state of a host's compute service."""
        with self.lock:
            if self._write_service(host, up, disabled):
                self.generation += 1

    def apply_claim(
        self, node_id: int, vcpus: int, memory_mb: int, disk_gb: int, pcpus: int = 0
    ) -> None:
        """Note resources taken on a node; a node not known is passed over."""
        with self.lock:
            row = self._row.get(node_id)
            if row is not None:
                self.consume(row, vcpus, memory_mb, disk_gb, 1, pcpus)

    def apply_release(
        self, node_id: int, vcpus: int, memory_mb: int, disk_gb: int, pcpus: int = 0
    ) -> None:
        """Note resources given back on a node; a node not known is passed over."""
        with self.lock:
            row = self._row.get(node_id)
            if row is not None:
                self.consume(row, -vcpus, -memory_mb, -disk_gb, -1, -pcpus)

    def set_building(self, hosts: Mapping[str, int]) -> None:
        """Take how many builds are under way on each host; those not named have none."""
        with self.lock:
            self.building[:] = 0
            for host, count in hosts.items():
                for row in self._rows_of_host.get(host, ())[:1]:
                    self.building[row] = count
            self.compute_heat()
            self.compute_all_loads()

    def note_building(self, node_id: int, change: int) -> None:
        """Count builds and moves under way on a node up (+1) or down (-1).

        Its load follows with the next look at all hosts: what is under way counts only as far as it is
        more than elsewhere.
        """
        with self.lock:
            row = self._row.get(node_id)
            if row is not None:
                self.building[row] = max(0, int(self.building[row]) + change)

    def note_failed_build(self, node_id: int, failed: bool) -> None:
        """Count a failed build; a successful one takes the count back to 0."""
        with self.lock:
            row = self._row.get(node_id)
            if row is not None:
                self.failed_builds[row] = int(self.failed_builds[row]) + 1 if failed else 0

    # --- for the scheduler, under the lock -------------------------------------------------------

    def consume(
        self, row: int, vcpus: int, memory_mb: int, disk_gb: int, count: int, pcpus: int = 0
    ) -> None:
        """Add to what is claimed in a row (negative numbers give back). The lock is held."""
        self.vcpus_used[row] += vcpus
        self.memory_mb_used[row] += memory_mb
        self.local_gb_used[row] += disk_gb
        self.instances[row] += count
        self.vcpus_free[row] -= vcpus
        self.memory_free[row] -= memory_mb
        self.disk_free[row] -= disk_gb
        if pcpus:
            self.pcpus_used[row] += pcpus
        before = self.load.item(row)
        self.own_load[row] += self.compute_load(row) - before

    def row_of(self, node_id: int) -> int | None:
        """The row of a node."""
        return self._row.get(node_id)

    def rows_of_host(self, host: str) -> list[int]:
        """The rows of a host's nodes."""
        return self._rows_of_host.get(host, [])

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """All aggregates."""
        return self._aggregates

    def mask_of_hosts(self, hosts: Iterable[str]) -> Mask:
        """True in the rows of the hosts named."""
        mask = np.zeros(len(self.nodes), dtype=bool)
        for host in hosts:
            mask[self._rows_of_host.get(host, [])] = True
        return mask

    def aggregates_in_row(self, row: int) -> AggregateSet:
        """The aggregates of a row's host."""
        return self.aggregate_sets[self.aggregates_of.item(row)]

    def zone_of_row(self, row: int, default_zone: str) -> str:
        """The availability zone of a row's host."""
        zones = self.aggregates_in_row(row).values(ZONE)
        return min(zones) if zones else default_zone

    def by_facts(self, verdicts: Sequence[bool]) -> Mask:
        """Spread one verdict for each of ``facts`` over the rows."""
        return np.asarray(verdicts, dtype=bool)[self.facts_of]

    def by_aggregates(self, verdicts: Sequence[Any], dtype: Any = bool) -> NDArray[Any]:
        """Spread one value for each of ``aggregate_sets`` over the rows."""
        return np.asarray(verdicts, dtype=dtype)[self.aggregates_of]

    def set_load_parts(self, parts: LoadParts) -> None:
        """Change what load is made of."""
        with self.lock:
            if parts != self.parts:
                self.parts = parts
                self.own_load[:] = 0.0
                self.compute_heat()
                self.compute_all_loads()
                self.others_load[:] = (self.load - self.extra) / self.peer_count

    # --- inside ----------------------------------------------------------------------------------

    def _append(self, node: ComputeNode) -> int:
        row = self.append_row(node)
        self._row[node.id] = row
        self._rows_of_host.setdefault(node.host, []).append(row)
        service = self._services.get(node.host)
        self.up[row] = False
        self.disabled[row] = service is not None and service.disabled
        for other in self._rows_of_host[node.host][:1]:
            self.up[row], self.disabled[row] = self.up[other], self.disabled[other]
        self._write_aggregates(self._aggregates)
        return row

    def _write_rooms(self, rows: Iterable[int]) -> None:
        """The states of rows' topologies, from their nodes."""
        read = NodeRooms(self.rooms)
        for row in rows:
            self.known_room_of[row] = self.room_of[row] = read.of(self.nodes[row])
        self.rooms.compact((self.room_of, self.known_room_of))

    def _facts_number(self, node: ComputeNode) -> int:
        facts = HostFacts(
            node.hypervisor_type,
            node.hypervisor_version,
            node.cpu_info,
            node.supported_instances,
            node.capabilities,
        )
        key = _encode(facts)
        number = self._facts_numbers.get(key)
        if number is None:
            number = self._facts_numbers[key] = len(self.facts)
            self.facts.append(facts)
        return number

    def _write_service(self, host: str, up: bool, disabled: bool) -> bool:
        changed = False
        for row in self._rows_of_host.get(host, ()):
            if self.up[row] != up or self.disabled[row] != disabled:
                self.up[row], self.disabled[row] = up, disabled
                changed = True
        return changed

    def _write_aggregates(self, aggregates: tuple[Aggregate, ...]) -> None:
        self._aggregates = aggregates
        of_host: dict[str, list[int]] = {}
        for place, aggregate in enumerate(aggregates):
            for host in aggregate.hosts:
                of_host.setdefault(host, []).append(place)
        numbers: dict[tuple[int, ...], int] = {(): 0}
        self.aggregate_sets = [AggregateSet()]
        self.aggregates_of[:] = 0
        for host, places in of_host.items():
            rows = self._rows_of_host.get(host)
            if not rows:
                continue
            key = tuple(places)
            number = numbers.get(key)
            if number is None:
                number = numbers[key] = len(self.aggregate_sets)
                self.aggregate_sets.append(
                    AggregateSet(tuple(aggregates[place] for place in places))
                )
            self.aggregates_of[rows] = number
        self.phase[:] = phases(self.aggregates_of, self.peer, self.peer_count)
