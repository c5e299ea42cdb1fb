# SPDX-License-Identifier: Apache-2.0
"""The columns of the host table: their names, where they come from, and the arrays behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nova.objects.host import ComputeNode
from nova.scheduler.facts import host_hash
from nova.scheduler.heat import measured

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

_INTEGER_COLUMNS = (
    "node_ids", "vcpus", "memory_mb", "local_gb",
    "reserved_vcpus", "reserved_memory_mb", "reserved_disk_gb",
    "vcpus_used", "memory_mb_used", "local_gb_used", "instances", "building", "failed_builds",
    "hypervisor_version", "facts_of", "aggregates_of",
    "pcpus", "pcpus_used", "topology_generation", "room_of", "known_room_of",
)  # fmt: skip
_FLOAT_COLUMNS = (
    "cpu_ratio", "ram_ratio", "disk_ratio",
    "vcpus_limit", "memory_limit", "disk_limit", "vcpus_free", "memory_free", "disk_free",
    "vcpus_inverse", "memory_inverse", "cpu_measured", "memory_measured", "heat", "crowding", "extra",
    "load", "own_load", "others_load", "phase",
)  # fmt: skip
_BOOL_COLUMNS = ("up", "disabled")
#: What no rebuild brings: it is this process's own knowledge.
OWN_COLUMNS = ("own_load", "others_load", "building", "failed_builds", "heat", "crowding")

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
    "pcpus": "pcpus",
    "pcpus_used": "pcpus_used",
    "topology_generation": "topology_generation",
}


class Columns:
    """Arrays that grow, one value a row; attributes are the used parts of them."""

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
    pcpus: Integers
    pcpus_used: Integers
    topology_generation: Integers
    room_of: Integers
    known_room_of: Integers
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
    cpu_measured: Floats
    memory_measured: Floats
    heat: Floats
    crowding: Floats
    extra: Floats
    load: Floats
    own_load: Floats
    others_load: Floats
    phase: Floats
    up: Mask
    disabled: Mask
    hashes: NDArray[np.uint64]

    def __init__(self) -> None:
        self.nodes: list[ComputeNode] = []
        self.allocate(0)

    def allocate(self, size: int) -> None:
        """Begin anew with so many empty rows."""
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

    def append_row(self, node: ComputeNode) -> int:
        """One row more, all zero but the hash; returns its number."""
        row = len(self.nodes)
        if row >= len(self._backing["node_ids"]):
            room = max(16, row * 2)
            for name, column in self._backing.items():
                grown = np.zeros(room, dtype=column.dtype)
                grown[:row] = column[:row]
                self._backing[name] = grown
        self.nodes.append(node)
        self._bind(row + 1)
        for column in self._backing.values():
            column[row] = 0
        self.hashes[row] = host_hash(node)
        return row

    def drop_row(self, gone: int) -> None:
        """One row less."""
        keep = np.ones(len(self.nodes), dtype=bool)
        keep[gone] = False
        for name in self._backing:
            self._backing[name] = self._backing[name][: len(self.nodes)][keep]
        del self.nodes[gone]
        self._bind(len(self.nodes))

    def fill(self, nodes: Sequence[ComputeNode]) -> None:
        """Write what nodes say into all rows."""
        for column, attribute in _COLUMN_ATTRIBUTES.items():
            getattr(self, column)[:] = [getattr(node, attribute) for node in nodes]
        if nodes:
            self.cpu_measured[:], self.memory_measured[:] = zip(*map(measured, nodes), strict=True)
        self.hashes[:] = [host_hash(node) for node in nodes]

    def write_node(self, row: int, node: ComputeNode) -> None:
        """Write what a node says into its row."""
        for column, attribute in _COLUMN_ATTRIBUTES.items():
            getattr(self, column)[row] = getattr(node, attribute)
        self.cpu_measured[row], self.memory_measured[row] = measured(node)
