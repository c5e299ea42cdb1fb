# SPDX-License-Identifier: Apache-2.0
"""Claims that are lost to another scheduler: the next alternate is taken, if it suits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nova.conductor import host_contents
from nova.db.engine import Database
from nova.objects.host import ClaimRequest
from nova.objects.request_spec import RequestSpec, Selection
from nova.objects.states import ACTIVE
from tests.unit.compute.small_cloud import USER, SmallCloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    made = SmallCloud(tmp_path)
    yield made
    made.stop()


class OutdatedScheduler:
    """Chooses as it is told, as one does that has not seen the others' claims yet."""

    def __init__(self, cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
        with cloud.db.read() as tx:
            nodes = {node.host: node for node in tx.nodes.list()}
        first, *others = [nodes[host] for host in hosts]
        self.choice = Selection(
            first.id, first.host, first.hypervisor_hostname,
            tuple((node.id, node.host, node.hypervisor_hostname) for node in others),
        )
        self.rounds = 0
        monkeypatch.setattr(cloud.control.hosts.scheduler, "select", self.select)

    def select(self, specs: list[RequestSpec]) -> list[Any]:
        self.rounds += 1
        return [self.choice for _ in specs]


def fill(db: Database, host: str) -> None:
    """Another scheduler takes all memory of a host."""
    with db.write() as tx:
        (node,) = tx.nodes.by_host(host)
        free = int(node.memory_mb * node.ram_allocation_ratio) - node.memory_mb_used
        taken = tx.claims.claim_many(
            [ClaimRequest(instance_uuid=f"others-{host}", node_id=node.id, vcpus=0, memory_mb=free,
                          disk_gb=0)]
        )
    assert taken == [True]


def test_a_lost_race_takes_the_next_alternate_without_another_round(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cloud.db, "fake-1")
    fill(cloud.db, "fake-2")
    scheduler = OutdatedScheduler(cloud, monkeypatch, "fake-1", "fake-2", "fake-3")
    server = cloud.boot()
    assert (server.vm_state, server.host) == (ACTIVE, "fake-3")
    assert scheduler.rounds == 1



def test_an_alternate_keeps_the_policy_of_the_group_too(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cloud.db.write() as tx:
        group = tx.server_groups.create(
            project_id=USER.project_id, user_id=USER.user_id, name="apart", policy="anti-affinity"
        )
    hints = {"group": [group.uuid]}
    first, second = cloud.boot(scheduler_hints=hints), cloud.boot(scheduler_hints=hints)
    assert first.host != second.host
    (rest,) = {"fake-1", "fake-2", "fake-3"} - {first.host, second.host}
    assert first.host is not None
    assert second.host is not None
    scheduler = OutdatedScheduler(cloud, monkeypatch, first.host, second.host, rest)
    third = cloud.boot(scheduler_hints=hints)
    assert (third.vm_state, third.host) == (ACTIVE, rest)
    assert scheduler.rounds == 1
    assert cloud.leaks() == []


def test_filters_and_weighers_that_ask_what_runs_on_hosts_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_contents, "FRESH", 0.0)
    cloud = SmallCloud(
        tmp_path,
        filter_scheduler__enabled_filters=["ComputeFilter", "RamFilter", "TypeAffinityFilter"],
        filter_scheduler__weight_classes=["nova.scheduler.weights.all_weighers"],
        filter_scheduler__image_props_weight_multiplier=-1000.0,
    )
    try:
        first = [cloud.boot(flavor="1") for _ in range(2)]
        # The image of all is the same, and its properties spread them.
        assert len({each.host for each in first}) == 2
        other = cloud.boot(flavor="2")
        assert other.host not in {each.host for each in first}
        (refused,) = [cloud.boot(flavor="3")]
        assert refused.fault is not None
        assert "TypeAffinityFilter removed the last" in refused.fault.message
    finally:
        cloud.stop()
