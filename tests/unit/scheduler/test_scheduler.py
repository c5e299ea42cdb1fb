# SPDX-License-Identifier: Apache-2.0
"""Choosing, consuming, giving back, and saying why there is no host."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from nova.conf.scheduler import SchedulerSection
from nova.errors import NoValidHost
from nova.objects.host import ClaimLimits
from nova.objects.request_spec import RequestSpec, Selection
from nova.scheduler.scheduler import Scheduler
from nova.scheduler.table import HostTable
from tests.unit.scheduler.clouds import (
    make_aggregate,
    make_flavor,
    make_node,
    make_scheduler,
    make_service,
    make_spec,
    make_table,
    random_nodes,
)


def small_cloud(count: int = 4, **facts: Any) -> Scheduler:
    return make_scheduler(make_table([make_node(each, **facts) for each in range(1, count + 1)]))


def chosen(scheduler: Scheduler, *specs: RequestSpec) -> list[str]:
    answers = scheduler.select(specs)
    return [each.host if isinstance(each, Selection) else "none" for each in answers]


def refused(scheduler: Scheduler, spec: RequestSpec) -> str:
    [answer] = scheduler.select([spec])
    assert isinstance(answer, NoValidHost)
    return answer.message


def usage(table: HostTable) -> list[list[float]]:
    columns = (
        table.vcpus_used, table.memory_mb_used, table.local_gb_used, table.instances,
        table.vcpus_free, table.memory_free, table.disk_free, table.load, table.own_load,
    )  # fmt: skip
    return [column.tolist() for column in columns]


def test_a_choice_names_the_node_and_alternates_behind_it() -> None:
    [choice] = small_cloud().select([make_spec()])
    assert isinstance(choice, Selection)
    assert choice.host == choice.node == f"h{choice.node_id}"
    assert len(choice.alternates) == 3
    assert len({choice.node_id, *(each[0] for each in choice.alternates)}) == 4


def test_what_is_placed_is_consumed_and_given_back() -> None:
    chance = random.Random(5)
    scheduler = make_scheduler(make_table(random_nodes(chance, 12)))
    before = usage(scheduler.table)
    specs = [
        make_spec(make_flavor(chance.randrange(1, 5), chance.choice([128, 512]), 1))
        for _ in range(40)
    ]
    answers = scheduler.select(specs)
    assert usage(scheduler.table) != before
    for spec, answer in zip(specs, answers, strict=True):
        if isinstance(answer, Selection):
            scheduler.unplace(answer.node_id, spec)
    for now, then in zip(usage(scheduler.table), before, strict=True):
        assert now == pytest.approx(then, abs=1e-12)


def test_hosts_are_filled_to_the_limit_and_no_further() -> None:
    scheduler = small_cloud(3, vcpus=2, cpu_allocation_ratio=2.0)
    answers = scheduler.select([make_spec() for _ in range(15)])
    assert [isinstance(each, Selection) for each in answers] == [True] * 12 + [False] * 3
    assert scheduler.table.vcpus_used.tolist() == [4, 4, 4]


def test_a_refusal_says_how_many_hosts_each_filter_removed() -> None:
    nodes = [make_node(number, memory_mb=1000) for number in range(1, 6)]
    services = [make_service(f"h{number}") for number in (1, 2, 3)]
    services += [make_service("h4", disabled=True), make_service("h5", forced_down=True)]
    scheduler = make_scheduler(make_table(nodes, (), services))
    message = refused(
        scheduler, make_spec(make_flavor(memory_mb=9999), ignore_hosts=("h1", "unknown"))
    )
    assert message == (
        "No valid host was found. There are not enough hosts available. Of 5 hosts: hosts tried or "
        "excluded before (h1, unknown) removed 1; ComputeFilter removed 2; RamFilter removed the "
        "last 2 (wanted 9999 MiB of memory, the most free is 1500)."
    )
    assert "1 disabled, 1 down" in refused(scheduler, make_spec(ignore_hosts=("h1", "h2", "h3")))
    assert "none is in zone 'mars'" in refused(scheduler, make_spec(availability_zone="mars"))


def test_an_empty_cloud_says_so() -> None:
    message = refused(make_scheduler(make_table([])), make_spec())
    assert message.endswith("There are no compute hosts.")


def test_a_forced_host_skips_filters_and_limits() -> None:
    nodes = [make_node(1, vcpus=1), make_node(2, vcpus=1)]
    scheduler = make_scheduler(make_table(nodes, (), [make_service("h1")]))
    huge = make_flavor(vcpus=1000)
    forced = make_spec(huge, force_host="h2")
    assert chosen(scheduler, forced) == ["h2"]
    assert scheduler.limits(2, forced) == ClaimLimits(unlimited=True)
    assert chosen(scheduler, make_spec(huge, force_node="h1")) == ["h1"]
    assert "the wish for host 'h9' removed the last 2" in refused(
        scheduler, make_spec(force_host="h9")
    )


def test_a_wanted_host_keeps_the_filters() -> None:
    scheduler = small_cloud(3, vcpus=1, cpu_allocation_ratio=1.0)
    assert chosen(scheduler, make_spec(wanted_host="h2")) == ["h2"]
    assert "CoreFilter removed the last 1" in refused(scheduler, make_spec(wanted_host="h2"))
    assert chosen(scheduler, make_spec(wanted_node="h3")) == ["h3"]


def test_ignored_disabled_and_silent_hosts_are_left_out() -> None:
    scheduler = small_cloud(4)
    scheduler.table.set_service("h1", True, True)
    scheduler.table.set_service("h2", False, False)
    got = chosen(scheduler, *(make_spec(ignore_hosts=("h3",)) for _ in range(8)))
    assert set(got) == {"h4"}
    scheduler.table.set_service("h1", True, False)
    assert "h1" in chosen(scheduler, *(make_spec(ignore_hosts=("h3",)) for _ in range(16)))


def test_zones_by_aggregate_and_the_default_one() -> None:
    nodes = [make_node(number) for number in range(1, 5)]
    zone = make_aggregate(1, ["h1", "h2"], availability_zone="az1")
    scheduler = Scheduler(SchedulerSection(), make_table(nodes, [zone]), default_zone="rest")
    many = range(12)
    assert set(chosen(scheduler, *(make_spec(availability_zone="az1") for _ in many))) == {
        "h1", "h2",
    }  # fmt: skip
    assert set(chosen(scheduler, *(make_spec(availability_zone="rest") for _ in many))) == {
        "h3", "h4",
    }  # fmt: skip
    scheduler.table.set_aggregates([make_aggregate(1, ["h4"], availability_zone="az1")])
    assert set(chosen(scheduler, *(make_spec(availability_zone="az1") for _ in many))) == {"h4"}


def in_group(policy: str, **facts: Any) -> RequestSpec:
    return make_spec(group_uuid="g", group_policy=policy, **facts)


def test_members_of_a_group_in_one_batch_see_each_other() -> None:
    apart = chosen(small_cloud(4), *(in_group("anti-affinity") for _ in range(5)))
    assert sorted(apart) == ["h1", "h2", "h3", "h4", "none"]
    together = chosen(small_cloud(4), *(in_group("affinity") for _ in range(5)))
    assert len(set(together)) == 1
    two = {"max_server_per_host": 2}
    pairs = chosen(small_cloud(3), *(in_group("anti-affinity", group_rules=two) for _ in range(7)))
    assert Counter(pairs) == {"h1": 2, "h2": 2, "h3": 2, "none": 1}


def test_members_placed_before_count_too() -> None:
    scheduler = small_cloud(3)
    there = {"group_hosts": ("h1", "h2")}
    assert chosen(scheduler, in_group("anti-affinity", **there)) == ["h3"]
    got = chosen(scheduler, *(in_group("affinity", **there) for _ in range(6)))
    assert set(got) == {"h1", "h2"}


def test_soft_policies_beat_load_but_never_refuse() -> None:
    scheduler = small_cloud(4)
    scheduler.table.apply_claim(4, 32, 100000, 100)
    apart = chosen(scheduler, *(in_group("soft-anti-affinity") for _ in range(6)))
    assert set(apart[:4]) == {"h1", "h2", "h3", "h4"}
    assert "none" not in apart
    together = chosen(
        scheduler, *(in_group("soft-affinity", group_hosts=("h4",)) for _ in range(6))
    )
    assert set(together) == {"h4"}
    full = small_cloud(2, vcpus=1, cpu_allocation_ratio=2.0)
    assert sorted(chosen(full, *(in_group("soft-affinity") for _ in range(4)))) == [
        "h1", "h1", "h2", "h2",
    ]  # fmt: skip


def test_a_changed_table_is_seen_by_requests_seen_before() -> None:
    scheduler = small_cloud(2)
    scheduler.table.set_service("h2", False, False)
    assert set(chosen(scheduler, *(make_spec() for _ in range(4)))) == {"h1"}
    scheduler.table.update_report(make_node(3))
    scheduler.table.set_service("h3", True, False)
    scheduler.table.forget(1)
    assert set(chosen(scheduler, *(make_spec() for _ in range(4)))) == {"h3"}


def test_choosing_at_random_among_the_best() -> None:
    table = make_table([make_node(number) for number in range(1, 7)])
    table.apply_claim(6, 30, 90000, 10)
    scheduler = make_scheduler(table, host_subset_size=3, weight_classes=("RAMWeigher",))
    got = set()
    for _ in range(60):
        spec = make_spec(instance_uuid="same")
        [choice] = scheduler.select([spec])
        assert isinstance(choice, Selection)
        got.add(choice.host)
        scheduler.unplace(choice.node_id, spec)
    assert len(got) == 3
    assert "h6" not in got


def test_limits_of_claims_follow_the_enabled_filters() -> None:
    zone = make_aggregate(1, ["h1"], cpu_allocation_ratio="2.5", ram_allocation_ratio="junk")
    table = make_table([make_node(1), make_node(2)], [zone])
    kilo = make_scheduler(table, enabled_filters=("RamFilter",))
    assert kilo.limits(1, make_spec()) == ClaimLimits(limit_vcpus=False, limit_disk=False)
    wide = make_scheduler(table, enabled_filters=("AggregateCoreFilter", "AggregateRamFilter"))
    assert wide.limits(1, make_spec()) == ClaimLimits(cpu_allocation_ratio=2.5, limit_disk=False)
    assert wide.limits(2, make_spec()) == ClaimLimits(limit_disk=False)
    assert make_scheduler(table).limits(1, make_spec()) == ClaimLimits()


@pytest.mark.parametrize(
    "option, value, said",
    [
        ("enabled_filters", ("NoSuchFilter",), "no filter NoSuchFilter"),
        ("enabled_filters", ("nowhere.Filter",), "cannot be imported"),
        ("enabled_filters", ("random.Random",), "has no host_passes"),
        ("enabled_filters", ("TypeAffinityFilter",), "flavors on each host"),
        ("weight_classes", ("NoSuchWeigher",), "no weigher NoSuchWeigher"),
        ("weight_classes", ("random.randrange",), "is not a class"),
        ("metrics_weight_setting", ("cpu_percent",), "not name=ratio"),
    ],
)
def test_unknown_filters_and_weighers_are_refused_at_the_start(
    option: str, value: tuple[str, ...], said: str
) -> None:
    options: dict[str, Any] = {option: value}
    if option == "metrics_weight_setting":
        options["weight_classes"] = ("MetricsWeigher",)
    with pytest.raises(ValueError, match=said):
        make_scheduler(make_table([]), **options)


def test_the_originals_names_and_paths_are_understood() -> None:
    scheduler = make_scheduler(
        make_table([make_node(1)]),
        available_filters=("nova.scheduler.filters.all_filters",),
        enabled_filters=("RetryFilter", "nova.scheduler.filters.ram_filter.RamFilter"),
        weight_classes=(
            "nova.scheduler.weights.all_weighers",
            "nova.scheduler.weights.ram.RAMWeigher",
        ),
    )  # fmt: skip
    assert [each.name for each in scheduler.filters] == ["RetryFilter", "RamFilter"]
    assert "RAMWeigher" in [each.name for each in scheduler.weighers]
    assert chosen(scheduler, make_spec()) == ["h1"]
