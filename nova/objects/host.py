# SPDX-License-Identifier: Apache-2.0
"""Hosts as the control side sees them: services, compute nodes, aggregates, claims."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec

from nova.objects.topology import GuestTopology, HostTopology, HostUsage


class Service(msgspec.Struct, frozen=True):
    """A daemon on a host. The field order is that of the table's columns."""

    id: int
    uuid: str
    binary: str
    host: str
    topic: str
    report_count: int
    disabled: bool
    disabled_reason: str | None
    forced_down: bool
    last_seen_up: datetime.datetime | None
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None

    def is_up(self, now: datetime.datetime, down_after: float) -> bool:
        """Whether it reported within ``down_after`` seconds and is not forced down."""
        if self.forced_down:
            return False
        seen = self.last_seen_up or self.created_at
        return seen is not None and (now - seen).total_seconds() <= down_after


class HostReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a compute host tells of one hypervisor node: sizes, not what is claimed.

    Memory is MiB, disk GiB. ``metrics`` holds measured load: ``cpu_percent`` and
    ``memory_mb_used``. ``vcpus`` are the CPUs that unpinned guests share, ``pcpus`` those kept apart for
    pinned ones (0 where the host does not keep them apart). ``topology`` is None where it is not known.
    """

    host: str
    hypervisor_hostname: str
    host_ip: str
    hypervisor_type: str
    hypervisor_version: int
    vcpus: int
    memory_mb: int
    local_gb: int
    reserved_vcpus: int = 0
    reserved_memory_mb: int = 0
    reserved_disk_gb: int = 0
    cpu_allocation_ratio: float = 16.0
    ram_allocation_ratio: float = 1.5
    disk_allocation_ratio: float = 1.0
    cpu_info: dict[str, Any] = {}
    supported_instances: list[list[str]] = []
    capabilities: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    disk_available_least: int | None = None
    running_vms: int = 0
    uptime: str | None = None
    zone: str | None = None
    pcpus: int = 0
    topology: HostTopology | None = None


class ReportAnswer(msgspec.Struct, frozen=True):
    """What a host is told when it reported.

    ``sizes_wanted``: the host is not known, and is to tell its sizes at once. ``silence`` is for how many
    seconds nobody misses the host, if there is nothing new with it.
    """

    sizes_wanted: bool = False
    silence: float = 0.0


class ComputeNode(msgspec.Struct, frozen=True):
    """A hypervisor node with what is claimed on it. The field order is that of the table's
    columns.

    ``topology`` and ``topology_used`` are a ``HostTopology`` and a ``HostUsage`` as plain documents, one
    object for all nodes of a read that are the same; ``topology_generation`` grows with each change of them.
    """

    id: int
    uuid: str
    host: str
    hypervisor_hostname: str
    host_ip: str
    hypervisor_type: str
    hypervisor_version: int
    cpu_info: dict[str, Any]
    supported_instances: list[list[str]]
    capabilities: dict[str, Any]
    metrics: dict[str, float]
    vcpus: int
    memory_mb: int
    local_gb: int
    reserved_vcpus: int
    reserved_memory_mb: int
    reserved_disk_gb: int
    cpu_allocation_ratio: float
    ram_allocation_ratio: float
    disk_allocation_ratio: float
    vcpus_used: int
    memory_mb_used: int
    local_gb_used: int
    instances_used: int
    disk_available_least: int | None
    running_vms: int
    uptime: str | None
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
    pcpus: int = 0
    pcpus_used: int = 0
    topology_generation: int = 0
    topology: dict[str, Any] | None = None
    topology_used: dict[str, Any] | None = None


class NodeTopology(msgspec.Struct, frozen=True, kw_only=True):
    """What a claim with a topology has to know of its node, read in one statement."""

    node_id: int
    generation: int
    topology: HostTopology
    used: HostUsage
    cpu_allocation_ratio: float
    ram_allocation_ratio: float
    pcpus: int


class Aggregate(msgspec.Struct, frozen=True, kw_only=True):
    """A host aggregate; ``metadata['availability_zone']`` makes it a zone."""

    id: int
    uuid: str
    name: str
    metadata: dict[str, str]
    hosts: tuple[str, ...]
    created_at: datetime.datetime
    updated_at: datetime.datetime | None


class Claim(msgspec.Struct, frozen=True):
    """Resources held on a node for an instance. Memory MiB, disk GiB."""

    instance_uuid: str
    kind: str
    node_id: int
    vcpus: int
    memory_mb: int
    disk_gb: int
    pcpus: int = 0
    topology: GuestTopology | None = None


class ClaimLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How far a claim may fill a node.

    A ratio that is ``None`` is the node's own; another comes from an aggregate. A resource whose
    flag is false is not limited (its filter is not enabled). ``unlimited`` is for servers forced
    onto a host.
    """

    cpu_allocation_ratio: float | None = None
    ram_allocation_ratio: float | None = None
    disk_allocation_ratio: float | None = None
    limit_vcpus: bool = True
    limit_memory: bool = True
    limit_disk: bool = True
    unlimited: bool = False


class ClaimRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A claim that is wanted. Memory MiB, disk GiB.

    One with a ``topology`` was fitted to the node as it was at ``generation``, and leaves it with
    ``topology_used``; it is refused where the node has changed since.
    """

    instance_uuid: str
    node_id: int
    vcpus: int
    memory_mb: int
    disk_gb: int
    kind: str = "instance"
    limits: ClaimLimits = ClaimLimits()
    pcpus: int = 0
    topology: GuestTopology | None = None
    topology_used: HostUsage | None = None
    generation: int = 0


class ClaimRepairs(msgspec.Struct, frozen=True):
    """What an audit of the claims put right: claims of no instance, claims that instances lacked, nodes
    whose sums were wrong, and nodes whose document of used CPUs, pages and devices was.
    """

    orphans: tuple[Claim, ...] = ()
    nodes: tuple[int, ...] = ()
    missing: tuple[Claim, ...] = ()
    topologies: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """How many repairs; 0 in a healthy cloud."""
        return len(self.orphans) + len(self.nodes) + len(self.missing) + len(self.topologies)


class NodeUsage(msgspec.Struct, frozen=True):
    """The claimed sums of one node: what a scheduler's table has to follow.

    ``metrics`` is what the host measured last, None where that was not read.
    """

    id: int
    vcpus_used: int
    memory_mb_used: int
    local_gb_used: int
    instances_used: int
    pcpus_used: int = 0
    topology_generation: int = 0
    metrics: dict[str, float] | None = None


class NodeStatistics(msgspec.Struct, frozen=True):
    """Sums over the nodes of enabled compute services. ``*_used`` include what hosts reserve."""

    count: int
    vcpus: int
    memory_mb: int
    local_gb: int
    vcpus_used: int
    memory_mb_used: int
    local_gb_used: int
    free_ram_mb: int
    free_disk_gb: int
    disk_available_least: int
    running_vms: int
