# SPDX-License-Identifier: Apache-2.0
"""Networks and subnets: segments of nova-network, made in two steps, shared, refused where it must be."""

from __future__ import annotations

from typing import Any

from nova.errors import AddressInUse, NoMoreAddresses
from nova.objects.instance import RequestedNetwork
from tests.unit.api.conftest import OTHER_PROJECT, PROJECT
from tests.unit.api_network.conftest import NetworkApi


def test_versions_and_extensions_are_what_clients_look_for(api: NetworkApi) -> None:
    found = api.client.simulate_get("/").json["versions"]
    assert [(each["id"], each["status"]) for each in found] == [("v2.0", "CURRENT")]
    assert found[0]["links"][0]["href"].endswith("/v2.0/")
    assert api.client.simulate_get("/v2.0/").status_code == 200
    aliases = {each["alias"] for each in api.ok("GET", "/extensions")}
    assert {"router", "security-group", "external-net", "provider"} <= aliases
    assert "qos" not in aliases
    assert api.ok("GET", "/extensions/router")["alias"] == "router"
    assert api.request("GET", "/extensions/qos").status_code == 404
    result = api.client.simulate_get("/v2.0/networks")
    assert result.status_code == 401
    assert result.json["NeutronError"]["type"] == "HTTPUnauthorized"


def test_a_network_is_made_first_and_its_subnets_after_it(api: NetworkApi) -> None:
    made = api.make("network", name="büro", description="d", tags=["b", "a"], mtu=1400)
    assert made["name"] == "büro"
    assert made["subnets"] == []
    assert made["tenant_id"] == made["project_id"] == PROJECT
    assert (made["mtu"], made["shared"], made["router:external"]) == (1400, False, False)
    assert "provider:segmentation_id" not in made
    subnet = api.make("subnet", network_id=made["id"], cidr="10.1.0.0/24", name="s")
    assert subnet["gateway_ip"] == "10.1.0.1"
    assert subnet["name"] == "s"
    # 256 addresses keep ten virtual IPs at the top; the bottom is the gateway's and the VPN's.
    assert subnet["allocation_pools"] == [{"start": "10.1.0.3", "end": "10.1.0.244"}]
    shown = api.ok("GET", f"/networks/{made['id']}", token="admin")
    assert shown["subnets"] == [subnet["id"]]
    assert shown["provider:network_type"] == "vlan"
    assert shown["provider:segmentation_id"] == 100


def test_further_subnets_share_the_vlan_and_fill_up_one_after_the_other(api: NetworkApi) -> None:
    network = api.network("10.1.0.0/29")
    second = api.make("subnet", network_id=network["id"], cidr="10.2.0.0/29")
    with api.cloud.db.read() as tx:
        rows = tx.networks.every()
    assert [(row.vlan, row.bridge) for row in rows] == [(100, "br100")] * 2
    assert len(api.ok("GET", "/networks")) == 1
    addresses = []
    while True:
        _server, given = api.boot(RequestedNetwork(network_id=network["id"]))
        if not isinstance(given, tuple):
            break
        assert {vif.network_id for vif in given} == {network["id"]}
        addresses.append(given[0].addresses[0].address)
    assert [each.rpartition(".")[0] for each in addresses] == ["10.1.0"] * 4 + ["10.2.0"] * 4
    # An address of the second subnet may be named too, and a port of that subnet asked for.
    api.refused(409, "SubnetInUse", "DELETE", f"/subnets/{second['id']}")
    api.refused(409, "NetworkInUse", "DELETE", f"/networks/{network['id']}")


def test_a_project_with_one_network_of_two_subnets_gets_one_card(api: NetworkApi) -> None:
    network = api.network("10.1.0.0/24")
    api.make("subnet", network_id=network["id"], cidr="10.2.0.0/24")
    _server, given = api.boot()
    assert len(given) == 1


def test_a_network_without_a_subnet_takes_no_servers(api: NetworkApi) -> None:
    network = api.network(None)
    _server, error = api.boot(RequestedNetwork(network_id=network["id"]))
    assert "requires a subnet" in error.message
    _server, error = api.boot()
    assert "No network is available" in error.message


def test_explicit_pools_are_kept_and_the_virtual_ips_lie_outside_them(api: NetworkApi) -> None:
    network = api.make("network", name="n")
    pool = {"start": "10.1.0.10", "end": "10.1.0.99"}
    subnet = api.make(
        "subnet", network_id=network["id"], cidr="10.1.0.0/24", allocation_pools=[pool],
        dns_nameservers=["1.1.1.1"], host_routes=[
            {"destination": "10.9.0.0/16", "nexthop": "10.1.0.7"}
        ],
    )
    assert subnet["allocation_pools"] == [pool]
    assert subnet["dns_nameservers"] == ["1.1.1.1"]
    with api.cloud.db.read() as tx:
        vips = [each.address for each in tx.fixed_ips.vips()]
    assert vips == [f"10.1.0.{number}" for number in range(245, 255)]
    changed = api.ok(
        "PUT", f"/subnets/{subnet['id']}",
        {"subnet": {"allocation_pools": [{"start": "10.1.0.20", "end": "10.1.0.120"}],
                    "enable_dhcp": False, "dns_nameservers": []}},
    )
    assert changed["allocation_pools"] == [{"start": "10.1.0.20", "end": "10.1.0.120"}]
    assert (changed["enable_dhcp"], changed["dns_nameservers"]) == (False, [])


def test_ipv6_subnets_are_slaac_and_stand_beside_an_ipv4_one(api: NetworkApi) -> None:
    network = api.network("10.1.0.0/24")
    six = api.make("subnet", network_id=network["id"], cidr="fd00:1::/64", ip_version=6)
    assert (six["ipv6_address_mode"], six["gateway_ip"]) == ("slaac", "fd00:1::1")
    port = api.make("port", network_id=network["id"])
    assert len(port["fixed_ips"]) == 2
    assert {each["subnet_id"] for each in port["fixed_ips"]} == {
        six["id"], network["subnets"][0]
    }
    message = api.refused(
        400, "HTTPBadRequest", "POST", "/subnets",
        {"subnet": {"network_id": network["id"], "cidr": "fd00:2::/64", "ip_version": 6,
                    "ipv6_address_mode": "dhcpv6-stateful"}},
    )
    assert "slaac" in message


#: What is wrong with a subnet 10.1.0.0/24, and how it is refused.
REFUSED: tuple[tuple[dict[str, Any], int, str, str], ...] = (
    ({"gateway_ip": "fd00::1"}, 400, "InvalidInput", "gateway_ip"),
    ({"dns_nameservers": [f"1.1.1.{n}" for n in range(6)]}, 400, "DNSNameServersExhausted", "limit 5"),
    ({"dns_nameservers": ["1.1.1.1", "1.1.1.1"]}, 400, "HTTPBadRequest", "dns_nameservers"),
    ({"dns_nameservers": ["fd00::1"]}, 400, "InvalidInput", "dns_nameserver"),
    ({"cidr": "10.1.0.0/40"}, 400, "HTTPBadRequest", "cidr"),
    ({"cidr": None}, 400, "BadRequest", "a subnetpool must be specified in the absence of a cidr"),
    ({"ip_version": 6}, 400, "InvalidInput", "cidr"),
    ({"ip_version": 5}, 400, "HTTPBadRequest", "ip_version"),
    ({"bogus": 1}, 400, "HTTPBadRequest", "bogus"),
    ({"allocation_pools": [(20, 10)]}, 400, "InvalidAllocationPool", "10.1.0.20-10.1.0.10"),
    ({"allocation_pools": [{"start": "fd00::2", "end": "fd00::3"}]}, 400, "InvalidAllocationPool", ""),
    ({"allocation_pools": [{"start": "10.1.0.9"}]}, 400, "HTTPBadRequest", "allocation_pools"),
    ({"allocation_pools": [{"start": "10.1.0.9", "end": "10.4.0.9"}]}, 400,
     "OutOfBoundsAllocationPool", "10.4.0.9"),
    ({"allocation_pools": [(200, 255)]}, 400, "OutOfBoundsAllocationPool", "10.1.0.255"),
    ({"allocation_pools": [(20, 30), (30, 40)]}, 409, "OverlappingAllocationPools", ""),
    ({"allocation_pools": [(1, 9)]}, 409, "GatewayConflictWithAllocationPools", "10.1.0.1 "),
    ({"allocation_pools": [(20, 30)], "gateway_ip": "10.1.0.25"}, 409,
     "GatewayConflictWithAllocationPools", "10.1.0.25 "),
)


def test_subnets_that_cannot_be_are_refused(api: NetworkApi) -> None:
    inner = api.make("network", name="n", token="admin")
    outer = api.make("network", name="ext", token="admin", **{"router:external": True})
    for values, status, type_, said in REFUSED:
        for network in (inner, outer) if "allocation_pools" in values else (inner,):
            body = {"network_id": network["id"], "cidr": "10.1.0.0/24", "ip_version": 4, **ranges(values)}
            message = api.refused(status, type_, "POST", "/subnets", {"subnet": body}, token="admin")
            assert said in message
    assert api.ok("GET", "/subnets", token="admin") == []


def test_a_subnet_says_its_ip_version(api: NetworkApi) -> None:
    body = {"network_id": api.make("network", name="n")["id"], "cidr": "10.1.0.0/24"}
    assert "ip_version" in api.refused(400, "HTTPBadRequest", "POST", "/subnets", {"subnet": body})
    assert api.ok("POST", "/subnets", {"subnet": {**body, "ip_version": "4"}})["ip_version"] == 4


def ranges(values: dict[str, Any]) -> dict[str, Any]:
    """The same with pools of 10.1.0.0/24 that are given as last parts of addresses written out."""
    pools = values.get("allocation_pools", [])
    return {**values, "allocation_pools": [
        each if isinstance(each, dict) else {"start": f"10.1.0.{each[0]}", "end": f"10.1.0.{each[1]}"}
        for each in pools
    ]}


def vips(api: NetworkApi) -> list[int]:
    with api.cloud.db.read() as tx:
        return sorted(int(each.address.rpartition(".")[2]) for each in tx.fixed_ips.vips())


def test_pools_that_are_named_are_exactly_those_and_virtual_ips_make_room(api: NetworkApi) -> None:
    network = api.make("network", name="n")
    whole = ranges({"allocation_pools": [(2, 254)]})
    subnet = api.make("subnet", network_id=network["id"], cidr="10.1.0.0/24", **whole)
    path = f"/subnets/{subnet['id']}"
    assert api.ok("GET", path)["allocation_pools"] == whole["allocation_pools"]
    assert vips(api) == []
    last = {"network_id": network["id"], "fixed_ips": [{"ip_address": "10.1.0.254"}]}
    api.ok("DELETE", f"/ports/{api.make('port', **last)['id']}")
    # The network's own address in the pool is in use, as Neutron's DHCP port would be.
    api.refused(409, "IpAddressAlreadyAllocated", "POST", "/ports", {"port": {
        "network_id": network["id"], "fixed_ips": [{"ip_address": "10.1.0.2"}]}})
    # One after the other, as they are said; there is room for three virtual IPs.
    parts = ranges({"allocation_pools": [(2, 100), (101, 251)]})
    assert api.ok("PUT", path, {"subnet": parts})["allocation_pools"] == parts["allocation_pools"]
    assert vips(api) == [252, 253, 254]
    claimed = api.make("port", network_id=network["id"], device_owner="nova:virtual_ip")
    assert claimed["fixed_ips"][0]["ip_address"] == "10.1.0.252"
    assert api.ok("PUT", path, {"subnet": whole})["allocation_pools"] == whole["allocation_pools"]
    assert vips(api) == [252], "what somebody has claimed stays"
    small = ranges({"allocation_pools": [(10, 20)]})
    assert api.ok("PUT", path, {"subnet": small})["allocation_pools"] == small["allocation_pools"]
    assert vips(api) == [*range(245, 255)]
    api.refused(409, "GatewayConflictWithAllocationPools", "PUT", path,
                {"subnet": {"gateway_ip": "10.1.0.15"}})
    api.refused(409, "OverlappingAllocationPools", "PUT", path,
                {"subnet": ranges({"allocation_pools": [(10, 20), (20, 30)]})})
    assert api.ok("GET", path)["allocation_pools"] == small["allocation_pools"]


def test_ranges_of_different_networks_do_not_overlap(api: NetworkApi) -> None:
    api.network("10.1.0.0/24")
    other = api.make("network", name="o")
    body = {"subnet": {"network_id": other["id"], "cidr": "10.1.0.0/25", "ip_version": 4}}
    assert "overlaps with another subnet" in api.refused(400, "InvalidInput", "POST", "/subnets", body)


def test_networks_of_others_are_not_there_and_shared_ones_cannot_be_changed(
    api: NetworkApi,
) -> None:
    mine = api.network()
    path = f"/networks/{mine['id']}"
    assert api.ok("GET", "/networks", token="other") == []
    for method, body in (("GET", None), ("PUT", {"network": {"name": "x"}}), ("DELETE", None)):
        api.refused(404, "NetworkNotFound", method, path, body, token="other")
    api.refused(403, "PolicyNotAuthorized", "PUT", path, {"network": {"name": "x"}},
                token="reader")
    api.refused(403, "PolicyNotAuthorized", "PUT", path, {"network": {"shared": True}})
    assert api.ok("PUT", path, {"network": {"shared": True}}, token="admin")["shared"] is True
    assert [each["id"] for each in api.ok("GET", "/networks", token="other")] == [mine["id"]]
    api.refused(403, "PolicyNotAuthorized", "DELETE", path, token="other")
    _server, given = api.boot(RequestedNetwork(network_id=mine["id"]), project=OTHER_PROJECT)
    assert given[0].network_id == mine["id"]
    # A network shared on purpose is never bound to the first project that happens to use it.
    _server, given = api.boot(project=OTHER_PROJECT)
    assert api.ok("GET", path)["shared"] is True
    back = api.ok("PUT", path, {"network": {"shared": False}}, token="admin")
    assert (back["shared"], back["tenant_id"]) == (False, PROJECT)


def test_a_network_is_shared_with_one_project_by_a_policy(api: NetworkApi) -> None:
    network = api.network()
    body = {"rbac_policy": {"object_type": "network", "object_id": network["id"],
                            "action": "access_as_shared", "target_tenant": OTHER_PROJECT}}
    policy = api.ok("POST", "/rbac-policies", body)
    api.refused(409, "DuplicatedExtension", "POST", "/rbac-policies", body)
    assert api.ok("GET", f"/networks/{network['id']}", token="other")["shared"] is False
    port = api.make("port", network_id=network["id"], token="other")
    api.refused(409, "RbacPolicyInUse", "DELETE", f"/rbac-policies/{policy['id']}")
    api.ok("DELETE", f"/ports/{port['id']}", token="other")
    api.ok("DELETE", f"/rbac-policies/{policy['id']}")
    api.refused(404, "NetworkNotFound", "GET", f"/networks/{network['id']}", token="other")
    body["rbac_policy"]["target_tenant"] = "*"
    api.refused(403, "HTTPForbidden", "POST", "/rbac-policies", body)


def test_provider_attributes_are_the_administrators(api: NetworkApi) -> None:
    values = {"name": "v", "provider:network_type": "vlan", "provider:segmentation_id": 777}
    api.refused(403, "PolicyNotAuthorized", "POST", "/networks", {"network": values})
    made = api.ok("POST", "/networks", {"network": values}, token="admin")
    assert made["provider:segmentation_id"] == 777
    values["provider:network_type"] = "flat"
    assert "VlanManager" in api.refused(
        400, "HTTPBadRequest", "POST", "/networks", {"network": values}, token="admin"
    )


def test_flat_networks_say_so(flat_api: NetworkApi) -> None:
    made = flat_api.make("network", name="f", token="admin")
    assert made["provider:network_type"] == "flat"
    assert made["provider:segmentation_id"] is None


def test_a_disabled_network_takes_no_cards(api: NetworkApi) -> None:
    network = api.network()
    api.ok("PUT", f"/networks/{network['id']}", {"network": {"admin_state_up": False}})
    assert api.ok("GET", f"/networks/{network['id']}")["status"] == "DOWN"
    api.refused(404, "NetworkNotFound", "POST", "/ports", {"port": {"network_id": network["id"]}})


def test_several_networks_are_made_all_or_none(api: NetworkApi) -> None:
    made = api.ok("POST", "/networks", {"networks": [{"name": "a"}, {"name": "b"}]})
    assert [each["name"] for each in made] == ["a", "b"]
    body = {"subnets": [
        {"network_id": made[0]["id"], "cidr": "10.1.0.0/24"},
        {"network_id": made[1]["id"], "cidr": "10.1.0.0/24"},
    ]}
    assert api.request("POST", "/subnets", body).status_code == 400
    assert api.ok("GET", "/subnets") == []


def test_a_changed_revision_stops_a_guarded_change(api: NetworkApi) -> None:
    network = api.network()
    path, body = f"/networks/{network['id']}", {"network": {"name": "x"}}
    revision = network["revision_number"]
    stale = {"If-Match": f"revision_number={revision}"}
    assert api.ok("PUT", path, body, headers=stale)["revision_number"] > revision
    api.refused(412, "RevisionNumberConstraintFailed", "PUT", path, body, headers=stale)
    api.refused(412, "RevisionNumberConstraintFailed", "DELETE", path, headers=stale)
    api.refused(400, "HTTPBadRequest", "PUT", path, body, headers={"If-Match": "x"})


def test_tags_are_kept_and_found(api: NetworkApi) -> None:
    network = api.network()
    path = f"/networks/{network['id']}/tags"
    assert api.ok("PUT", path, {"tags": ["β", "a"]}) == ["a", "β"]
    assert api.request("PUT", f"{path}/c").status_code == 201
    assert api.request("GET", f"{path}/c").status_code == 204
    assert [each["id"] for each in api.ok("GET", "/networks?tags=a,c")] == [network["id"]]
    assert api.ok("GET", "/networks?not-tags-any=c") == []
    assert api.ok("GET", "/networks?tags-any=zz,a")[0]["tags"] == ["a", "c", "β"]
    api.ok("DELETE", f"{path}/c")
    api.refused(404, "TagNotFound", "DELETE", f"{path}/c")
    api.refused(404, "NetworkNotFound", "PUT", path, {"tags": []}, token="other")
    api.ok("DELETE", path)
    assert api.ok("GET", path) == []


def test_lists_are_filtered_sorted_paged_and_cut_to_fields(api: NetworkApi) -> None:
    for name in ("b", "a", "c"):
        api.make("network", name=name)
    names = [each["name"] for each in api.ok("GET", "/networks?sort_key=name&sort_dir=desc")]
    assert names == ["c", "b", "a"]
    assert api.ok("GET", "/networks?name=a&name=c&fields=name&sort_key=name&sort_dir=asc") == [
        {"name": "a"}, {"name": "c"}
    ]
    first = api.request("GET", "/networks?sort_key=name&sort_dir=asc&limit=2").json
    assert [each["name"] for each in first["networks"]] == ["a", "b"]
    link = first["networks_links"][0]
    assert link["rel"] == "next"
    rest = api.request("GET", "/networks?" + link["href"].partition("?")[2]).json
    assert [each["name"] for each in rest["networks"]] == ["c"]
    assert [each["rel"] for each in rest["networks_links"]] == ["previous"]
    assert api.ok("GET", "/networks?shared=True") == []
    assert len(api.ok("GET", "/networks?shared=false")) == 3
    api.refused(400, "HTTPBadRequest", "GET", "/networks?bogus=1")
    api.refused(400, "HTTPBadRequest", "GET", "/networks?sort_key=bogus")
    api.refused(400, "HTTPBadRequest", "GET", "/networks?limit=x")
    api.refused(404, "HTTPNotFound", "GET", "/networks?marker=nosuch")


def test_a_network_of_several_subnets_counts_once_and_its_subnets_each(api: NetworkApi) -> None:
    api.ok("PUT", f"/quotas/{PROJECT}", {
        "quota": {"network": 2, "subnet": 3, "rbac_policy": 1, "subnetpool": 1},
    }, token="admin")
    made = api.ok("POST", "/networks", {"network": {"name": "one"}})
    for cidr in ("10.61.0.0/24", "10.62.0.0/24", "10.63.0.0/24"):
        subnet = {"network_id": made["id"], "cidr": cidr, "ip_version": 4}
        api.ok("POST", "/subnets", {"subnet": subnet})
    api.refused(409, "OverQuota", "POST", "/subnets", {
        "subnet": {"network_id": made["id"], "cidr": "10.64.0.0/24", "ip_version": 4},
    })
    api.ok("POST", "/networks", {"network": {"name": "two"}})
    api.refused(409, "OverQuota", "POST", "/networks", {"network": {"name": "three"}})
    details = api.ok("GET", f"/quotas/{PROJECT}/details")
    assert {name: details[name]["used"] for name in ("network", "subnet", "rbac_policy", "subnetpool")} == {
        "network": 2, "subnet": 3, "rbac_policy": 0, "subnetpool": 0,
    }


def test_quotas_stop_and_are_reported(api: NetworkApi) -> None:
    api.refused(403, "HTTPForbidden", "PUT", f"/quotas/{PROJECT}", {"quota": {"network": 1}})
    api.ok("PUT", f"/quotas/{PROJECT}", {"quota": {"network": 1, "port": 1}}, token="admin")
    network = api.network()
    api.refused(409, "OverQuota", "POST", "/networks", {"network": {"name": "n"}})
    api.make("port", network_id=network["id"])
    api.refused(409, "OverQuota", "POST", "/ports", {"port": {"network_id": network["id"]}})
    details = api.ok("GET", f"/quotas/{PROJECT}/details")
    assert details["port"] == {"limit": 1, "used": 1, "reserved": 0}
    assert api.ok("GET", f"/quotas/{PROJECT}")["floatingip"] == 10
    api.ok("DELETE", f"/quotas/{PROJECT}", token="admin")
    assert api.ok("GET", f"/quotas/{PROJECT}")["network"] == -1
    api.refused(403, "HTTPForbidden", "GET", f"/quotas/{OTHER_PROJECT}")


def test_addresses_are_counted_for_administrators(api: NetworkApi) -> None:
    network = api.network("10.1.0.0/24")
    api.boot(RequestedNetwork(network_id=network["id"]))
    (found,) = api.ok("GET", "/network-ip-availabilities", token="admin")
    assert (found["total_ips"], found["used_ips"]) == (242, 1)
    api.refused(403, "PolicyNotAuthorized", "GET", "/network-ip-availabilities")


def test_every_project_has_one_router_that_is_what_the_bridges_do(api: NetworkApi) -> None:
    network = api.network()
    (router,) = api.ok("GET", "/routers")
    body = {"subnet_id": network["subnets"][0]}
    added = api.request("PUT", f"/routers/{router['id']}/add_router_interface", body).json
    assert added["subnet_id"] == network["subnets"][0]
    api.refused(
        409, "RouterInterfaceInUse", "PUT", f"/routers/{router['id']}/remove_router_interface",
        body,
    )
    api.refused(409, "RouterInUse", "DELETE", f"/routers/{router['id']}")
    api.refused(
        404, "SubnetNotFound", "PUT", f"/routers/{router['id']}/add_router_interface",
        {"subnet_id": "4ed80d76-6ea8-4b8f-b188-03456f831cd7"},
    )


def test_filters_are_read_as_the_values_of_bodies_are(api: NetworkApi) -> None:
    made = api.network()
    for query, found in (
        ("shared=no", 1), ("shared=True", 0), ("admin_state_up=on", 1), ("shared=", 1),
        ("sort_key=name&sort_dir=asc&sort_key=id&sort_dir=desc", 1),
    ):
        assert len(api.ok("GET", f"/networks?{query}")) == found, query
    group = api.make("security_group", name="g")
    for number in (1, 2):
        api.make("security_group_rule", security_group_id=group["id"], direction="ingress", protocol="tcp",
                 port_range_min=number, port_range_max=number)
    here = f"security_group_id={group['id']}"
    for query, found in (
        ("protocol=TCP", 2), ("ethertype=ipv6", 1), ("port_range_min=2", 1), ("protocol=any", 2),
    ):
        assert len(api.ok("GET", f"/security-group-rules?{here}&{query}")) == found, query
    for path, type_ in (
        ("/networks?shared=maybe", "InvalidInput"),
        ("/subnets?enable_dhcp=2", "InvalidInput"),
        ("/security-group-rules?protocol=bogus", "SecurityGroupRuleInvalidProtocol"),
        ("/networks?sort_key=name", "HTTPBadRequest"),
        ("/networks?sort_dir=asc", "HTTPBadRequest"),
        ("/networks?sort_key=name&sort_dir=asc&sort_dir=desc", "HTTPBadRequest"),
        ("/networks?changed_since=yesterday", "InvalidInput"),
    ):
        api.refused(400, type_, "GET", path)
    body = {"network": {"name": "n", "admin_state_up": "maybe"}}
    api.refused(400, "InvalidInput", "PUT", f"/networks/{made['id']}", body)


def test_lists_tell_what_changed_since_a_time(api: NetworkApi) -> None:
    network = api.network()
    api.make("port", network_id=network["id"])
    api.make("router", name="r")
    for collection in (
        "networks", "subnets", "ports", "security-groups", "security-group-rules", "routers"
    ):
        everything = api.ok("GET", f"/{collection}")
        assert everything
        oldest = min(each["updated_at"] for each in everything)
        path = f"/{collection}?changed_since="
        for since in (oldest, f"{oldest[:-1]}.999", "2001-01-01T00:00:00%2B05:00"):
            assert api.ok("GET", path + since) == everything
        assert api.ok("GET", path + "2999-01-01T00:00:00Z") == []


def test_an_address_outside_pools_that_are_named_may_be_asked_for(api: NetworkApi) -> None:
    network = api.make("network", name="n")
    pools = ranges({"allocation_pools": [(100, 100)]})
    api.make("subnet", network_id=network["id"], cidr="10.1.0.0/24", **pools)
    body = {"network_id": network["id"], "fixed_ips": [{"ip_address": "10.1.0.10"}]}
    port = api.make("port", **body)
    api.refused(409, "IpAddressAlreadyAllocated", "POST", "/ports", {"port": body})
    _server, (vif,) = api.boot(RequestedNetwork(port_id=port["id"]))
    assert vif.addresses[0].address == "10.1.0.10"
    api.ok("DELETE", f"/ports/{port['id']}")
    assert api.make("port", network_id=network["id"])["fixed_ips"][0]["ip_address"] == "10.1.0.100"
    none = {"port": {"network_id": network["id"]}}
    api.refused(409, "IpAddressGenerationFailure", "POST", "/ports", none)
    api.make("port", **body)


def test_a_server_was_refused_the_address_outside_named_pools_that_a_port_got(api: NetworkApi) -> None:
    network = api.make("network", name="n")
    pools = ranges({"allocation_pools": [(100, 100)]})
    api.make("subnet", network_id=network["id"], cidr="10.1.0.0/24", **pools)
    wanted = RequestedNetwork(network_id=network["id"], address="10.1.0.10")
    server, (vif,) = api.boot(wanted)
    assert vif.addresses[0].address == "10.1.0.10"
    _refused, error = api.boot(wanted)
    assert isinstance(error, AddressInUse)
    with api.cloud.db.write() as tx:
        api.cloud.networks.release(tx, [server])
    _server, (first,) = api.boot(RequestedNetwork(network_id=network["id"]))
    assert first.addresses[0].address == "10.1.0.100"
    _server, error = api.boot(RequestedNetwork(network_id=network["id"]))
    assert isinstance(error, NoMoreAddresses)
    _server, (again,) = api.boot(wanted)
    assert again.addresses[0].address == "10.1.0.10"
