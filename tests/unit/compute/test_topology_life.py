# SPDX-License-Identifier: Apache-2.0
"""Pinned servers, huge pages and PCI devices through a server's life: nothing is given twice or kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nova.errors import BadRequest
from nova.objects.instance import Instance
from nova.objects.states import ACTIVE, ERROR, RESIZED, SHELVED_OFFLOADED
from tests.unit.compute.small_cloud import USER, SmallCloud

Make = Callable[..., SmallCloud]

ALIAS = (
    '{"name": "accelerator", "vendor_id": "8086", "product_id": "0443", "numa_policy": "required"}'
)
HOSTS: dict[str, Any] = {
    "fake__hosts": 2, "fake__numa_cells": 2, "fake__vcpus": 16, "fake__memory_mb": 16384,
    "fake__huge_pages": ["2048:1024"], "fake__pci_devices": ["8086:0443:2"],
    "pci__alias": [ALIAS], "quota__cores": -1, "quota__instances": -1,
}
PINNED = {"hw:cpu_policy": "dedicated"}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[SmallCloud] = []

    def one(**options: Any) -> SmallCloud:
        made.append(SmallCloud(tmp_path, **{**HOSTS, **options}))
        return made[-1]

    yield one
    for cloud in made:
        cloud.stop()


def flavor(
    cloud: SmallCloud, name: str, vcpus: int = 4, memory_mb: int = 1024, **specs: str
) -> str:
    with cloud.db.write() as tx:
        made = tx.flavors.create(
            name, memory_mb=memory_mb, vcpus=vcpus, root_gb=1, flavorid=name,
            extra_specs={key.replace("__", ":"): value for key, value in specs.items()},
        )
    return made.flavorid


def pinned(cloud: SmallCloud, name: str = "pinned", vcpus: int = 4, **specs: str) -> str:
    return flavor(cloud, name, vcpus, **{**PINNED, **specs})


def cpus(instance: Instance) -> set[int]:
    assert instance.topology is not None
    return {cpu for cell in instance.topology.cells for _vcpu, cpu in cell.pinning}


def test_pinned_servers_share_no_cpu_until_the_hosts_are_full(make: Make) -> None:
    cloud = make()
    kind = pinned(cloud)
    servers = [cloud.boot(flavor=kind) for _ in range(9)]
    assert [each.vm_state for each in servers] == [ACTIVE] * 8 + [ERROR]
    given = [(each.host, cpu) for each in servers[:8] for cpu in sorted(cpus(each))]
    assert len(given) == len(set(given)) == 32
    fault = servers[8].fault
    assert fault is not None
    assert "NUMATopologyFilter removed the last 2 (wanted 1 NUMA node, 4 dedicated CPUs" in fault.message
    assert cloud.leaks() == []
    cloud.operations.delete(USER, servers[3])
    cloud.settle()
    again = cloud.boot(flavor=kind)
    assert cpus(again) == cpus(servers[3])
    assert cloud.leaks() == []


def test_many_pinned_servers_are_placed_in_one_pass(make: Make) -> None:
    cloud = make()
    cloud.ask(flavor=pinned(cloud, vcpus=2), count=10)
    cloud.settle()
    with cloud.db.read() as tx:
        servers = [each for host in ("fake-1", "fake-2") for each in tx.instances.on_host(host)]
    assert len(servers) == 10
    assert cloud.leaks() == []


def test_a_resize_holds_both_sides_and_a_revert_gives_the_old_cpus_back(make: Make) -> None:
    cloud = make()
    small, large = pinned(cloud, vcpus=4), pinned(cloud, "large", 8)
    server = cloud.boot(flavor=small)
    before = cpus(server)
    cloud.operations.resize(USER, server, large)
    cloud.settle()
    server = cloud.show(server.uuid)
    assert server.vm_state == RESIZED
    assert len(cpus(server)) == 8
    assert cloud.leaks() == []
    cloud.operations.revert_resize(USER, server)
    cloud.settle()
    server = cloud.show(server.uuid)
    assert (server.vm_state, cpus(server)) == (ACTIVE, before)
    assert cloud.leaks() == []
    cloud.operations.resize(USER, server, large)
    cloud.settle()
    cloud.operations.confirm_resize(USER, cloud.show(server.uuid))
    cloud.settle()
    assert len(cpus(cloud.show(server.uuid))) == 8
    assert cloud.leaks() == []


def test_a_pinned_server_becomes_an_ordinary_one_and_back(make: Make) -> None:
    cloud = make()
    server = cloud.boot(flavor=pinned(cloud))
    cloud.operations.resize(USER, server, "2")
    cloud.settle()
    cloud.operations.confirm_resize(USER, cloud.show(server.uuid))
    cloud.settle()
    assert cloud.show(server.uuid).topology is None
    assert cloud.leaks() == []
    cloud.operations.resize(USER, cloud.show(server.uuid), "pinned")
    cloud.settle()
    assert len(cpus(cloud.show(server.uuid))) == 4
    cloud.operations.revert_resize(USER, cloud.show(server.uuid))
    cloud.settle()
    assert cloud.show(server.uuid).topology is None
    assert cloud.leaks() == []


def test_a_failed_resize_leaves_the_server_on_its_cpus(make: Make) -> None:
    cloud = make()
    server = cloud.boot(flavor=pinned(cloud))
    before = server.topology
    cloud.faults.set("migrate_in", times=1)
    cloud.operations.resize(USER, server, pinned(cloud, "large", 8))
    cloud.settle()
    server = cloud.show(server.uuid)
    assert (server.vm_state, server.topology) == (ACTIVE, before)
    assert cloud.leaks() == []


def test_a_failed_boot_takes_other_cpus_on_another_host(make: Make) -> None:
    cloud = make()
    cloud.faults.set("spawn", times=1)
    server = cloud.boot(flavor=pinned(cloud))
    assert server.vm_state == ACTIVE
    assert cloud.leaks() == []


def test_live_migration_moves_the_pins_along(make: Make) -> None:
    cloud = make()
    kind = pinned(cloud)
    server = cloud.boot(flavor=kind)
    others = [cloud.boot(flavor=kind) for _ in range(3)]
    cloud.operations.live_migrate(USER, server, host=None)
    cloud.settle()
    moved = cloud.show(server.uuid)
    assert moved.host != server.host
    taken = {cpu for each in others if each.host == moved.host for cpu in cpus(each)}
    assert not cpus(moved) & taken
    assert cloud.leaks() == []


def test_an_evacuated_server_gets_a_place_on_its_new_host(make: Make) -> None:
    cloud = make()
    server = cloud.boot(flavor=pinned(cloud, hw__numa_nodes="2"))
    assert server.host is not None
    cloud.kill_host(server.host)
    cloud.operations.evacuate(USER, server, host=None)
    cloud.settle()
    moved = cloud.show(server.uuid)
    assert moved.host not in (None, server.host)
    assert moved.topology is not None
    assert sorted(cell.host_cell for cell in moved.topology.cells) == [0, 1]
    cloud.revive_host(server.host)
    assert cloud.leaks() == []


def test_a_shelved_server_gives_its_cpus_back_and_gets_others(make: Make) -> None:
    cloud = make(DEFAULT__shelved_offload_time=0)
    server = cloud.boot(flavor=pinned(cloud))
    cloud.operations.shelve(USER, server)
    cloud.settle()
    shelved = cloud.show(server.uuid)
    assert (shelved.vm_state, shelved.topology) == (SHELVED_OFFLOADED, None)
    assert cloud.leaks() == []
    cloud.operations.unshelve(USER, shelved)
    cloud.settle()
    assert len(cpus(cloud.show(server.uuid))) == 4
    assert cloud.leaks() == []


def test_huge_pages_are_counted_by_cell(make: Make) -> None:
    cloud = make(fake__hosts=1)
    kind = flavor(cloud, "huge", 1, 1024, hw__mem_page_size="2MB")
    servers = [cloud.boot(flavor=kind) for _ in range(5)]
    assert [each.vm_state for each in servers] == [ACTIVE] * 4 + [ERROR]
    assert [
        each.topology.cells[0].page_kb for each in servers[:4] if each.topology is not None
    ] == [2048] * 4
    assert cloud.leaks() == []


def test_pci_devices_are_given_once_and_near_their_guest(make: Make) -> None:
    cloud = make()
    kind = pinned(cloud, vcpus=1, pci_passthrough__alias="accelerator:1")
    servers = [cloud.boot(flavor=kind) for _ in range(5)]
    assert [each.vm_state for each in servers] == [ACTIVE] * 4 + [ERROR]
    given = set()
    for each in servers[:4]:
        assert each.topology is not None
        (device,) = each.topology.devices
        given.add((each.host, device.address))
        # The first device of a simulated host is in cell 0, the second in cell 1.
        assert device.address == f"0000:80:{each.topology.cells[0].host_cell:02x}.0"
    assert len(given) == 4
    assert servers[4].fault is not None
    assert "1 of accelerator" in servers[4].fault.message or "NUMATopologyFilter" in servers[4].fault.message
    with pytest.raises(BadRequest, match="does not support PCI migration"):
        cloud.operations.live_migrate(USER, servers[0], host=None)
    assert cloud.leaks() == []


def test_cpus_kept_apart_are_counted_apart(make: Make) -> None:
    cloud = make(fake__hosts=1, fake__dedicated_cpus="4-15")
    kind = pinned(cloud, vcpus=6, hw__emulator_threads_policy="isolate")
    server = cloud.boot(flavor=kind)
    assert cpus(server) <= set(range(4, 16))
    assert server.topology is not None
    assert len(server.topology.emulator) == 1
    with cloud.db.read() as tx:
        (node,) = tx.nodes.list()
    assert (node.vcpus, node.pcpus, node.vcpus_used, node.pcpus_used) == (4, 12, 0, 7)
    ordinary = cloud.boot(flavor="2")
    assert ordinary.vm_state == ACTIVE
    assert cloud.boot(flavor=kind).vm_state == ERROR
    assert cloud.leaks() == []


def test_a_host_that_was_named_by_force_still_gives_no_cpu_twice(make: Make) -> None:
    cloud = make()
    kind = pinned(cloud, vcpus=8)
    servers = [cloud.boot(flavor=kind, force_host="fake-1") for _ in range(3)]
    assert [each.vm_state for each in servers] == [ACTIVE, ACTIVE, ERROR]
    assert servers[2].fault is not None
    assert "cannot fit the given host NUMA topology" in servers[2].fault.message
    assert cloud.leaks() == []


def test_nonsense_is_refused_before_anything_is_written(make: Make) -> None:
    cloud = make()
    kind = flavor(cloud, "odd", 3, 1024, hw__numa_nodes="2")
    with pytest.raises(BadRequest, match="cannot be evenly distributed"):
        cloud.boot(flavor=kind)
    server = cloud.boot()
    with pytest.raises(BadRequest, match="cannot be evenly distributed"):
        cloud.operations.resize(USER, server, kind)
    unknown = flavor(cloud, "unknown", 1, 64, pci_passthrough__alias="nothing:1")
    with pytest.raises(BadRequest, match="PCI alias nothing is not defined"):
        cloud.boot(flavor=unknown)
    assert cloud.leaks() == []
