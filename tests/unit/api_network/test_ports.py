# SPDX-License-Identifier: Apache-2.0
"""Ports: cards of servers, ports made before, their addresses and groups, virtual IPs."""

from __future__ import annotations

import pytest

from nova.conductor.host_network import network_state
from nova.objects.instance import RequestedNetwork
from tests.unit.api.conftest import OTHER_PROJECT, PROJECT
from tests.unit.api_network.conftest import NetworkApi


def addresses(port: dict[str, list[dict[str, str]]]) -> list[str]:
    return [each["ip_address"] for each in port["fixed_ips"]]


def test_the_cards_of_servers_are_ports(api: NetworkApi) -> None:
    network = api.network()
    server, given = api.boot(RequestedNetwork(network_id=network["id"]))
    (port,) = api.ok("GET", f"/ports?device_id={server}")
    assert port["id"] == given[0].id
    assert port["mac_address"] == given[0].mac
    assert addresses(port) == [given[0].addresses[0].address]
    assert port["fixed_ips"][0]["subnet_id"] == network["subnets"][0]
    assert (port["device_owner"], port["status"]) == ("compute:nova", "ACTIVE")
    assert "binding:host_id" not in port
    assert api.ok("GET", f"/ports/{port['id']}", token="admin")["binding:host_id"] == "h1"
    assert api.ok("GET", "/ports", token="other") == []
    api.refused(404, "PortNotFound", "GET", f"/ports/{port['id']}", token="other")


def test_a_port_keeps_its_address_and_mac_when_a_server_gets_it_and_goes(api: NetworkApi) -> None:
    network = api.network()
    port = api.make(
        "port", network_id=network["id"], name="pört",
        fixed_ips=[{"ip_address": "10.1.0.50"}], mac_address="fa:16:3e:00:00:01",
    )
    assert (port["status"], port["device_id"]) == ("DOWN", "")
    server, given = api.boot(
        RequestedNetwork(network_id=network["id"]), RequestedNetwork(port_id=port["id"]),
    )
    # In the order asked for, although the port is the older card.
    assert [vif.id for vif in given][1] == port["id"]
    assert given[1].mac == "fa:16:3e:00:00:01"
    assert [vif.id for vif in api.info(server)] == [vif.id for vif in given]
    assert api.ok("GET", f"/ports/{port['id']}")["device_id"] == server
    _other, error = api.boot(RequestedNetwork(port_id=port["id"]))
    assert "still in use" in error.message
    with api.cloud.db.write() as tx:
        api.cloud.networks.release(tx, [server])
    (left,) = api.ok("GET", "/ports")
    assert left["id"] == port["id"]
    assert (left["device_id"], addresses(left), left["name"]) == ("", ["10.1.0.50"], "pört")
    api.ok("DELETE", f"/ports/{port['id']}")
    with api.cloud.db.read() as tx:
        assert tx.fixed_ips.get("10.1.0.50").allocated is False


def test_a_port_lost_to_somebody_faster_leaves_the_server_with_nothing(api: NetworkApi) -> None:
    network = api.network()
    port = api.make("port", network_id=network["id"])
    with api.cloud.db.write() as tx:
        found = tx.ports.get(port["id"])
        assert tx.ports.bind(found, "first", None, "h1")
        assert not tx.ports.bind(found, "second", None, "h1")


def test_ports_of_other_projects_cannot_be_booted_with(api: NetworkApi) -> None:
    network = api.network(token="admin", shared=True)
    port = api.make("port", network_id=network["id"])
    _server, error = api.boot(RequestedNetwork(port_id=port["id"]), project=OTHER_PROJECT)
    assert error.status == 404
    assert "could not be found" in error.message


def test_addresses_are_chosen_by_subnet_or_by_value_and_refused_when_taken(
    api: NetworkApi,
) -> None:
    network = api.network()
    second = api.make("subnet", network_id=network["id"], cidr="10.2.0.0/24")
    one = api.make("port", network_id=network["id"], fixed_ips=[{"subnet_id": second["id"]}])
    assert addresses(one) == ["10.2.0.3"]
    two = api.make(
        "port", network_id=network["id"],
        fixed_ips=[{"subnet_id": second["id"]}, {"ip_address": "10.1.0.9"}],
    )
    assert addresses(two) == ["10.1.0.9", "10.2.0.4"]
    assert addresses(api.make("port", network_id=network["id"], fixed_ips=[])) == []
    wanted = {"network_id": network["id"], "fixed_ips": [{"ip_address": "10.1.0.9"}]}
    api.refused(409, "IpAddressAlreadyAllocated", "POST", "/ports", {"port": wanted})
    for address, why in (("10.1.0.1", "in use"), ("10.1.0.250", "kept for virtual IPs")):
        wanted["fixed_ips"] = [{"ip_address": address}]
        assert why in api.refused(409, "IpAddressAlreadyAllocated", "POST", "/ports", {"port": wanted})
    for fixed, type_ in (
        ({"ip_address": "172.16.0.1"}, "InvalidIpForNetwork"),
        ({"ip_address": "10.1.0.255"}, "InvalidIpForNetwork"),
        ({"ip_address": "fd00::1"}, "InvalidIpForNetwork"),
        ({"subnet_id": second["id"], "ip_address": "10.1.0.77"}, "InvalidIpForSubnet"),
    ):
        wanted["fixed_ips"] = [fixed]
        api.refused(400, type_, "POST", "/ports", {"port": wanted})
    assert len(api.ok("GET", "/ports")) == 3


def test_changed_addresses_are_the_servers_at_once(api: NetworkApi) -> None:
    network = api.network()
    server, given = api.boot(RequestedNetwork(network_id=network["id"]))
    before = given[0].addresses[0].address
    changed = api.ok(
        "PUT", f"/ports/{given[0].id}",
        {"port": {"fixed_ips": [{"ip_address": before}, {"ip_address": "10.1.0.77"}]}},
    )
    assert addresses(changed) == [before, "10.1.0.77"]
    assert [each.address for each in api.info(server)[0].addresses] == [before, "10.1.0.77"]
    api.ok("PUT", f"/ports/{given[0].id}", {"port": {"fixed_ips": [{"ip_address": "10.1.0.77"}]}})
    assert [each.address for each in api.info(server)[0].addresses] == ["10.1.0.77"]


def test_groups_of_a_bound_port_are_its_servers(api: NetworkApi) -> None:
    network = api.network()
    web = api.make("security_group", name="web")
    port = api.make("port", network_id=network["id"], security_groups=[web["id"]])
    default = api.make("port", network_id=network["id"])["security_groups"]
    assert port["security_groups"] == [web["id"]]
    api.refused(409, "SecurityGroupInUse", "DELETE", f"/security-groups/{web['id']}")
    server, given = api.boot(RequestedNetwork(network_id=network["id"]))
    changed = api.ok(
        "PUT", f"/ports/{given[0].id}", {"port": {"security_groups": [web["id"], *default]}}
    )
    assert set(changed["security_groups"]) == {web["id"], *default}
    with api.cloud.db.read() as tx:
        found = tx.instances.get(server)
    assert found is not None
    assert sorted(found.security_groups) == ["default", "web"]
    assert api.ok("PUT", f"/ports/{given[0].id}", {"port": {"security_groups": []}})[
        "security_groups"
    ] == []
    api.refused(
        404, "SecurityGroupNotFound", "PUT", f"/ports/{port['id']}",
        {"port": {"security_groups": [network["id"]]}},
    )


def test_what_the_bridges_do_not_filter_is_kept_and_shown(api: NetworkApi) -> None:
    network = api.network()
    pairs = [{"ip_address": "10.1.0.250"}, {"ip_address": "10.9.0.0/16",
                                           "mac_address": "fa:16:3e:00:00:09"}]
    port = api.make(
        "port", network_id=network["id"], allowed_address_pairs=pairs, description="d",
        tags=["t"], extra_dhcp_opts=[{"opt_name": "mtu", "opt_value": "1400"}],
    )
    assert port["allowed_address_pairs"] == pairs
    assert port["extra_dhcp_opts"] == [{"opt_name": "mtu", "opt_value": "1400"}]
    path = f"/ports/{port['id']}"
    insecure = {"port_security_enabled": False}
    api.refused(409, "AddressPairAndPortSecurityRequired", "PUT", path,
                {"port": {**insecure, "security_groups": []}})
    for method, where in (("POST", "/ports"), ("PUT", path)):
        fixed = {"network_id": network["id"]} if method == "POST" else {}
        for values, status, type_ in (
            ({"allowed_address_pairs": [pairs[0], pairs[0]]}, 400, "DuplicateAddressPairInRequest"),
            ({"allowed_address_pairs": [{}]}, 400, "AllowedAddressPairsMissingIP"),
            ({"allowed_address_pairs": pairs, **insecure}, 409, "AddressPairAndPortSecurityRequired"),
            ({"security_groups": port["security_groups"], **insecure}, 400,
             "PortSecurityAndIPRequiredForSecurityGroups"),
        ):
            api.refused(status, type_, method, where, {"port": {**fixed, **values}})
    assert len(api.ok("GET", "/ports")) == 1
    assert api.ok("PUT", path, {"port": {"allowed_address_pairs": []}})["revision_number"] == 1
    api.refused(
        409, "PortSecurityPortHasSecurityGroup", "PUT", path,
        {"port": {"port_security_enabled": False}},
    )
    changed = api.ok(
        "PUT", path, {"port": {"port_security_enabled": False, "security_groups": []}}
    )
    assert (changed["port_security_enabled"], changed["security_groups"]) == (False, [])


@pytest.mark.parametrize(
    "values",
    [
        {"binding:vnic_type": "direct"},
        {"mac_address": "01:00:5e:00:00:01"},
        {"mac_address": "x"},
        {"fixed_ips": [{}]},
        {"fixed_ips": [{"ip_address": "1.2.3"}]},
        {"allowed_address_pairs": [{"ip_address": "10.1.0.9", "mac_address": "x"}]},
        {"bogus": 1},
        {"name": 5},
    ],
)
def test_ports_that_cannot_be_are_refused(api: NetworkApi, values: dict[str, object]) -> None:
    network = api.network()
    body = {"port": {"network_id": network["id"], **values}}
    api.refused(400, "HTTPBadRequest", "POST", "/ports", body)
    assert api.ok("GET", "/ports") == []


def test_a_mac_is_given_once_and_by_the_owner_of_the_network(api: NetworkApi) -> None:
    network = api.network()
    shared = api.network("10.5.0.0/24", token="admin", name="shared", shared=True)
    mac = "fa:16:3e:00:00:01"
    api.make("port", network_id=network["id"], mac_address=mac)
    body = {"port": {"network_id": network["id"], "mac_address": mac}}
    api.refused(409, "MacAddressInUse", "POST", "/ports", body)
    body = {"port": {"network_id": shared["id"], "mac_address": "fa:16:3e:00:00:02"}}
    api.refused(403, "HTTPForbidden", "POST", "/ports", body, token="other")


def test_deleting_a_bound_port_takes_it_off_its_server(api: NetworkApi) -> None:
    network = api.network()
    port = api.make("port", network_id=network["id"])
    server, _given = api.boot(RequestedNetwork(port_id=port["id"]))
    api.refused(
        409, "PortInUse", "PUT", f"/ports/{port['id']}", {"port": {"device_id": "elsewhere"}}
    )
    api.ok("DELETE", f"/ports/{port['id']}")
    assert api.info(server) == ()
    assert api.ok("GET", "/ports") == []


def test_ports_are_found_by_their_addresses(api: NetworkApi) -> None:
    network = api.network()
    port = api.make("port", network_id=network["id"], fixed_ips=[{"ip_address": "10.1.0.9"}])
    api.make("port", network_id=network["id"])
    subnet = network["subnets"][0]
    for query in (
        "fixed_ips=ip_address=10.1.0.9",
        f"fixed_ips=ip_address%3D10.1.0.9&fixed_ips=subnet_id%3D{subnet}",
        "fixed_ips=ip_address_substr=1.0.9", f"mac_address={port['mac_address']}",
        f"id={port['id']}",
    ):
        assert [each["id"] for each in api.ok("GET", f"/ports?{query}")] == [port["id"]], query
    assert len(api.ok("GET", f"/ports?network_id={network['id']}")) == 2
    api.refused(400, "HTTPBadRequest", "GET", "/ports?fixed_ips=mac=1")


def test_several_ports_are_made_in_one_request(api: NetworkApi) -> None:
    network = api.network("10.1.0.0/29")
    body = {"ports": [{"network_id": network["id"]} for _ in range(3)]}
    assert len(api.ok("POST", "/ports", body)) == 3
    api.refused(409, "IpAddressGenerationFailure", "POST", "/ports", body)
    assert len(api.ok("GET", "/ports")) == 3


def test_a_virtual_ip_is_a_port_that_is_claimed_and_released(api: NetworkApi) -> None:
    network = api.network()
    values = {"network_id": network["id"], "device_owner": "nova:virtual_ip", "name": "vrrp"}
    vip = api.make("port", **values)
    assert addresses(vip) == ["10.1.0.245"]
    named = api.make("port", **values, fixed_ips=[{"ip_address": "10.1.0.250"}])
    assert {each["id"] for each in api.ok("GET", "/ports?device_owner=nova:virtual_ip")} == {
        vip["id"], named["id"]
    }
    with api.cloud.db.read() as tx:
        claimed = [each.address for each in tx.fixed_ips.vips(project_id=PROJECT)]
    assert claimed == ["10.1.0.245", "10.1.0.250"]
    api.refused(
        409, "IpAddressAlreadyAllocated", "POST", "/ports",
        {"port": {**values, "fixed_ips": [{"ip_address": "10.1.0.250"}]}},
    )
    api.refused(
        404, "HTTPNotFound", "POST", "/ports",
        {"port": {**values, "fixed_ips": [{"ip_address": "10.1.0.9"}]}},
    )
    renamed = api.ok("PUT", f"/ports/{vip['id']}", {"port": {"name": "neu"}})
    assert renamed["name"] == "neu"
    api.refused(404, "PortNotFound", "DELETE", f"/ports/{vip['id']}", token="other")
    external = api.external()
    floating = api.make("floatingip", floating_network_id=external["id"], port_id=vip["id"])
    assert (floating["port_id"], floating["fixed_ip_address"]) == (vip["id"], "10.1.0.245")
    api.ok("DELETE", f"/ports/{vip['id']}")
    assert api.ok("GET", f"/floatingips/{floating['id']}")["port_id"] is None
    assert [each["id"] for each in api.ok("GET", "/ports")] == [named["id"]]


def test_a_port_that_is_switched_off_gets_no_server(api: NetworkApi) -> None:
    network = api.network()
    port = api.make("port", network_id=network["id"], admin_state_up=False)
    assert port["admin_state_up"] is False
    _server, refused = api.boot(RequestedNetwork(port_id=port["id"]))
    assert "switched off" in refused.message
    path = f"/ports/{port['id']}"
    api.ok("PUT", path, {"port": {"admin_state_up": True}})
    _server, given = api.boot(RequestedNetwork(port_id=port["id"]))
    assert given[0].id == port["id"]
    api.refused(400, "HTTPBadRequest", "PUT", path, {"port": {"admin_state_up": False}})


def test_dhcp_options_of_a_port_reach_its_host_and_change_one_by_one(api: NetworkApi) -> None:
    network = api.network()
    wanted = [
        {"opt_name": "bootfile-name", "opt_value": "pxe.0"},
        {"opt_name": "150", "opt_value": "10.1.0.9", "ip_version": 4},
        {"opt_name": "dns-server", "opt_value": "fd00::53", "ip_version": 6},
    ]
    port = api.make("port", network_id=network["id"], extra_dhcp_opts=wanted)
    api.boot(RequestedNetwork(port_id=port["id"]))

    def told() -> tuple[tuple[str, str], ...]:
        (found,) = network_state(api.cloud.db, api.cloud.config.network, "h1").networks
        return found.leases[0].options

    assert told() == (("bootfile-name", "pxe.0"), ("150", "10.1.0.9"))
    path = f"/ports/{port['id']}"
    changed = api.ok("PUT", path, {"port": {"extra_dhcp_opts": [
        {"opt_name": "bootfile-name", "opt_value": "new.0"}, {"opt_name": "150", "opt_value": None}]}})
    assert {each["opt_name"] for each in changed["extra_dhcp_opts"]} == {"bootfile-name", "dns-server"}
    assert told() == (("bootfile-name", "new.0"),)
    for name, value in (("mtu,1", "1"), ("tag:x", "1"), ("", "1"), ("mtu", "1\n6,10.0.0.1"), ("mtu", " ")):
        api.refused(400, "HTTPBadRequest", "PUT", path, {"port": {
            "extra_dhcp_opts": [{"opt_name": name, "opt_value": value}]}})
    api.refused(400, "HTTPBadRequest", "PUT", path, {"port": {"extra_dhcp_opts": [{}]}})
    assert told() == (("bootfile-name", "new.0"),)
    bare = api.make("port", network_id=network["id"], extra_dhcp_opts=[{"opt_name": "mtu"}])
    assert bare["extra_dhcp_opts"] == []
