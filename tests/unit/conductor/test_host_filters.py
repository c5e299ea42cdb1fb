# SPDX-License-Identifier: Apache-2.0
"""What a host learns of its filters and floating addresses, and which hosts are told when they change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import event

from nova.errors import InvalidInput
from nova.network import floating
from nova.network.filter_refreshes import group_changed
from nova.network.vips import claim_vip, release_vip
from nova.objects.host_filters import FilterRule, HostFilters
from nova.objects.instance import Instance
from nova.rpc.calls import NETWORK
from nova.virt.libvirt.vif import tap_name
from tests.unit.compute.small_cloud import USER, SmallCloud
from tests.waiting import until

Make = Callable[..., SmallCloud]


class Hears:
    """Stands for the network service of one host."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def refresh(self, kind: str, ids: Sequence[str]) -> None:
        self.kinds.append(kind)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[SmallCloud] = []

    def one(**options: Any) -> SmallCloud:
        defaults = {"fake_network": False, "network_hosts": ["net-node"]}
        made.append(SmallCloud(tmp_path, **{**defaults, **options}))
        return made[-1]

    yield one
    for cloud in made:
        cloud.stop()


def filters(cloud: SmallCloud, host: str | None) -> HostFilters:
    assert host is not None
    found = cloud.control.conductor.host_filters(host)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=HostFilters) == found
    return found


def listen(cloud: SmallCloud) -> dict[str, Hears]:
    heard = {name: Hears() for name in (*cloud.managers, "net-node")}
    for name, each in heard.items():
        cloud.transport.serve(NETWORK, name, each)
        cloud.control.conductor.network_report(name)
    return heard


def default_group(cloud: SmallCloud) -> int:
    with cloud.db.read() as tx:
        return tx.security_groups.ids_of("p", ["default"])["default"]


def add_rule(cloud: SmallCloud, group: int, **values: Any) -> None:
    """As the APIs do it."""
    facts: dict[str, Any] = {
        "protocol": None, "from_port": None, "to_port": None, "cidr": None, "source_group_id": None,
    }
    with cloud.db.write() as tx:
        tx.security_groups.add_rule(group, **{**facts, **values})
        group_changed(cloud.control.networks.refreshes, tx, group)


def spread(cloud: SmallCloud) -> tuple[Instance, Instance]:
    """Two servers on two hosts."""
    servers = [cloud.boot() for _ in range(4)]
    first = servers[0]
    return first, next(each for each in servers if each.host != first.host)


def test_a_host_is_told_of_its_own_guests_only(make: Make) -> None:
    cloud = make(allow_same_net_traffic=False)
    server, elsewhere = spread(cloud)
    group = default_group(cloud)
    add_rule(cloud, group, protocol="tcp", from_port=22, to_port=22, cidr="0.0.0.0/0")
    add_rule(cloud, group, direction="egress", protocol="tcp", cidr="10.9.0.0/16")
    found = filters(cloud, server.host)
    devices = {port.device for port in found.ports}
    assert tap_name(server.network_info[0]) in devices
    assert tap_name(elsewhere.network_info[0]) not in devices
    assert {port.groups for port in found.ports} == {(group,)}
    assert {port.dhcp for port in found.ports} == {("10.0.0.1",)}
    assert {port.neighbours for port in found.ports} == {()}
    assert [(each.id, each.rules) for each in found.groups] == [
        (group, (FilterRule(protocol="tcp", first=22, last=22, cidr="0.0.0.0/0"),))
    ]
    assert [(each.cidr, each.protocol) for each in found.groups[0].leaving] == [
        ("0.0.0.0/0", None), ("::/0", None), ("10.9.0.0/16", "tcp")
    ]
    assert found.members == ()
    assert filters(cloud, "nobody") == HostFilters()


def test_neighbours_may_come_in_as_kilo_has_it(make: Make) -> None:
    cloud = make()
    server = cloud.boot()
    (port,) = filters(cloud, server.host).ports
    assert port.neighbours == ("10.0.0.0/22",)


def test_members_of_a_named_group_are_told_wherever_they_are(make: Make) -> None:
    cloud = make()
    server, elsewhere = spread(cloud)
    group = default_group(cloud)
    add_rule(cloud, group, source_group_id=group)
    (members,) = filters(cloud, server.host).members
    assert {each.network_info[0].addresses[0].address for each in (server, elsewhere)} <= set(
        members.addresses
    )
    with cloud.db.write() as tx:
        facts = {"allowed_address_pairs": [
            {"ip_address": "10.0.3.99"}, {"ip_address": "10.9.0.0/16"},
        ]}
        tx.ports.update(elsewhere.network_info[0].id, {"facts": facts})
    (members,) = filters(cloud, server.host).members
    assert "10.0.3.99" in members.addresses, "an address that a port may take on is its own"


def test_a_virtual_ip_that_is_meant_for_a_member_is_a_members(make: Make) -> None:
    cloud = make()
    server, elsewhere = spread(cloud)
    heard = listen(cloud)
    add_rule(cloud, group := default_group(cloud), source_group_id=group)
    refreshes = cloud.control.networks.refreshes
    assert refreshes is not None
    refreshes._known = None
    for each in heard.values():
        each.kinds.clear()
    with cloud.db.write() as tx:
        (network,) = tx.networks.every()
        vip = claim_vip(tx, "p", "wëb", network, None, [elsewhere.uuid], refreshes)
        with pytest.raises(InvalidInput, match="instances"):
            claim_vip(tx, "p", "db", network, None, ["not-there"], refreshes)
        assert tx.virtual_ips.servers_of([vip.id]) == {vip.id: [elsewhere.uuid]}
    until(lambda: "filters" in heard[server.host or ""].kinds)
    (members,) = filters(cloud, server.host).members
    assert vip.address in members.addresses
    cloud.operations.delete(USER, elsewhere)
    cloud.settle()
    with cloud.db.write() as tx:
        assert tx.virtual_ips.servers_of([vip.id]) == {}
        release_vip(tx, vip.address, refreshes=refreshes)
    (members,) = filters(cloud, server.host).members
    assert vip.address not in members.addresses


def test_members_that_a_rule_lets_traffic_out_to_are_told_as_well(make: Make) -> None:
    cloud = make()
    server, elsewhere = spread(cloud)
    group = default_group(cloud)
    assert filters(cloud, server.host).members == ()
    add_rule(cloud, group, direction="egress", source_group_id=group)
    (members,) = filters(cloud, server.host).members
    assert elsewhere.network_info[0].addresses[0].address in members.addresses
    with cloud.db.read() as tx:
        assert tx.host_filters.hosts_naming_groups([group]) >= {server.host, elsewhere.host}


def test_a_port_without_security_is_not_filtered(make: Make) -> None:
    cloud = make()
    server = cloud.boot()
    with cloud.db.write() as tx:
        tx.ports.update(server.network_info[0].id, {"facts": {"port_security_enabled": False}})
    assert filters(cloud, server.host).ports == ()


def test_a_fixed_number_of_statements_whatever_the_guests(make: Make) -> None:
    cloud = make()
    cloud.ask(count=9)
    cloud.settle()
    group = default_group(cloud)
    add_rule(cloud, group, source_group_id=group)
    statements: list[str] = []
    event.listen(
        cloud.db.engine, "before_cursor_execute",
        lambda _c, _cursor, statement, *_more: statements.append(statement),
    )
    for host in cloud.managers:
        statements.clear()
        assert filters(cloud, host).ports
        assert len(statements) <= 7


@pytest.mark.parametrize("multi_host", [True, False])
def test_a_floating_address_is_where_its_network_leaves(make: Make, multi_host: bool) -> None:
    cloud = make(multi_host=multi_host)
    heard = listen(cloud)
    server, _other = spread(cloud)
    cloud.control.conductor.network_state("net-node", None)
    for each in heard.values():
        each.kinds.clear()
    with cloud.db.write() as tx:
        floating.create_range(tx, "203.0.113.5", "nova", "eth7")
        taken = tx.floating_ips.allocate("p", "nova")
        change = floating.associate(tx, "p", taken.address, server.uuid, server.host)
        cloud.operations.refresh_addresses(tx, change.instances)
    bearer = str(server.host) if multi_host else "net-node"
    (carried,) = filters(cloud, bearer).floating
    assert (carried.address, carried.fixed_address, carried.interface) == (
        "203.0.113.5", server.network_info[0].addresses[0].address, "eth7"
    )
    until(lambda: "filters" in heard[bearer].kinds)
    others = [name for name in heard if name not in (bearer, server.host)]
    assert all(filters(cloud, name).floating == () for name in others)
    assert all(heard[name].kinds == [] for name in others)
    with cloud.db.write() as tx:
        change = floating.disassociate(tx, "p", taken.address)
        heard[bearer].kinds.clear()
        cloud.operations.refresh_addresses(tx, change.instances)
    assert filters(cloud, bearer).floating == ()
    until(lambda: "filters" in heard[bearer].kinds)


def test_a_rule_is_told_to_the_hosts_with_a_member(make: Make) -> None:
    cloud = make()
    heard = listen(cloud)
    server = cloud.boot()
    for each in heard.values():
        each.kinds.clear()
    add_rule(cloud, default_group(cloud), protocol="tcp", from_port=22, to_port=22, cidr="0.0.0.0/0")
    until(lambda: heard[server.host or ""].kinds == ["filters"])
    assert all(each.kinds == [] for name, each in heard.items() if name != server.host)


def test_who_comes_and_goes_is_told_to_the_hosts_that_let_its_group_in(make: Make) -> None:
    cloud = make()
    heard = listen(cloud)
    server = cloud.boot()
    assert server.host is not None
    group = default_group(cloud)
    mine = heard[server.host].kinds
    mine.clear()
    newcomer = cloud.boot()
    while newcomer.host == server.host:
        newcomer = cloud.boot()
    assert mine.count("filters") == 0, "nobody here lets members in by a rule"
    add_rule(cloud, group, source_group_id=group)
    until(lambda: mine == ["filters"])
    mine.clear()
    cloud.operations.delete(USER, newcomer)
    cloud.settle()
    until(lambda: "filters" in mine)
    mine.clear()
    cloud.boot()
    until(lambda: "filters" in mine)


def test_joining_and_leaving_a_group_is_told(make: Make) -> None:
    cloud = make()
    heard = listen(cloud)
    server, elsewhere = spread(cloud)
    with cloud.db.write() as tx:
        web = tx.security_groups.create("p", "u", "web", "").id
    add_rule(cloud, default_group(cloud), source_group_id=web)
    for each in heard.values():
        each.kinds.clear()
    time.sleep(0.05)
    for each in heard.values():
        each.kinds.clear()
    cloud.operations.add_security_group(USER, elsewhere, "web")
    until(lambda: heard[server.host or ""].kinds and heard[elsewhere.host or ""].kinds)
    (members,) = [each for each in filters(cloud, server.host).members if each.id == web]
    assert members.addresses == (elsewhere.network_info[0].addresses[0].address,)
    for each in heard.values():
        each.kinds.clear()
    cloud.operations.remove_security_group(USER, cloud.show(elsewhere.uuid), "web")
    until(lambda: heard[server.host or ""].kinds and heard[elsewhere.host or ""].kinds)
    (members,) = [each for each in filters(cloud, server.host).members if each.id == web]
    assert members.addresses == ()


def test_a_floating_address_moves_with_its_guest(make: Make) -> None:
    cloud = make(multi_host=True)
    heard = listen(cloud)
    server = cloud.boot()
    with cloud.db.write() as tx:
        floating.create_range(tx, "203.0.113.5", "nova", None)
        taken = tx.floating_ips.allocate("p", "nova")
        floating.associate(tx, "p", taken.address, server.uuid, server.host)
    for each in heard.values():
        each.kinds.clear()
    cloud.operations.live_migrate(USER, server, host=None)
    cloud.settle()
    now = cloud.show(server.uuid)
    assert now.host != server.host
    assert filters(cloud, server.host).floating == ()
    assert [each.address for each in filters(cloud, now.host).floating] == ["203.0.113.5"]
    until(lambda: "filters" in heard[server.host or ""].kinds and "filters" in heard[now.host or ""].kinds)
