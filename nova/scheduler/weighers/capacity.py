# SPDX-License-Identifier: Apache-2.0
"""Weighers by how much is free, how many servers a host has, and how busy it is."""

from __future__ import annotations

from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.base import Attempt
from nova.scheduler.table import Floats, HostTable, Integers
from nova.scheduler.weighers.base import Weigher


class RAMWeigher(Weigher):
    """Most free memory (physical, not counting ratios); a negative multiplier stacks."""

    minval = 0.0
    option = "ram_weight_multiplier"

    def weigh(
        self, table: HostTable, rows: Integers, spec: RequestSpec, attempt: Attempt
    ) -> Floats:
        """Free memory, MiB."""
        free = table.memory_mb - table.reserved_memory_mb - table.memory_mb_used
        return free[rows].astype(float)


class CPUWeigher(Weigher):
    """Most free virtual CPUs by the node's ratio; a negative multiplier stacks."""

    minval = 0.0
    option = "cpu_weight_multiplier"

    def weigh(
        self, table: HostTable, rows: Integers, spec: RequestSpec, attempt: Attempt
    ) -> Floats:
        """Virtual CPUs: size times ratio less what is used."""
        free = table.vcpus * table.cpu_ratio - table.vcpus_used
        return free[rows].astype(float)


class DiskWeigher(Weigher):
    """Most free disk (physical, not counting ratios); a negative multiplier stacks."""

    minval = 0.0
    option = "disk_weight_multiplier"

    def weigh(
        self, table: HostTable, rows: Integers, spec: RequestSpec, attempt: Attempt
    ) -> Floats:
        """Free disk, MiB."""
        free = 1024 * (table.local_gb - table.reserved_disk_gb - table.local_gb_used)
        return free[rows].astype(float)


class IoOpsWeigher(Weigher):
    """Fewest builds and moves under way (the multiplier is negative)."""

    minval = 0.0
    option = "io_ops_weight_multiplier"

    def weigh(
        self, table: HostTable, rows: Integers, spec: RequestSpec, attempt: Attempt
    ) -> Floats:
        """Builds and moves."""
        return table.building[rows].astype(float)


class NumInstancesWeigher(Weigher):
    """Number of servers; off by default, negative spreads, positive stacks."""

    option = "num_instances_weight_multiplier"

    def weigh(
        self, table: HostTable, rows: Integers, spec: RequestSpec, attempt: Attempt
    ) -> Floats:
        """Servers."""
        return table.instances[rows].astype(float)


class HypervisorVersionWeigher(Weigher):
    """Newest hypervisor; a negative multiplier prefers the oldest."""

    option = "hypervisor_version_weight_multiplier"

    def weigh(
        self, table: HostTable, rows: Integers, spec: RequestSpec, attempt: Attempt
    ) -> Floats:
        """The version as a number."""
        return table.hypervisor_version[rows].astype(float)


class BuildFailureWeigher(Weigher):
    """Fewest builds that failed since the last that did not."""

    option = "build_failure_weight_multiplier"

    def weigh(
        self, table: HostTable, rows: Integers, spec: RequestSpec, attempt: Attempt
    ) -> Floats:
        """Failed builds, as a negative number: the option is positive."""
        return -table.failed_builds[rows].astype(float)
