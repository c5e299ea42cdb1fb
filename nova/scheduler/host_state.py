# SPDX-License-Identifier: Apache-2.0
"""One host as per-host plug-ins and query languages see it: the names are the original's."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from nova.objects.host import ComputeNode
from nova.scheduler.table import AggregateSet, HostTable

#: Attributes of a host that a query or an extra spec may name.
HOST_STATE_NAMES = frozenset(
    {
        "host", "nodename", "uuid", "host_ip", "hypervisor_type", "hypervisor_version",
        "hypervisor_hostname", "cpu_info", "supported_instances",
        "total_usable_ram_mb", "total_usable_disk_gb", "disk_mb_used",
        "free_ram_mb", "free_disk_mb", "vcpus_total", "vcpus_used",
        "num_instances", "num_io_ops", "failed_builds",
        "cpu_allocation_ratio", "ram_allocation_ratio", "disk_allocation_ratio",
        "metrics", "stats", "updated",
    }
)  # fmt: skip


def state_value(table: HostTable, row: int, name: str) -> Any:
    """The value of one of ``HOST_STATE_NAMES`` in a row; ``None`` for another name.

    Free memory and disk are physical: what is not claimed nor reserved, without any ratio.
    """
    if name not in HOST_STATE_NAMES:
        return None
    return getattr(HostState(table, row), name)


class HostState:
    """What ``host_passes`` and ``_weigh_object`` get. Memory is MiB; disk GiB or MiB as its name
    says.
    """

    def __init__(
        self, table: HostTable, row: int, instances: Collection[Any] = (), default_zone: str = ""
    ) -> None:
        node: ComputeNode = table.nodes[row]
        self.node_id = node.id
        self.host = node.host
        self.nodename = node.hypervisor_hostname
        self.uuid = node.uuid
        self.host_ip = node.host_ip
        self.hypervisor_type = node.hypervisor_type
        self.hypervisor_version = node.hypervisor_version
        self.hypervisor_hostname = node.hypervisor_hostname
        self.cpu_info = node.cpu_info
        self.supported_instances = node.supported_instances
        self.updated = node.updated_at
        self.metrics = node.metrics
        self.stats = node.capabilities
        self.total_usable_ram_mb = node.memory_mb
        self.total_usable_disk_gb = node.local_gb
        self.vcpus_total = node.vcpus + node.pcpus
        self.vcpus_used = (
            int(table.vcpus_used[row]) + int(table.pcpus_used[row]) + node.reserved_vcpus
        )
        self.free_ram_mb = node.memory_mb - node.reserved_memory_mb - int(table.memory_mb_used[row])
        self.disk_mb_used = 1024 * (int(table.local_gb_used[row]) + node.reserved_disk_gb)
        self.free_disk_mb = 1024 * node.local_gb - self.disk_mb_used
        self.num_instances = int(table.instances[row])
        self.num_io_ops = int(table.building[row])
        self.failed_builds = int(table.failed_builds[row])
        self.cpu_allocation_ratio = node.cpu_allocation_ratio
        self.ram_allocation_ratio = node.ram_allocation_ratio
        self.disk_allocation_ratio = node.disk_allocation_ratio
        aggregates: AggregateSet = table.aggregates_in_row(row)
        self.aggregates = aggregates.aggregates
        self.service = {"host": node.host, "disabled": bool(table.disabled[row])}
        self.availability_zone = table.zone_of_row(row, default_zone)
        self.limits: dict[str, Any] = {}
        self.instances = {each.uuid: each for each in instances}

    def __repr__(self) -> str:
        return (
            f"({self.host}, {self.nodename}) ram: {self.free_ram_mb}MB "
            f"disk: {self.free_disk_mb}MB io_ops: {self.num_io_ops} "
            f"instances: {self.num_instances}"
        )
