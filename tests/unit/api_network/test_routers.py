# SPDX-License-Identifier: Apache-2.0
"""The one router of a project, once it was made: as tools that describe a whole stack expect it."""

from __future__ import annotations

from typing import Any

import pytest

from nova.conductor.host_network import network_state
from tests.unit.api_network.conftest import PROJECT, NetworkApi


def test_a_router_is_made_connected_taken_apart_and_removed(api: NetworkApi) -> None:
    external = api.external()
    network = api.network()
    (subnet,) = network["subnets"]
    (implicit,) = api.ok("GET", "/routers")
    router = api.make(
        "router", name="größe", external_gateway_info={"network_id": external["id"]}, tags=["t"]
    )
    assert [each["id"] for each in api.ok("GET", "/routers")] == [router["id"]]
    assert router["id"] != implicit["id"], "what is deleted has to be gone"
    assert (router["name"], router["tags"], router["status"]) == ("größe", ["t"], "ACTIVE")
    assert router["external_gateway_info"]["network_id"] == external["id"]
    api.refused(409, "OverQuota", "POST", "/routers", {"router": {"name": "second"}})
    path = f"/routers/{router['id']}"
    added = api.request("PUT", f"{path}/add_router_interface", {"subnet_id": subnet}).json
    assert added["subnet_ids"] == [subnet]
    port = api.ok("GET", f"/ports/{added['port_id']}")
    assert (port["device_owner"], port["device_id"]) == ("network:router_interface", router["id"])
    assert port["fixed_ips"] == [{"subnet_id": subnet, "ip_address": "10.1.0.1"}]
    assert api.ok("GET", f"/ports?device_id={router['id']}") == [port]
    assert api.ok("GET", "/ports?device_owner=network:router_interface") == [port]
    assert api.ok("GET", "/ports", token="other") == []
    api.refused(400, "BadRequest", "PUT", f"{path}/add_router_interface", {"subnet_id": subnet})
    api.refused(409, "ServicePortInUse", "DELETE", f"/ports/{port['id']}")
    api.refused(409, "ServicePortInUse", "PUT", f"/ports/{port['id']}", {"port": {"name": "x"}})
    api.refused(409, "RouterInUse", "DELETE", path)
    changed = api.ok("PUT", path, {"router": {"name": "n", "external_gateway_info": None}})
    assert (changed["name"], changed["external_gateway_info"]) == ("n", None)
    assert changed["revision_number"] > router["revision_number"]
    api.request("PUT", f"{path}/remove_router_interface", {"port_id": added["port_id"]})
    api.refused(
        404, "RouterInterfaceNotFoundForSubnet", "PUT", f"{path}/remove_router_interface",
        {"subnet_id": subnet},
    )
    assert api.ok("GET", "/ports") == []
    api.ok("DELETE", path)
    api.refused(404, "RouterNotFound", "GET", path)
    api.refused(404, "RouterNotFound", "DELETE", path)
    assert api.ok("GET", "/routers") == [implicit]
    again = api.make("router", name="again")
    assert again["id"] not in (router["id"], implicit["id"])
    port = api.make("port", network_id=network["id"])
    led = api.make("floatingip", floating_network_id=external["id"], port_id=port["id"])
    assert led["router_id"] == again["id"]


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"ha": True}, "ha"),
        ({"distributed": True}, "distributed"),
        ({"routes": [{"destination": "10.0.0.0/8", "nexthop": "10.1.0.9"}]}, "routes"),
        ({"external_gateway_info": {"network_id": "nowhere"}}, "nowhere"),
    ],
)
def test_what_gateways_cannot_do_is_refused(
    api: NetworkApi, values: dict[str, Any], word: str
) -> None:
    answer = api.request("POST", "/routers", {"router": {"name": "r", **values}})
    assert answer.status_code in (400, 404)
    assert word in answer.json["NeutronError"]["message"]
    assert api.ok("GET", "/routers")[0]["name"] == "gateway"


def routed(api: NetworkApi) -> dict[str, bool]:
    """Which networks, by range, the host is to route."""
    state = network_state(api.cloud.db, api.cloud.config.network, "h1")
    return {str(each.cidr): each.routed for each in state.networks}


def test_a_router_that_is_switched_off_routes_none_of_its_projects_networks(api: NetworkApi) -> None:
    api.network("10.1.0.0/24")
    api.network("10.2.0.0/24", token="other")
    assert routed(api) == {"10.1.0.0/24": True, "10.2.0.0/24": True}
    router = api.make("router", name="r", admin_state_up=False)
    path = f"/routers/{router['id']}"
    assert router["admin_state_up"] is api.ok("GET", path)["admin_state_up"] is False
    assert routed(api) == {"10.1.0.0/24": False, "10.2.0.0/24": True}
    assert api.ok("PUT", path, {"router": {"admin_state_up": True}})["admin_state_up"] is True
    assert set(routed(api).values()) == {True}
    api.ok("PUT", path, {"router": {"admin_state_up": False}})
    assert routed(api)["10.1.0.0/24"] is False
    api.ok("DELETE", path)
    assert set(routed(api).values()) == {True}, "what stands for the gateways is always on"


def test_a_subnet_without_a_gateway_has_no_interface_for_a_router(api: NetworkApi) -> None:
    network = api.make("network", name="n")
    subnet = api.make("subnet", network_id=network["id"], cidr="10.1.0.0/24", gateway_ip=None)
    router = api.make("router", name="r")
    api.refused(400, "BadRequest", "PUT", f"/routers/{router['id']}/add_router_interface",
                {"subnet_id": subnet["id"]})


def test_a_router_of_another_project_is_not_there(api: NetworkApi) -> None:
    router = api.make("router", name="mine")
    path = f"/routers/{router['id']}"
    for method, body in (("GET", None), ("PUT", {"router": {"name": "x"}}), ("DELETE", None)):
        api.refused(404, "RouterNotFound", method, path, body, token="other")
    assert api.ok("GET", path, token="admin")["tenant_id"] == PROJECT
    api.ok("DELETE", path, token="admin")


def test_a_subnet_that_is_gone_is_on_no_router(api: NetworkApi) -> None:
    network = api.network()
    router = api.make("router", name="r")
    path = f"/routers/{router['id']}"
    api.request("PUT", f"{path}/add_router_interface", {"subnet_id": network["subnets"][0]})
    api.ok("DELETE", f"/networks/{network['id']}")
    assert api.ok("GET", "/ports") == []
    api.ok("DELETE", path)
