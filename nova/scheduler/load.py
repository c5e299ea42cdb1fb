# SPDX-License-Identifier: Apache-2.0
"""Load: what is claimed of hosts and what they measure, as one number for each.

What is claimed counts exactly, what is measured in coarse steps (``nova.scheduler.heat``). Two views
are kept for clouds with several schedulers: the whole, and the part that this one placed
(``nova.scheduler.peers``).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from nova.scheduler.columns import Columns, Floats
from nova.scheduler.heat import crowding, steps, unexplained
from nova.scheduler.peers import follow_others


@dataclasses.dataclass(frozen=True)
class LoadParts:
    """How much each part counts in a host's load; the sum is made 1."""

    vcpus: float = 1.0
    memory: float = 1.0
    instances: float = 1.0
    building: float = 1.0
    measured: float = 1.0
    #: Builds beyond the usual that count as a full load.
    full_building: float = 8.0


_LIMITS = (
    ("vcpus", "cpu_ratio", "reserved_vcpus", "vcpus_used", "vcpus_limit", "vcpus_free"),
    (
        "memory_mb", "ram_ratio", "reserved_memory_mb", "memory_mb_used", "memory_limit",
        "memory_free",
    ),
    ("local_gb", "disk_ratio", "reserved_disk_gb", "local_gb_used", "disk_limit", "disk_free"),
)  # fmt: skip


class LoadColumns(Columns):
    """Limits, what is free of them, and loads, kept in step with what is claimed."""

    def __init__(self, parts: LoadParts) -> None:
        super().__init__()
        self.parts = parts
        #: This scheduler's place among those that place servers now, and their number.
        self.peer = 0
        self.peer_count = 1

    def load_step(self, vcpus: int, memory_mb: int) -> Floats:
        """How much one more server of this size adds to each row's load."""
        parts = self.parts
        step = (parts.vcpus * vcpus + parts.instances) * self.vcpus_inverse
        step += (parts.memory * memory_mb) * self.memory_inverse
        return step / self._sum_of_parts()

    def compute_limits(self, rows: slice) -> None:
        """Limits of rows from their sizes, and what is free of them."""
        for size, ratio, reserved, used, limit, free in _LIMITS:
            limits = (
                getattr(self, size)[rows] * getattr(self, ratio)[rows]
                - getattr(self, reserved)[rows]
            )
            if size == "vcpus":
                # A driver that cannot count its CPUs reports none; then they are no limit.
                unknown = (self.vcpus[rows] == 0) & (self.pcpus[rows] == 0)
                limits = np.where(unknown, np.inf, limits)
            getattr(self, limit)[rows] = limits
            getattr(self, free)[rows] = limits - getattr(self, used)[rows]
        for limit, inverse in (
            ("vcpus_limit", "vcpus_inverse"), ("memory_limit", "memory_inverse")
        ):  # fmt: skip
            limits = getattr(self, limit)[rows]
            if limit == "vcpus_limit":
                limits = limits + self.pcpus[rows]
            getattr(self, inverse)[rows] = np.divide(
                1.0, limits, out=np.zeros_like(limits), where=limits > 0
            )

    def compute_load(self, row: int) -> float:
        """The load of one row, which is written and returned."""
        parts = self.parts
        load = (
            parts.vcpus * (self.vcpus_used.item(row) + self.pcpus_used.item(row))
            + parts.instances * self.instances.item(row)
        ) * self.vcpus_inverse.item(row)
        load += parts.memory * self.memory_mb_used.item(row) * self.memory_inverse.item(row)
        load = load / self._sum_of_parts() + self.extra.item(row)
        self.load[row] = load
        return load

    def compute_all_loads(self) -> None:
        """What is free and the load of every row."""
        parts = self.parts
        np.subtract(self.vcpus_limit, self.vcpus_used, out=self.vcpus_free)
        np.subtract(self.memory_limit, self.memory_mb_used, out=self.memory_free)
        np.subtract(self.disk_limit, self.local_gb_used, out=self.disk_free)
        load = (
            parts.vcpus * (self.vcpus_used + self.pcpus_used) + parts.instances * self.instances
        ) * self.vcpus_inverse
        load += parts.memory * self.memory_mb_used * self.memory_inverse
        self.load[:] = load / self._sum_of_parts() + self.extra

    def compute_heat(self) -> None:
        """What hosts measure and build beyond what is usual, anew, as it was last read."""
        parts = self.parts
        extra = np.zeros(len(self.nodes))
        if parts.building:
            excess = crowding(self.building, parts.full_building, self.aggregates_of)
            self.crowding[:] = steps(self.crowding, excess)
            extra += parts.building * self.crowding
        if parts.measured:
            self.heat[:] = steps(self.heat, self._unexplained())
            extra += parts.measured * self.heat
        self.extra[:] = extra / self._sum_of_parts()

    def _unexplained(self) -> Floats:
        """How much busier hosts measure themselves than their servers explain: CPU or memory."""
        pools = self.aggregates_of
        cpus = (self.vcpus_used + self.pcpus_used) / np.maximum(1, self.vcpus + self.pcpus)
        held = (self.memory_mb_used + self.reserved_memory_mb) / np.maximum(1, self.memory_mb)
        memory = unexplained(self.memory_measured, held, pools)
        # Guests may hold all the memory that they have; CPU time they share.
        memory = np.minimum(memory, np.nan_to_num(self.memory_measured - held))
        excess: Floats = np.maximum(unexplained(self.cpu_measured, cpus, pools), memory)
        return excess

    def _sum_of_parts(self) -> float:
        parts = self.parts
        total = parts.vcpus + parts.memory + parts.instances + parts.building + parts.measured
        return total or 1.0

    def follow_others(self) -> None:
        """Turn a part of what others have placed into action."""
        if self.peer_count > 1:
            count = int(self.instances.sum())
            committed = self.load - self.extra
            unit = float(committed.sum()) / count if count else 0.0
            follow_others(
                self.others_load,
                committed - self.own_load,
                self.aggregates_of,
                self.peer_count,
                unit,
            )
