# SPDX-License-Identifier: Apache-2.0
"""Values of requests that cannot be, and what they did to others before they were refused."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.unit.api_network.conftest import NetworkApi

#: Digits by Unicode, though no number; and a number that Python reads no text as.
NO_NUMBERS = ("²", "9" * 5000)
#: Everything behind the per cent sign is the address's scope.
SCOPED = ("fe80::1%eth0", "fe80::1%\ninterface=eth0")


@pytest.mark.parametrize("text", NO_NUMBERS, ids=["superscript", "long"])
def test_digits_that_are_no_number_were_answered_500(api: NetworkApi, text: str) -> None:
    group = api.make("security_group", name="g")
    rule = {"security_group_id": group["id"], "direction": "ingress", "protocol": text}
    invalid = "SecurityGroupRuleInvalidProtocol"
    api.refused(400, invalid, "POST", "/security-group-rules", {"security_group_rule": rule})
    api.refused(400, invalid, "GET", f"/security-group-rules?protocol={quote(text)}")
    api.refused(400, "HTTPBadRequest", "GET", f"/networks?limit={quote(text)}")
    api.refused(
        400, "HTTPBadRequest", "DELETE", f"/security-groups/{group['id']}",
        headers={"If-Match": f"revision_number={text}"},
    )


@pytest.mark.parametrize("address", SCOPED, ids=["scope", "lines"])
def test_the_scope_of_an_address_went_into_the_configuration_of_dhcp(
    api: NetworkApi, address: str
) -> None:
    network = api.network()
    (subnet,) = network["subnets"]
    told: tuple[dict[str, Any], ...] = (
        {"host_routes": [{"destination": "10.9.0.0/24", "nexthop": address}]},
        {"dns_nameservers": [address]},
    )
    for values in told:
        api.refused(400, "HTTPBadRequest", "PUT", f"/subnets/{subnet}", {"subnet": values})
    ranges: tuple[dict[str, Any], ...] = (
        {"cidr": "2001:db8::/64", "dns_nameservers": [address]},
        {"cidr": "2001:db8::/64", "gateway_ip": address},
        {"cidr": f"{address}/64"},
    )
    for values in ranges:
        body = {"subnet": {"network_id": network["id"], "ip_version": 6, **values}}
        api.refused(400, "HTTPBadRequest", "POST", "/subnets", body)
    for values in ({"fixed_ips": [{"ip_address": address}]},
                   {"allowed_address_pairs": [{"ip_address": address}]}):
        body = {"port": {"network_id": network["id"], **values}}
        api.refused(400, "HTTPBadRequest", "POST", "/ports", body)


ROUTE = {"destination": "10.9.0.0/24", "nexthop": "10.1.0.9"}
#: Routes of a subnet of IPv4, and how they are refused.
ROUTES: tuple[tuple[list[dict[str, Any]], str], ...] = (
    ([{"destination": "10.9.0.0/24"}], "HTTPBadRequest"),
    ([{"nexthop": "10.1.0.9"}], "HTTPBadRequest"),
    ([{**ROUTE, "destination": "2001:db8::/64"}], "InvalidInput"),
    ([{**ROUTE, "nexthop": "2001:db8::1"}], "InvalidInput"),
    ([ROUTE, ROUTE], "HTTPBadRequest"),
    ([{**ROUTE, "destination": f"10.9.{each}.0/24"} for each in range(21)], "HostRoutesExhausted"),
)


@pytest.mark.parametrize(("routes", "type_"), ROUTES, ids=range(len(ROUTES)))
def test_routes_that_cannot_be_were_kept_and_stopped_the_boots_of_their_network(
    api: NetworkApi, routes: list[dict[str, Any]], type_: str
) -> None:
    network = api.network()
    path = f"/subnets/{network['subnets'][0]}"
    api.refused(400, type_, "PUT", path, {"subnet": {"host_routes": routes}})
    body = {"subnet": {"network_id": network["id"], "ip_version": 4, "cidr": "10.2.0.0/24",
                       "host_routes": routes}}
    api.refused(400, type_, "POST", "/subnets", body)
    assert api.ok("GET", path)["host_routes"] == []
    _server, cards = api.boot()
    assert len(cards) == 1
    twenty = {"host_routes": [{**ROUTE, "destination": f"10.9.{each}.0/24"} for each in range(20)]}
    assert api.ok("PUT", path, {"subnet": twenty})["host_routes"] == twenty["host_routes"]


def test_the_range_of_an_external_network_may_be_one_address(api: NetworkApi) -> None:
    external = api.make("network", name="ext", token="admin", **{"router:external": True})
    pool = {"start": "203.0.113.7", "end": "203.0.113.7"}
    for cidr, values in (
        ("203.0.113.7/32", {"allocation_pools": [pool]}), ("203.0.113.8/32", {}),
        ("203.0.113.9/32", {"gateway_ip": None}),
    ):
        made = api.make("subnet", network_id=external["id"], cidr=cidr, token="admin", **values)
        address = cidr.partition("/")[0]
        assert made["gateway_ip"] is None
        assert made["allocation_pools"] == [{"start": address, "end": address}]
    nothing = api.make("subnet", network_id=external["id"], cidr="203.0.113.10/32",
                       gateway_ip="203.0.113.10", token="admin")
    assert nothing["allocation_pools"] == []
    for _ in range(3):
        api.make("floatingip", floating_network_id=external["id"])
    api.refused(409, "IpAddressGenerationFailure", "POST", "/floatingips",
                {"floatingip": {"floating_network_id": external["id"]}})


def test_what_is_said_of_an_external_subnet_was_neither_checked_nor_shown(api: NetworkApi) -> None:
    external = api.make("network", name="ext", token="admin", **{"router:external": True})
    body = {"network_id": external["id"], "cidr": "203.0.113.0/29", "ip_version": 4}
    for values in ({"gateway_ip": "2001:db8::1"}, {"dns_nameservers": ["2001:db8::1"]}):
        api.refused(400, "InvalidInput", "POST", "/subnets", {"subnet": {**body, **values}}, token="admin")
    told = {
        "dns_nameservers": ["192.0.2.53"], "service_types": ["network:floatingip"],
        "host_routes": [{"destination": "10.9.0.0/24", "nexthop": "203.0.113.2"}],
    }
    made = api.make("subnet", token="admin", **body, **told)
    assert {name: made[name] for name in told} == told
    path = f"/subnets/{made['id']}"
    changed = api.ok("PUT", path, {"subnet": {"dns_nameservers": []}}, token="admin")
    assert changed["dns_nameservers"] == []
    api.refused(400, "InvalidInput", "PUT", path, {"subnet": {"dns_nameservers": ["::1"]}}, token="admin")
