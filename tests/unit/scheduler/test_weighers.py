# SPDX-License-Identifier: Apache-2.0
"""Every weigher against a plain reference; scaling and multipliers; plug-ins."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest

from nova.conf.scheduler import SchedulerSection
from nova.objects.host import ComputeNode
from nova.objects.request_spec import RequestSpec, Selection
from nova.scheduler.filters import BaseHostFilter, all_filters
from nova.scheduler.filters.base import Attempt, Surroundings
from nova.scheduler.filters.image import version_meets
from nova.scheduler.scheduler import Scheduler
from nova.scheduler.weighers.base import scale
from nova.scheduler.weighers.registry import BUILT_IN
from nova.scheduler.weights import BaseHostWeigher, all_weighers
from tests.unit.scheduler.clouds import (
    make_aggregate,
    make_flavor,
    make_node,
    make_scheduler,
    make_spec,
    make_table,
    random_aggregates,
    random_nodes,
)

SECTION = SchedulerSection(
    metrics_weight_setting=("cpu_percent=-1.0", "t=2.5"), num_instances_weight_multiplier=-1.0,
    image_props_weight_multiplier=2.0, image_props_weight_setting=("os_distro=1.0", "os_type=-0.5"),
)
IMAGE = {"os_distro": "debian", "os_type": "linux", "hw_disk_bus": "scsi", "min_disk": 1}
#: How many servers on every third host come from images like these.
PROPERTIES = {
    ("os_distro", "debian"): 3, ("os_distro", "suse"): 9, ("os_type", "linux"): 4,
    ("hw_disk_bus", "scsi"): 7,
}


def properties_of(host: str) -> dict[tuple[str, str], int]:
    number = int(host[1:])
    return {pair: count * number for pair, count in PROPERTIES.items()} if number % 3 else {}


def free_devices(node: ComputeNode) -> int:
    if node.topology is None or node.topology_used is None:
        return 0
    used = node.topology_used.get("devices", ())
    return sum(device["address"] not in used for device in node.topology.get("devices", ()))


def plain_weight(name: str, node: ComputeNode, busy: tuple[int, int], spec: RequestSpec) -> float:
    """The raw weight of one host; ``busy`` is (builds under way, failed builds)."""
    members = spec.group_hosts.count(node.host)
    metrics = node.metrics
    answers: dict[str, float] = {
        "RAMWeigher": node.memory_mb - node.reserved_memory_mb - node.memory_mb_used,
        "CPUWeigher": node.vcpus * node.cpu_allocation_ratio - node.vcpus_used,
        "DiskWeigher": 1024 * (node.local_gb - node.reserved_disk_gb - node.local_gb_used),
        "IoOpsWeigher": busy[0],
        "NumInstancesWeigher": node.instances_used,
        "HypervisorVersionWeigher": node.hypervisor_version,
        "BuildFailureWeigher": -busy[1],
        "MetricsWeigher": (
            -1.0 * metrics["cpu_percent"] + 2.5 * metrics["t"] if len(metrics) == 2 else -10000.0
        ),
        "PCIWeigher": 100 - min(99, free_devices(node)),
        "ImagePropertiesWeigher": (
            1.0 * properties_of(node.host).get(("os_distro", "debian"), 0)
            - 0.5 * properties_of(node.host).get(("os_type", "linux"), 0)
        ),
        "ServerGroupSoftAffinityWeigher": members,
        "ServerGroupSoftAntiAffinityWeigher": -members,
    }
    return answers[name]


def plain_scale(weights: list[float], lowest: float | None) -> list[float]:
    if lowest is not None:
        weights = [max(lowest, weight) for weight in weights]
    low = min(weights) if lowest is None else lowest
    high = max(weights)
    return [0.0 if high == low else (weight - low) / (high - low) for weight in weights]


@pytest.mark.parametrize("name", sorted(set(BUILT_IN) - {"LoadAndHashWeigher"}))
def test_scores_agree_with_the_plain_reference(name: str) -> None:
    chance = random.Random(name)
    seen = set()
    for _ in range(20):
        nodes = random_nodes(chance, 15)
        aggregates = random_aggregates(chance, nodes)
        table = make_table(nodes, aggregates)
        busy = [(chance.randrange(4), chance.randrange(4)) for _ in nodes]
        for node, (builds, failed) in zip(nodes, busy, strict=True):
            for _ in range(builds):
                table.note_building(node.id, 1)
            for _ in range(failed):
                table.note_failed_build(node.id, True)
        policy = "soft-affinity" if "SoftAffinity" in name else "soft-anti-affinity"
        hosts = tuple(chance.choices([node.host for node in nodes], k=6))
        spec = make_spec(group_policy=policy, group_hosts=hosts, image={"id": "i", "properties": IMAGE})
        weigher = BUILT_IN[name](
            Surroundings(
                SECTION,
                image_properties_by_host=lambda: {f"h{n}": properties_of(f"h{n}") for n in range(20)},
            )
        )
        rows = np.array(sorted(chance.sample(range(15), chance.randrange(1, 16))))
        raw = [plain_weight(name, nodes[row], busy[row], spec) for row in rows]
        expected = plain_scale(raw, weigher.minval) if weigher.scaled else raw
        for place, row in enumerate(rows):
            assert weigher.option is not None
            multiplier = getattr(SECTION, weigher.option)
            own = [
                float(each.metadata[weigher.option])
                for each in aggregates
                if nodes[row].host in each.hosts and weigher.option in each.metadata
            ]
            expected[place] *= min(own, default=multiplier)
        assert weigher.applies(spec)
        got = weigher.score(table, rows, spec, Attempt(Counter(hosts)))
        assert got.tolist() == pytest.approx(expected)
        seen.update(np.round(got, 6).tolist())
    assert len(seen) > 1


def test_load_and_hash_among_other_weighers_orders_as_alone() -> None:
    chance = random.Random(8)
    nodes = [node for node in random_nodes(chance, 60) if node.vcpus and node.memory_mb > 1024]
    flavor = make_flavor(1, 1, 0)
    alone = make_scheduler(
        make_table(nodes), weight_classes=("LoadAndHashWeigher",), enabled_filters=()
    )
    among = make_scheduler(
        make_table(nodes),
        weight_classes=("LoadAndHashWeigher", "NumInstancesWeigher"),
        enabled_filters=(),
        num_instances_weight_multiplier=0.0,
    )
    specs = [make_spec(flavor) for _ in range(50)]
    assert [each.node_id for each in alone.select(specs)] == [  # type: ignore[union-attr]
        each.node_id  # type: ignore[union-attr]
        for each in among.select(specs)
    ]


def test_alternates_of_large_and_small_tables_are_the_next_best() -> None:
    """The short cut for many hosts gives what a full ordering gives."""
    chance = random.Random(11)
    nodes = [make_node(number, instances_used=chance.randrange(3)) for number in range(1, 200)]
    scheduler = make_scheduler(make_table(nodes), max_alternates=150)
    full = make_scheduler(
        make_table(nodes),
        max_alternates=150,
        weight_classes=("LoadAndHashWeigher", "NumInstancesWeigher"),
    )
    for _ in range(5):
        spec = make_spec()
        [few], [all_] = scheduler.select([spec]), full.select([spec])
        assert isinstance(few, Selection)
        assert isinstance(all_, Selection)
        assert few == all_


def test_negative_ram_multiplier_stacks() -> None:
    table = make_table([make_node(number) for number in range(1, 5)])
    table.apply_claim(3, 1, 4096, 1)
    stack = make_scheduler(table, weight_classes=("RAMWeigher",), ram_weight_multiplier=-1.0)
    answers = stack.select([make_spec() for _ in range(5)])
    assert {each.host for each in answers if isinstance(each, Selection)} == {"h3"}


def test_an_aggregate_turns_a_weigher_round() -> None:
    nodes = [make_node(1, memory_mb=100000), make_node(2, memory_mb=200000)]
    aggregate = make_aggregate(1, ["h2"], ram_weight_multiplier="-1.0")
    scheduler = make_scheduler(make_table(nodes, [aggregate]), weight_classes=("RAMWeigher",))
    [choice] = scheduler.select([make_spec()])
    assert isinstance(choice, Selection)
    assert choice.host == "h1"


def test_scale() -> None:
    assert scale(np.array([5.0, 5.0])).tolist() == [0.0, 0.0]
    assert scale(np.array([2.0, 4.0])).tolist() == [0.0, 1.0]
    assert scale(np.array([-2.0, 4.0]), minval=0.0).tolist() == [0.0, 1.0]
    assert scale(np.array([1.0, 9.0]), 0.0, 2.0).tolist() == [0.5, 1.0]


class OddHostsFilter(BaseHostFilter):
    """Reads the request in both ways."""

    def host_passes(self, host_state: Any, filter_properties: Any) -> bool:
        old = filter_properties.get("instance_type")["memory_mb"]
        new = filter_properties.flavor.memory_mb
        zone = filter_properties["request_spec"]["instance_properties"]["availability_zone"]
        wanted = int(filter_properties.get_scheduler_hint("remainder", "1"))
        hint = filter_properties["scheduler_hints"].get("remainder", "1")
        assert old == new
        assert zone == filter_properties.availability_zone
        assert int(hint) == wanted
        assert host_state.service["disabled"] is False
        assert all(each.metadata for each in host_state.aggregates)
        return int(host_state.nodename[1:]) % 2 == wanted and host_state.free_ram_mb > 0


class HighNumberWeigher(BaseHostWeigher):
    """Prefers the host with the highest number."""

    def weight_multiplier(self, host_state: Any) -> float:
        return 2.0 if host_state.num_instances == 0 else 0.0

    def _weigh_object(self, host_state: Any, weight_properties: Any) -> float:
        return float(host_state.host[1:])


class OldestWeigher:
    """As plug-ins were before multipliers took a host, without a base class of ours."""

    def weight_multiplier(self) -> float:
        return -1.0

    def _weigh_object(self, host_state: Any, weight_properties: Any) -> float:
        return float(host_state.host[1:])


HERE = __name__


def plugged(**options: Any) -> Scheduler:
    table = make_table(
        [make_node(number) for number in range(1, 8)], [make_aggregate(1, ["h1"], a="b")]
    )
    return Scheduler(
        SchedulerSection(**options), table, instances_of_host=lambda host: [make_flavor_like(host)]
    )


class make_flavor_like:  # noqa: N801 - stands for any object with a uuid
    def __init__(self, uuid: str) -> None:
        self.uuid = uuid


def hosts_of(scheduler: Scheduler, count: int, **facts: Any) -> list[str]:
    answers = scheduler.select([make_spec(**facts) for _ in range(count)])
    return [each.host for each in answers if isinstance(each, Selection)]


def test_plug_in_filters_by_path_and_by_name() -> None:
    by_path = plugged(enabled_filters=("ComputeFilter", f"{HERE}.OddHostsFilter"))
    assert set(hosts_of(by_path, 20)) == {"h1", "h3", "h5", "h7"}
    by_name = plugged(
        available_filters=("nova.scheduler.filters.all_filters", f"{HERE}.OddHostsFilter"),
        enabled_filters=("OddHostsFilter",),
    )
    assert set(hosts_of(by_name, 20, hints={"remainder": ["0"]})) == {"h2", "h4", "h6"}
    [answer] = by_path.select([make_spec(ignore_hosts=("h1", "h3", "h5", "h7"))])
    assert "OddHostsFilter removed the last 3" in str(answer)


def test_plug_in_weighers() -> None:
    scheduler = plugged(weight_classes=(f"{HERE}.HighNumberWeigher",))
    assert hosts_of(scheduler, 3) == ["h7", "h6", "h5"]
    assert hosts_of(plugged(weight_classes=(f"{HERE}.OldestWeigher",)), 2) == ["h1", "h1"]


def test_everything_built_in_is_listed() -> None:
    assert len(all_filters()) == 34
    assert len(all_weighers()) == 12


@pytest.mark.parametrize(
    "predicate, meets",
    [
        (">=2.0", True), (">=2.5.1,<3", True), ("<2.5.1", False), ("==2.5.1", True),
        ("!=2.5", True), (">2.5, <2.5.1", False), ("about 2", False), ("", False),
    ],
)  # fmt: skip
def test_version_predicates(predicate: str, meets: bool) -> None:
    assert version_meets((2, 5, 1), predicate) is meets
