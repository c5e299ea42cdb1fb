# SPDX-License-Identifier: Apache-2.0
"""The host table: one row per compute node, one NumPy column per size, claim or fact.

Filters and weighers read whole columns. What changes with every server (what is claimed) is written
in place; what changes rarely (facts of hosts, services, aggregates) raises ``generation``, by which
the scheduler knows that masks it keeps are out of date. Everything is under ``lock``.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from nova.objects.host import Aggregate, ComputeNode, NodeUsage, Service
from nova.scheduler.peers import follow_others, phases

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

ZONE = "availability_zone"
COMPUTE_BINARY = "nova-compute"


@dataclasses.dataclass(frozen=True)
class LoadParts:
    """How much each part counts in a host's load; the sum is made 1."""

    vcpus: float = 1.0
    memory: float = 1.0
    instances: float = 1.0
    building: float = 0.0
    measured: float = 0.0
    #: Builds at a time that count as a full load.
    full_building: float = 8.0


class HostFacts(msgspec.Struct, frozen=True):
    """What a host is, shared by all hosts that are the same; filters judge it once for all of
    them.
    """

    hypervisor_type: str
    hypervisor_version: int
    cpu_info: dict[str, Any]
    supported_instances: list[list[str]]
    capabilities: dict[str, Any]


class AggregateSet(msgspec.Struct, frozen=True):
    """The aggregates that a host is in, shared by all hosts in the same ones."""

    aggregates: tuple[Aggregate, ...] = ()

    def values(self, key: str) -> set[str]:
        """The distinct values of a metadata key over the aggregates."""
        return {each.metadata[key] for each in self.aggregates if key in each.metadata}

    def words(self, key: str) -> set[str]:
        """The comma-separated words of a metadata key over the aggregates."""
        return {word.strip() for value in self.values(key) for word in value.split(",")}

    def keys(self) -> set[str]:
        """All metadata keys over the aggregates."""
        return {key for each in self.aggregates for key in each.metadata}


_INTEGER_COLUMNS = (
    "node_ids", "vcpus", "memory_mb", "local_gb",
    "reserved_vcpus", "reserved_memory_mb", "reserved_disk_gb",
    "vcpus_used", "memory_mb_used", "local_gb_used", "instances", "building", "failed_builds",
    "hypervisor_version", "facts_of", "aggregates_of",
)  # fmt: skip
_FLOAT_COLUMNS = (
    "cpu_ratio", "ram_ratio", "disk_ratio",
    "vcpus_limit", "memory_limit", "disk_limit", "vcpus_free", "memory_free", "disk_free",
    "vcpus_inverse", "memory_inverse", "measured", "load", "own_load", "others_load",
    "phase",
)  # fmt: skip
_BOOL_COLUMNS = ("up", "disabled")
#: What no rebuild brings: it is this process's own knowledge.
_OWN_COLUMNS = ("own_load", "others_load", "building", "failed_builds")

_encode = msgspec.msgpack.Encoder().encode


class HostTable:
    """Compute nodes in columns. Memory is MiB, disk GiB; ``load`` is 0 (empty) to about 1 (full).

    ``load`` is the whole view: what the database said last and what was placed here since. For
    clouds with several schedulers ``own_load`` is what this one placed (net of its releases) and
    ``others_load`` a damped view of the rest (see ``nova.scheduler.peers``).
    """

    node_ids: Integers
    vcpus: Integers
    memory_mb: Integers
    local_gb: Integers
    reserved_vcpus: Integers
    reserved_memory_mb: Integers
    reserved_disk_gb: Integers
    vcpus_used: Integers
    memory_mb_used: Integers
    local_gb_used: Integers
    instances: Integers
    building: Integers
    failed_builds: Integers
    hypervisor_version: Integers
    facts_of: Integers
    aggregates_of: Integers
    cpu_ratio: Floats
    ram_ratio: Floats
    disk_ratio: Floats
    vcpus_limit: Floats
    memory_limit: Floats
    disk_limit: Floats
    vcpus_free: Floats
    memory_free: Floats
    disk_free: Floats
    vcpus_inverse: Floats
    memory_inverse: Floats
    measured: Floats
    load: Floats
    own_load: Floats
    others_load: Floats
    phase: Floats
    up: Mask
    disabled: Mask
    hashes: NDArray[np.uint64]

    def __init__(self, parts: LoadParts | None = None) -> None:
        self.lock = threading.RLock()
        self.parts = parts or LoadParts()
        #: Raised by every change of facts, services or aggregates, and of the set of rows.
        self.generation = 0
        #: Raised by every change of sizes and limits.
        self.sizes_generation = 0
        self.nodes: list[ComputeNode] = []
        self.facts: list[HostFacts] = []
        self.aggregate_sets: list[AggregateSet] = [AggregateSet()]
        #: This scheduler's place among those that place servers now, and their number.
        self.peer = 0
        self.peer_count = 1
        self._row: dict[int, int] = {}
        self._rows_of_host: dict[str, list[int]] = {}
        self._facts_numbers: dict[bytes, int] = {}
        self._services: dict[str, Service] = {}
        self._aggregates: tuple[Aggregate, ...] = ()
        self._allocate(0)

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
                node.id: tuple(getattr(self, name)[row] for name in _OWN_COLUMNS)
                for row, node in enumerate(self.nodes)
            }
            fresh = not kept
            self.nodes = list(nodes)
            self._row = {node.id: row for row, node in enumerate(self.nodes)}
            self._rows_of_host = {}
            for row, node in enumerate(self.nodes):
                self._rows_of_host.setdefault(node.host, []).append(row)
            self._allocate(len(self.nodes))
            self._fill_columns()
            self._services = {each.host: each for each in services if each.binary == COMPUTE_BINARY}
            for host, service in self._services.items():
                self._write_service(host, service.is_up(now, down_after), service.disabled)
            self._write_aggregates(tuple(aggregates))
            for row, node in enumerate(self.nodes):
                if node.id in kept:
                    for name, value in zip(_OWN_COLUMNS, kept[node.id], strict=True):
                        getattr(self, name)[row] = value
            self._compute_all_loads()
            if fresh and self.peer_count > 1:
                self.others_load[:] = self.load / self.peer_count
            else:
                self._follow_others()
            self.generation += 1
            self.sizes_generation += 1

    def refresh(self, usage: Iterable[NodeUsage]) -> None:
        """Take only what is claimed, from the database: the cheap way to follow others."""
        with self.lock:
            for used in usage:
                row = self._row.get(used.id)
                if row is not None:
                    self.vcpus_used[row] = used.vcpus_used
                    self.memory_mb_used[row] = used.memory_mb_used
                    self.local_gb_used[row] = used.local_gb_used
                    self.instances[row] = used.instances_used
            self._compute_all_loads()
            self._follow_others()

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
            self._write_node(row, node)
            if _facts_differ(before, node) or before is node:
                self.facts_of[row] = self._facts_number(node)
                self.generation += 1
            if node.metrics != before.metrics:
                self.generation += 1
            self._compute_limits(slice(row, row + 1))
            self._compute_load(row)
            self.sizes_generation += 1

    def forget(self, node_id: int) -> None:
        """Drop a node that was removed from the cloud."""
        with self.lock:
            gone = self._row.get(node_id)
            if gone is None:
                return
            keep = np.ones(len(self.nodes), dtype=bool)
            keep[gone] = False
            for name in (*_INTEGER_COLUMNS, *_FLOAT_COLUMNS, *_BOOL_COLUMNS, "hashes"):
                self._backing[name] = self._backing[name][: len(self.nodes)][keep]
            del self.nodes[gone]
            self._bind(len(self.nodes))
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

    def apply_claim(self, node_id: int, vcpus: int, memory_mb: int, disk_gb: int) -> None:
        """Note resources taken on a node; a node not known is passed over."""
        with self.lock:
            row = self._row.get(node_id)
            if row is not None:
                self.consume(row, vcpus, memory_mb, disk_gb, 1)

    def apply_release(self, node_id: int, vcpus: int, memory_mb: int, disk_gb: int) -> None:
        """Note resources given back on a node; a node not known is passed over."""
        with self.lock:
            row = self._row.get(node_id)
            if row is not None:
                self.consume(row, -vcpus, -memory_mb, -disk_gb, -1)

    def set_building(self, hosts: Mapping[str, int]) -> None:
        """Take how many builds are under way on each host; those not named have none."""
        with self.lock:
            self.building[:] = 0
            for host, count in hosts.items():
                for row in self._rows_of_host.get(host, ())[:1]:
                    self.building[row] = count
            self._compute_all_loads()

    def note_building(self, node_id: int, change: int) -> None:
        """Count builds and moves under way on a node up (+1) or down (-1)."""
        with self.lock:
            row = self._row.get(node_id)
            if row is not None:
                self.building[row] = max(0, int(self.building[row]) + change)
                self._compute_load(row)

    def note_failed_build(self, node_id: int, failed: bool) -> None:
        """Count a failed build; a successful one takes the count back to 0."""
        with self.lock:
            row = self._row.get(node_id)
            if row is not None:
                self.failed_builds[row] = int(self.failed_builds[row]) + 1 if failed else 0

    # --- for the scheduler, under the lock -------------------------------------------------------

    def consume(self, row: int, vcpus: int, memory_mb: int, disk_gb: int, count: int) -> None:
        """Add to what is claimed in a row (negative numbers give back). The lock is held."""
        self.vcpus_used[row] += vcpus
        self.memory_mb_used[row] += memory_mb
        self.local_gb_used[row] += disk_gb
        self.instances[row] += count
        self.vcpus_free[row] -= vcpus
        self.memory_free[row] -= memory_mb
        self.disk_free[row] -= disk_gb
        before = self.load.item(row)
        self.own_load[row] += self._compute_load(row) - before

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

    def load_step(self, vcpus: int, memory_mb: int) -> Floats:
        """How much one more server of this size adds to each row's load."""
        parts = self.parts
        step = (parts.vcpus * vcpus + parts.instances) * self.vcpus_inverse
        step += (parts.memory * memory_mb) * self.memory_inverse
        return step / self._sum_of_parts()

    def set_load_parts(self, parts: LoadParts) -> None:
        """Change what load is made of."""
        with self.lock:
            if parts != self.parts:
                self.parts = parts
                self.own_load[:] = 0.0
                self._compute_all_loads()
                self.others_load[:] = self.load / self.peer_count

    # --- inside ----------------------------------------------------------------------------------

    def _allocate(self, size: int) -> None:
        self._backing: dict[str, NDArray[Any]] = {}
        for name in _INTEGER_COLUMNS:
            self._backing[name] = np.zeros(size, dtype=np.int64)
        for name in _FLOAT_COLUMNS:
            self._backing[name] = np.zeros(size, dtype=np.float64)
        for name in _BOOL_COLUMNS:
            self._backing[name] = np.zeros(size, dtype=bool)
        self._backing["hashes"] = np.zeros(size, dtype=np.uint64)
        self._bind(size)

    def _bind(self, size: int) -> None:
        """Let every column be the used part of its backing array."""
        for name, column in self._backing.items():
            setattr(self, name, column[:size])

    def _append(self, node: ComputeNode) -> int:
        row = len(self.nodes)
        if row >= len(self._backing["node_ids"]):
            room = max(16, row * 2)
            for name, column in self._backing.items():
                grown = np.zeros(room, dtype=column.dtype)
                grown[:row] = column[:row]
                self._backing[name] = grown
        self.nodes.append(node)
        self._bind(row + 1)
        self._row[node.id] = row
        self._rows_of_host.setdefault(node.host, []).append(row)
        self.hashes[row] = host_hash(node)
        service = self._services.get(node.host)
        self.up[row] = False
        self.disabled[row] = service is not None and service.disabled
        for other in self._rows_of_host[node.host][:1]:
            self.up[row], self.disabled[row] = self.up[other], self.disabled[other]
        self._write_aggregates(self._aggregates)
        return row

    def _fill_columns(self) -> None:
        for column, attribute in _COLUMN_ATTRIBUTES.items():
            getattr(self, column)[:] = [getattr(node, attribute) for node in self.nodes]
        self.measured[:] = [measured_load(node) for node in self.nodes]
        self.hashes[:] = [host_hash(node) for node in self.nodes]
        self.facts, self._facts_numbers = [], {}
        self.facts_of[:] = [self._facts_number(node) for node in self.nodes]
        self._compute_limits(slice(None))

    def _write_node(self, row: int, node: ComputeNode) -> None:
        for column, attribute in _COLUMN_ATTRIBUTES.items():
            getattr(self, column)[row] = getattr(node, attribute)
        self.measured[row] = measured_load(node)

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

    def _compute_limits(self, rows: slice) -> None:
        for size, ratio, reserved, used, limit, free in _LIMITS:
            limits = (
                getattr(self, size)[rows] * getattr(self, ratio)[rows]
                - getattr(self, reserved)[rows]
            )
            if size == "vcpus":
                # A driver that cannot count its CPUs reports none; then they are no limit.
                limits = np.where(self.vcpus[rows] == 0, np.inf, limits)
            getattr(self, limit)[rows] = limits
            getattr(self, free)[rows] = limits - getattr(self, used)[rows]
        for limit, inverse in (
            ("vcpus_limit", "vcpus_inverse"), ("memory_limit", "memory_inverse")
        ):  # fmt: skip
            limits = getattr(self, limit)[rows]
            getattr(self, inverse)[rows] = np.divide(
                1.0, limits, out=np.zeros_like(limits), where=limits > 0
            )

    def _compute_load(self, row: int) -> float:
        parts = self.parts
        load = (
            parts.vcpus * self.vcpus_used.item(row) + parts.instances * self.instances.item(row)
        ) * self.vcpus_inverse.item(row)
        load += parts.memory * self.memory_mb_used.item(row) * self.memory_inverse.item(row)
        if parts.building:
            load += parts.building * self.building.item(row) / parts.full_building
        if parts.measured:
            load += parts.measured * self.measured.item(row)
        load /= self._sum_of_parts()
        self.load[row] = load
        return load

    def _compute_all_loads(self) -> None:
        parts = self.parts
        np.subtract(self.vcpus_limit, self.vcpus_used, out=self.vcpus_free)
        np.subtract(self.memory_limit, self.memory_mb_used, out=self.memory_free)
        np.subtract(self.disk_limit, self.local_gb_used, out=self.disk_free)
        load = (
            parts.vcpus * self.vcpus_used + parts.instances * self.instances
        ) * self.vcpus_inverse
        load += parts.memory * self.memory_mb_used * self.memory_inverse
        if parts.building:
            load += parts.building * self.building / parts.full_building
        if parts.measured:
            load += parts.measured * self.measured
        self.load[:] = load / self._sum_of_parts()

    def _sum_of_parts(self) -> float:
        parts = self.parts
        total = parts.vcpus + parts.memory + parts.instances + parts.building + parts.measured
        return total or 1.0

    def _follow_others(self) -> None:
        if self.peer_count > 1:
            count = int(self.instances.sum())
            unit = float(self.load.sum()) / count if count else 0.0
            follow_others(
                self.others_load,
                self.load - self.own_load,
                self.aggregates_of,
                self.peer_count,
                unit,
            )


_COLUMN_ATTRIBUTES: Mapping[str, str] = {
    "node_ids": "id",
    "vcpus": "vcpus",
    "memory_mb": "memory_mb",
    "local_gb": "local_gb",
    "reserved_vcpus": "reserved_vcpus",
    "reserved_memory_mb": "reserved_memory_mb",
    "reserved_disk_gb": "reserved_disk_gb",
    "vcpus_used": "vcpus_used",
    "memory_mb_used": "memory_mb_used",
    "local_gb_used": "local_gb_used",
    "instances": "instances_used",
    "hypervisor_version": "hypervisor_version",
    "cpu_ratio": "cpu_allocation_ratio",
    "ram_ratio": "ram_allocation_ratio",
    "disk_ratio": "disk_allocation_ratio",
}
_LIMITS = (
    ("vcpus", "cpu_ratio", "reserved_vcpus", "vcpus_used", "vcpus_limit", "vcpus_free"),
    (
        "memory_mb", "ram_ratio", "reserved_memory_mb", "memory_mb_used", "memory_limit",
        "memory_free",
    ),
    ("local_gb", "disk_ratio", "reserved_disk_gb", "local_gb_used", "disk_limit", "disk_free"),
)  # fmt: skip


def host_hash(node: ComputeNode) -> int:
    """64 bits that stand for a node's name, the same in every process."""
    name = f"{node.host}\0{node.hypervisor_hostname}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")


def measured_load(node: ComputeNode) -> float:
    """The mean of the measured parts that the host reports, 0..1: CPU and memory in use."""
    parts = []
    cpu = node.metrics.get("cpu_percent")
    if cpu is not None:
        parts.append(float(cpu) / 100.0)
    memory = node.metrics.get("memory_mb_used")
    if memory is not None and node.memory_mb > 0:
        parts.append(float(memory) / node.memory_mb)
    return min(1.0, max(0.0, sum(parts) / len(parts))) if parts else 0.0


def _facts_differ(one: ComputeNode, other: ComputeNode) -> bool:
    return (
        one.hypervisor_type != other.hypervisor_type
        or one.hypervisor_version != other.hypervisor_version
        or one.host_ip != other.host_ip
        or one.cpu_info != other.cpu_info
        or one.supported_instances != other.supported_instances
        or one.capabilities != other.capabilities
    )
