# SPDX-License-Identifier: Apache-2.0
"""Security groups as tables, and the commands that lead from one to another."""

from __future__ import annotations

import pytest

from nova.network.linux import rules
from nova.network.linux.nftables import Chain, ElementSet, Table, changes, whole
from nova.objects.host_filters import (
    EVERYTHING,
    FilterGroup,
    FilterPort,
    FilterRule,
    GroupMembers,
    HostFilters,
)


def group_rules(*given: FilterRule, known: frozenset[int] = frozenset()) -> tuple[str, ...]:
    return rules.group_rules(given, known)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (FilterRule(protocol="tcp", first=22, last=22, cidr="0.0.0.0/0"),
         ("meta protocol ip meta l4proto 6 th dport 22 accept",)),
        (FilterRule(protocol="UDP", first=5, last=9, cidr="10.0.0.5/8"),
         ("meta protocol ip ip saddr 10.0.0.0/8 meta l4proto 17 th dport 5-9 accept",)),
        (FilterRule(protocol="tcp", first=1, last=65535, cidr="::/0"),
         ("meta protocol ip6 meta l4proto 6 accept",)),
        (FilterRule(protocol="icmp", first=8, last=0, cidr="0.0.0.0/0"),
         ("meta protocol ip meta l4proto 1 icmp type 8 icmp code 0 accept",)),
        (FilterRule(protocol="icmp", first=-1, last=-1, cidr="::/0"),
         ("meta protocol ip6 meta l4proto 58 accept",)),
        (FilterRule(protocol="icmp", first=128, last=-1, ethertype="IPv6"),
         ("meta protocol ip6 meta l4proto 58 icmpv6 type 128 accept",)),
        (FilterRule(), ("meta protocol ip accept", "meta protocol ip6 accept")),
        (FilterRule(protocol="vrrp", ethertype="IPv4"),
         ("meta protocol ip meta l4proto 112 accept",)),
        (FilterRule(protocol="no-such", cidr="0.0.0.0/0"), ()),
        (FilterRule(protocol="tcp", first=9, last=1, cidr="0.0.0.0/0"), ()),
    ],
)
def test_a_rule_reads_as_it_is_meant(rule: FilterRule, expected: tuple[str, ...]) -> None:
    assert group_rules(rule) == expected


def test_a_rule_for_members_needs_to_know_them() -> None:
    rule = FilterRule(protocol="tcp", first=22, last=22, remote_group=7)
    assert group_rules(rule) == ()
    assert group_rules(rule, known=frozenset({7})) == (
        "meta protocol ip ip saddr @members_7_v4 meta l4proto 6 th dport 22 accept",
        "meta protocol ip6 ip6 saddr @members_7_v6 meta l4proto 6 th dport 22 accept",
    )


def bridge_table(*ports: FilterPort, members: tuple[str, ...] = (), more: int = 0) -> Table:
    given = FilterRule(remote_group=1), *(
        FilterRule(protocol="tcp", first=each, last=each) for each in range(1, more + 1)
    )
    filters = HostFilters(
        groups=(FilterGroup(1, given, EVERYTHING),), members=(GroupMembers(1, members),), ports=ports
    )
    return rules.tables(filters)[1]


def port(name: str, *groups: int) -> FilterPort:
    return FilterPort(device=name, groups=groups or (1,))


def test_ports_that_are_treated_alike_share_a_chain() -> None:
    table = bridge_table(port("tap1"), port("tap2"), port("tap3", 1, 2))
    verdicts = table.sets["ports"].elements
    assert verdicts['"tap1"'] == verdicts['"tap2"'] != verdicts['"tap3"']


def test_a_change_says_no_more_than_what_changed() -> None:
    def said(before: Table, after: Table) -> list[str]:
        return [line for line in changes(before, after) if "digest" not in line]

    one = bridge_table(port("tap1"), members=("10.0.0.1", "fd00::1"))
    assert changes(one, one) == []
    verdict = one.sets["ports"].elements['"tap1"']
    assert said(one, bridge_table(port("tap1"), port("tap2"), members=("10.0.0.1", "fd00::1"))) == [
        f'add element bridge nova ports {{ "tap2" : {verdict} }}'
    ]
    assert said(one, bridge_table(port("tap1"), members=("10.0.0.2", "fd00::1"))) == [
        "delete element bridge nova members_1_v4 { 10.0.0.1 }",
        "add element bridge nova members_1_v4 { 10.0.0.2 }",
    ]
    assert said(one, bridge_table(port("tap1"), members=("10.0.0.1", "fd00::1"), more=1))[0] == (
        "flush chain bridge nova group_1"
    )


def test_what_is_referred_to_comes_first_and_goes_last() -> None:
    empty = rules.tables(HostFilters())[1]
    full = bridge_table(port("tap1"))
    coming, going = changes(empty, full), changes(full, empty)

    def place(lines: list[str], start: str) -> int:
        return next(number for number, line in enumerate(lines) if line.startswith(start))

    assert place(coming, "add set bridge nova members_1_v4") < place(coming, "add rule bridge nova group_1")
    assert place(coming, "add chain bridge nova port_") < place(coming, "add element bridge nova ports")
    assert place(going, "delete element bridge nova ports") < place(going, "delete chain bridge nova port_")
    assert place(going, "delete chain bridge nova group_1") < place(going, "delete set bridge nova members")


def test_another_hook_is_another_table() -> None:
    before = Table("ip", "t", chains={"c": Chain((), "type filter hook input priority 0;")}, digest="::1")
    after = Table("ip", "t", chains={"c": Chain((), "type filter hook output priority 0;")}, digest="::2")
    assert changes(before, after) == whole(after)
    other = Table("ip", "t", sets={"m": ElementSet("ipv4_addr : verdict", map=True)}, digest="::3")
    assert changes(after, other) == whole(other)
