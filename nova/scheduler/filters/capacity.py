# SPDX-License-Identifier: Apache-2.0
"""Filters by what is left of a host: memory, virtual CPUs, disk."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.aggregate_values import number_by_aggregates
from nova.scheduler.filters.base import Attempt, Filter
from nova.scheduler.table import Floats, HostTable, Mask


class _Room(Filter):
    """There must be as much room as is asked for; the limit is size times ratio less what is
    reserved.
    """

    unit: ClassVar[str]

    def wanted(self, spec: RequestSpec) -> int:
        """How much the server needs."""
        raise NotImplementedError

    def free(self, table: HostTable) -> Floats:
        """How much is left in each row."""
        raise NotImplementedError

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows with enough left."""
        mask: Mask = self.free(table) >= self.wanted(spec)
        return mask

    def reason(self, table: HostTable, spec: RequestSpec, left: Mask) -> str:
        """What was asked for and the most that is free."""
        most = float(self.free(table)[left].max())
        return f"wanted {self.wanted(spec)} {self.unit}, the most free is {max(0, int(most))}"


class RamFilter(_Room):
    """Enough memory, by the node's own ratio."""

    unit = "MiB of memory"

    def wanted(self, spec: RequestSpec) -> int:
        """Memory, MiB."""
        return spec.flavor.memory_mb

    def free(self, table: HostTable) -> Floats:
        """Memory, MiB."""
        return table.memory_free


class CoreFilter(_Room):
    """Enough virtual CPUs, by the node's own ratio; a node that cannot count its CPUs passes.

    On a node that keeps CPUs for pinned guests apart, vCPUs that are to be pinned need those.
    """

    unit = "virtual CPUs"

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows with enough of both kinds left."""
        request = spec.topology
        if request is None or not request.dedicated:
            return super().mask(table, spec, attempt)
        free = self.free(table)
        apart = (free >= request.shared) & (table.pcpus - table.pcpus_used >= request.dedicated)
        together = free >= request.shared + request.dedicated
        mask: Mask = np.where(table.pcpus > 0, apart, together)
        return mask

    def wanted(self, spec: RequestSpec) -> int:
        """Virtual CPUs."""
        return spec.flavor.vcpus

    def free(self, table: HostTable) -> Floats:
        """Virtual CPUs."""
        return table.vcpus_free


class DiskFilter(_Room):
    """Enough local disk, by the node's own ratio."""

    unit = "GiB of disk"

    def wanted(self, spec: RequestSpec) -> int:
        """Disk, GiB."""
        return spec.disk_gb

    def free(self, table: HostTable) -> Floats:
        """Disk, GiB."""
        return table.disk_free


class AggregateRamFilter(RamFilter):
    """Enough memory, by the lowest ``ram_allocation_ratio`` of the aggregates, or its own."""

    def free(self, table: HostTable) -> Floats:
        """Memory, MiB."""
        ratio = number_by_aggregates(table, "ram_allocation_ratio", table.ram_ratio)
        free: Floats = table.memory_mb * ratio - table.reserved_memory_mb - table.memory_mb_used
        return free


class AggregateCoreFilter(CoreFilter):
    """Enough virtual CPUs, by the lowest ``cpu_allocation_ratio`` of the aggregates, or its own."""

    def free(self, table: HostTable) -> Floats:
        """Virtual CPUs."""
        ratio = number_by_aggregates(table, "cpu_allocation_ratio", table.cpu_ratio)
        free = table.vcpus * ratio - table.reserved_vcpus - table.vcpus_used
        return np.where((table.vcpus == 0) & (table.pcpus == 0), np.inf, free)


class AggregateDiskFilter(DiskFilter):
    """Enough disk, by the lowest ``disk_allocation_ratio`` of the host's aggregates, or its own."""

    def free(self, table: HostTable) -> Floats:
        """Disk, GiB."""
        ratio = number_by_aggregates(table, "disk_allocation_ratio", table.disk_ratio)
        free: Floats = table.local_gb * ratio - table.reserved_disk_gb - table.local_gb_used
        return free


class ExactRamFilter(Filter):
    """Exactly as much physical memory left as is asked for."""

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows that the server fills."""
        left = table.memory_mb - table.reserved_memory_mb - table.memory_mb_used
        mask: Mask = left == spec.flavor.memory_mb
        return mask


class ExactCoreFilter(Filter):
    """Exactly as many physical CPUs left as are asked for."""

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows that the server fills; a node that cannot count its CPUs fails."""
        left = table.vcpus - table.reserved_vcpus - table.vcpus_used
        mask: Mask = (left == spec.flavor.vcpus) & (table.vcpus > 0)
        return mask


class ExactDiskFilter(Filter):
    """Exactly as much physical disk left as is asked for."""

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows that the server fills."""
        left = table.local_gb - table.reserved_disk_gb - table.local_gb_used
        mask: Mask = left == spec.disk_gb
        return mask
