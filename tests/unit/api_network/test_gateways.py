# SPDX-License-Identifier: Apache-2.0
"""The router of a subnet: what clients are shown, what guests are told, and whose the addresses are."""

from __future__ import annotations

from typing import Any

from nova.conductor.host_network import network_state
from nova.metadata.network_data import network_data
from nova.objects.host_network import HostNetwork
from nova.objects.instance import RequestedNetwork, Vif
from tests.unit.api_network.conftest import NetworkApi


def made(api: NetworkApi, **values: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    network = api.make("network", name="n")
    return network, api.make("subnet", network_id=network["id"], cidr="10.1.0.0/24", **values)


def on_host(api: NetworkApi) -> HostNetwork:
    """The network as its host is told."""
    (found,) = network_state(api.cloud.db, api.cloud.config.network, "h1").networks
    return found


def card(api: NetworkApi, network: str) -> Vif:
    _server, (vif,) = api.boot(RequestedNetwork(network_id=network))
    assert isinstance(vif, Vif)
    return vif


def routes(vif: Vif) -> list[dict[str, str]]:
    found: list[dict[str, str]] = network_data((vif,))["networks"][0]["routes"]
    return found


def test_a_subnet_without_a_router_is_told_as_one_everywhere(api: NetworkApi) -> None:
    network, subnet = made(api, gateway_ip=None, enable_dhcp=False)
    path = f"/subnets/{subnet['id']}"
    assert subnet["gateway_ip"] is None
    assert api.ok("GET", path)["gateway_ip"] is None
    assert subnet["allocation_pools"] == [{"start": "10.1.0.1", "end": "10.1.0.244"}]
    api.refused(409, "IpAddressAlreadyAllocated", "POST", "/ports", {"port": {
        "network_id": network["id"], "fixed_ips": [{"ip_address": "10.1.0.1"}]}})
    vif = card(api, network["id"])
    assert (vif.gateway, vif.dhcp_server) == (None, None)
    assert routes(vif) == []
    assert (on_host(api).gateway, on_host(api).host_address) == (None, "10.1.0.1")
    changed = api.ok("PUT", path, {"subnet": {"gateway_ip": "10.1.0.1", "enable_dhcp": True}})
    assert (changed["gateway_ip"], changed["enable_dhcp"]) == ("10.1.0.1", True)
    assert on_host(api).gateway == on_host(api).host_address == "10.1.0.1"
    assert api.ok("PUT", path, {"subnet": {"gateway_ip": None}})["gateway_ip"] is None
    assert on_host(api).gateway is None
    addresses = {card(api, network["id"]).addresses[0].address for _ in range(3)}
    assert "10.1.0.1" not in addresses


def test_a_free_address_becomes_the_hosts_and_is_handed_to_nobody(api: NetworkApi) -> None:
    network, subnet = made(api)
    path = f"/subnets/{subnet['id']}"
    changed = api.ok("PUT", path, {"subnet": {"gateway_ip": "10.1.0.4"}})
    assert changed["gateway_ip"] == "10.1.0.4"
    assert changed["allocation_pools"] == [
        {"start": "10.1.0.3", "end": "10.1.0.3"}, {"start": "10.1.0.5", "end": "10.1.0.244"}
    ]
    assert on_host(api).gateway == on_host(api).host_address == "10.1.0.4"
    addresses = {card(api, network["id"]).addresses[0].address for _ in range(3)}
    assert addresses == {"10.1.0.3", "10.1.0.5", "10.1.0.6"}
    back = api.ok("PUT", path, {"subnet": {"gateway_ip": "10.1.0.1"}})
    assert back["gateway_ip"] == on_host(api).host_address == "10.1.0.1"


def test_a_guest_can_be_the_router_and_the_host_keeps_its_address(api: NetworkApi) -> None:
    network, subnet = made(api)
    port = api.make("port", network_id=network["id"], fixed_ips=[{"ip_address": "10.1.0.9"}])
    path = f"/subnets/{subnet['id']}"
    assert api.ok("PUT", path, {"subnet": {"gateway_ip": "10.1.0.9"}})["gateway_ip"] == "10.1.0.9"
    assert (on_host(api).gateway, on_host(api).host_address) == ("10.1.0.9", "10.1.0.1")
    assert card(api, network["id"]).gateway == "10.1.0.9"
    api.ok("DELETE", f"/ports/{port['id']}")
    assert "10.1.0.9" not in {card(api, network["id"]).addresses[0].address for _ in range(8)}
    outside = api.ok("PUT", path, {"subnet": {"gateway_ip": "192.0.2.1"}})
    assert outside["gateway_ip"] == on_host(api).gateway == "192.0.2.1"
    assert on_host(api).host_address == "10.1.0.1"


def test_an_address_that_is_no_router_is_refused_and_nothing_changes(api: NetworkApi) -> None:
    network, subnet = made(api)
    path = f"/subnets/{subnet['id']}"
    for wrong in ("10.1.0.0", "10.1.0.255", "10.1.0.300"):
        api.refused(400, "HTTPBadRequest", "PUT", path, {"subnet": {"gateway_ip": wrong}})
    api.refused(400, "InvalidInput", "PUT", path, {"subnet": {"gateway_ip": "fd00::1"}})
    claimed = api.make("port", network_id=network["id"], device_owner="nova:virtual_ip")
    address = claimed["fixed_ips"][0]["ip_address"]
    api.refused(409, "Conflict", "PUT", path, {"subnet": {"gateway_ip": address}})
    router = api.make("router", name="r")
    api.ok("PUT", f"/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    api.refused(409, "GatewayIpInUse", "PUT", path, {"subnet": {"gateway_ip": "10.1.0.4"}})
    assert api.ok("GET", path)["gateway_ip"] == "10.1.0.1"


def test_host_routes_reach_dhcp_and_network_data(api: NetworkApi) -> None:
    route = {"destination": "10.99.0.0/16", "nexthop": "10.1.0.9"}
    network, subnet = made(api, enable_dhcp=False, host_routes=[route])
    assert on_host(api).routes == (("10.99.0.0/16", "10.1.0.9"),)
    assert routes(card(api, network["id"])) == [
        {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.1.0.1"},
        {"network": "10.99.0.0", "netmask": "255.255.0.0", "gateway": "10.1.0.9"},
    ]
    api.ok("PUT", f"/subnets/{subnet['id']}", {"subnet": {"host_routes": []}})
    assert on_host(api).routes == ()


def test_ipv6_subnets_have_routers_and_routes_as_they_are_told(api: NetworkApi) -> None:
    network = api.make("network", name="n")
    six = api.make("subnet", network_id=network["id"], cidr="fd00:1::/64", ip_version=6)
    path = f"/subnets/{six['id']}"
    changed = api.ok("PUT", path, {"subnet": {"gateway_ip": "fd00:1::9"}})
    assert changed["gateway_ip"] == on_host(api).gateway_v6 == "fd00:1::9"
    route = {"destination": "fd09::/64", "nexthop": "fd00:1::8"}
    changed = api.ok("PUT", path, {"subnet": {"gateway_ip": None, "host_routes": [route]}})
    assert (changed["gateway_ip"], changed["host_routes"]) == (None, [route])
    assert on_host(api).gateway_v6 is None
    vif = card(api, network["id"])
    assert routes(vif) == [
        {"network": "fd09::", "netmask": "ffff:ffff:ffff:ffff::", "gateway": "fd00:1::8"}
    ]
    api.refused(400, "InvalidInput", "PUT", path, {"subnet": {"gateway_ip": "10.0.0.1"}})


def test_name_servers_of_one_family_leave_those_of_the_other_alone(api: NetworkApi) -> None:
    network = api.make("network", name="n")
    four = api.make("subnet", network_id=network["id"], cidr="10.1.0.0/24", dns_nameservers=["192.0.2.1"])
    six = api.make("subnet", network_id=network["id"], cidr="fd00:1::/64", ip_version=6,
                   dns_nameservers=["fd00::1", "fd00::2"])
    assert six["dns_nameservers"] == ["fd00::1", "fd00::2"]
    assert card(api, network["id"]).dns == on_host(api).dns == ("192.0.2.1", "fd00::1", "fd00::2")
    changed = api.ok("PUT", f"/subnets/{six['id']}", {"subnet": {"dns_nameservers": ["fd00::3"]}})
    assert changed["dns_nameservers"] == ["fd00::3"]
    assert api.ok("GET", f"/subnets/{four['id']}")["dns_nameservers"] == ["192.0.2.1"]
    five = [f"192.0.2.{number}" for number in range(1, 6)]
    path = f"/subnets/{four['id']}"
    assert api.ok("PUT", path, {"subnet": {"dns_nameservers": five}})["dns_nameservers"] == five
    assert api.ok("PUT", path, {"subnet": {"name": "x"}})["dns_nameservers"] == five
    assert card(api, network["id"]).dns == on_host(api).dns == (*five, "fd00::3")
    api.ok("PUT", path, {"subnet": {"dns_nameservers": []}})
    assert on_host(api).dns == ("fd00::3",)
    more = api.make("subnet", network_id=network["id"], cidr="10.2.0.0/24", dns_nameservers=five)
    assert more["dns_nameservers"] == five


def test_ipv6_pools_are_kept_as_named_and_guests_form_their_addresses(api: NetworkApi) -> None:
    network = api.make("network", name="n")
    pools = [{"start": "fd00:1::10", "end": "fd00:1::20"}]
    wanted = {"network_id": network["id"], "cidr": "fd00:1::/64", "ip_version": 6}
    for wrong, type_ in (("fd00:2::20", "OutOfBoundsAllocationPool"), ("fd00:1::5", "InvalidAllocationPool")):
        api.refused(400, type_, "POST", "/subnets", {"subnet": {
            **wanted, "allocation_pools": [{"start": "fd00:1::10", "end": wrong}]}})
    six = api.make("subnet", gateway_ip=None, allocation_pools=pools, **wanted)
    assert (six["gateway_ip"], six["allocation_pools"]) == (None, pools)
    path = f"/subnets/{six['id']}"
    for change in ({"gateway_ip": "fd00:1::11", "allocation_pools": pools}, {"gateway_ip": "fd00:1::11"}):
        api.refused(409, "GatewayConflictWithAllocationPools", "PUT", path, {"subnet": change})
    assert api.ok("PUT", path, {"subnet": {"name": "x"}})["allocation_pools"] == pools
