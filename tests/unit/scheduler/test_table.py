# SPDX-License-Identifier: Apache-2.0
"""The host table after any series of changes is as one built anew."""

from __future__ import annotations

import datetime
import random
import threading

import msgspec
import numpy as np
import pytest

from nova.objects.host import ComputeNode, NodeUsage
from nova.scheduler.table import HostTable, LoadParts
from tests.unit.scheduler.clouds import (
    NOW,
    make_aggregate,
    make_node,
    make_service,
    make_table,
    random_aggregates,
    random_nodes,
)

COLUMNS = (
    "vcpus_used", "memory_mb_used", "local_gb_used", "instances", "vcpus_limit", "memory_limit",
    "disk_limit", "vcpus_free", "memory_free", "disk_free", "hashes",
)  # fmt: skip


def by_node(table: HostTable) -> dict[int, dict[str, object]]:
    return {
        node.id: {
            **{name: getattr(table, name)[row] for name in COLUMNS},
            # Heat is of all hosts together, and of what they measured before.
            "committed": table.load.item(row) - table.extra.item(row),
            "measured": repr((table.cpu_measured.item(row), table.memory_measured.item(row))),
            "facts": table.facts[table.facts_of[row]],
            "aggregates": {each.id for each in table.aggregates_in_row(row).aggregates},
            "up": bool(table.up[row]),
        }
        for row, node in enumerate(table.nodes)
    }


@pytest.mark.parametrize("seed", range(6))
def test_changes_in_place_equal_a_rebuild(seed: int) -> None:
    chance = random.Random(seed)
    nodes = {node.id: node for node in random_nodes(chance, 10)}
    aggregates = random_aggregates(chance, list(nodes.values()))
    services = [make_service(f"h{number}") for number in range(1, 41)]
    table = HostTable()
    table.rebuild(list(nodes.values()), services, aggregates, NOW, 60)
    for _ in range(200):
        action = chance.randrange(5)
        number = chance.choice(list(nodes))
        node = nodes[number]
        if action == 0:
            [fresh] = random_nodes(chance, 1)
            new = chance.choice([number, chance.randrange(1, 41)])
            named = {"id": new, "uuid": f"node-{new}", "host": f"h{new}",
                     "hypervisor_hostname": f"h{new}"}  # fmt: skip
            nodes[new] = msgspec.structs.replace(fresh, **named)
            table.update_report(nodes[new])
            table.set_service(f"h{new}", True, False)
        elif action == 1 and len(nodes) > 2:
            del nodes[number]
            table.forget(number)
        elif action == 2:
            aggregates = random_aggregates(chance, list(nodes.values()))
            table.set_aggregates(aggregates)
        else:
            sign = 1 if action == 3 else -1
            taken = (chance.randrange(4), chance.randrange(1000), chance.randrange(9))
            change = table.apply_claim if sign == 1 else table.apply_release
            change(number, *taken)
            nodes[number] = msgspec.structs.replace(
                node,
                vcpus_used=node.vcpus_used + sign * taken[0],
                memory_mb_used=node.memory_mb_used + sign * taken[1],
                local_gb_used=node.local_gb_used + sign * taken[2],
                instances_used=node.instances_used + sign,
            )
    fresh_table = HostTable()
    fresh_table.rebuild(list(nodes.values()), services, aggregates, NOW, 60)
    assert by_node(table) == by_node(fresh_table)


def test_services_silent_or_forced_down_are_down() -> None:
    late = NOW - datetime.timedelta(seconds=61)
    services = [
        make_service("h1"),
        make_service("h2", last_seen_up=late),
        make_service("h3", forced_down=True),
        make_service("h4", disabled=True),
        make_service("h5", binary="nova-network"),
    ]
    table = make_table([make_node(number) for number in range(1, 6)], (), services)
    assert table.up.tolist() == [True, False, False, True, False]
    assert table.disabled.tolist() == [False, False, False, True, False]


def test_a_rebuild_keeps_what_only_this_process_knows() -> None:
    nodes = [make_node(1), make_node(2)]
    table = make_table(nodes)
    table.note_building(2, 1)
    table.note_building(2, 1)
    table.note_building(1, -1)
    table.note_failed_build(1, True)
    table.rebuild([*nodes, make_node(3)], [], [], NOW, 60)
    assert table.building.tolist() == [0, 2, 0]
    assert table.failed_builds.tolist() == [1, 0, 0]
    table.note_failed_build(1, False)
    assert table.failed_builds.tolist() == [0, 0, 0]


def test_refresh_takes_claims_from_the_database_and_skips_unknown_nodes() -> None:
    table = make_table([make_node(1), make_node(2)])
    generation = table.generation
    table.refresh([NodeUsage(2, 3, 400, 5, 6), NodeUsage(99, 1, 1, 1, 1)])
    assert table.vcpus_used.tolist() == [0, 3]
    assert table.memory_free.tolist() == [393216, 393216 - 400]
    assert table.instances.tolist() == [0, 6]
    # Claims are not facts: masks that are kept stay good.
    assert table.generation == generation


def test_hosts_of_one_kind_share_their_facts() -> None:
    table = make_table([make_node(number) for number in range(1, 50)])
    assert len(table.facts) == 1
    assert len(table.aggregate_sets) == 1


def test_unknown_nodes_and_hosts_change_nothing() -> None:
    table = make_table([make_node(1)])
    table.apply_claim(9, 1, 1, 1)
    table.note_building(9, 1)
    table.note_failed_build(9, True)
    table.set_service("nowhere", True, True)
    table.forget(9)
    assert table.vcpus_used.tolist() == [0]
    assert table.mask_of_hosts(["nowhere"]).tolist() == [False]


def test_zone_of_a_row() -> None:
    zone = make_aggregate(1, ["h1"], availability_zone="az1")
    table = make_table([make_node(1), make_node(2)], [zone])
    assert [table.zone_of_row(row, "nova") for row in (0, 1)] == ["az1", "nova"]


def plain_load(node: ComputeNode, parts: LoadParts, crowding: float, heat: float) -> float:
    vcpus = node.vcpus * node.cpu_allocation_ratio - node.reserved_vcpus + node.pcpus
    memory = node.memory_mb * node.ram_allocation_ratio - node.reserved_memory_mb
    load = parts.building * crowding + parts.measured * heat
    if (node.vcpus or node.pcpus) and vcpus > 0:
        used = node.vcpus_used + node.pcpus_used
        load += (parts.vcpus * used + parts.instances * node.instances_used) / vcpus
    if memory > 0:
        load += parts.memory * node.memory_mb_used / memory
    total = parts.vcpus + parts.memory + parts.instances + parts.building + parts.measured
    return load / total


def test_load_agrees_with_the_plain_reference() -> None:
    chance = random.Random(3)
    parts = LoadParts(2.0, 1.0, 0.5, 0.7, 0.3)
    nodes = random_nodes(chance, 60)
    table = make_table(nodes)
    table.set_load_parts(parts)
    table.set_building({node.host: chance.randrange(40) for node in nodes})
    assert table.crowding.any()
    assert table.heat.any()
    expected = [
        plain_load(node, parts, table.crowding.item(row), table.heat.item(row))
        for row, node in enumerate(nodes)
    ]
    assert table.load.tolist() == pytest.approx(expected)
    step = table.load_step(2, 512)
    before = table.load.copy()
    for node in nodes:
        table.apply_claim(node.id, 2, 512, 0)
    assert (table.load - before).tolist() == pytest.approx(step.tolist())


def test_changes_from_many_threads_are_not_lost() -> None:
    table = make_table([make_node(number) for number in range(1, 5)])

    def work() -> None:
        for number in range(400):
            table.apply_claim(number % 4 + 1, 1, 2, 3)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert table.vcpus_used.tolist() == [600] * 4
    assert np.allclose(table.memory_free, table.memory_limit - 1200)


def test_peers_are_checked() -> None:
    with pytest.raises(ValueError, match="peer 3"):
        HostTable().set_peers(3, 3)
