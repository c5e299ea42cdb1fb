# SPDX-License-Identifier: Apache-2.0
"""Ranges that subnets are cut from."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from tests.unit.api_network.conftest import NetworkApi, Shown


def pool(api: NetworkApi, **values: Any) -> Shown:
    return api.make("subnetpool", **{"name": "pool", "prefixes": ["10.20.0.0/22"], **values})


def test_subnets_are_cut_from_a_pool_until_it_is_used_up(api: NetworkApi) -> None:
    made = pool(api, default_prefixlen=24, min_prefixlen=20, max_prefixlen=26, tags=["t"])
    assert (made["ip_version"], made["shared"], made["tags"]) == (4, False, ["t"])
    network = api.network(None)
    facts = {"network_id": network["id"], "ip_version": 4, "subnetpool_id": made["id"]}
    first = api.make("subnet", **facts)
    assert (first["cidr"], first["subnetpool_id"]) == ("10.20.0.0/24", made["id"])
    small = api.make("subnet", **facts, prefixlen=26)
    assert small["cidr"] == "10.20.1.0/26"
    chosen = api.make("subnet", **facts, cidr="10.20.3.0/24")
    assert chosen["cidr"] == "10.20.3.0/24"
    # What others took of the range is not cut from it again.
    api.make("subnet", network_id=network["id"], cidr="10.20.1.64/26")
    assert api.make("subnet", **facts, prefixlen=25)["cidr"] == "10.20.1.128/25"
    assert api.make("subnet", **facts)["cidr"] == "10.20.2.0/24"
    assert "Insufficient" in api.refused(
        409, "SubnetAllocationError", "POST", "/subnets", {"subnet": facts}
    )
    everything = [
        ipaddress.ip_network(each["cidr"])
        for each in api.ok("GET", f"/subnets?subnetpool_id={made['id']}")
    ]
    assert len(everything) == 5
    path = f"/subnetpools/{made['id']}"
    api.refused(409, "SubnetPoolDeleteError", "DELETE", path)
    grown = api.ok("PUT", path, {"subnetpool": {"prefixes": ["10.20.0.0/22", "10.20.4.0/22"]}})
    assert grown["prefixes"] == ["10.20.0.0/21"]
    assert api.make("subnet", **facts)["cidr"] == "10.20.4.0/24"
    api.refused(400, "IllegalSubnetPoolPrefixUpdate", "PUT", path,
                {"subnetpool": {"prefixes": ["10.20.0.0/24"]}})
    api.ok("DELETE", f"/networks/{network['id']}")
    api.ok("DELETE", path)
    assert api.ok("GET", "/subnetpools") == []


def test_the_default_pool_is_taken_where_asked_for(api: NetworkApi) -> None:
    network = api.network(None)
    body = {"subnet": {"network_id": network["id"], "use_default_subnetpool": True,
                       "ip_version": 4}}
    assert api.request("POST", "/subnets", body).status_code == 404
    api.refused(403, "PolicyNotAuthorized", "POST", "/subnetpools",
                {"subnetpool": {"name": "p", "prefixes": ["10.30.0.0/16"], "is_default": True}})
    made = pool(api, prefixes=["10.30.0.0/16"], default_prefixlen=26, is_default=True, shared=True,
                token="admin")
    api.refused(400, "InvalidInput", "POST", "/subnetpools",
                {"subnetpool": {"name": "q", "prefixes": ["10.31.0.0/16"], "is_default": True}},
                token="admin")
    pool(api, prefixes=["fd30::/48"], is_default=True, shared=True, token="admin")
    assert api.ok("POST", "/subnets", body)["cidr"] == "10.30.0.0/26"
    body["subnet"]["ip_version"] = 6
    assert api.ok("POST", "/subnets", body)["cidr"] == "fd30::/64"
    api.refused(403, "PolicyNotAuthorized", "DELETE", f"/subnetpools/{made['id']}", token="other")


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ({"prefixes": []}, "HTTPBadRequest"),
        ({"prefixes": ["10.0.0.0/8", "fd00::/8"]}, "SubnetPoolMixedVersions"),
        ({"min_prefixlen": 25, "max_prefixlen": 24}, "IllegalSubnetPoolPrefixBounds"),
        ({"min_prefixlen": 25, "default_prefixlen": 24}, "IllegalSubnetPoolPrefixBounds"),
        ({"max_prefixlen": 64}, "HTTPBadRequest"),
        ({"address_scope_id": "x"}, "HTTPBadRequest"),
    ],
)
def test_pools_that_cannot_be_are_refused(
    api: NetworkApi, values: dict[str, Any], type_: str
) -> None:
    body = {"subnetpool": {"name": "p", "prefixes": ["10.20.0.0/22"], **values}}
    api.refused(400, type_, "POST", "/subnetpools", body)
    assert api.ok("GET", "/subnetpools") == []


def test_a_pool_keeps_its_bounds_and_its_quota(api: NetworkApi) -> None:
    made = pool(api, min_prefixlen=24, max_prefixlen=26, default_quota=300)
    network = api.network(None)
    facts = {"network_id": network["id"], "ip_version": 4, "subnetpool_id": made["id"]}
    for length, type_ in ((22, "MinPrefixSubnetAllocationError"),
                          (28, "MaxPrefixSubnetAllocationError")):
        api.refused(400, type_, "POST", "/subnets", {"subnet": {**facts, "prefixlen": length}})
    api.refused(400, "SubnetAllocationError", "POST", "/subnets",
                {"subnet": {**facts, "cidr": "10.99.0.0/24"}})
    for wrong in ({"ip_version": 6}, {"cidr": "10.20.0.0/24", "prefixlen": 24}):
        api.refused(400, "BadRequest", "POST", "/subnets", {"subnet": {**facts, **wrong}})
    api.make("subnet", **facts)
    api.refused(409, "OverQuota", "POST", "/subnets", {"subnet": facts})
    api.refused(404, "SubnetPoolNotFound", "GET", f"/subnetpools/{made['id']}", token="other")
