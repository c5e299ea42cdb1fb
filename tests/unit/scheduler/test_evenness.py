# SPDX-License-Identifier: Apache-2.0
"""How evenly hosts are filled: by one scheduler, and by several that see each other late."""

from __future__ import annotations

import datetime
import random
import uuid

import numpy as np
import pytest

from nova.objects.flavor import Flavor
from nova.objects.host import NodeUsage, Service
from nova.objects.request_spec import Selection
from nova.scheduler.peers import follow_others, phases, place_among
from nova.scheduler.scheduler import Scheduler
from tests.unit.scheduler.clouds import (
    NOW,
    make_aggregate,
    make_flavor,
    make_node,
    make_scheduler,
    make_service,
    make_spec,
    make_table,
)

HUGE = {"vcpus": 1000, "memory_mb": 800000, "local_gb": 600000}


def place(scheduler: Scheduler, flavor: Flavor, **facts: object) -> Selection:
    answer = scheduler.select([make_spec(flavor, **facts)])[0]
    assert isinstance(answer, Selection), answer
    return answer


@pytest.mark.parametrize("sizes", [HUGE, {"vcpus": 16, "memory_mb": 65536}])
def test_81_equal_servers_on_4_equal_hosts(sizes: dict[str, int]) -> None:
    scheduler = make_scheduler(make_table([make_node(number, **sizes) for number in range(1, 5)]))
    for _ in range(81):
        place(scheduler, make_flavor())
    assert sorted(scheduler.table.instances.tolist()) == [20, 20, 20, 21]


def test_one_batch_spreads_as_single_requests_do() -> None:
    scheduler = make_scheduler(make_table([make_node(number, **HUGE) for number in range(1, 41)]))
    scheduler.select([make_spec() for _ in range(1000)])
    assert set(scheduler.table.instances.tolist()) == {25}


def test_gaps_left_by_deletes_are_filled_first() -> None:
    scheduler = make_scheduler(make_table([make_node(number, **HUGE) for number in range(1, 11)]))
    specs = [make_spec() for _ in range(100)]
    chosen = scheduler.select(specs)
    for spec, selection in zip(specs, chosen, strict=True):
        if isinstance(selection, Selection) and selection.node_id <= 3:
            scheduler.unplace(selection.node_id, spec)
    scheduler.select([make_spec() for _ in range(30)])
    assert set(scheduler.table.instances.tolist()) == {10}


def test_a_host_twice_as_large_takes_twice_as_much() -> None:
    nodes = [make_node(1, vcpus=64, memory_mb=200000), make_node(2, vcpus=128, memory_mb=400000)]
    scheduler = make_scheduler(make_table(nodes))
    scheduler.select([make_spec(make_flavor(2, 1000)) for _ in range(90)])
    assert scheduler.table.instances.tolist() == pytest.approx([30, 60], abs=1)


def test_different_servers_prefer_different_hosts_and_the_same_one_the_same() -> None:
    first = [
        place(
            make_scheduler(make_table([make_node(number) for number in range(1, 21)])),
            make_flavor(),
            instance_uuid=str(uuid.UUID(int=number)),
        ).host
        for number in [*range(40), 7]
    ]
    assert first[7] == first[40]
    assert len(set(first)) > 10


class Several:
    """Schedulers whose tables see each other's placements only now and then."""

    def __init__(self, seed: int, count: int, rate: float) -> None:
        self.chance = random.Random(seed)
        self.rate = rate
        nodes = [make_node(number, **HUGE) for number in range(1, 41)]
        zones = [
            make_aggregate(1, [node.host for node in nodes[:20]], availability_zone="z1"),
            make_aggregate(2, [node.host for node in nodes[20:]], availability_zone="z2"),
        ]
        services = [make_service(node.host) for node in nodes]
        self.schedulers = []
        for peer in range(count):
            scheduler = make_scheduler(make_table([]))
            scheduler.table.set_peers(peer, count)
            scheduler.table.rebuild(nodes, services, zones, NOW, 60.0)
            self.schedulers.append(scheduler)
        self.next_look = [self.chance.uniform(0, 2.0) for _ in self.schedulers]
        self.true = {node.id: [0, 0, 0, 0] for node in nodes}

    def run(self, servers: int, flavors: list[Flavor]) -> np.ndarray:
        """Columns vcpus, memory, disk, servers; the first 20 rows are zone z1."""
        for number in range(servers):
            for place_in_list, scheduler in enumerate(self.schedulers):
                if number / self.rate >= self.next_look[place_in_list]:
                    scheduler.table.refresh(
                        NodeUsage(node, *used) for node, used in self.true.items()
                    )
                    self.next_look[place_in_list] += 2.0
            flavor = self.chance.choice(flavors)
            selection = place(
                self.chance.choice(self.schedulers),
                flavor,
                availability_zone=self.chance.choice(["z1", "z2"]),
                instance_uuid=str(uuid.UUID(int=self.chance.getrandbits(128))),
            )
            used = self.true[selection.node_id]
            for column, amount in enumerate((flavor.vcpus, flavor.memory_mb, flavor.root_gb, 1)):
                used[column] += amount
        return np.array([self.true[number] for number in range(1, 41)])


@pytest.mark.parametrize("rate", [50.0, 300.0, 1e9])
def test_three_schedulers_two_seconds_stale_fill_zones_evenly(rate: float) -> None:
    used = Several(1, 3, rate).run(2000, [make_flavor(1, 2048)])
    assert np.ptp(used[:20, 3]) <= 2
    assert np.ptp(used[20:, 3]) <= 2


def test_mixed_sizes_level_memory() -> None:
    flavors = [make_flavor(cpus, memory) for cpus, memory in
               ((1, 1024), (1, 2048), (2, 4096), (4, 8192))]  # fmt: skip
    memory = Several(2, 3, 300.0).run(2000, flavors)[:, 1]
    for zone in (memory[:20], memory[20:]):
        assert zone.std() <= 0.03 * zone.mean()


def test_an_imbalance_nobody_here_made_is_levelled_without_overshooting() -> None:
    cloud = Several(3, 3, 100.0)
    for number in range(1, 6):
        cloud.true[number] = [30, 30 * 2048, 0, 30]
    for scheduler in cloud.schedulers:
        scheduler.table.refresh(NodeUsage(node, *used) for node, used in cloud.true.items())
    used = cloud.run(3000, [make_flavor(1, 2048)])
    assert np.ptp(used[:20, 3]) <= 4
    assert np.ptp(used[20:, 3]) <= 4


def test_a_pair_of_schedulers_never_differs_by_more_than_one() -> None:
    pool = np.zeros(20, dtype=np.int64)
    for first in range(21):
        for second in range(21):
            reached = (np.argsort(np.argsort(phases(pool, 0, 2))) < first).astype(int)
            reached += np.argsort(np.argsort(phases(pool, 1, 2))) < second
            assert np.ptp(reached) <= 1


def test_phases_are_dealt_within_each_pool() -> None:
    pools = np.array([0, 1, 0, 1, 1, 0, 1])
    for peer in range(5):
        dealt = phases(pools, peer, 5)
        assert sorted(dealt[pools == 0]) == pytest.approx([0, 1 / 3, 2 / 3])
        assert sorted(dealt[pools == 1]) == pytest.approx([0, 0.25, 0.5, 0.75])


def test_following_others_is_damped_but_arrives() -> None:
    followed = np.zeros(10)
    others = np.array([10.0] + [0.0] * 9)
    follow_others(followed, others, np.zeros(10, dtype=np.int64), 3, 0.5)
    # Only the difference between hosts matters, and only a third of it is answered at once.
    assert 2.5 < followed[0] - followed[1] < 4.0
    for _ in range(50):
        follow_others(followed, others, np.zeros(10, dtype=np.int64), 3, 0.5)
    assert followed[0] - followed[1] == pytest.approx(10.0, abs=1.2)


def test_place_among_live_services_only() -> None:
    def conductor(number: int, host: str, seen: datetime.datetime) -> Service:
        return make_service(host, id=number, binary="nova-conductor", last_seen_up=seen)

    old = NOW - datetime.timedelta(hours=1)
    services = [
        conductor(7, "c", NOW), conductor(3, "a", NOW), conductor(5, "b", old), make_service("x"),
    ]  # fmt: skip
    assert place_among(services, "nova-conductor", "a", NOW, 60) == (0, 2)
    assert place_among(services, "nova-conductor", "c", NOW, 60) == (1, 2)
    assert place_among(services, "nova-conductor", "b", NOW, 60) == (1, 3)
    assert place_among(services, "nova-conductor", "unknown", NOW, 60) == (0, 1)
