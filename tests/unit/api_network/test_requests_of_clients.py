# SPDX-License-Identifier: Apache-2.0
"""Bodies as the documentation of gophercloud and Terraform's provider has them, and nonsense."""

from __future__ import annotations

from typing import Any

import pytest

from nova.api.network.tables import RESOURCES
from tests.unit.api_network.conftest import NetworkApi


def test_a_small_stack_as_terraform_sends_it(api: NetworkApi) -> None:
    external = api.external()
    network = api.ok("POST", "/networks", {"network": {
        "name": "network_1", "admin_state_up": True, "shared": False, "router:external": False,
        "mtu": 1450}})
    subnet = api.ok("POST", "/subnets", {"subnet": {
        "network_id": network["id"], "name": "subnet_1", "cidr": "192.168.199.0/24",
        "ip_version": 4, "enable_dhcp": True, "allocation_pools": [
            {"start": "192.168.199.10", "end": "192.168.199.200"}]}})
    group = api.ok("POST", "/security-groups", {"security_group": {
        "name": "secgroup_1", "description": "a security group"}})
    api.ok("POST", "/security-group-rules", {"security_group_rule": {
        "direction": "ingress", "ethertype": "IPv4", "security_group_id": group["id"],
        "port_range_min": 22, "port_range_max": 22, "protocol": "tcp",
        "remote_ip_prefix": "0.0.0.0/0"}})
    port = api.ok("POST", "/ports", {"port": {
        "network_id": network["id"], "name": "port_1", "admin_state_up": True,
        "security_groups": [group["id"]], "binding:profile": {}, "fixed_ips": [
            {"subnet_id": subnet["id"], "ip_address": "192.168.199.23"}]}})
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "192.168.199.23"}]
    taken = api.ok("POST", "/floatingips", {"floatingip": {
        "floating_network_id": external["id"], "port_id": port["id"],
        "fixed_ip_address": "192.168.199.23"}})
    assert taken["status"] == "ACTIVE"
    # What is read back is what was asked for: a second plan changes nothing.
    again = api.ok("GET", f"/subnets/{subnet['id']}")
    assert again["allocation_pools"] == [{"start": "192.168.199.10", "end": "192.168.199.200"}]
    assert again["dns_nameservers"] == []
    for path in (f"/floatingips/{taken['id']}", f"/ports/{port['id']}",
                 f"/security-groups/{group['id']}", f"/subnets/{subnet['id']}",
                 f"/networks/{network['id']}"):
        api.ok("DELETE", path)


def test_an_unchanged_attribute_of_administrators_needs_no_right(api: NetworkApi) -> None:
    network = api.network()
    path = f"/networks/{network['id']}"
    api.ok("PUT", path, {"network": {"name": "n", "shared": False}})
    api.refused(403, "PolicyNotAuthorized", "PUT", path, {"network": {"shared": True}})


NONSENSE: tuple[Any, ...] = (
    None, True, -1, 2**70, 1.5, "", "x" * 300, "ü\u0000", [], [None], [{}], {}, {"a": [1]}, "::1",
    "10.0.0.0/8", [["x"]], "²", "9" * 5000, "fe80::1%\n",
)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda each: each.plural)
def test_nonsense_is_never_our_own_bug(api: NetworkApi, resource: Any) -> None:
    network = api.network()
    base: dict[str, Any] = {
        "subnet": {"network_id": network["id"], "cidr": "10.8.0.0/24", "ip_version": 4},
        "port": {"network_id": network["id"]},
        "floatingip": {"floating_network_id": network["id"]},
        "security_group": {"name": "g"},
        "security_group_rule": {"security_group_id": network["id"], "direction": "ingress"},
        "rbac_policy": {"object_type": "network", "object_id": network["id"],
                        "action": "access_as_shared", "target_tenant": "t"},
    }.get(resource.singular, {})
    path = f"/{resource.path or resource.plural}"
    for name in resource.attributes:
        for value in NONSENSE:
            result = api.request(
                "POST", path, {resource.singular: {**base, name: value}}, token="admin"
            )
            assert result.status_code < 500, (name, value, result.text)
    for body in (None, [], {}, {resource.singular: None}, {resource.plural: []},
                 {resource.plural: [1]}, {resource.singular: []}):
        assert api.request("POST", path, body, token="admin").status_code < 500
        assert api.request("PUT", f"{path}/x", body, token="admin").status_code < 500
    things = api.ok("GET", path, token="admin")
    for thing in things[:2]:
        for name in resource.attributes:
            for value in NONSENSE:
                result = api.request(
                    "PUT", f"{path}/{thing['id']}", {resource.singular: {name: value}},
                    token="admin",
                )
                assert result.status_code < 500, (name, value, result.text)
    for query in ("limit=-1", "marker=%00", "sort_key=id&sort_dir=x", "fields=", "fields=%ff",
                  "tags=,", "page_reverse=x&limit=1", "id=", "name=ü"):
        assert api.request("GET", f"{path}?{query}", token="admin").status_code < 500
    for method in ("GET", "DELETE"):
        assert api.request(method, f"{path}/{'x' * 300}", token="admin").status_code < 500
