# SPDX-License-Identifier: Apache-2.0
"""Requests of every shape that gophercloud, and so Terraform's provider, sends to a network service.

Source of the shapes: gophercloud, ``openstack/networking/v2`` (its documentation and the requests that its
own tests expect). Ids are words here, replaced by those of things that were made before.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api_network.conftest import PROJECT, NetworkApi

Body = dict[str, Any]

#: method, path, body, status. ``<name>`` is an id; the answer's own id is kept as the last word.
SHAPES: tuple[tuple[str, str, Any, int, str], ...] = (
    # networks
    ("POST", "/networks", {"network": {"name": "sample_network", "admin_state_up": True}}, 201, "net"),
    ("POST", "/networks", {"network": {
        "name": "private", "admin_state_up": True, "shared": False, "tenant_id": PROJECT,
        "availability_zone_hints": ["nova"], "port_security_enabled": True,
        "dns_domain": "local.", "description": "d", "mtu": 1500}}, 201, "other"),
    ("GET", "/networks?name=private&admin_state_up=true&shared=false&status=ACTIVE&limit=2", None, 200, ""),
    ("GET", "/networks?not-tags=a,b&tags-any=c&sort_key=name&sort_dir=asc", None, 200, ""),
    ("PUT", "/networks/<net>", {"network": {
        "name": "new_network_name", "admin_state_up": True, "shared": False}}, 200, ""),
    ("PUT", "/networks/<net>", {"network": {"description": "", "port_security_enabled": False}}, 200, ""),
    ("PUT", "/networks/<net>", {"network": {"port_security_enabled": True}}, 200, ""),
    # subnet pools and subnets
    ("POST", "/subnetpools", {"subnetpool": {
        "name": "my_ipv4_pool", "prefixes": ["10.10.0.0/16", "10.11.11.0/24"],
        "address_scope_id": None, "min_prefixlen": 25, "max_prefixlen": 30,
        "description": "ipv4 prefixes"}}, 201, "pool"),
    ("PUT", "/subnetpools/<pool>", {"subnetpool": {
        "name": "new_subnetpool_name", "prefixes": ["10.11.11.0/24", "10.10.0.0/16", "10.24.24.0/24"],
        "max_prefixlen": 29, "address_scope_id": None, "default_quota": 0}}, 200, ""),
    ("PUT", "/subnetpools/<pool>", {"subnetpool": {"default_quota": None}}, 200, ""),
    ("GET", "/subnetpools?ip_version=4&default_prefixlen=25&is_default=false", None, 200, ""),
    ("POST", "/subnets", {"subnet": {
        "network_id": "<net>", "ip_version": 4, "gateway_ip": "192.168.199.1",
        "cidr": "192.168.199.0/24", "dns_nameservers": ["8.8.8.8"],
        "service_types": ["network:routed"],
        "allocation_pools": [{"start": "192.168.199.2", "end": "192.168.199.200"}],
        "host_routes": [{"destination": "10.0.0.0/8", "nexthop": "192.168.199.9"}]}}, 201, "sub"),
    ("POST", "/subnets", {"subnet": {
        "network_id": "<net>", "ip_version": 6, "gateway_ip": "2001:db8:0:a::1",
        "cidr": "2001:db8:0:a:0:0:0:0/64", "ipv6_address_mode": "slaac",
        "ipv6_ra_mode": "slaac"}}, 201, "six"),
    ("POST", "/subnets", {"subnet": {
        "network_id": "<other>", "ip_version": 4, "subnetpool_id": "<pool>", "prefixlen": 26}},
     201, "cut"),
    ("POST", "/subnets", {"subnet": {
        "network_id": "<other>", "ip_version": 4, "cidr": "192.168.1.0/24", "gateway_ip": None}}, 201, ""),
    ("PUT", "/subnets/<sub>", {"subnet": {
        "name": "my_new_subnet", "dns_nameservers": ["9.9.9.9"],
        "host_routes": [{"destination": "10.0.0.0/8", "nexthop": "192.168.199.8"}]}}, 200, ""),
    ("PUT", "/subnets/<sub>", {"subnet": {"name": "n", "gateway_ip": "192.168.199.1"}}, 200, ""),
    ("PUT", "/subnets/<sub>", {"subnet": {"host_routes": []}}, 200, ""),
    ("GET", "/subnets?network_id=<net>&ip_version=4&cidr=192.168.199.0/24&enable_dhcp=true", None, 200, ""),
    # security groups
    ("POST", "/security-groups", {"security_group": {
        "name": "new-webservers", "description": "security group for webservers"}}, 201, "group"),
    ("PUT", "/security-groups/<group>", {"security_group": {
        "name": "newer-webservers", "description": ""}}, 200, ""),
    ("POST", "/security-group-rules", {"security_group_rule": {
        "description": "test description of rule", "direction": "ingress", "port_range_min": 80,
        "ethertype": "IPv4", "port_range_max": 80, "protocol": "tcp",
        "remote_group_id": "<group>", "security_group_id": "<group>"}}, 201, "rule"),
    ("POST", "/security-group-rules", {"security_group_rule": {
        "direction": "ingress", "ethertype": "IPv6", "protocol": "ipv6-icmp",
        "remote_ip_prefix": "::/0", "security_group_id": "<group>"}}, 201, ""),
    ("POST", "/security-group-rules", {"security_group_rule": {
        "direction": "egress", "ethertype": "IPv4", "protocol": "udp", "port_range_min": 53,
        "port_range_max": 53, "security_group_id": "<group>"}}, 201, ""),
    ("GET", "/security-group-rules?security_group_id=<group>&direction=ingress&protocol=tcp", None, 200, ""),
    # ports
    ("POST", "/ports", {"port": {
        "network_id": "<net>", "name": "private-port", "admin_state_up": True,
        "fixed_ips": [{"subnet_id": "<sub>", "ip_address": "192.168.199.22"}],
        "security_groups": ["<group>"],
        "allowed_address_pairs": [{"ip_address": "10.0.0.4", "mac_address": "fa:16:3e:c9:cb:f0"}]}},
     201, "port"),
    ("POST", "/ports", {"port": {
        "network_id": "<net>", "admin_state_up": True, "security_groups": [],
        "extra_dhcp_opts": [{"opt_name": "bootfile-name", "opt_value": "pxelinux.0", "ip_version": 4}],
        "binding:vnic_type": "normal", "binding:profile": {}, "dns_name": "test-port",
        "port_security_enabled": False}}, 201, "bare"),
    ("PUT", "/ports/<port>", {"port": {
        "name": "new_port_name", "fixed_ips": [{"subnet_id": "<sub>", "ip_address": "192.168.199.33"}],
        "security_groups": ["<group>"],
        "allowed_address_pairs": [{"ip_address": "10.0.0.5"}]}}, 200, ""),
    ("PUT", "/ports/<port>", {"port": {"allowed_address_pairs": [], "security_groups": []}}, 200, ""),
    ("GET", "/ports?network_id=<net>&fixed_ips=ip_address=192.168.199.33&fixed_ips=subnet_id=<sub>",
     None, 200, ""),
    ("GET", "/ports?device_owner=network:router_interface&device_id=x", None, 200, ""),
    # floating IPs
    ("POST", "/floatingips", {"floatingip": {
        "floating_network_id": "<ext>", "port_id": "<port>",
        "fixed_ip_address": "192.168.199.33", "description": ""}}, 201, "fip"),
    ("PUT", "/floatingips/<fip>", {"floatingip": {"port_id": None}}, 200, ""),
    ("PUT", "/floatingips/<fip>", {"floatingip": {
        "port_id": "<port>", "fixed_ip_address": "192.168.199.33"}}, 200, ""),
    ("GET", "/floatingips?status=ACTIVE&port_id=<port>&floating_network_id=<ext>", None, 200, ""),
    # routers
    ("POST", "/routers", {"router": {
        "name": "foo_router", "admin_state_up": True, "distributed": False,
        "external_gateway_info": {"network_id": "<ext>", "enable_snat": True},
        "availability_zone_hints": ["nova"]}}, 201, "router"),
    ("PUT", "/routers/<router>", {"router": {
        "name": "new_name", "external_gateway_info": {"network_id": "<ext>"}, "routes": []}}, 200, ""),
    ("PUT", "/routers/<router>", {"router": {
        "routes": [{"nexthop": "10.1.0.10", "destination": "40.0.1.0/24"}]}}, 400, ""),
    ("PUT", "/routers/<router>/add_router_interface", {"subnet_id": "<sub>"}, 200, ""),
    ("PUT", "/routers/<router>/remove_router_interface", {"subnet_id": "<sub>"}, 200, ""),
    ("PUT", "/routers/<router>", {"router": {"external_gateway_info": {}}}, 200, ""),
    # tags, sharing, limits, extensions
    ("PUT", "/networks/<net>/tags", {"tags": ["abc", "123"]}, 200, ""),
    ("GET", "/networks/<net>/tags", None, 200, ""),
    ("PUT", "/ports/<port>/tags/abc", None, 201, ""),
    ("GET", "/ports/<port>/tags/abc", None, 204, ""),
    ("DELETE", "/ports/<port>/tags/abc", None, 204, ""),
    ("DELETE", "/networks/<net>/tags", None, 204, ""),
    ("PUT", "/routers/<router>/tags", {"tags": ["a"]}, 200, ""),
    ("PUT", "/subnetpools/<pool>/tags", {"tags": ["a"]}, 200, ""),
    ("PUT", "/floatingips/<fip>/tags", {"tags": ["a"]}, 200, ""),
    ("PUT", "/security-groups/<group>/tags", {"tags": ["a"]}, 200, ""),
    ("POST", "/rbac-policies", {"rbac_policy": {
        "action": "access_as_shared", "object_type": "network", "target_tenant": "some-project",
        "object_id": "<net>"}}, 201, "rbac"),
    ("PUT", "/rbac-policies/<rbac>", {"rbac_policy": {"target_tenant": "another-project"}}, 200, ""),
    ("GET", f"/quotas/{PROJECT}", None, 200, ""),
    ("GET", f"/quotas/{PROJECT}/details.json", None, 200, ""),
    ("GET", "/extensions", None, 200, ""),
    ("GET", "/extensions/standard-attr-tag", None, 200, ""),
    ("GET", "/availability_zones", None, 200, ""),
    # all of it taken apart, as a plan is destroyed
    ("DELETE", "/rbac-policies/<rbac>", None, 204, ""),
    ("DELETE", "/routers/<router>", None, 204, ""),
    ("DELETE", "/floatingips/<fip>", None, 204, ""),
    ("DELETE", "/ports/<port>", None, 204, ""),
    ("DELETE", "/ports/<bare>", None, 204, ""),
    ("DELETE", "/security-group-rules/<rule>", None, 204, ""),
    ("DELETE", "/security-groups/<group>", None, 204, ""),
    ("DELETE", "/subnets/<six>", None, 204, ""),
    ("DELETE", "/subnets/<sub>", None, 204, ""),
    ("DELETE", "/subnets/<cut>", None, 204, ""),
    ("DELETE", "/subnetpools/<pool>", None, 204, ""),
    ("DELETE", "/networks/<net>", None, 204, ""),
    ("DELETE", "/networks/<other>", None, 204, ""),
)


def named(thing: Any, ids: dict[str, str]) -> Any:
    """The same with the ids in their places."""
    if isinstance(thing, str):
        for name, identifier in ids.items():
            thing = thing.replace(f"<{name}>", identifier)
        assert "<" not in thing, thing
        return thing
    if isinstance(thing, dict):
        return {key: named(value, ids) for key, value in thing.items()}
    if isinstance(thing, list):
        return [named(each, ids) for each in thing]
    return thing


def test_every_shape_is_understood(api: NetworkApi) -> None:
    ids = {"ext": api.external()["id"]}
    for method, path, body, status, word in SHAPES:
        answer = api.request(method, named(path, ids), named(body, ids))
        assert answer.status_code == status, (method, path, body, answer.text)
        if word:
            ids[word] = next(iter(answer.json.values()))["id"]
    for collection in ("networks", "subnets", "ports", "floatingips", "subnetpools"):
        found = [each for each in api.ok("GET", f"/{collection}") if each["id"] != ids["ext"]]
        assert found == [], collection


LIMITS: Body = {"quota": {"floatingip": 0, "network": -1, "port": 5, "rbac_policy": 10, "router": 1,
                          "security_group": 20, "security_group_rule": -1, "subnet": 25,
                          "subnetpool": 0}}


def test_limits_are_set_in_one_request(api: NetworkApi) -> None:
    found = api.ok("PUT", f"/quotas/{PROJECT}", LIMITS, token="admin")
    assert {name: found[name] for name in LIMITS["quota"]} == LIMITS["quota"]
    api.refused(409, "OverQuota", "POST", "/subnetpools",
                {"subnetpool": {"name": "p", "prefixes": ["10.9.0.0/16"]}})


@pytest.mark.parametrize("many", [1, 3])
def test_several_ports_are_made_in_one_request(api: NetworkApi, many: int) -> None:
    network = api.network()
    body = {"ports": [{"network_id": network["id"], "name": f"p{i}"} for i in range(many)]}
    assert len(api.ok("POST", "/ports", body)) == many
