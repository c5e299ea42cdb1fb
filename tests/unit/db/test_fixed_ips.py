# SPDX-License-Identifier: Apache-2.0
"""Fixed addresses in the database: reservations, probes, virtual IPs, hosts' own addresses."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.errors import AddressInUse, Conflict, NotFound
from nova.objects.network import Network, PlannedAddress, PlannedNetwork
from tests.databases import new_database

MAC = "52:54:00:00:00:01"
NOON = datetime.datetime(2026, 1, 1, 12)


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Transaction]:
    database = new_database(tmp_path)
    with database.write() as transaction:
        yield transaction
    database.dispose()


@pytest.fixture
def network(tx: Transaction) -> Network:
    roles = {0: "network", 1: "gateway", 12: "vip", 13: "vip", 14: "vip", 15: "broadcast"}
    return tx.networks.create(
        PlannedNetwork(
            Network(0, str(uuid.uuid4()), "net", cidr="10.0.0.0/28"),
            tuple(PlannedAddress(f"10.0.0.{n}", roles.get(n)) for n in range(16)),
        )
    )


def free(tx: Transaction, network: Network) -> list[str]:
    return [address for _, address in tx.fixed_ips.next_free(network.id, 99)]


def test_only_free_addresses_go_out(tx: Transaction, network: Network) -> None:
    assert free(tx, network) == [f"10.0.0.{n}" for n in range(2, 12)]
    tx.fixed_ips.reserve("10.0.0.2")
    tx.fixed_ips.assign([(tx.fixed_ips.get("10.0.0.3").id, "i", "v")])
    tx.probes.record({tx.fixed_ips.get("10.0.0.4").id: MAC}, NOON)
    assert free(tx, network)[0] == "10.0.0.5"


def test_a_reserved_address_in_use_stays_with_its_server_and_then_out_of_the_pool(
    tx: Transaction, network: Network
) -> None:
    tx.fixed_ips.assign([(tx.fixed_ips.get("10.0.0.2").id, "i", "v")])
    reserved = tx.fixed_ips.reserve("10.0.0.2")
    assert (reserved.reserved, reserved.role, reserved.instance_uuid) == (True, "admin", "i")
    tx.fixed_ips.release_instances(["i"])
    assert "10.0.0.2" not in free(tx, network)
    assert tx.fixed_ips.unreserve("10.0.0.2").role is None
    assert free(tx, network)[-1] == "10.0.0.2"


def test_what_the_network_needs_is_never_unreserved(tx: Transaction, network: Network) -> None:
    for last in (0, 1, 15):
        with pytest.raises(Conflict):
            tx.fixed_ips.unreserve(f"10.0.0.{last}")
    tx.fixed_ips.claim_vip(network.id, "p", "web")
    with pytest.raises(Conflict, match="project p"):
        tx.fixed_ips.unreserve("10.0.0.12")
    assert not tx.fixed_ips.unreserve("10.0.0.13").reserved
    for call in (tx.fixed_ips.get, tx.fixed_ips.detail, tx.fixed_ips.reserve):
        with pytest.raises(NotFound, match=r"192\.0\.2\.1"):
            call("192.0.2.1")


def test_what_answers_is_remembered_and_silence_takes_the_mark_away(
    tx: Transaction, network: Network
) -> None:
    row = tx.fixed_ips.get("10.0.0.3").id
    tx.probes.record({row: MAC.upper()}, NOON)
    marked = tx.fixed_ips.get("10.0.0.3")
    assert (marked.used_elsewhere, marked.seen_mac, marked.seen_at) == (True, MAC, NOON)
    later = NOON + datetime.timedelta(hours=1)
    tx.probes.record({row: None}, later)
    cleared = tx.fixed_ips.get("10.0.0.3")
    assert (cleared.used_elsewhere, cleared.seen_mac, cleared.probed_at) == (False, MAC, later)


def test_the_next_address_is_taken_by_one_statement_if_it_was_probed(
    tx: Transaction, network: Network
) -> None:
    assert tx.fixed_ips.take_next(network.id, "i", "v") == "10.0.0.2"
    taken = tx.fixed_ips.get("10.0.0.2")
    assert (taken.instance_uuid, taken.virtual_interface_uuid, taken.allocated) == ("i", "v", True)
    assert taken.position == 2
    assert tx.fixed_ips.take_next(network.id, "i", "v", NOON) is None, "nobody looked for it"
    following = tx.probes.next_free(network.id, 2)
    assert [each.address for each in following] == ["10.0.0.3", "10.0.0.4"]
    tx.probes.record({following[0].id: None}, NOON)
    assert tx.fixed_ips.take_next(network.id, "i", "v", NOON + datetime.timedelta(seconds=1)) is None
    assert tx.fixed_ips.take_next(network.id, "i", "v", NOON) == "10.0.0.3"
    for number in range(4, 12):
        assert tx.fixed_ips.take_next(network.id, "i", "v") == f"10.0.0.{number}"
    assert tx.fixed_ips.take_next(network.id, "i", "v") is None


def test_an_address_with_a_lease_is_held_back_for_its_time(tx: Transaction, network: Network) -> None:
    for leased in (False, True):
        address = tx.fixed_ips.take_next(network.id, "i", "v")
        assert address is not None
        tx.fixed_ips.set_leased(address, leased)
    tx.fixed_ips.release_instances(["i"], datetime.timedelta(hours=1))
    assert "10.0.0.2" in free(tx, network), "it had no lease"
    assert "10.0.0.3" not in free(tx, network)
    held = tx.fixed_ips.get("10.0.0.3")
    assert (held.allocated, held.leased, held.is_free(now())) == (False, False, False)
    assert held.is_free(now() + datetime.timedelta(hours=1))
    assert "10.0.0.3" not in {each.address for each in tx.probes.next_free(network.id, 99)}
    tx.fixed_ips.assign([(tx.fixed_ips.get("10.0.0.4").id, "j", "w")])
    tx.fixed_ips.set_leased("10.0.0.4", True)
    assert tx.fixed_ips.release_address("j", "10.0.0.4")
    assert free(tx, network)[-1] == "10.0.0.4", "without a time to hold it is free at once"


def test_virtual_ips_are_claimed_once_and_come_back(tx: Transaction, network: Network) -> None:
    first = tx.fixed_ips.claim_vip(network.id, "p", "web")
    assert first is not None
    assert (first.address, first.vip_project_id, first.vip_name) == ("10.0.0.12", "p", "web")
    with pytest.raises(AddressInUse):
        tx.fixed_ips.claim_vip(network.id, "q", "db", "10.0.0.12")
    with pytest.raises(NotFound):
        tx.fixed_ips.claim_vip(network.id, "q", "db", "10.0.0.5")
    assert tx.fixed_ips.claim_vip(network.id, "q", "db", "10.0.0.14") is not None
    assert tx.fixed_ips.claim_vip(network.id, "q", "db") is not None
    assert tx.fixed_ips.claim_vip(network.id, "q", "db") is None
    assert [each.address for each in tx.fixed_ips.vips(project_id="q")] == [
        "10.0.0.13", "10.0.0.14",
    ]
    with pytest.raises(NotFound):
        tx.fixed_ips.release_vip("10.0.0.12", "q")
    tx.fixed_ips.release_vip("10.0.0.12", "p")
    assert tx.fixed_ips.vips(network.id)[0].vip_project_id is None
    assert "10.0.0.12" not in free(tx, network)


def test_a_host_keeps_its_own_address(tx: Transaction, network: Network) -> None:
    mine = tx.fixed_ips.take_for_host(network.id, "net1")
    assert mine is not None
    assert (mine.address, mine.role, mine.host) == ("10.0.0.2", "dhcp", "net1")
    assert tx.fixed_ips.take_for_host(network.id, "net1") == mine
    other = tx.fixed_ips.take_for_host(network.id, "net2")
    assert other is not None
    assert other.address == "10.0.0.3"
    with pytest.raises(Conflict):
        tx.fixed_ips.unreserve("10.0.0.2")
    for number in range(8):
        assert tx.fixed_ips.take_for_host(network.id, f"more{number}") is not None
    assert tx.fixed_ips.take_for_host(network.id, "one too many") is None


def test_details_join_the_range_and_only_the_servers_that_hold_an_address(
    tx: Transaction, network: Network
) -> None:
    detail = tx.fixed_ips.detail("10.0.0.5")
    assert (detail.cidr, detail.hostname, detail.instance_host) == ("10.0.0.0/28", None, None)
    assert len(tx.fixed_ips.details(network_id=network.id)) == 16
    assert tx.fixed_ips.details(host="node1") == []
    assert tx.fixed_ips.set_leased("10.0.0.5", True).leased


def test_a_card_goes_with_its_last_address(tx: Transaction, network: Network) -> None:
    tx.fixed_ips.add_interfaces([("v", "fa:16:3e:00:00:01", network.id, "i", "tag", "p")])
    rows = tx.fixed_ips.next_free(network.id, 2)
    tx.fixed_ips.assign([(row, "i", "v") for row, _ in rows])
    assert [each.address for each in tx.fixed_ips.interfaces_of(["i"])] == ["10.0.0.2", "10.0.0.3"]
    assert tx.fixed_ips.release_address("i", "10.0.0.2")
    assert not tx.fixed_ips.release_address("i", "10.0.0.2")
    (card,) = tx.fixed_ips.virtual_interfaces_of("i")
    assert (card.uuid, card.tag) == ("v", "tag")
    assert tx.fixed_ips.release_address("i", "10.0.0.3")
    assert tx.fixed_ips.virtual_interfaces_of("i") == []
