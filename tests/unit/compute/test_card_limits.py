# SPDX-License-Identifier: Apache-2.0
"""Limits of network cards and fixed addresses: counted at boots, at attaching, and in races."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nova.errors import QuotaExceeded
from nova.objects.instance import RequestedNetwork
from nova.objects.states import BUILDING
from tests.unit.compute.small_cloud import USER, SmallCloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    made = SmallCloud(tmp_path, quota__instances=-1, quota__cores=-1, quota__ram=-1)
    yield made
    made.stop()


def _limit(cloud: SmallCloud, resource: str, limit: int) -> None:
    with cloud.db.write() as tx:
        tx.quotas.set("p", {resource: limit})
        tx.after_commit(cloud.operations.limits.forget)


def _network(cloud: SmallCloud) -> str:
    with cloud.db.read() as tx:
        return tx.networks.every()[0].uuid


@pytest.mark.parametrize(
    ("resource", "text"),
    [("fixed_ips", "but already used 2 of 3 fixed_ips"), ("port", "number of ports exceeded")],
)
def test_boots_count(cloud: SmallCloud, resource: str, text: str) -> None:
    _limit(cloud, resource, 3)
    first = cloud.boot()
    cloud.boot()
    with pytest.raises(QuotaExceeded, match=text):
        cloud.ask(count=2)
    cloud.boot(networks=())
    third = cloud.boot()
    with pytest.raises(QuotaExceeded):
        cloud.operations.attach_interface(
            USER, third, RequestedNetwork(network_id=_network(cloud))
        )
    with pytest.raises(QuotaExceeded):
        cloud.operations.add_fixed_ip(USER, third, _network(cloud))
    cloud.operations.delete(USER, first)
    cloud.settle()
    cloud.operations.attach_interface(USER, third, RequestedNetwork(network_id=_network(cloud)))
    with cloud.db.read() as tx:
        used = tx.quotas.cards("p", lambda: 1)
    assert (used.cards, used.addresses, used.to_come) == (3, 3, 0)


def test_servers_that_wait_for_their_cards_count(cloud: SmallCloud) -> None:
    _limit(cloud, "fixed_ips", 3)
    cloud.control.conductor.placer.stop()
    cloud.ask()
    network = RequestedNetwork(network_id=_network(cloud))
    uuid = cloud.ask(networks=(network, network))
    assert cloud.show(uuid).vm_state == BUILDING
    with pytest.raises(QuotaExceeded, match="already used 3 of 3"):
        cloud.ask()


def test_boots_that_come_together_never_get_more_than_the_limit(cloud: SmallCloud) -> None:
    _limit(cloud, "fixed_ips", 5)
    together = threading.Barrier(16)
    refused: list[str] = []

    def ask() -> None:
        together.wait()
        try:
            cloud.ask()
        except QuotaExceeded as error:
            refused.append(error.message)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cloud.settle()
    assert len(refused) == 11
    with cloud.db.read() as tx:
        assert tx.quotas.addresses("p") == 5
    assert cloud.leaks() == []
