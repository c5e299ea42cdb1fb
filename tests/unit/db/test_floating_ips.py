# SPDX-License-Identifier: Apache-2.0
"""Floating addresses: pools, projects, and where the addresses lead."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from nova.db.engine import Transaction
from nova.errors import BadRequest, Conflict, Forbidden, InvalidInput, NotFound
from nova.network import floating
from nova.objects.network import Network, PlannedAddress, PlannedNetwork
from tests.databases import new_database


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Transaction]:
    database = new_database(tmp_path)
    with database.write() as transaction:
        network = transaction.networks.create(
            PlannedNetwork(
                Network(0, str(uuid.uuid4()), "net", cidr="10.0.0.0/28"),
                tuple(PlannedAddress(f"10.0.0.{n}") for n in range(16)),
            )
        )
        rows = transaction.fixed_ips.next_free(network.id, 3)
        for (row, _), instance in zip(rows, ("i", "i", "j"), strict=True):
            transaction.fixed_ips.assign([(row, instance, f"vif-{row}")])
        yield transaction
    database.dispose()


def test_a_range_is_all_hosts_of_a_cidr_or_one_address(tx: Transaction) -> None:
    assert len(floating.create_range(tx, "192.0.2.0/29", "öffentlich", "eth1")) == 6
    floating.create_range(tx, "198.51.100.7", "other")
    every = tx.floating_ips.every()
    assert [each.address for each in every][-1] == "198.51.100.7"
    assert (every[0].address, every[0].pool, every[0].interface) == (
        "192.0.2.1", "öffentlich", "eth1",
    )
    assert tx.floating_ips.pools() == ["other", "öffentlich"]
    assert tx.floating_ips.every(host="nowhere") == []


@pytest.mark.parametrize("bad", ["192.0.2.0/31", "192.0.2.0/33", "pool", "", "10.0.0.0/8"])
def test_a_bad_range_is_refused(tx: Transaction, bad: str) -> None:
    with pytest.raises(InvalidInput, match="ip_range"):
        floating.create_range(tx, bad, "pool")
    with pytest.raises(InvalidInput, match="ip_range"):
        floating.delete_range(tx, bad)


def test_an_address_exists_once(tx: Transaction) -> None:
    floating.create_range(tx, "192.0.2.2", "pool")
    with pytest.raises(Conflict, match=r"192\.0\.2\.2"):
        floating.create_range(tx, "192.0.2.0/29", "pool")
    assert len(tx.floating_ips.every()) == 1


def test_a_pool_gives_until_it_is_empty(tx: Transaction) -> None:
    floating.create_range(tx, "192.0.2.1", "pool")
    first = tx.floating_ips.allocate("p", "pool")
    assert (first.address, first.project_id, first.instance_uuid) == ("192.0.2.1", "p", None)
    with pytest.raises(NotFound, match="Zero floating ips"):
        tx.floating_ips.allocate("p", "pool")
    with pytest.raises(NotFound, match="pool not found"):
        tx.floating_ips.allocate("p", "nonsense")
    assert tx.floating_ips.count_of("p") == 1
    with pytest.raises(Forbidden):
        floating.release(tx, "q", first)
    floating.release(tx, "p", first)
    assert tx.floating_ips.of_project("p") == []
    assert tx.floating_ips.allocate("q", "pool").address == "192.0.2.1"


def test_an_address_leads_to_a_server_and_away_again(tx: Transaction) -> None:
    floating.create_range(tx, "192.0.2.1", "pool")
    tx.floating_ips.allocate("p", "pool")
    change = floating.associate(tx, "p", "192.0.2.1", "i", "node1", "10.0.0.1")
    led = change.floating_ip
    assert (led.fixed_address, led.instance_uuid, led.host) == ("10.0.0.1", "i", "node1")
    assert change.instances == ("i",)
    assert tx.floating_ips.hosts() == {"node1"}
    moved = floating.associate(tx, "p", "192.0.2.1", "j", "node2")
    assert moved.instances == ("i", "j")
    assert tx.floating_ips.of_project("p")[0].fixed_address == "10.0.0.2"
    with pytest.raises(Conflict, match="associated"):
        floating.delete_range(tx, "192.0.2.1")
    with pytest.raises(BadRequest, match="not associated"):
        floating.disassociate(tx, "p", "192.0.2.1", "i")
    assert floating.disassociate(tx, "p", "192.0.2.1").instances == ("j",)
    with pytest.raises(BadRequest, match="not associated"):
        floating.disassociate(tx, "p", "192.0.2.1")
    assert dict(floating.delete_range(tx, "192.0.2.0/29")) == {"p": 1}


def test_only_the_holder_leads_an_address_and_only_to_what_is_there(tx: Transaction) -> None:
    floating.create_range(tx, "192.0.2.1", "pool")
    held = tx.floating_ips.allocate("p", "pool")
    for call in (
        lambda: floating.associate(tx, "q", "192.0.2.1", "i", None),
        lambda: floating.disassociate(tx, "q", "192.0.2.1"),
        lambda: floating.associate(tx, "p", "192.0.2.9", "i", None),
        lambda: floating.get_owned(tx, "q", held.id),
        lambda: floating.get_owned(tx, "p", "nonsense"),
    ):
        with pytest.raises(NotFound):
            call()
    assert floating.get_owned(tx, "p", str(held.id)) == held
    with pytest.raises(BadRequest, match="No fixed ips"):
        floating.associate(tx, "p", "192.0.2.1", "nobody", None)
    with pytest.raises(BadRequest, match=r"10\.0\.0\.2"):
        floating.associate(tx, "p", "192.0.2.1", "i", None, "10.0.0.2")


def test_an_automatic_address_returns_to_its_pool_with_the_server(tx: Transaction) -> None:
    floating.create_range(tx, "192.0.2.0/29", "pool")
    fixed = tx.fixed_ips.of_instances(["i"])[0]
    tx.floating_ips.assign_automatically("pool", "p", fixed.id, "node1")
    manual = tx.floating_ips.allocate("p", "pool")
    floating.associate(tx, "p", manual.address, "i", "node1")
    automatic = tx.floating_ips.get_by_address("192.0.2.1")
    assert tx.floating_ips.count_of("p") == 1
    with pytest.raises(Forbidden):
        floating.release(tx, "p", automatic)
    with pytest.raises(Forbidden):
        floating.disassociate(tx, "p", automatic.address)
    for _ in range(2):
        tx.floating_ips.disassociate_instances(["i"])
    assert [each.address for each in tx.floating_ips.of_project("p")] == [manual.address]
    assert tx.floating_ips.get(automatic.id).project_id is None
    assert tx.floating_ips.get(manual.id).fixed_ip_id is None
