# SPDX-License-Identifier: Apache-2.0
"""The simulation keeps its books, and shows what weighers do."""

from __future__ import annotations

import pytest

from nova.conf.scheduler import SchedulerSection
from nova.scheduler.simulation import (
    SimulatedHosts,
    Simulation,
    TraceEvent,
    random_trace,
    read_trace,
)

EQUAL = [(1, 2048, 10)]
FORTY = SimulatedHosts(count=40, zones=("z1", "z2"))


def test_the_default_weigher_is_more_even_than_memory_alone_when_tables_are_stale() -> None:
    worst = {
        weigher: max(
            Simulation(
                FORTY, SchedulerSection(weight_classes=(weigher,)), schedulers=3, seed=seed
            )
            .run(random_trace(2000, EQUAL, zones=("z1", "z2"), seed=seed))
            .max_minus_min()
            for seed in range(5)
        )
        for weigher in ("LoadAndHashWeigher", "RAMWeigher")
    }
    assert worst["LoadAndHashWeigher"] <= 2
    assert worst["RAMWeigher"] > 2


def test_full_hosts_reject_and_races_are_counted() -> None:
    tiny = SimulatedHosts(count=4, vcpus=1, cpu_allocation_ratio=10.0)
    outcome = Simulation(tiny, SchedulerSection(), schedulers=2, stale_seconds=1e9).run(
        random_trace(60, EQUAL)
    )
    assert outcome.servers == [10, 10, 10, 10]
    assert (outcome.placed, outcome.rejected) == (40, 20)
    assert outcome.lost_races > 0


def test_deletes_give_back() -> None:
    outcome = Simulation(FORTY, SchedulerSection(), schedulers=2).run(
        random_trace(500, EQUAL, deletes=1.0)
    )
    assert sum(outcome.servers) == 0
    assert sum(outcome.memory_mb) == 0
    assert outcome.memory_deviation() == 0.0


def test_fragmentation_is_free_memory_the_largest_server_cannot_use() -> None:
    hosts = SimulatedHosts(count=2, memory_mb=1000, ram_allocation_ratio=1.0)
    outcome = Simulation(hosts, SchedulerSection()).run(
        [TraceEvent(0, "a", 1, 600), TraceEvent(1, "b", 1, 200)]
    )
    assert sorted(outcome.memory_mb) == [200, 600]
    # 400 and 800 MiB are free; a server of 600 MiB fits once.
    assert outcome.fragmentation == pytest.approx(0.5)


def test_a_trace_is_read_line_by_line_and_faults_name_the_line() -> None:
    lines = ['{"at": 0, "server": "ä", "vcpus": 1, "memory_mb": 512}', "", '{"at": 1}']
    trace = read_trace(lines)
    assert next(trace) == TraceEvent(0.0, "ä", 1, 512)
    with pytest.raises(ValueError, match="line 3 of the trace"):
        next(trace)
