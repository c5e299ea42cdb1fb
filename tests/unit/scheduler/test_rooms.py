# SPDX-License-Identifier: Apache-2.0
"""The table's view of NUMA cells and PCI devices: shared states, batches, what others claimed."""

from __future__ import annotations

import random
import uuid
from typing import Any

import msgspec
import numpy as np

from nova.errors import NoValidHost
from nova.objects.host import ComputeNode, NodeUsage
from nova.objects.request_spec import RequestSpec, Selection
from nova.objects.topology import HostUsage
from nova.scheduler import rooms
from nova.scheduler.rooms import Rooms
from nova.topology.fitting import Room, fit
from tests.unit.scheduler.clouds import make_flavor, make_node, make_scheduler, make_spec, make_table
from tests.unit.topology.hosts import make_host, make_request

DOCUMENT: dict[str, Any] = msgspec.to_builtins(make_host())


def numa_node(number: int, **facts: Any) -> ComputeNode:
    return make_node(number, **{"topology": DOCUMENT, "vcpus": 16, "memory_mb": 10240, **facts})


def pinned_spec(vcpus: int = 4, **more: Any) -> RequestSpec:
    return make_spec(make_flavor(vcpus, 512), topology=make_request(vcpus=vcpus), **more)


def test_equal_hosts_share_one_state() -> None:
    table = make_table([numa_node(number) for number in range(1, 200)])
    assert len(set(table.room_of.tolist())) == 1
    assert len(table.rooms) == 2


def test_servers_of_one_batch_see_what_those_before_them_took() -> None:
    scheduler = make_scheduler(make_table([numa_node(1), numa_node(2), make_node(3)]))
    answers = scheduler.select([pinned_spec() for _ in range(9)])
    taken = [each.host for each in answers if isinstance(each, Selection)]
    assert sorted(taken) == ["h1"] * 4 + ["h2"] * 4
    assert isinstance(answers[8], NoValidHost)
    assert "NUMATopologyFilter removed the last" in answers[8].message


def test_a_choice_that_was_not_claimed_is_free_again() -> None:
    scheduler = make_scheduler(make_table([numa_node(1)]))
    specs = [pinned_spec() for _ in range(4)]
    for spec, answer in zip(specs, scheduler.select(specs), strict=True):
        assert isinstance(answer, Selection)
        scheduler.unplace(answer.node_id, spec)
    assert all(isinstance(each, Selection) for each in scheduler.select(specs))


def test_what_others_claimed_is_read_where_the_generation_differs() -> None:
    scheduler = make_scheduler(make_table([numa_node(1), numa_node(2)]))
    table = scheduler.table
    usage = [
        NodeUsage(number, 0, 0, 0, 0, topology_generation=generation)
        for number, generation in ((1, 0), (2, 5))
    ]
    assert table.refresh(usage) == [2]
    full = {"pinned": list(range(16))}
    table.update_topologies([numa_node(2, topology_used=full, topology_generation=5)])
    assert table.refresh(usage) == []
    answers = scheduler.select([pinned_spec() for _ in range(4)])
    assert {each.host for each in answers if isinstance(each, Selection)} == {"h1"}


def test_an_older_claim_does_not_overwrite_a_newer_state() -> None:
    table = make_table([numa_node(1, topology_generation=7)])
    table.set_topology_used(1, 6, HostUsage(pinned=(0,)))
    assert table.room_of[0] == table.known_room_of[0] == 1
    table.set_topology_used(1, 8, HostUsage(pinned=(0,)))
    assert table.room_of[0] != 1


def test_what_hosts_measure_reaches_the_table_with_their_usage() -> None:
    table = make_table([make_node(1), make_node(2)])
    generation = table.generation
    table.refresh([NodeUsage(1, 0, 0, 0, 0, metrics={"cpu_percent": 50.0})])
    assert table.cpu_measured[0] == 0.5
    assert np.isnan(table.cpu_measured[1])
    assert table.nodes[0].metrics == {"cpu_percent": 50.0}
    # That it reports a metric at all is a fact; another value of it is none.
    assert table.generation == generation + 1
    table.refresh([NodeUsage(1, 0, 0, 0, 0, metrics={"cpu_percent": 80.0})])
    assert table.generation == generation + 1
    assert table.cpu_measured[0] == 0.8


def test_hosts_that_measure_less_load_are_chosen_once_they_report_so() -> None:
    scheduler = make_scheduler(
        make_table([make_node(1), make_node(2)]), load_hash_bucket=0.01
    )
    assert scheduler.measures
    busy = {"cpu_percent": 90.0, "memory_mb_used": 200000.0}
    idle = {"cpu_percent": 5.0, "memory_mb_used": 2000.0}
    for first, second, wanted in ((busy, idle, "h2"), (idle, busy, "h1")):
        scheduler.table.refresh(
            [NodeUsage(1, 0, 0, 0, 0, metrics=first), NodeUsage(2, 0, 0, 0, 0, metrics=second)]
        )
        [answer] = scheduler.select([make_spec()])
        assert isinstance(answer, Selection)
        assert answer.host == wanted
        scheduler.unplace(answer.node_id, make_spec())


def test_among_hosts_that_are_all_different_only_those_chosen_are_fitted(monkeypatch: Any) -> None:
    from nova.scheduler.filters import topology

    fits = 0

    def counted(*args: Any) -> Any:
        nonlocal fits
        fits += 1
        return fit(*args)

    monkeypatch.setattr(topology, "fit", counted)
    chance = random.Random(9)
    used = [{"pinned": sorted(chance.sample(range(16), 10))} for _ in range(600)]
    table = make_table([numa_node(n + 1, topology_used=each) for n, each in enumerate(used)])
    scheduler = make_scheduler(table)
    # The same servers each time: for about one set in a hundred all hosts have to be looked at.
    uuids = [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(20)]
    answers = scheduler.select([pinned_spec(instance_uuid=each) for each in uuids])
    assert all(isinstance(each, Selection) for each in answers)
    assert fits < 200
    # What is chosen is what looking at every host would allow.
    for answer in answers:
        assert isinstance(answer, Selection)
        assert answer.node_id not in [alternate[0] for alternate in answer.alternates]
    # Where none fits every one has been looked at, and the user is told.
    strict = make_spec(make_flavor(6, 512), topology=make_request(vcpus=6, thread_policy="require"))
    monkeypatch.setattr(topology, "fit", lambda *_args: None)
    [none] = scheduler.select([strict])
    assert isinstance(none, NoValidHost)
    assert "NUMATopologyFilter removed the last" in none.message


def test_states_that_no_host_is_in_are_dropped_in_time(monkeypatch: Any) -> None:
    monkeypatch.setattr(rooms, "_SPARE", 8)
    chance = random.Random(2)
    kept = Rooms()
    host = kept.host(make_host())
    columns = (np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64))
    for _ in range(300):
        usage = HostUsage(pinned=tuple(sorted(chance.sample(range(16), chance.randrange(16)))))
        columns[0][chance.randrange(4)] = kept.number(Room(host=host, usage=usage))
        before = [kept.get(number) for number in columns[0]]
        kept.compact(columns)
        assert [kept.get(number) for number in columns[0]] == before
    assert len(kept) < 40
    assert kept.epoch > 3


def test_hosts_whose_cpus_are_all_kept_apart_take_no_ordinary_server() -> None:
    apart = msgspec.to_builtins(make_host(apart=frozenset(range(16))))
    table = make_table([numa_node(1, topology=apart, vcpus=0, pcpus=16)])
    [answer] = make_scheduler(table).select([make_spec()])
    assert isinstance(answer, NoValidHost)
    [pinned] = make_scheduler(table).select([pinned_spec()])
    assert isinstance(pinned, Selection)
    assert (table.vcpus_used[0], table.pcpus_used[0]) == (0, 4)
