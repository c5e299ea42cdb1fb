# SPDX-License-Identifier: Apache-2.0
"""Hosts, requests and tables for the scheduler's tests."""

from __future__ import annotations

import datetime
import random
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from nova.conf.scheduler import SchedulerSection
from nova.objects.flavor import Flavor
from nova.objects.host import Aggregate, ComputeNode, Service
from nova.objects.request_spec import RequestSpec
from nova.scheduler.scheduler import Scheduler
from nova.scheduler.table import HostTable
from tests.unit.topology.hosts import random_room

NOW = datetime.datetime(2026, 1, 1)

_NODE = ComputeNode(
    id=1, uuid="", host="h1", hypervisor_hostname="h1", host_ip="10.0.0.1",
    hypervisor_type="QEMU", hypervisor_version=8002001, cpu_info={"arch": "x86_64"},
    supported_instances=[["x86_64", "qemu", "hvm"]], capabilities={}, metrics={},
    vcpus=64, memory_mb=262144, local_gb=4000, reserved_vcpus=0, reserved_memory_mb=0,
    reserved_disk_gb=0, cpu_allocation_ratio=16.0, ram_allocation_ratio=1.5,
    disk_allocation_ratio=1.0, vcpus_used=0, memory_mb_used=0, local_gb_used=0,
    instances_used=0, disk_available_least=None, running_vms=0, uptime=None,
)  # fmt: skip


def make_node(number: int, **facts: Any) -> ComputeNode:
    """A node ``h<number>`` with sizes and facts as given."""
    named = {"id": number, "uuid": f"node-{number}", "host": f"h{number}",
             "hypervisor_hostname": f"h{number}"}  # fmt: skip
    return msgspec.structs.replace(_NODE, **{**named, **facts})


def make_service(host: str, **facts: Any) -> Service:
    """The live compute service of a host."""
    service = Service(
        1, host, "nova-compute", host, "compute", 1, False, None, False, NOW, NOW, NOW
    )
    return msgspec.structs.replace(service, **facts)


def make_aggregate(number: int, hosts: Iterable[str], **metadata: str) -> Aggregate:
    """An aggregate of hosts."""
    return Aggregate(
        id=number, uuid=f"aggregate-{number}", name=f"aggregate-{number}", metadata=metadata,
        hosts=tuple(hosts), created_at=NOW, updated_at=None,
    )  # fmt: skip


def make_flavor(
    vcpus: int = 1, memory_mb: int = 512, root_gb: int = 1, name: str = "small", **specs: str
) -> Flavor:
    """A flavor; keyword arguments are extra specs."""
    return Flavor(
        1, name, name, None, memory_mb, vcpus, root_gb, 0, 0, 1.0, True, False, dict(specs)
    )


def make_spec(flavor: Flavor | None = None, **facts: Any) -> RequestSpec:
    """A request for one server."""
    named: dict[str, Any] = {
        "instance_uuid": str(uuid.uuid4()), "project_id": "p1", "flavor": flavor or make_flavor()
    }  # fmt: skip
    return RequestSpec(**{**named, **facts})


def make_table(
    nodes: Sequence[ComputeNode],
    aggregates: Sequence[Aggregate] = (),
    services: Sequence[Service] | None = None,
) -> HostTable:
    """A table of nodes whose services are up unless given."""
    table = HostTable()
    if services is None:
        services = [make_service(node.host) for node in nodes]
    table.rebuild(nodes, services, aggregates, NOW, 60.0)
    return table


def make_scheduler(table: HostTable, **options: Any) -> Scheduler:
    """A scheduler with options other than the defaults."""
    return Scheduler(SchedulerSection(**options), table)


def random_nodes(chance: random.Random, count: int) -> list[ComputeNode]:
    """Nodes of differing sizes, use and facts; some small, some full, some odd."""
    nodes = []
    places = random.Random(chance.random())
    for number in range(1, count + 1):
        vcpus = chance.choice([0, 4, 8, 64])
        memory = chance.choice([1024, 8192, 262144])
        disk = chance.choice([0, 20, 100, 4000])
        nodes.append(
            make_node(
                number,
                host_ip=f"10.0.{chance.randrange(3)}.{chance.randrange(1, 255)}",
                hypervisor_type=chance.choice(["QEMU", "xen"]),
                hypervisor_version=chance.choice([0, 2005001, 8002001]),
                cpu_info=chance.choice([
                    {}, {"arch": "x86_64", "features": ["vmx", "avx2"], "topology": {"cores": 8}},
                    {"arch": "aarch64", "maxphysaddr": {"bits": 40}},
                ]),
                supported_instances=chance.choice([
                    [], [["x86_64", "qemu", "hvm"], ["i686", "qemu", "hvm"]],
                    [["aarch64", "kvm", "hvm"]], [["x86_64", "xen", "xen"]],
                ]),
                capabilities=chance.choice([{}, {"ssd": "true"}, {"gpus": 4, "ssd": "false"}]),
                metrics=chance.choice([{}, {"cpu_percent": 30.0}, {"cpu_percent": 80.0, "t": 2.0}]),
                vcpus=vcpus, memory_mb=memory, local_gb=disk,
                reserved_memory_mb=chance.choice([0, 512]),
                reserved_disk_gb=chance.choice([0, 5]),
                cpu_allocation_ratio=chance.choice([1.0, 1.1, 16.0]),
                ram_allocation_ratio=chance.choice([0.9, 1.0, 1.5]),
                disk_allocation_ratio=chance.choice([1.0, 2.0]),
                vcpus_used=chance.randrange(0, 2 * vcpus + 1),
                memory_mb_used=chance.randrange(0, memory + 1, 256),
                local_gb_used=chance.randrange(0, disk + 1),
                instances_used=chance.randrange(0, 60),
                **random_topology(places),
            )
        )  # fmt: skip
    return nodes


def random_topology(chance: random.Random) -> dict[str, Any]:
    """The facts of a node that tells of its NUMA cells and PCI devices, or of one that does not."""
    if chance.random() < 0.2:
        return {}
    room = random_room(chance)
    dedicated = {cpu for cell in room.host.cells for cpu in cell.dedicated}
    apart = all(cell.shared != cell.dedicated for cell in room.host.cells)
    pcpus = len(dedicated) if apart else 0
    return {
        "topology": msgspec.to_builtins(room.host), "topology_used": msgspec.to_builtins(room.usage),
        "pcpus": pcpus, "pcpus_used": len(room.usage.pinned) if pcpus else 0,
    }  # fmt: skip


def random_aggregates(chance: random.Random, nodes: Sequence[ComputeNode]) -> list[Aggregate]:
    """A few aggregates that overlap, with metadata that filters and weighers read."""
    choices: dict[str, list[str]] = {
        "availability_zone": ["az1", "az2"],
        "cpu_allocation_ratio": ["1.0", "2.0", "not a number"],
        "ram_allocation_ratio": ["1.0", "1.2"],
        "disk_allocation_ratio": ["1.5", "3"],
        "max_io_ops_per_host": ["1", "2"],
        "max_instances_per_host": ["10", "30"],
        "filter_tenant_id": ["p1", "p2,p3"],
        "filter_tenant_id_2": ["p4"],
        "instance_type": ["small", "large, small", "huge"],
        "ssd": ["true", "true,false"],
        "os_distro": ["debian", "ubuntu, debian"],
        "ns.os_distro": ["fedora"],
        "ram_weight_multiplier": ["-1.0", "3"],
    }
    return [
        make_aggregate(
            number,
            [node.host for node in nodes if chance.random() < 0.4],
            **{
                key: chance.choice(values)
                for key, values in choices.items()
                if chance.random() < 0.35
            },
        )
        for number in range(1, chance.randrange(2, 6))
    ]
