# SPDX-License-Identifier: Apache-2.0
"""Every built-in filter against a plain reference that looks at one host at a time."""

from __future__ import annotations

import ipaddress
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from nova.conf.scheduler import SchedulerSection
from nova.objects.host import Aggregate, ComputeNode
from nova.objects.request_spec import RequestSpec
from nova.objects.topology import HostTopology, HostUsage
from nova.scheduler.filters.base import Attempt, Surroundings
from nova.scheduler.filters.extra_specs import matches
from nova.scheduler.filters.registry import BUILT_IN
from nova.scheduler.table import HostTable
from nova.topology.fitting import Room
from tests.unit.scheduler.clouds import (
    make_flavor,
    make_service,
    make_spec,
    make_table,
    random_aggregates,
    random_nodes,
)
from tests.unit.topology.hosts import plainly_fits, random_request

SECTION = SchedulerSection(
    max_io_ops_per_host=3,
    max_instances_per_host=25,
    isolated_hosts=("h1", "h2", "h3"),
    isolated_images=("iso",),
    metrics_weight_setting=("cpu_percent=-1.0",),
)
FLAVORS_BY_HOST = {"h1": {"small"}, "h2": {"small", "large"}, "h3": {"large"}, "h4": set()}

Reference = Callable[["Host", RequestSpec], bool]


class Host:
    """One host, told without arrays."""

    def __init__(
        self, node: ComputeNode, aggregates: list[Aggregate], table: HostTable, row: int
    ) -> None:
        self.node = node
        self.aggregates = [each for each in aggregates if node.host in each.hosts]
        self.up = bool(table.up[row])
        self.disabled = bool(table.disabled[row])
        self.building = int(table.building[row])

    def words(self, key: str) -> set[str]:
        return {
            word.strip()
            for each in self.aggregates
            if key in each.metadata
            for word in each.metadata[key].split(",")
        }

    def number(self, key: str, default: float) -> float:
        try:
            values = [float(each.metadata[key]) for each in self.aggregates if key in each.metadata]
        except ValueError:
            return default
        return min(values, default=default)


def ram(host: Host, spec: RequestSpec, ratio: float | None = None) -> bool:
    node = host.node
    limit = node.memory_mb * (ratio or node.ram_allocation_ratio) - node.reserved_memory_mb
    return limit - node.memory_mb_used >= spec.flavor.memory_mb


def core(host: Host, spec: RequestSpec, ratio: float | None = None) -> bool:
    node = host.node
    shared, dedicated = spec.flavor.vcpus, 0
    if spec.topology is not None and spec.topology.dedicated:
        shared, dedicated = spec.topology.shared, spec.topology.dedicated
    if dedicated and node.pcpus and node.pcpus - node.pcpus_used < dedicated:
        return False
    if not node.pcpus:
        shared += dedicated
    if node.vcpus == 0 and node.pcpus == 0:
        return True
    return node.vcpus * (ratio or node.cpu_allocation_ratio) - node.vcpus_used >= shared


def disk(host: Host, spec: RequestSpec, ratio: float | None = None) -> bool:
    node = host.node
    limit = node.local_gb * (ratio or node.disk_allocation_ratio) - node.reserved_disk_gb
    return limit - node.local_gb_used >= spec.disk_gb


def zone(host: Host, spec: RequestSpec) -> bool:
    if not spec.availability_zone:
        return True
    zones = host.words("availability_zone")
    return spec.availability_zone in zones if zones else spec.availability_zone == "nova"


def extra_specs(host: Host, spec: RequestSpec) -> bool:
    for key, wanted in spec.flavor.extra_specs.items():
        scope = key.split(":", 1)
        if len(scope) == 2:
            if scope[0] != "aggregate_instance_extra_specs":
                continue
            key = scope[1]
        if not any(matches(value, wanted) for value in host.words(key)):
            return False
    return True


def capabilities(host: Host, spec: RequestSpec) -> bool:
    node = host.node
    known: dict[str, Any] = {
        **node.capabilities,
        "hypervisor_type": node.hypervisor_type,
        "hypervisor_version": node.hypervisor_version,
        "cpu_info": node.cpu_info,
        "free_ram_mb": node.memory_mb - node.reserved_memory_mb - node.memory_mb_used,
    }
    for key, wanted in spec.flavor.extra_specs.items():
        path = key.split(":")
        if len(path) == 1 and path[0] not in known:
            continue
        if len(path) > 1:
            if path[0] != "capabilities":
                continue
            path = path[1:]
        value: Any = known
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        if value is None or not matches(str(value), wanted):
            return False
    return True


def image(host: Host, spec: RequestSpec) -> bool:
    properties = spec.image.get("properties", {})
    wanted = [properties.get(name) for name in ("hw_architecture", "img_hv_type", "hw_vm_mode")]
    wanted = [{"amd64": "x86_64"}.get(each, each) for each in wanted if each]
    if not wanted:
        return True
    if not any(all(w in kind for w in wanted) for kind in host.node.supported_instances):
        return False
    if properties.get("img_hv_requested_version") and host.node.hypervisor_version:
        return host.node.hypervisor_version >= 6_000_000
    return True


def image_isolation(host: Host, spec: RequestSpec) -> bool:
    for key, value in spec.image.get("properties", {}).items():
        words = host.words(key)
        if words and value and str(value) not in words:
            return False
    return True


def tenancy(host: Host, spec: RequestSpec) -> bool:
    projects = host.words("filter_tenant_id") | host.words("filter_tenant_id_2")
    return not projects or spec.project_id in projects


def query(host: Host, spec: RequestSpec) -> bool:
    if "query" not in spec.hints:
        return True
    node = host.node
    free = node.memory_mb - node.reserved_memory_mb - node.memory_mb_used
    return free >= 4096 or (node.hypervisor_type == "xen" and not node.vcpus + node.pcpus > 8)


def cidr(host: Host, spec: RequestSpec) -> bool:
    if "build_near_host_ip" not in spec.hints:
        return True
    bits = spec.hints.get("cidr", ["/24"])[0]
    network = ipaddress.ip_network(spec.hints["build_near_host_ip"][0] + bits, strict=False)
    return ipaddress.ip_address(host.node.host_ip) in network


def anti_affinity(host: Host, spec: RequestSpec) -> bool:
    if spec.group_policy != "anti-affinity":
        return True
    most = spec.group_rules.get("max_server_per_host", 1)
    return spec.group_hosts.count(host.node.host) < most


def numa(host: Host, spec: RequestSpec) -> bool:
    request, node = spec.topology, host.node
    if request is None or not request.cells:
        return True
    return node.topology is not None and plainly_fits(_room(node), request)


def pci(host: Host, spec: RequestSpec) -> bool:
    request, node = spec.topology, host.node
    if request is None or not request.devices:
        return True
    alone = msgspec.structs.replace(request, cells=())
    return node.topology is not None and plainly_fits(_room(node), alone)


def _room(node: ComputeNode) -> Room:
    return Room(
        host=msgspec.convert(node.topology, HostTopology),
        usage=msgspec.convert(node.topology_used, HostUsage), cpu_ratio=node.cpu_allocation_ratio,
        ram_ratio=node.ram_allocation_ratio,
    )


REFERENCES: dict[str, Reference] = {
    "NUMATopologyFilter": numa,
    "PciPassthroughFilter": pci,
    "AllHostsFilter": lambda host, spec: True,
    "RamFilter": ram,
    "CoreFilter": core,
    "DiskFilter": disk,
    "AggregateRamFilter": lambda host, spec: ram(
        host, spec, host.number("ram_allocation_ratio", host.node.ram_allocation_ratio)
    ),
    "AggregateCoreFilter": lambda host, spec: core(
        host, spec, host.number("cpu_allocation_ratio", host.node.cpu_allocation_ratio)
    ),
    "AggregateDiskFilter": lambda host, spec: disk(
        host, spec, host.number("disk_allocation_ratio", host.node.disk_allocation_ratio)
    ),
    "ExactRamFilter": lambda host, spec: (
        host.node.memory_mb - host.node.reserved_memory_mb - host.node.memory_mb_used
        == spec.flavor.memory_mb
    ),
    "ExactCoreFilter": lambda host, spec: (
        host.node.vcpus > 0 and host.node.vcpus - host.node.vcpus_used == spec.flavor.vcpus
    ),
    "ExactDiskFilter": lambda host, spec: (
        host.node.local_gb - host.node.reserved_disk_gb - host.node.local_gb_used == spec.disk_gb
    ),
    "AvailabilityZoneFilter": zone,
    "ComputeFilter": lambda host, spec: host.up and not host.disabled,
    "RetryFilter": lambda host, spec: host.node.host not in spec.ignore_hosts,
    "ComputeCapabilitiesFilter": capabilities,
    "ImagePropertiesFilter": image,
    "AggregateImagePropertiesIsolation": image_isolation,
    "AggregateInstanceExtraSpecsFilter": extra_specs,
    "AggregateMultiTenancyIsolation": tenancy,
    "AggregateTypeAffinityFilter": lambda host, spec: (
        not host.words("instance_type") or spec.flavor.name in host.words("instance_type")
    ),
    "IoOpsFilter": lambda host, spec: host.building < 3,
    "AggregateIoOpsFilter": lambda host, spec: (
        host.building < host.number("max_io_ops_per_host", 3)
    ),
    "NumInstancesFilter": lambda host, spec: host.node.instances_used < 25,
    "AggregateNumInstancesFilter": lambda host, spec: (
        host.node.instances_used < host.number("max_instances_per_host", 25)
    ),
    "IsolatedHostsFilter": lambda host, spec: (
        (host.node.host in SECTION.isolated_hosts) == (spec.image.get("id") == "iso")
    ),
    "JsonFilter": query,
    "MetricsFilter": lambda host, spec: "cpu_percent" in host.node.metrics,
    "SameHostFilter": lambda host, spec: (
        "same_host" not in spec.hints or host.node.host in spec.same_host
    ),
    "DifferentHostFilter": lambda host, spec: host.node.host not in spec.different_host,
    "SimpleCIDRAffinityFilter": cidr,
    "ServerGroupAffinityFilter": lambda host, spec: (
        spec.group_policy != "affinity"
        or not spec.group_hosts
        or host.node.host in spec.group_hosts
    ),
    "ServerGroupAntiAffinityFilter": anti_affinity,
    "TypeAffinityFilter": lambda host, spec: (
        FLAVORS_BY_HOST.get(host.node.host, set()) <= {spec.flavor.name}
    ),
}


def random_spec(chance: random.Random) -> RequestSpec:
    some = [f"h{number}" for number in range(1, 13)]
    specs = [
        {}, {"ssd": "true"}, {"capabilities:ssd": "<or> true <or> maybe"},
        {"capabilities:gpus": ">= 2"}, {"capabilities:cpu_info:topology:cores": "s== 8"},
        {"capabilities:cpu_info:features": "<all-in> vmx avx2"}, {"hypervisor_type": "xen"},
        {"capabilities:free_ram_mb": ">= 4000"}, {"capabilities:hypervisor_version": ">= 3000000"},
        {"aggregate_instance_extra_specs:ssd": "true"}, {"quota:cpu_shares": "10"},
        {"unheard_of": "1"}, {"capabilities:unheard_of": "1"},
    ]  # fmt: skip
    properties = [
        {}, {"hw_architecture": "amd64"}, {"hw_architecture": "aarch64", "hw_vm_mode": "hvm"},
        {"img_hv_type": "qemu", "img_hv_requested_version": ">=6.0"}, {"os_distro": "debian"},
        {"os_distro": "suse"},
    ]  # fmt: skip
    hints: dict[str, list[str]] = {}
    same: tuple[str, ...] = ()
    if chance.random() < 0.3:
        hints["same_host"] = ["u1"]
        same = tuple(chance.sample(some, chance.randrange(3)))
    if chance.random() < 0.3:
        hints["build_near_host_ip"] = ["10.0.1.7"]
        if chance.random() < 0.5:
            hints["cidr"] = ["/16"]
    if chance.random() < 0.3:
        text = [
            "or",
            [">=", "$free_ram_mb", 4096],
            ["and", ["=", "$hypervisor_type", "xen"], ["<=", "$vcpus_total", 8]],
        ]
        hints["query"] = [json.dumps(text)]
    flavor = make_flavor(
        chance.choice([1, 4, 40]), chance.choice([256, 2048, 65536]), chance.choice([0, 1, 20]),
        chance.choice(["small", "large"]),
    )  # fmt: skip
    flavor.extra_specs.update(chance.choice(specs))
    return make_spec(
        flavor,
        project_id=chance.choice(["p1", "p2", "p4", "p9"]),
        availability_zone=chance.choice([None, "az1", "az2", "nova"]),
        image={"id": chance.choice(["iso", "other"]), "properties": chance.choice(properties)},
        hints=hints,
        same_host=same,
        different_host=tuple(chance.sample(some, chance.randrange(3))),
        ignore_hosts=tuple(chance.sample(some, chance.randrange(3))),
        group_policy=chance.choice([None, "affinity", "anti-affinity"]),
        group_rules=chance.choice([{}, {"max_server_per_host": 2}]),
        group_hosts=tuple(chance.choices(some, k=chance.randrange(4))),
        topology=random_request(chance) if chance.random() < 0.5 else None,
    )


def test_every_filter_has_a_reference() -> None:
    assert REFERENCES.keys() == BUILT_IN.keys()


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_mask_agrees_with_the_plain_reference(name: str) -> None:
    chance = random.Random(name)
    tried: Counter[bool] = Counter()
    for _ in range(12):
        nodes = random_nodes(chance, 24)
        aggregates = random_aggregates(chance, nodes)
        services = [
            make_service(
                node.host, disabled=chance.random() < 0.2, forced_down=chance.random() < 0.2
            )
            for node in nodes[:-1]
        ]
        table = make_table(nodes, aggregates, services)
        for node in nodes:
            for _ in range(chance.randrange(5)):
                table.note_building(node.id, 1)
        surroundings = Surroundings(SECTION, "nova", flavors_by_host=lambda: FLAVORS_BY_HOST)
        tested = BUILT_IN[name](surroundings)
        hosts = [Host(node, aggregates, table, row) for row, node in enumerate(nodes)]
        for _ in range(25):
            spec = random_spec(chance)
            expected = [REFERENCES[name](host, spec) for host in hosts]
            attempt = Attempt(Counter(spec.group_hosts))
            if tested.applies(spec):
                assert tested.mask(table, spec, attempt).tolist() == expected, spec
            else:
                assert all(expected), spec
            tried.update(expected)
    # The reference must have had something to say, or parity says nothing.
    assert tried[True]
    assert tried[False] or name == "AllHostsFilter"
