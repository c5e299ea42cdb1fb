# SPDX-License-Identifier: Apache-2.0
"""Tries filters and weighers on simulated hosts, before a cloud uses them.

A trace of creates and deletes is replayed against one or several real schedulers whose tables
follow a simulated database only every few seconds. Nothing sleeps: the trace's own clock is used.
"""

from __future__ import annotations

import datetime
import heapq
import random
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from nova.conf.scheduler import SchedulerSection
from nova.decoding import json_decoder
from nova.objects.flavor import Flavor
from nova.objects.host import Aggregate, ComputeNode, NodeUsage, Service
from nova.objects.request_spec import RequestSpec, Selection
from nova.scheduler.scheduler import Scheduler
from nova.scheduler.table import COMPUTE_BINARY, ZONE, HostTable

_EPOCH = datetime.datetime(2000, 1, 1)


class TraceEvent(msgspec.Struct, frozen=True):
    """One line of a trace: a server is created, or deleted (``vcpus`` 0). ``at`` is seconds."""

    at: float
    server: str
    vcpus: int = 0
    memory_mb: int = 0
    disk_gb: int = 0
    zone: str | None = None


class SimulatedHosts(msgspec.Struct, frozen=True, kw_only=True):
    """Equal hosts, dealt to the zones in turn. Memory MiB, disk GiB.

    Each measures ``cpu_percent`` more than its servers use, with noise up and down; the first ``hot``
    of them ``hot_percent`` more still, by something that is no server. A server uses ``server_percent`` of
    its virtual CPUs, and builds for half to one and a half times ``build_seconds``.
    """

    count: int
    vcpus: int = 1000
    memory_mb: int = 800_000
    disk_gb: int = 600_000
    cpu_allocation_ratio: float = 16.0
    ram_allocation_ratio: float = 1.5
    zones: tuple[str, ...] = ()
    cpu_percent: float = 20.0
    noise_percent: float = 10.0
    hot: int = 0
    hot_percent: float = 50.0
    server_percent: float = 20.0
    build_seconds: float = 5.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay came to.

    ``rejected`` servers found no host. ``lost_races`` counts the choices that were refused because
    another scheduler had filled the host. ``servers`` and ``memory_mb`` are by host at the end,
    ``zones`` the zone of each. ``fragmentation`` is the part of the free memory that no server of
    the largest size in the trace can use.
    """

    placed: int
    rejected: int
    lost_races: int
    servers: list[int]
    memory_mb: list[int]
    zones: list[str]
    fragmentation: float

    def max_minus_min(self) -> int:
        """The largest difference of servers between two hosts of one zone."""
        return max(int(np.ptp(each)) for each in self._by_zone(self.servers))

    def memory_deviation(self) -> float:
        """The largest standard deviation of claimed memory in a zone, as a part of its mean."""
        return max(
            float(each.std() / each.mean()) if each.any() else 0.0
            for each in self._by_zone(self.memory_mb)
        )

    def _by_zone(self, values: list[int]) -> Iterator[NDArray[np.float64]]:
        array, zones = np.array(values, dtype=np.float64), np.array(self.zones)
        for zone in dict.fromkeys(self.zones):
            yield array[zones == zone]


def read_trace(lines: Iterable[str]) -> Iterator[TraceEvent]:
    """Events of a trace file: a JSON object a line. Raises ``ValueError`` naming the line."""
    decoder = json_decoder(TraceEvent)
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError as error:
                raise ValueError(f"line {number} of the trace: {error}") from error


def random_trace(
    servers: int,
    sizes: Sequence[tuple[int, int, int]],
    *,
    rate: float = 300.0,
    zones: Sequence[str] = (),
    deletes: float = 0.0,
    seed: int = 0,
) -> Iterator[TraceEvent]:
    """Creates of random sizes (vcpus, MiB, GiB) at ``rate`` a second.

    After each create, with the chance ``deletes``, a random server is deleted.
    """
    chance = random.Random(seed)  # noqa: S311 - a repeatable trace, no secret
    alive: list[str] = []
    for number in range(servers):
        name = str(uuid.UUID(int=chance.getrandbits(128)))
        vcpus, memory_mb, disk_gb = chance.choice(sizes)
        zone = chance.choice(zones) if zones else None
        yield TraceEvent(number / rate, name, vcpus, memory_mb, disk_gb, zone)
        alive.append(name)
        if deletes and chance.random() < deletes:
            yield TraceEvent(number / rate, alive.pop(chance.randrange(len(alive))))


class Simulation:
    """Schedulers over simulated hosts; the truth is kept here as the database would keep it."""

    def __init__(
        self,
        hosts: SimulatedHosts,
        section: SchedulerSection,
        *,
        schedulers: int = 1,
        stale_seconds: float = 2.0,
        seed: int = 0,
        know_each_other: bool = True,
    ) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - a repeatable simulation, no secret
        self._stale = stale_seconds
        self._hosts = hosts
        self._nodes = [_node(hosts, number) for number in range(hosts.count)]
        self._zones = [
            hosts.zones[number % len(hosts.zones)] if hosts.zones else ""
            for number in range(hosts.count)
        ]
        self._used = np.zeros((hosts.count, 4), dtype=np.int64)
        self._limits = np.array(
            [
                hosts.vcpus * hosts.cpu_allocation_ratio,
                hosts.memory_mb * hosts.ram_allocation_ratio,
                hosts.disk_gb,
                np.inf,
            ]
        )
        self._schedulers = [
            self._scheduler(section, peer, schedulers if know_each_other else 1)
            for peer in range(schedulers)
        ]
        self._next_look = [self._chance.uniform(0, stale_seconds) for _ in self._schedulers]
        self._placed: dict[str, tuple[int, RequestSpec]] = {}
        self._counts = {"placed": 0, "rejected": 0, "lost_races": 0}
        self._largest = np.zeros(4, dtype=np.int64)
        #: When a build ends, and on which row.
        self._builds: list[tuple[float, int]] = []

    def run(self, trace: Iterable[TraceEvent]) -> Outcome:
        """Replay a trace, whose events are in order of time."""
        for event in trace:
            self._look(event.at)
            scheduler = self._chance.choice(self._schedulers)
            if event.vcpus:
                self._create(scheduler, event)
            else:
                self._delete(scheduler, event.server)
        return Outcome(
            **self._counts,
            servers=self._used[:, 3].tolist(),
            memory_mb=self._used[:, 1].tolist(),
            zones=self._zones,
            fragmentation=self._fragmentation(),
        )

    def _create(self, scheduler: Scheduler, event: TraceEvent) -> None:
        flavor = Flavor(
            0, "simulated", "simulated", None, event.memory_mb, event.vcpus, event.disk_gb,
            0, 0, 1.0, True, False, {},
        )  # fmt: skip
        spec = RequestSpec(
            instance_uuid=event.server,
            project_id="simulated",
            flavor=flavor,
            availability_zone=event.zone,
        )
        wanted = np.array([event.vcpus, event.memory_mb, event.disk_gb, 1])
        self._largest = np.maximum(self._largest, wanted)
        [answer] = scheduler.select([spec])
        if not isinstance(answer, Selection):
            self._counts["rejected"] += 1
            return
        for number, node_id in enumerate([answer.node_id, *(a[0] for a in answer.alternates)]):
            if number:
                scheduler.place(node_id, spec)
            if (self._used[node_id - 1] + wanted <= self._limits).all():
                self._used[node_id - 1] += wanted
                self._build(scheduler, event.at, node_id)
                self._placed[event.server] = (node_id, spec)
                self._counts["placed"] += 1
                return
            scheduler.unplace(node_id, spec)
            self._counts["lost_races"] += 1
        self._counts["rejected"] += 1

    def _delete(self, scheduler: Scheduler, server: str) -> None:
        found = self._placed.pop(server, None)
        if found is not None:
            node_id, spec = found
            flavor = spec.flavor
            self._used[node_id - 1] -= (flavor.vcpus, flavor.memory_mb, spec.disk_gb, 1)
            scheduler.unplace(node_id, spec)

    def _build(self, scheduler: Scheduler, at: float, node_id: int) -> None:
        seconds = self._hosts.build_seconds * self._chance.uniform(0.5, 1.5)
        heapq.heappush(self._builds, (at + seconds, node_id - 1))
        scheduler.table.note_building(node_id, 1)

    def _look(self, at: float) -> None:
        for place, scheduler in enumerate(self._schedulers):
            while at >= self._next_look[place]:
                self._next_look[place] += self._stale
                while self._builds and self._builds[0][0] <= at:
                    heapq.heappop(self._builds)
                scheduler.table.refresh(
                    self._usage(row, *used) for row, used in enumerate(self._used.tolist())
                )
                building = Counter(self._nodes[row].host for _until, row in self._builds)
                scheduler.table.set_building(building)

    def _usage(self, row: int, vcpus: int, memory_mb: int, disk_gb: int, servers: int) -> NodeUsage:
        return NodeUsage(
            row + 1, vcpus, memory_mb, disk_gb, servers, metrics=self._measure(row, vcpus)
        )

    def _measure(self, row: int, vcpus_used: int) -> dict[str, float]:
        hosts = self._hosts
        percent = hosts.cpu_percent + hosts.server_percent * vcpus_used / hosts.vcpus
        percent += self._chance.uniform(-1, 1) * hosts.noise_percent
        if row < hosts.hot:
            percent += hosts.hot_percent
        return {"cpu_percent": min(100.0, max(0.0, percent))}

    def _fragmentation(self) -> float:
        free = np.maximum(0, self._limits - self._used)
        total = float(free[:, 1].sum())
        if not total or not self._largest[1]:
            return 0.0
        needed = self._largest[:3] > 0
        slots = (free[:, :3][:, needed] // self._largest[:3][needed]).min(axis=1)
        return 1.0 - float(slots.sum() * self._largest[1]) / total

    def _scheduler(self, section: SchedulerSection, peer: int, peers: int) -> Scheduler:
        table = HostTable()
        scheduler = Scheduler(section, table)
        if peers > 1:
            table.set_peers(peer, peers)
        services = [
            Service(
                node.id, node.uuid, COMPUTE_BINARY, node.host, "compute", 1, False, None, False,
                _EPOCH,
            )
            for node in self._nodes
        ]  # fmt: skip
        zones = [
            Aggregate(
                id=number,
                uuid=zone,
                name=zone,
                metadata={ZONE: zone},
                hosts=tuple(
                    node.host
                    for node, of in zip(self._nodes, self._zones, strict=True)
                    if of == zone
                ),
                created_at=_EPOCH,
                updated_at=None,
            )
            for number, zone in enumerate(dict.fromkeys(self._zones))
            if zone
        ]
        reported = [
            msgspec.structs.replace(node, metrics=self._measure(row, 0))
            for row, node in enumerate(self._nodes)
        ]
        table.rebuild(reported, services, zones, _EPOCH, 60.0)
        return scheduler


def _node(hosts: SimulatedHosts, number: int) -> ComputeNode:
    name = f"simulated-{number + 1}"
    return ComputeNode(
        id=number + 1, uuid=name, host=name, hypervisor_hostname=name, host_ip="127.0.0.1",
        hypervisor_type="simulated", hypervisor_version=1, cpu_info={}, supported_instances=[],
        capabilities={}, metrics={}, vcpus=hosts.vcpus, memory_mb=hosts.memory_mb,
        local_gb=hosts.disk_gb, reserved_vcpus=0, reserved_memory_mb=0, reserved_disk_gb=0,
        cpu_allocation_ratio=hosts.cpu_allocation_ratio,
        ram_allocation_ratio=hosts.ram_allocation_ratio, disk_allocation_ratio=1.0,
        vcpus_used=0, memory_mb_used=0, local_gb_used=0, instances_used=0,
        disk_available_least=None, running_vms=0, uptime=None,
    )  # fmt: skip
