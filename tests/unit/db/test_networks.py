# SPDX-License-Identifier: Apache-2.0
"""Networks in the database."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nova.db.engine import Database
from nova.db.schema import network as tables
from nova.errors import Conflict, NetworkNotFound
from nova.objects import network as objects
from nova.objects.network import Network, PlannedAddress, PlannedNetwork
from tests.databases import new_database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.dispose()


def planned(label: str = "net", third: int = 0, size: int = 16, **values: Any) -> PlannedNetwork:
    addresses = [
        PlannedAddress(f"10.{third}.{number >> 8}.{number & 255}") for number in range(size)
    ]
    addresses[0] = PlannedAddress(addresses[0].address, "network")
    addresses[-2] = PlannedAddress(addresses[-2].address, "vip")
    network = Network(0, str(uuid.uuid4()), label, cidr=f"10.{third}.0.0/28", **values)
    return PlannedNetwork(network, tuple(addresses))


@pytest.mark.parametrize(
    ("record", "table"),
    [
        (objects.Network, tables.networks),
        (objects.FixedIP, tables.fixed_ips),
        (objects.VirtualInterface, tables.virtual_interfaces),
        (objects.FloatingIP, tables.floating_ips),
        (objects.SecurityGroup, tables.security_groups),
        (objects.SecurityGroupRule, tables.security_group_rules),
        (objects.DefaultRule, tables.security_group_default_rules),
    ],
)
def test_fields_are_in_the_order_of_the_columns(record: Any, table: Any) -> None:
    columns = [column.name for column in table.columns]
    assert list(record.__struct_fields__[: len(columns)]) == columns


def test_a_stored_network_reads_back_as_it_was_planned(db: Database) -> None:
    plan = planned("netz-ü", project_id="p", vlan=7, bridge="br7", mtu=1400, priority=3)
    with db.write() as tx:
        made = tx.networks.create(plan)
    with db.read() as tx:
        assert tx.networks.get(plan.network.uuid) == made
        assert tx.networks.get_by_id(made.id) == made
        assert tx.networks.get_by_label("netz-ü") == made
        assert tx.networks.get_by_cidr("10.0.0.0/28") == made
        addresses = tx.fixed_ips.of_network(made.id)
    assert made.label == "netz-ü"
    assert made.created_at is not None
    assert [each.address for each in addresses] == [each.address for each in plan.addresses]
    assert [each.position for each in addresses] == list(range(16))
    assert [each.role for each in addresses if each.reserved] == ["network", "vip"]


def test_the_addresses_of_a_large_network_are_stored_quickly(db: Database) -> None:
    plan = planned(size=4096)
    start = time.perf_counter()
    with db.write() as tx:
        tx.networks.create(plan)
    # Measured at a good half of 100 ms; one statement an address would take seconds on a quiet machine.
    assert time.perf_counter() - start < 10


def test_unknown_and_ambiguous_names_are_refused(db: Database) -> None:
    with db.write() as tx:
        tx.networks.create(planned("twin", 0))
        tx.networks.create(planned("twin", 1))
        for call, argument in (
            (tx.networks.get, "x"), (tx.networks.get_by_id, 9), (tx.networks.get_by_label, "x"),
            (tx.networks.get_by_cidr, "10.9.0.0/28"),
        ):
            with pytest.raises(NetworkNotFound):
                call(argument)  # type: ignore[operator]
        with pytest.raises(NetworkNotFound):
            tx.networks.set_host("x", "host")
        with pytest.raises(Conflict, match="twin"):
            tx.networks.get_by_label("twin")
        assert tx.networks.find("x") is None


def test_a_uuid_is_used_once(db: Database) -> None:
    plan = planned()
    with db.write() as tx:
        tx.networks.create(plan)
    with pytest.raises(Conflict, match=plan.network.uuid), db.write() as tx:
        tx.networks.create(plan)
    with db.read() as tx:
        assert len(tx.networks.every()) == 1


def test_a_project_sees_its_own_networks_and_those_of_nobody_by_priority(db: Database) -> None:
    with db.write() as tx:
        for index, (label, values) in enumerate(
            [
                ("mine", {"project_id": "p"}), ("foreign", {"project_id": "q"}),
                ("nobody", {}), ("first", {"project_id": "p", "priority": 1}),
            ]
        ):
            tx.networks.create(planned(label, index, **values))
    with db.read() as tx:
        assert [each.label for each in tx.networks.visible_to("p")] == ["first", "mine", "nobody"]
        assert [each.label for each in tx.networks.owned_by("p")] == ["first", "mine"]
        assert tx.networks.count_owned_by("p") == 2
        assert len(tx.networks.every()) == 4


def test_a_network_belongs_to_the_first_project_that_claims_it(db: Database) -> None:
    with db.write() as tx:
        network = tx.networks.create(planned())
        assert tx.networks.claim_unowned(network.id, "p")
        assert not tx.networks.claim_unowned(network.id, "q")
        assert tx.networks.get(network.uuid).project_id == "p"
        assert tx.networks.set_project(network.uuid, None).project_id is None
        changed = tx.networks.set_host(network.uuid, "net1")
        assert (changed.host, changed.updated_at is not None) == ("net1", True)


def test_a_network_in_use_is_not_deleted(db: Database) -> None:
    with db.write() as tx:
        network = tx.networks.create(planned(project_id="p"))
        with pytest.raises(Conflict, match="project p"):
            tx.networks.delete(network.uuid)
        tx.fixed_ips.claim_vip(network.id, "p", "web")
        with pytest.raises(Conflict, match="still in use"):
            tx.networks.delete(network.uuid, require_disassociated=False)
        tx.fixed_ips.release_vip("10.0.0.14")
        tx.fixed_ips.add_interfaces([("v", "fa:16:3e:00:00:01", network.id, "i", None, "p")])
        tx.fixed_ips.assign([(tx.fixed_ips.next_free(network.id, 1)[0][0], "i", "v")])
        with pytest.raises(Conflict, match=r"10\.0\.0\.1"):
            tx.networks.delete(network.uuid, require_disassociated=False)
        tx.fixed_ips.release_instances(["i"])
        tx.networks.delete(network.uuid, require_disassociated=False)
        assert tx.networks.every() == []
        assert tx.fixed_ips.of_network(network.id) == []
        with pytest.raises(NetworkNotFound):
            tx.networks.delete(network.uuid)


def test_usage_counts_every_address_once(db: Database) -> None:
    with db.write() as tx:
        network = tx.networks.create(planned())
        tx.fixed_ips.claim_vip(network.id, "p", "web")
        tx.fixed_ips.assign([(tx.fixed_ips.next_free(network.id, 1)[0][0], "i", "v")])
        tx.fixed_ips.reserve("10.0.0.1")
        found = tx.fixed_ips.get("10.0.0.2").id
        tx.probes.record({found: "52:54:00:00:00:01"}, network.created_at)
        usage = tx.networks.usage()[network.id]
        assert tx.networks.usage([network.id + 1]) == {}
    assert (usage.total, usage.allocated, usage.reserved) == (16, 1, 2)
    assert (usage.vips, usage.vips_claimed, usage.used_elsewhere) == (1, 1, 1)
    assert usage.free == 12
