# SPDX-License-Identifier: Apache-2.0
"""What a host learns of its network, what it may not, and which hosts are told of changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import event

from nova.compute.host_network import HostNetworking
from nova.errors import NetworkNotReady, ServiceUnavailable
from nova.objects.dns import DnsDomain
from nova.objects.host_network import HostNetworkState, LeaseEvent
from nova.objects.instance import Instance, Vif
from nova.rpc.calls import NETWORK
from tests.unit.compute.small_cloud import USER, SmallCloud
from tests.waiting import until

Make = Callable[..., SmallCloud]


class Hears:
    """Stands for the network service of one host."""

    def __init__(self) -> None:
        self.refreshed: list[tuple[str, list[str]]] = []
        self.prepared: list[list[str]] = []
        self.answer: Exception | None = None

    def refresh(self, kind: str, ids: Sequence[str]) -> None:
        self.refreshed.append((kind, list(ids)))

    def prepare(self, network_uuids: Sequence[str]) -> None:
        self.prepared.append(list(network_uuids))
        if self.answer is not None:
            raise self.answer


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[SmallCloud] = []

    def one(**options: Any) -> SmallCloud:
        options.setdefault("fake_network", False)
        options.setdefault("network_hosts", ["net-node", "second-node"])
        made.append(SmallCloud(tmp_path, **options))
        return made[-1]

    yield one
    for cloud in made:
        cloud.stop()


def _state(cloud: SmallCloud, host: str, uuids: Sequence[str] | None = None) -> HostNetworkState:
    state = cloud.control.conductor.network_state(host, uuids)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=HostNetworkState) == state
    return state


def test_a_network_of_one_host_goes_to_the_first_that_asks_and_others_only_bridge(make: Make) -> None:
    cloud = make()
    server = cloud.boot()
    vif = server.network_info[0]
    assert server.host is not None
    (served,) = _state(cloud, "net-node").networks
    assert served.serves
    assert served.host_address == served.gateway == "10.0.0.1"
    assert [(each.mac, each.address, each.hostname) for each in served.leases] == [
        (vif.mac, vif.addresses[0].address, server.hostname)
    ]
    (bridged,) = _state(cloud, server.host).networks
    assert (bridged.uuid, bridged.serves, bridged.host_address, bridged.leases) == (
        served.uuid, False, None, ()
    )
    elsewhere = next(name for name in cloud.managers if name != server.host)
    assert _state(cloud, elsewhere).networks == ()
    assert _state(cloud, elsewhere, [served.uuid]).networks == (), "naming it is no way to see it"


def test_each_host_of_a_multi_host_network_has_its_own_guests_and_its_own_address(make: Make) -> None:
    cloud = make(multi_host=True, update_dns_entries=True)
    servers = [cloud.boot() for _ in range(4)]
    hosts = {each.host for each in servers if each.host}
    assert len(hosts) > 1
    addresses = set()
    for host in hosts:
        (network,) = _state(cloud, host).networks
        assert network == _state(cloud, host).networks[0], "asking twice takes nothing more"
        assert network.serves
        assert network.gateway == network.host_address != "10.0.0.1"
        addresses.add(network.host_address)
        mine = {each.network_info[0].addresses[0].address for each in servers if each.host == host}
        assert {each.address for each in network.leases} == mine
        assert {address for address, _name in network.neighbours} >= mine
        assert len(network.neighbours) == 4
    assert len(addresses) == len(hosts)


def test_a_host_that_takes_a_bridge_down_gives_its_own_address_back(make: Make) -> None:
    cloud = make(multi_host=True, teardown_unused_network_gateway=True)
    servers = [cloud.boot() for _ in range(4)]
    leaving = servers[0].host
    assert leaving is not None
    for host in {each.host for each in servers if each.host}:
        (network,) = _state(cloud, host).networks
        if host == leaving:
            address = network.host_address
    for each in servers:
        if each.host == leaving:
            cloud.operations.delete(USER, each)
    cloud.settle()
    with cloud.db.read() as tx:
        assert tx.fixed_ips.get(address or "").role == "dhcp", "the bridge is there still"
    assert _state(cloud, leaving).networks == ()
    with cloud.db.read() as tx:
        found = tx.fixed_ips.get(address or "")
        assert (found.host, found.reserved, found.role) == (None, False, None)
        assert len(tx.fixed_ips.addresses_of_host(servers[1].host or "")) <= 1


def test_hosts_that_share_the_dhcp_address_are_all_the_gateway(make: Make) -> None:
    cloud = make(multi_host=True, share_dhcp_address=True)
    server = cloud.boot()
    assert server.host is not None
    (network,) = _state(cloud, server.host).networks
    assert network.host_address == network.gateway == "10.0.0.1"
    assert network.share_address


def test_under_the_flat_manager_a_host_only_bridges(make: Make) -> None:
    cloud = make(network_manager="nova.network.manager.FlatManager")
    server = cloud.boot()
    assert server.host is not None
    for host in (server.host, "net-node"):
        assert not any(each.serves for each in _state(cloud, host).networks)


def test_leases_are_recorded_for_the_hosts_own_guests_only(make: Make) -> None:
    cloud = make(multi_host=True)
    server = cloud.boot()
    vif = server.network_info[0]
    address = vif.addresses[0].address
    assert server.host is not None
    other = next(name for name in cloud.managers if name != server.host)

    def leased() -> bool:
        with cloud.db.read() as tx:
            return tx.fixed_ips.get(address).leased

    conductor = cloud.control.conductor
    assert not conductor.lease_changed(other, LeaseEvent("add", vif.mac, address))
    assert not conductor.lease_changed(server.host, LeaseEvent("add", "fa:16:3e:00:00:00", address))
    assert not leased()
    assert conductor.lease_changed(server.host, LeaseEvent("add", vif.mac.upper(), address))
    assert leased()
    assert conductor.lease_changed(server.host, LeaseEvent("del", vif.mac, address))
    assert not leased()


def test_a_host_that_is_no_network_host_comes_to_serve_nothing(make: Make) -> None:
    cloud = make()
    server = cloud.boot()
    assert server.host is not None
    assert _state(cloud, "elsewhere").networks == ()
    (bridged,) = _state(cloud, server.host).networks
    assert not bridged.serves
    assert bridged.leases == ()
    (served,) = _state(cloud, "second-node").networks
    assert served.serves


def test_a_change_is_told_to_the_hosts_that_it_concerns_and_to_no_others(make: Make) -> None:
    cloud = make()
    heard = {name: Hears() for name in (*cloud.managers, "net-node")}
    for name, each in heard.items():
        cloud.transport.serve(NETWORK, name, each)
        cloud.control.conductor.network_report(name)
    network = _state(cloud, "net-node").networks[0]
    server = cloud.boot()
    assert server.host is not None
    until(lambda: heard["net-node"].refreshed)
    assert heard["net-node"].refreshed[-1] == ("networks", [network.uuid]), "it serves the new guest"
    for each in heard.values():
        each.refreshed.clear()
    cloud.operations.delete(USER, server)
    cloud.settle()
    until(lambda: heard["net-node"].refreshed and heard[server.host or ""].refreshed)
    assert heard["net-node"].refreshed[0] == ("networks", [network.uuid])
    for name in cloud.managers:
        if name != server.host:
            assert heard[name].refreshed == []


def test_a_name_reaches_every_host_of_a_multi_host_network_at_once(make: Make) -> None:
    cloud = make(multi_host=True, update_dns_entries=True)
    servers = [cloud.boot() for _ in range(4)]
    heard = {name: Hears() for name in cloud.managers}
    for name, each in heard.items():
        cloud.transport.serve(NETWORK, name, each)
        cloud.control.conductor.network_report(name)
    cloud.control.networks.refreshes._known = None  # type: ignore[union-attr]
    hosts = {each.host for each in servers if each.host}
    assert len(hosts) > 1
    network = _state(cloud, servers[0].host or "").networks[0]
    told = ("networks", [network.uuid])

    def everybody_heard() -> bool:
        return all(told in heard[host].refreshed for host in hosts)

    def clear() -> None:
        for each in heard.values():
            each.refreshed.clear()

    late = cloud.boot()
    others = hosts - {late.host}
    until(lambda: all(told in heard[host].refreshed for host in others))
    clear()
    cloud.operations.update(USER, servers[0], {"hostname": "größe-anders"})
    until(everybody_heard)
    for host in hosts:
        (seen,) = _state(cloud, host).networks
        assert "größe-anders" in {name for _address, name in seen.neighbours}
    clear()
    cloud.operations.update(USER, servers[0], {"name": "only shown"})
    assert not any(each.refreshed for each in heard.values()), "DNS knows nothing of shown names"
    cloud.operations.delete(USER, late)
    cloud.settle()
    until(lambda: all(told in heard[host].refreshed for host in others))


def test_servers_get_names_in_the_domain_that_is_named_for_them_and_lose_them(make: Make) -> None:
    cloud = make(instance_dns_domain="Vms.Example.org", multi_host=True)
    first = cloud.boot()
    heard = {name: Hears() for name in cloud.managers}
    for name, each in heard.items():
        cloud.transport.serve(NETWORK, name, each)
        cloud.control.conductor.network_report(name)
    cloud.control.networks.refreshes._known = None  # type: ignore[union-attr]

    def address(server: Instance) -> str:
        return server.network_info[0].addresses[0].address

    def names() -> dict[str, str]:
        found = _state(cloud, "any-host").names
        assert found == cloud.control.conductor.host_names("any-host")
        assert _state(cloud, "any-host", []).names is None, "only whole looks ask for names"
        return {name: where for where, name in found or ()}

    def named(server: Instance, *own: str) -> dict[str, str]:
        return {f"{each}.vms.example.org": address(server) for each in (*own, server.uuid)}

    assert names() == named(first, first.hostname)
    second = cloud.boot()
    until(lambda: all(("names", []) in each.refreshed for each in heard.values()))
    # The name is the first's, if both have it.
    assert second.hostname == first.hostname
    assert names() == named(first, first.hostname) | named(second)
    cloud.operations.update(USER, second, {"hostname": "second"})
    assert names() == named(first, first.hostname) | named(second, "second")
    cloud.operations.delete(USER, first)
    cloud.settle()
    assert names() == named(second, "second")
    # Once the domain has a zone, servers elsewhere get no names; those that are there stay.
    with cloud.db.write() as tx:
        tx.dns.put_domain(DnsDomain("vms.example.org", "private", None, "somewhere"))
    third = cloud.boot()
    with cloud.db.read() as tx:
        assert {each[1] for each in tx.dns.answered()} == named(second, "second").keys()
        assert tx.aggregates.zones_of_hosts() == {}
    with cloud.db.write() as tx:
        tx.aggregates.add_host(tx.aggregates.create("a", "somewhere").id, third.host or "")
    cloud.operations.update(USER, third, {"hostname": "third"})
    assert cloud.control.conductor.host_names("any-host") == ()
    found = cloud.control.conductor.host_names(third.host or "")
    assert named(third, "third").items() <= {name: where for where, name in found}.items()


def test_no_statement_is_spent_on_names_where_nobody_asked_for_them(make: Make) -> None:
    cloud = make()
    asked: list[str] = []

    @event.listens_for(cloud.db.engine, "before_cursor_execute")
    def note(_c: object, _u: object, statement: str, *_rest: object) -> None:
        asked.append(statement)

    server = cloud.boot()
    cloud.operations.delete(USER, server)
    cloud.settle()
    assert asked
    assert not [each for each in asked if "dns_" in each]


def test_without_the_option_names_are_the_business_of_their_own_host(make: Make) -> None:
    cloud = make(multi_host=True)
    servers = [cloud.boot() for _ in range(4)]
    heard = {name: Hears() for name in cloud.managers}
    for name, each in heard.items():
        cloud.transport.serve(NETWORK, name, each)
        cloud.control.conductor.network_report(name)
    cloud.control.networks.refreshes._known = None  # type: ignore[union-attr]
    cloud.operations.update(USER, servers[0], {"hostname": "other"})
    until(lambda: heard[servers[0].host or ""].refreshed)
    assert {name for name, each in heard.items() if each.refreshed} == {servers[0].host}


def test_guests_wait_for_their_hosts_network(make: Make) -> None:
    cloud = make(network_driver="nova.network.linux_net", conductor__max_attempts=1)
    heard = {name: Hears() for name in cloud.managers}
    for name, each in heard.items():
        cloud.transport.serve(NETWORK, name, each)
    server = cloud.boot()
    assert server.vm_state == "active"
    assert heard[server.host or ""].prepared == [[server.network_info[0].network_id]]
    for each in heard.values():
        each.answer = NetworkNotReady("eth9 is not on this host.")
    failed = cloud.boot()
    assert failed.vm_state == "error"
    assert failed.fault is not None
    assert "eth9" in failed.fault.message


def test_a_guest_does_not_start_unfiltered_where_the_network_service_is_away() -> None:
    answers: list[Exception | None] = [ServiceUnavailable("starting")] * 3 + [None]

    def ask(_networks: Sequence[str]) -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    card = Vif(id="c", mac="fa:16:3e:00:00:01", network_id="n", label="net")
    HostNetworking("node7", ask).prepare([card])
    assert answers == [], "one that starts again is waited for"

    def nobody(_networks: Sequence[str]) -> None:
        raise ServiceUnavailable("Nobody serves network there.")

    with pytest.raises(NetworkNotReady, match="Start nova-network there"):
        HostNetworking("node7", nobody, patience=0.5).prepare([card])
    HostNetworking("node7", nobody, patience=0.5).prepare([])


def test_where_no_host_has_a_network_service_nothing_is_told(make: Make) -> None:
    cloud = make()
    heard = Hears()
    for name in cloud.managers:
        cloud.transport.serve(NETWORK, name, heard)
    server = cloud.boot()
    cloud.operations.delete(USER, server)
    cloud.settle()
    assert heard.refreshed == []
