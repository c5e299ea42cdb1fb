# SPDX-License-Identifier: Apache-2.0
"""Hosts that are busier than their servers explain get fewer; noise moves nothing."""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter

import numpy as np
import pytest

from nova.conf.scheduler import SchedulerSection
from nova.objects.host import NodeUsage
from nova.scheduler.heat import NOISE, STEP, crowding, measured, steps, unexplained, usual
from nova.scheduler.scheduler import Scheduler
from nova.scheduler.simulation import Outcome, SimulatedHosts, Simulation, random_trace
from tests.unit.scheduler.clouds import make_aggregate, make_node, make_scheduler, make_spec, make_table

ZONES = ("z1", "z2")


def plain_usual(values: list[float], pools: list[int]) -> list[float]:
    """The reference: one host at a time."""

    def quartile(of: list[float]) -> float:
        return sorted(of)[(len(of) - 1) // 4] if of else 0.0

    found = []
    for pool in pools:
        same = [
            value for value, other in zip(values, pools, strict=True)
            if other == pool and not math.isnan(value)
        ]
        everyone = [value for value in values if not math.isnan(value)]
        found.append(quartile(same if len(same) >= 4 else everyone))
    return found


def plain_step(before: float, excess: float) -> float:
    """The reference: one step after the other, up while it has to and down while it may."""
    heat = before
    while heat < 1.0 and excess >= 2 * NOISE + heat + NOISE - 1e-9:
        heat += STEP
    while heat > 0.0 and excess < 2 * NOISE + heat - STEP - NOISE - 1e-9:
        heat -= STEP
    return heat


def test_what_is_usual_agrees_with_the_plain_reference() -> None:
    chance = random.Random(1)
    for _ in range(200):
        count = chance.randrange(1, 30)
        values = [chance.choice([math.nan, chance.random()]) for _ in range(count)]
        pools = [chance.choice([0, 1, 3]) for _ in range(count)]
        assert usual(np.array(values), np.array(pools)).tolist() == plain_usual(values, pools)


def test_steps_agree_with_the_plain_reference() -> None:
    chance = random.Random(2)
    before = np.array([STEP * chance.randrange(5) for _ in range(2000)])
    excess = np.array([chance.uniform(-1.0, 1.5) for _ in range(2000)])
    expected = [plain_step(*each) for each in zip(before.tolist(), excess.tolist(), strict=True)]
    assert steps(before, excess).tolist() == expected


@pytest.mark.parametrize("around", [0.0, 0.1, 0.2, 0.29, 0.3, 0.45, 0.6, 1.0])
def test_noise_never_moves_a_host_to_a_step_and_back(around: float) -> None:
    chance = random.Random(3)
    heat = np.zeros(1)
    seen = []
    for _ in range(500):
        heat = steps(heat, np.array([around + chance.uniform(-NOISE, NOISE)]))
        seen.append(float(heat[0]))
    assert seen == sorted(seen)
    assert seen[-1] - seen[0] <= STEP


def test_what_servers_explain_is_not_held_against_their_host() -> None:
    pools = np.zeros(8, dtype=np.int64)
    committed = np.array([0.25] * 6 + [0.5, 0.25])
    cpu = np.array([0.2] * 6 + [0.4, 0.4])
    assert unexplained(cpu, committed, pools)[:7] == pytest.approx([0.0] * 7)
    assert unexplained(cpu, committed, pools)[7] == pytest.approx(0.2)
    # Where nothing is usual yet, a server may use what it has.
    alone = np.array([0.0] * 7 + [0.5])
    assert unexplained(np.array([0.0] * 7 + [0.5]), alone, pools)[7] == 0.0


def test_a_host_says_what_it_measures_or_nothing() -> None:
    assert all(math.isnan(each) for each in measured(make_node(1)))
    both = {"cpu_percent": 30.0, "memory_mb_used": 131072.0}
    assert measured(make_node(1, metrics=both)) == pytest.approx((0.3, 0.5))
    assert math.isnan(measured(make_node(1, metrics=both, memory_mb=0))[1])


def test_hosts_that_measure_nothing_are_never_hot() -> None:
    table = make_table([make_node(number) for number in range(1, 9)])
    table.refresh([NodeUsage(8, 0, 0, 0, 0, metrics={})])
    assert table.extra.tolist() == [0.0] * 8


def choices(scheduler: Scheduler, count: int) -> Counter[str]:
    """How many of so many servers each host gets."""
    return Counter(
        answer.host for answer in scheduler.select([make_spec() for _ in range(count)])
        if hasattr(answer, "host")
    )


@pytest.mark.parametrize("metric, value", [("cpu_percent", 70.0), ("memory_mb_used", 200000.0)])
def test_a_hot_host_gets_fewer_by_default(metric: str, value: float) -> None:
    usually = {"cpu_percent": 20.0, "memory_mb_used": 20000.0}
    nodes = [make_node(number, metrics=usually) for number in range(1, 8)]
    scheduler = make_scheduler(make_table([*nodes, make_node(8, metrics={**usually, metric: value})]))
    assert scheduler.measures
    got = choices(scheduler, 700)
    assert got["h8"] < 0.7 * min(got[node.host] for node in nodes)


def test_a_host_that_cooled_down_is_level_again() -> None:
    scheduler = make_scheduler(make_table([make_node(number) for number in range(1, 5)]))
    for hot, expected in ((90.0, True), (45.0, True), (20.0, False)):
        scheduler.table.refresh(
            [NodeUsage(1, 0, 0, 0, 0, metrics={"cpu_percent": hot})]
            + [NodeUsage(number, 0, 0, 0, 0, metrics={"cpu_percent": 20.0}) for number in (2, 3, 4)]
        )
        assert bool(scheduler.table.extra[0]) is expected, hot


def test_memory_that_was_given_to_servers_is_no_heat_however_little_others_use() -> None:
    full = make_node(
        8, memory_mb_used=230000, metrics={"cpu_percent": 1.0, "memory_mb_used": 225000.0}
    )
    idle = [
        make_node(number, memory_mb_used=230000, metrics={"cpu_percent": 1.0, "memory_mb_used": 9000.0})
        for number in range(1, 8)
    ]
    assert make_table([*idle, full]).heat.tolist() == [0.0] * 8


def test_a_busy_pool_is_no_set_of_hot_hosts() -> None:
    nodes = [
        make_node(number, metrics={"cpu_percent": 80.0 if number > 4 else 5.0}) for number in range(1, 9)
    ]
    busy = make_aggregate(1, [node.host for node in nodes[4:]])
    assert make_table(nodes, [busy]).heat.tolist() == [0.0] * 8


def test_a_host_whose_builds_pile_up_gets_fewer_by_default() -> None:
    scheduler = make_scheduler(make_table([make_node(number) for number in range(1, 5)]))
    scheduler.table.set_building({"h1": 3, "h2": 2, "h3": 2, "h4": 3})
    assert scheduler.table.extra.tolist() == [0.0] * 4
    scheduler.table.set_building({"h1": 30, "h2": 2, "h3": 2, "h4": 3})
    got = choices(scheduler, 400)
    assert got["h1"] < 0.7 * min(got[host] for host in ("h2", "h3", "h4"))


def test_crowding_is_what_is_beyond_twice_the_usual() -> None:
    found = crowding(np.array([4, 4, 4, 4, 16, 40]), 8.0, np.zeros(6, dtype=np.int64))
    assert found.tolist() == pytest.approx([0.0, 0.0, 0.0, 0.0, 1 / 3, 1.0])


def test_parts_that_are_switched_off_count_nothing() -> None:
    hot = make_node(5, metrics={"cpu_percent": 99.0})
    nodes = [make_node(number, metrics={"cpu_percent": 1.0}) for number in range(1, 5)]
    scheduler = make_scheduler(
        make_table([*nodes, hot]), load_hash_measured=0.0, load_hash_building=0.0
    )
    scheduler.table.set_building({"h1": 100})
    assert not scheduler.measures
    assert scheduler.table.extra.tolist() == [0.0] * 5


def simulated(seed: int, sizes: list[tuple[int, int, int]], **hosts: float) -> Outcome:
    """2,000 servers by three schedulers up to 2 s behind, on hosts whose measurements are noisy."""
    shape = SimulatedHosts(count=40, zones=ZONES, **hosts)  # type: ignore[arg-type]
    return Simulation(shape, SchedulerSection(), schedulers=3, seed=seed).run(
        random_trace(2000, sizes, zones=ZONES, seed=seed)
    )


def test_noise_and_builds_leave_hosts_even() -> None:
    for seed in range(3):
        outcome = simulated(seed, [(1, 2048, 10)], noise_percent=10.0, build_seconds=5.0)
        assert outcome.max_minus_min() <= 2
    mixed = simulated(1, [(1, 1024, 10), (1, 2048, 20), (2, 4096, 40), (4, 8192, 80)])
    assert mixed.memory_deviation() <= 0.03


def test_three_schedulers_give_hot_hosts_fewer_and_level_the_others() -> None:
    hot = 4
    servers = simulated(5, [(1, 2048, 10)], hot=hot, vcpus=64, memory_mb=262144, disk_gb=10000).servers
    for first in range(2):
        others = servers[hot + first :: 2]
        assert max(servers[first:hot:2]) < 0.7 * statistics.mean(others)
        assert max(others) - min(others) <= 4
