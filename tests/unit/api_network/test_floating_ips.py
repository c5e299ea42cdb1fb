# SPDX-License-Identifier: Apache-2.0
"""Floating addresses and external networks, over the pools of nova-network."""

from __future__ import annotations

from nova.network import floating
from nova.objects.instance import RequestedNetwork
from tests.unit.api_network.conftest import PROJECT, NetworkApi


def test_an_external_network_is_a_pool(api: NetworkApi) -> None:
    external = api.external("203.0.113.0/29")
    assert external["router:external"] is True
    with api.cloud.db.read() as tx:
        assert tx.floating_ips.pools() == ["ext"]
        assert len(tx.floating_ips.every()) == 5
    assert [each["id"] for each in api.ok("GET", "/networks?router:external=True")] == [
        external["id"]
    ]
    assert api.ok("GET", f"/subnets?network_id={external['id']}") == []
    (subnet,) = api.ok("GET", f"/subnets?network_id={external['id']}", token="admin")
    api.refused(404, "SubnetNotFound", "GET", f"/subnets/{subnet['id']}")
    assert subnet["gateway_ip"] == "203.0.113.1"
    assert subnet["allocation_pools"] == [{"start": "203.0.113.2", "end": "203.0.113.6"}]
    api.refused(403, "PolicyNotAuthorized", "POST", "/networks",
                {"network": {"name": "x", "router:external": True}})
    api.refused(409, "Conflict", "POST", "/networks",
                {"network": {"name": "ext", "router:external": True}}, token="admin")
    api.refused(400, "HTTPBadRequest", "POST", "/ports", {"port": {"network_id": external["id"]}})


def test_pools_that_were_filled_otherwise_are_shown_too(api: NetworkApi) -> None:
    with api.cloud.db.write() as tx:
        floating.create_range(tx, "198.51.100.16/29", "old")
    (network,) = api.ok("GET", "/networks")
    assert (network["name"], network["router:external"]) == ("old", True)
    (subnet,) = api.ok("GET", "/subnets", token="admin")
    assert subnet["cidr"] == "198.51.100.16/29"
    assert subnet["allocation_pools"] == [{"start": "198.51.100.17", "end": "198.51.100.22"}]
    path = f"/subnets/{subnet['id']}"
    assert api.ok("GET", path, token="admin")["network_id"] == network["id"]
    # Described, it is still the same network.
    changed = api.ok(
        "PUT", f"/networks/{network['id']}", {"network": {"description": "d"}}, token="admin"
    )
    assert (changed["id"], changed["description"]) == (network["id"], "d")
    taken = api.make("floatingip", floating_network_id=network["id"])
    assert taken["floating_network_id"] == network["id"]


def test_an_address_is_taken_led_to_a_port_and_given_back(api: NetworkApi) -> None:
    external = api.external()
    network = api.network()
    server, given = api.boot(RequestedNetwork(network_id=network["id"]))
    taken = api.make("floatingip", floating_network_id=external["id"], description="d",
                     tags=["t"])
    assert (taken["status"], taken["port_id"], taken["description"]) == ("DOWN", None, "d")
    path = f"/floatingips/{taken['id']}"
    led = api.ok("PUT", path, {"floatingip": {"port_id": given[0].id}})
    assert led["status"] == "ACTIVE"
    assert led["fixed_ip_address"] == given[0].addresses[0].address
    assert api.info(server)[0].addresses[0].floating == (taken["floating_ip_address"],)
    assert api.ok("GET", f"/floatingips?port_id={given[0].id}")[0]["id"] == taken["id"]
    api.ok("PUT", path, {"floatingip": {"port_id": None}})
    assert api.info(server)[0].addresses[0].floating == ()
    api.ok("PUT", path, {"floatingip": {"port_id": given[0].id}})
    api.refused(404, "FloatingIPNotFound", "DELETE", path, token="other")
    api.refused(409, "NetworkInUse", "DELETE", f"/networks/{external['id']}", token="admin")
    api.ok("DELETE", path)
    assert api.info(server)[0].addresses[0].floating == ()
    api.ok("DELETE", f"/networks/{external['id']}", token="admin")
    assert [each["id"] for each in api.ok("GET", "/networks")] == [network["id"]]


def test_what_cannot_be_taken_or_led_is_refused(api: NetworkApi) -> None:
    external = api.external("203.0.113.0/30")
    network = api.network()
    api.refused(400, "HTTPBadRequest", "POST", "/floatingips",
                {"floatingip": {"floating_network_id": network["id"]}})
    api.refused(403, "PolicyNotAuthorized", "POST", "/floatingips",
                {"floatingip": {"floating_network_id": external["id"],
                                "floating_ip_address": "203.0.113.2"}})
    body = {"floatingip": {"floating_network_id": external["id"], "port_id": network["id"]}}
    api.refused(404, "PortNotFound", "POST", "/floatingips", body)
    port = api.make("port", network_id=network["id"], fixed_ips=[])
    body["floatingip"]["port_id"] = port["id"]
    api.refused(400, "HTTPBadRequest", "POST", "/floatingips", body)
    # Nothing was taken by the refused ones.
    del body["floatingip"]["port_id"]
    api.ok("POST", "/floatingips", body)
    api.refused(409, "IpAddressGenerationFailure", "POST", "/floatingips", body)


def test_an_address_alone_does_not_say_where_a_floating_ip_leads(api: NetworkApi) -> None:
    external = api.external()
    body = {"floatingip": {"floating_network_id": external["id"], "fixed_ip_address": "10.1.0.5"}}
    said = "fixed_ip_address cannot be specified without a port_id"
    assert said in api.refused(400, "BadRequest", "POST", "/floatingips", body)
    assert api.ok("GET", "/floatingips") == []
    network = api.network()
    port = api.make("port", network_id=network["id"])
    held = api.make("floatingip", floating_network_id=external["id"], port_id=port["id"])
    path = f"/floatingips/{held['id']}"
    for change in ({"fixed_ip_address": "10.1.0.5"}, {"fixed_ip_address": "10.1.0.5", "port_id": None}):
        assert said in api.refused(400, "BadRequest", "PUT", path, {"floatingip": change})
    assert api.ok("GET", path) == held
    api.refused(409, "IpAddressAlreadyAllocated", "POST", "/floatingips", {"floatingip": {
        "floating_network_id": external["id"], "floating_ip_address": held["floating_ip_address"]}},
        token="admin")


def test_floating_ips_stop_at_the_quota(api: NetworkApi) -> None:
    external = api.external("203.0.113.0/24")
    body = {"floatingip": {"floating_network_id": external["id"]}}
    for _ in range(10):
        api.ok("POST", "/floatingips", body)
    api.refused(409, "OverQuota", "POST", "/floatingips", body)


def test_a_floating_ip_of_an_unbound_port_follows_it_to_its_server(api: NetworkApi) -> None:
    external = api.external()
    network = api.network()
    port = api.make("port", network_id=network["id"])
    taken = api.make("floatingip", floating_network_id=external["id"], port_id=port["id"])
    server, given = api.boot(RequestedNetwork(port_id=port["id"]))
    assert given[0].addresses[0].floating == (taken["floating_ip_address"],)
    with api.cloud.db.read() as tx:
        assert tx.floating_ips.get_by_address(taken["floating_ip_address"]).host == "h1"
    # And stays with the port when the server goes.
    with api.cloud.db.write() as tx:
        api.cloud.networks.release(tx, [server])
    assert api.ok("GET", f"/floatingips/{taken['id']}")["port_id"] == port["id"]


def test_a_pool_goes_with_the_addresses_that_lead_nowhere(api: NetworkApi) -> None:
    external = api.external()
    api.make("floatingip", floating_network_id=external["id"])
    api.ok("DELETE", f"/networks/{external['id']}", token="admin")
    assert api.ok("GET", "/floatingips") == []
    used = api.ok("GET", f"/quotas/{PROJECT}/details", token="admin")["floatingip"]["used"]
    assert used == 0


def test_an_empty_network_becomes_external_and_back(api: NetworkApi) -> None:
    made = api.make("network", name="turns", token="admin", description="d", tags=["t"])
    path = f"/networks/{made['id']}"
    api.refused(403, "PolicyNotAuthorized", "PUT", f"/networks/{api.make('network', name='x')['id']}",
                {"network": {"router:external": True}})
    turned = api.ok("PUT", path, {"network": {"router:external": True}}, token="admin")
    assert (turned["id"], turned["router:external"]) == (made["id"], True)
    assert (turned["name"], turned["description"], turned["tags"]) == ("turns", "d", ["t"])
    subnet = api.make("subnet", network_id=made["id"], cidr="203.0.113.0/29", token="admin")
    taken = api.make("floatingip", floating_network_id=made["id"])
    message = api.refused(409, "NetworkInUse", "PUT", path, {"network": {"router:external": False}},
                          token="admin")
    assert "subnets" in message
    api.refused(409, "IpAddressAlreadyAllocated", "POST", "/ports", {"port": {
        "network_id": made["id"],
        "fixed_ips": [{"ip_address": taken["floating_ip_address"]}]}}, token="admin")
    api.refused(400, "HTTPBadRequest", "POST", "/ports", {"port": {"network_id": made["id"]}},
                token="admin")
    api.ok("DELETE", f"/floatingips/{taken['id']}")
    api.ok("DELETE", f"/subnets/{subnet['id']}", token="admin")
    back = api.ok("PUT", path, {"network": {"router:external": False}}, token="admin")
    assert (back["id"], back["router:external"], back["tags"]) == (made["id"], False, ["t"])
    api.make("subnet", network_id=made["id"], cidr="10.9.0.0/24", token="admin")
    message = api.refused(409, "NetworkInUse", "PUT", path, {"network": {"router:external": True}},
                          token="admin")
    assert "subnets" in message
