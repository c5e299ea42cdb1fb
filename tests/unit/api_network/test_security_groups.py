# SPDX-License-Identifier: Apache-2.0
"""Security groups and rules under Neutron's semantics, over the groups of nova-network."""

from __future__ import annotations

from typing import Any

import pytest

from nova.errors import BadRequest, NotFound
from nova.network import security_groups as groups
from nova.network.linux.rules import group_rules
from nova.objects.host_filters import FilterRule
from tests.unit.api.conftest import PROJECT
from tests.unit.api_network.conftest import NetworkApi


def rule(api: NetworkApi, group: str, **values: Any) -> dict[str, Any]:
    return api.make("security_group_rule", security_group_id=group,
                    **{"direction": "ingress", **values})


def test_every_project_has_a_default_group_that_lets_everything_out(api: NetworkApi) -> None:
    (default,) = api.ok("GET", "/security-groups")
    assert (default["name"], default["tenant_id"]) == ("default", PROJECT)
    rules = default["security_group_rules"]
    assert [(each["direction"], each["ethertype"]) for each in rules] == [
        ("egress", "IPv4"), ("egress", "IPv6")
    ]
    path = f"/security-group-rules/{rules[0]['id']}"
    assert api.ok("GET", path)["security_group_id"] == default["id"]
    api.refused(409, "SecurityGroupCannotRemoveDefault", "DELETE",
                f"/security-groups/{default['id']}")
    api.refused(409, "SecurityGroupCannotUpdateDefault", "PUT",
                f"/security-groups/{default['id']}", {"security_group": {"name": "x"}})
    assert api.ok("GET", "/security-groups")[0]["id"] == default["id"]


def test_a_group_lives_with_its_rules(api: NetworkApi) -> None:
    group = api.make("security_group", name="wéb", description="d", tags=["t"])
    path = f"/security-groups/{group['id']}"
    made = rule(api, group["id"], protocol="tcp", port_range_min=80, port_range_max=90,
                remote_ip_prefix="10.0.0.0/8", description="http")
    assert (made["ethertype"], made["description"]) == ("IPv4", "http")
    icmp = rule(api, group["id"], protocol="icmp", port_range_min=8, port_range_max=0)
    assert (icmp["port_range_min"], icmp["port_range_max"]) == (8, 0)
    assert rule(api, group["id"], protocol="icmp")["port_range_min"] is None
    six = rule(api, group["id"], protocol="tcp", ethertype="ipv6", port_range_min=22,
               port_range_max=22)
    assert (six["ethertype"], six["remote_ip_prefix"]) == ("IPv6", None)
    anywhere = {"protocol": "udp", "port_range_min": 9, "port_range_max": 9}
    said = rule(api, group["id"], remote_ip_prefix="0.0.0.0/0", **anywhere)
    assert said["remote_ip_prefix"] == "0.0.0.0/0"
    api.refused(409, "SecurityGroupRuleExists", "POST", "/security-group-rules", {
        "security_group_rule": {"security_group_id": group["id"], "direction": "ingress", **anywhere}})
    api.ok("DELETE", f"/security-group-rules/{said['id']}")
    itself = rule(api, group["id"], remote_group_id=group["id"])
    assert (itself["protocol"], itself["remote_group_id"]) == (None, group["id"])
    out = rule(api, group["id"], direction="egress", protocol="udp", port_range_min=53,
               port_range_max=53)
    assert len(api.ok("GET", path)["security_group_rules"]) == 8
    assert {each["id"] for each in api.ok(
        "GET", f"/security-group-rules?security_group_id={group['id']}&direction=egress"
    )} >= {out["id"]}
    with api.cloud.db.read() as tx:
        found = tx.security_groups.find(PROJECT, "wéb")
    assert found is not None
    assert [each.direction for each in found.rules].count("ingress") == 5
    api.ok("DELETE", f"/security-group-rules/{made['id']}")
    api.refused(404, "SecurityGroupRuleNotFound", "DELETE", f"/security-group-rules/{made['id']}")
    changed = api.ok("PUT", path, {"security_group": {"name": "web", "description": ""}})
    assert (changed["name"], changed["description"], changed["tags"]) == ("web", "", ["t"])
    api.refused(404, "SecurityGroupNotFound", "GET", path, token="other")
    api.ok("DELETE", path)
    api.refused(404, "SecurityGroupNotFound", "GET", path)


def test_rules_of_the_older_api_are_shown_in_neutrons_words(api: NetworkApi) -> None:
    with api.cloud.db.write() as tx:
        group = groups.create_group(tx, PROJECT, "u", "old", "")
        groups.add_rule(
            tx, group, groups.check_rule(protocol="ICMP", from_port=-1, to_port=-1)
        )
        groups.add_rule(
            tx, group,
            groups.check_rule(protocol="TCP", from_port=22, to_port=22, cidr="fd00::/8"),
        )
    found = next(each for each in api.ok("GET", "/security-groups") if each["name"] == "old")
    icmp, ssh = found["security_group_rules"][2:]
    assert (icmp["protocol"], icmp["port_range_min"], icmp["ethertype"]) == ("icmp", None, "IPv4")
    assert (ssh["protocol"], ssh["port_range_min"], ssh["ethertype"]) == ("tcp", 22, "IPv6")


REFUSED: tuple[tuple[dict[str, object], int, str], ...] = (
    ({"protocol": "bogus"}, 400, "SecurityGroupRuleInvalidProtocol"),
    ({"protocol": "256"}, 400, "SecurityGroupRuleInvalidProtocol"),
    ({"port_range_min": 1, "port_range_max": 2}, 400, "SecurityGroupProtocolRequiredWithPorts"),
    ({"protocol": "tcp", "port_range_min": 3, "port_range_max": 2}, 400,
     "SecurityGroupInvalidPortRange"),
    ({"protocol": "tcp", "port_range_min": 70000}, 400, "SecurityGroupInvalidPortValue"),
    ({"protocol": "icmp", "port_range_min": 256}, 400, "SecurityGroupInvalidIcmpValue"),
    ({"protocol": "icmp", "port_range_max": 0}, 400, "SecurityGroupMissingIcmpType"),
    ({"protocol": "icmp", "port_range_min": -1, "port_range_max": 25}, 400,
     "SecurityGroupInvalidPortValue"),
    ({"remote_ip_prefix": "fd00::/8"}, 400, "SecurityGroupRuleParameterConflict"),
    ({"remote_ip_prefix": "x"}, 400, "InvalidCIDR"),
    ({"remote_ip_prefix": 7}, 400, "InvalidCIDR"),
    ({"remote_ip_prefix": "fe80::1%eth0/64", "ethertype": "IPv6"}, 400, "InvalidCIDR"),
    ({"ethertype": "IPv5"}, 400, "SecurityGroupRuleInvalidEtherType"),
    ({"protocol": "tcp", "port_range_min": 0, "port_range_max": 9}, 400,
     "SecurityGroupInvalidPortValue"),
    ({"protocol": "tcp", "port_range_min": 9}, 400, "SecurityGroupInvalidPortRange"),
    ({"protocol": "esp", "port_range_min": 1, "port_range_max": 2}, 400,
     "SecurityGroupInvalidProtocolForPort"),
    ({"protocol": "4", "port_range_min": 1}, 400, "SecurityGroupInvalidProtocolForPort"),
    ({"protocol": "icmpv6"}, 400, "SecurityGroupEthertypeConflictWithProtocol"),
    ({"protocol": "58"}, 400, "SecurityGroupEthertypeConflictWithProtocol"),
    ({"protocol": "ipv6-frag", "ethertype": "IPv4"}, 400,
     "SecurityGroupEthertypeConflictWithProtocol"),
    ({"direction": "sideways"}, 400, "HTTPBadRequest"),
    ({"remote_group_id": "4ed80d76-6ea8-4b8f-b188-03456f831cd7"}, 404,
     "SecurityGroupNotFound"),
    ({"direction": "egress"}, 409, "SecurityGroupRuleExists"),
)


def test_rules_that_cannot_be_are_refused(api: NetworkApi) -> None:
    group = api.make("security_group", name="g")
    for values, status, type_ in REFUSED:
        body = {"security_group_id": group["id"], "direction": "ingress", **values}
        api.refused(status, type_, "POST", "/security-group-rules", {"security_group_rule": body})
    assert len(api.ok("GET", f"/security-groups/{group['id']}")["security_group_rules"]) == 2


def test_the_same_rule_and_the_same_name_are_refused(api: NetworkApi) -> None:
    group = api.make("security_group", name="g")
    made = rule(api, group["id"], protocol="tcp", port_range_min=1, port_range_max=2)
    body = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp",
            "port_range_min": 1, "port_range_max": 2, "remote_ip_prefix": "0.0.0.0/0"}
    message = api.refused(409, "SecurityGroupRuleExists", "POST", "/security-group-rules",
                          {"security_group_rule": body})
    assert made["id"] in message
    api.refused(409, "SecurityGroupExists", "POST", "/security-groups",
                {"security_group": {"name": "g"}})
    for name in ("default", "Default"):
        api.refused(409, "SecurityGroupDefaultAlreadyExists", "POST", "/security-groups",
                    {"security_group": {"name": name}})
    api.refused(409, "SecurityGroupDefaultAlreadyExists", "PUT", f"/security-groups/{group['id']}",
                {"security_group": {"name": "default"}})


def test_what_is_not_listed_as_an_extension_is_neither_shown_nor_taken(api: NetworkApi) -> None:
    aliases = {each["alias"] for each in api.ok("GET", "/extensions")}
    assert "stateful-security-group" not in aliases
    assert "stateful" not in api.make("security_group", name="g")
    for value in (True, False):
        assert "stateful" in api.refused(400, "HTTPBadRequest", "POST", "/security-groups",
                                         {"security_group": {"name": "h", "stateful": value}})


SIX = {"ethertype": "IPv6"}


#: What is sent, what is shown of it, and what is the same.
SAME: tuple[tuple[dict[str, object], dict[str, object], dict[str, object]], ...] = (
    ({"protocol": "icmp", **SIX}, {"protocol": "ipv6-icmp"}, {"protocol": "icmpv6", **SIX}),
    ({"protocol": "1", **SIX}, {"protocol": "58"}, {"protocol": "ipv6-icmp", **SIX}),
    ({"protocol": "tcp", "port_range_min": 443, "port_range_max": 443}, {"protocol": "tcp"},
     {"protocol": 6, "port_range_min": 443, "port_range_max": 443}),
    ({"protocol": "tcp", "port_range_min": 1, "port_range_max": 65535},
     {"port_range_min": None, "port_range_max": None}, {"protocol": "tcp"}),
    ({"protocol": "udp"}, {"port_range_min": None, "port_range_max": None},
     {"protocol": "17", "port_range_min": 1, "port_range_max": 65535}),
    ({"remote_ip_prefix": "10.0.0.5/24"},
     {"remote_ip_prefix": "10.0.0.5/24", "normalized_cidr": "10.0.0.0/24"},
     {"remote_ip_prefix": "10.0.0.5/24"}),
    ({"remote_ip_prefix": "10.0.0.5"},
     {"remote_ip_prefix": "10.0.0.5/32", "normalized_cidr": "10.0.0.5/32"},
     {"remote_ip_prefix": "10.0.0.5/32"}),
)


def test_rules_are_shown_and_compared_as_neutron_does(api: NetworkApi) -> None:
    for number, (wanted, seen, again) in enumerate(SAME):
        group = api.make("security_group", name=f"g{number}")
        made = rule(api, group["id"], **wanted)
        assert {name: made[name] for name in seen} == seen
        assert api.ok("GET", f"/security-group-rules/{made['id']}") == made
        body = {"security_group_id": group["id"], "direction": "ingress", **again}
        message = api.refused(409, "SecurityGroupRuleExists", "POST", "/security-group-rules",
                              {"security_group_rule": body})
        assert made["id"] in message


def test_hosts_and_the_older_api_understand_every_rule(api: NetworkApi) -> None:
    group = api.make("security_group", name="g")
    rule(api, group["id"], protocol="tcp")
    rule(api, group["id"], protocol="icmp", ethertype="IPv6", port_range_min=128)
    rule(api, group["id"], protocol="udp", port_range_min=53, port_range_max=53,
         remote_ip_prefix="10.0.0.5/24")
    with api.cloud.db.read() as tx:
        found = tx.security_groups.find(PROJECT, "g")
    assert found is not None
    older = groups.incoming(found)
    assert [(each.protocol, each.from_port, each.to_port) for each in older] == [
        ("tcp", 1, 65535), ("ipv6-icmp", 128, -1), ("udp", 53, 53)
    ]
    texts = group_rules(
        [
            FilterRule(protocol=each.protocol, first=each.from_port, last=each.to_port, cidr=each.cidr,
                       ethertype=each.ethertype)
            for each in older
        ],
        frozenset(),
    )
    assert texts == (
        "meta protocol ip meta l4proto 6 accept",
        "meta protocol ip6 meta l4proto 58 icmpv6 type 128 accept",
        "meta protocol ip ip saddr 10.0.0.0/24 meta l4proto 17 th dport 53 accept",
    )
    with api.cloud.db.write() as tx, pytest.raises(BadRequest, match="already exists"):
        groups.add_rule(tx, found, groups.check_rule(protocol="tcp", from_port=1, to_port=65535))


def test_what_lets_everything_out_can_be_taken_away_and_made_again(api: NetworkApi) -> None:
    group = api.make("security_group", name="closed")
    path = f"/security-groups/{group['id']}"
    for each in group["security_group_rules"]:
        api.ok("DELETE", f"/security-group-rules/{each['id']}")
    assert api.ok("GET", path)["security_group_rules"] == []
    again = rule(api, group["id"], direction="egress", ethertype="IPv6")
    assert (again["remote_ip_prefix"], again["ethertype"]) == (None, "IPv6")
    rule(api, group["id"], direction="egress")
    api.refused(409, "SecurityGroupRuleExists", "POST", "/security-group-rules", {
        "security_group_rule": {"security_group_id": group["id"], "direction": "egress"}})
    rule(api, group["id"], direction="egress", remote_group_id=group["id"])


def test_rules_that_let_everything_out_do_not_count_and_others_do(api: NetworkApi) -> None:
    limit = api.ok("GET", f"/quotas/{PROJECT}")["security_group_rule"]
    group = api.make("security_group", name="full")
    for number in range(limit):
        rule(api, group["id"], direction="egress" if number % 2 else "ingress", protocol="tcp",
             port_range_min=number + 1, port_range_max=number + 1)
    api.refused(409, "OverQuota", "POST", "/security-group-rules", {"security_group_rule": {
        "security_group_id": group["id"], "direction": "egress", "protocol": "udp"}})


def test_the_older_api_neither_sees_nor_removes_what_may_leave(api: NetworkApi) -> None:
    with api.cloud.db.write() as tx:
        group = groups.create_group(tx, PROJECT, "u", "old", "")
        out = next(iter(group.rules))
        assert groups.incoming(group) == []
        with pytest.raises(NotFound):
            groups.delete_rule(tx, PROJECT, out.id)
    rule(api, group.uuid, direction="egress", protocol="tcp", port_range_min=22, port_range_max=22)
    with api.cloud.db.write() as tx:
        group = groups.get_group(tx, PROJECT, group.id)
        added = groups.add_rule(
            tx, group, groups.check_rule(protocol="tcp", from_port=22, to_port=22)
        )
    assert added.direction == "ingress", "the same rule for the other direction is another rule"


def test_groups_stop_at_the_quota(api: NetworkApi) -> None:
    for number in range(9):
        api.make("security_group", name=f"g{number}")
    api.refused(409, "OverQuota", "POST", "/security-groups", {"security_group": {"name": "x"}})
