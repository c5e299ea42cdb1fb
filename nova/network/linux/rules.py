# SPDX-License-Identifier: Apache-2.0
"""Security groups as tables of nftables: pure functions from what is wanted to the tables.

    bridge nova                                     inet nova
      leaving: from a guest, wherever to              seen: marks answers (and what belongs to
        in device -> from_<digest>: DHCP,                   them) before bridge nova looks again
        neighbours, metadata, the groups' rules;
        mark as held
      forward: guest to guest, wire to guest
      output:  this host to guest, routed too
        not IP              -> accept
        marked as answer    -> accept
        marked as held      -> drop
        neighbour discovery -> accept
        out device -> port_<digest>: DHCP, neighbours, the port's groups; drop
      arriving: guest to this host, to be routed too
        marked as held and not as answer -> drop

Ports with the same groups in the same network share a chain, so that 2,000 ports are few rules and one map.
A port whose groups let everything out is not in the map of what is held back, and costs nothing there.
Rules look at the port that a packet comes from or leaves by, never at the guest's own addresses: an address
that a guest takes on (a virtual IP) is let through by the same rules. Why the tables are two:
docs/design/0021-security-groups-on-hosts.md.
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import logging
from collections.abc import Iterable

import msgspec

from nova.network.linux.nftables import Chain, ElementSet, Table, digest_of
from nova.objects.host_filters import FilterGroup, FilterPort, FilterRule, HostFilters

LOG = logging.getLogger(__name__)

NAME = "nova"
#: What these functions make of their input; another wherever they make something else of it.
_LAYOUT = b"3"
#: The bit of the packet mark that says: this answers what a guest (or this host) began.
ANSWER = 0x01000000
#: The bit that says: no rule lets this out of the guest that sent it. An answer goes out all the same.
HELD = 0x02000000

_SEEN = (
    # Only what comes towards the one who began is let in by its state. What goes the other way is held to
    # the rules packet by packet, so that a rule that is taken away ends what it had let in.
    f"ct state established ct direction reply meta mark set meta mark or {ANSWER:#x}",
    f"ct state related meta mark set meta mark or {ANSWER:#x}",
    f"ct status expected ct state established meta mark set meta mark or {ANSWER:#x}",
)
_FIRST = (
    "meta protocol != { ip, ip6 } accept",
    f"meta mark and {ANSWER:#x} != 0 accept",
    f"meta mark and {HELD:#x} != 0 counter drop",
    # Multicast listener query, neighbour solicitation and advertisement (RFC 4890, section 4.4.1).
    "meta protocol ip6 icmpv6 type { mld-listener-query, nd-neighbor-solicit, nd-neighbor-advert } accept",
)
#: What this host itself says to its guests as their router and DHCP server.
_FROM_HOST = (
    "meta protocol ip6 ip6 saddr fe80::/10 icmpv6 type nd-router-advert accept",
    "meta protocol ip udp sport 67 udp dport 68 accept",
    "meta protocol ip6 ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept",
)
#: What a guest may always say: to get its addresses, to find its neighbours and routers, to hear of itself.
_FROM_GUEST = (
    "meta protocol ip udp sport 68 udp dport 67 accept",
    "meta protocol ip6 icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, "
    "mld-listener-report, mld-listener-done, mld2-listener-report } accept",
    "meta protocol ip6 udp sport 546 udp dport 547 accept",
    "meta protocol ip ip daddr 169.254.169.254 tcp dport 80 accept",
)
# Behind br_netfilter's own hooks, which are at 0: what is at 0 as well is passed over if it was there first.
_LATE = "priority 100; policy accept;"
_PORTS = "oifname vmap @ports"
# Before br_netfilter hands the packet to connection tracking and to translation: rules are about the address
# that the guest named. Of fragments the first decides, whose mark the whole packet gets.
_EARLY = "priority -200; policy accept;"
_SENDERS = "iifname vmap @senders"
#: The numbers of the protocols that the APIs know by name (IANA, "Assigned Internet Protocol Numbers").
_PROTOCOLS = {
    "icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "egp": 8, "udp": 17, "dccp": 33, "ipv6-encap": 41,
    "ipv6-route": 43, "ipv6-frag": 44, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58,
    "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "ospf": 89, "vrrp": 112, "pgm": 113, "sctp": 132,
    "udplite": 136,
}
_FAMILIES = {4: "meta protocol ip", 6: "meta protocol ip6"}
_FROM, _TO = "saddr", "daddr"
_ALL_FAMILIES = frozenset({4, 6})
_WITH_PORTS = frozenset({6, 17, 33, 132, 136})
_ICMP = frozenset({1, 58})


def tables(filters: HostFilters) -> tuple[Table, Table]:
    """The two tables of a host."""
    sets: dict[str, ElementSet] = {}
    chains = {
        "forward": Chain((*_FIRST, _PORTS), f"type filter hook forward {_LATE}"),
        "output": Chain(
            (*_FIRST, *_FROM_HOST, _PORTS), f"type filter hook output {_LATE}"
        ),
        "leaving": Chain(
            ("meta protocol != { ip, ip6 } accept", _SENDERS), f"type filter hook prerouting {_EARLY}"
        ),
        "arriving": Chain(
            (f"meta mark and {ANSWER | HELD:#x} == {HELD:#x} counter drop",),
            f"type filter hook input {_LATE}",
        ),
    }
    for members in filters.members:
        for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
            sets[members_set(members.id, version)] = ElementSet(
                kind, {each: None for each in members.addresses if (":" in each) == (version == 6)}
            )
    known = frozenset(members.id for members in filters.members)
    for group in filters.groups:
        chains[group_chain(group.id)] = Chain(group_rules(group.rules, known))
    doors: dict[str, str | None] = {}
    held = _senders(filters, known, chains)
    alike: dict[tuple[tuple[object, ...], ...], str] = {}
    for port in filters.ports:
        treatment = (port.groups, port.dhcp, port.routers, port.neighbours)
        verdict = alike.get(treatment)
        if verdict is None:
            name = port_chain(port)
            chains[name] = Chain(port_rules(port))
            verdict = alike[treatment] = f"jump {name}"
        doors[f'"{port.device}"'] = verdict
    sets["ports"] = ElementSet("ifname : verdict", doors, map=True)
    sets["senders"] = ElementSet("ifname : verdict", held, map=True)
    state = Chain(_SEEN, "type filter hook prerouting priority -150; policy accept;")
    # What this host sends by itself passes no prerouting.
    sent = Chain(_SEEN, "type filter hook output priority -150; policy accept;")
    content = msgspec.msgpack.encode((_LAYOUT, filters.groups, filters.members, filters.ports))
    return (
        Table("inet", NAME, chains={"seen": state, "sent": sent}, digest=digest_of(_LAYOUT)),
        Table("bridge", NAME, sets=sets, chains=chains, digest=digest_of(content)),
    )


def _senders(
    filters: HostFilters, known: frozenset[int], chains: dict[str, Chain]
) -> dict[str, str | None]:
    """The ports that something is held back from, and their chains, which are added to ``chains``."""
    groups = {group.id: group for group in filters.groups}
    verdicts: dict[tuple[int, ...], str | None] = {}
    held: dict[str, str | None] = {}
    for port in filters.ports:
        if port.groups not in verdicts:
            own = [groups[each] for each in sorted(port.groups) if each in groups]
            if _ALL_FAMILIES.issubset(each for group in own for each in _open_families(group)):
                verdicts[port.groups] = None
            else:
                for group in own:
                    chains[leaving_chain(group.id)] = Chain(group_rules(group.leaving, known, _TO))
                rules = (
                    *_FROM_GUEST, *(f"jump {leaving_chain(group.id)}" for group in own),
                    f"meta mark set meta mark or {HELD:#x}",
                )
                name = f"from_{_digest(rules)}"
                chains[name] = Chain(rules)
                verdicts[port.groups] = f"jump {name}"
        verdict = verdicts[port.groups]
        if verdict is not None:
            held[f'"{port.device}"'] = verdict
    return held


def _open_families(group: FilterGroup) -> set[int]:
    """The IP versions that a group lets everything out of."""
    return {
        version for rule in group.leaving for version in _versions(rule)
        if _rule(rule, version, _TO) == f"{_FAMILIES[version]} accept"
    }


def group_chain(group_id: int) -> str:
    """The chain of a group: what comes in."""
    return f"group_{group_id}"


def leaving_chain(group_id: int) -> str:
    """The chain of what a group lets out."""
    return f"out_{group_id}"


def members_set(group_id: int, version: int) -> str:
    """The set of a group's members of one family."""
    return f"members_{group_id}_v{version}"


def port_chain(port: FilterPort) -> str:
    """The chain of a port, shared with all that are to be treated the same."""
    return f"port_{_digest(port_rules(port))}"


def _digest(rules: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(rules).encode()).hexdigest()[:16]


def port_rules(port: FilterPort) -> tuple[str, ...]:
    """What may come in to a port; what is left is dropped and counted."""
    rules = [
        f"meta protocol ip ip saddr {each} udp sport 67 udp dport 68 accept" for each in port.dhcp
    ]
    rules += [
        f"meta protocol ip6 ip6 saddr {each} icmpv6 type nd-router-advert accept" for each in port.routers
    ]
    for each in port.neighbours:
        rules.append(_within(ipaddress.ip_network(each, strict=False), _FROM) + " accept")
    rules += [f"jump {group_chain(each)}" for each in sorted(port.groups)]
    return (*rules, "counter drop")


def group_rules(
    given: Iterable[FilterRule], known: frozenset[int], side: str = _FROM
) -> tuple[str, ...]:
    """A group's rules of one direction: what they name is at the packet's ``side``.

    ``known`` are the groups whose members are told. One that is not lets nobody in or out.
    """
    rules: dict[str, None] = {}
    for rule in given:
        if rule.remote_group is not None and rule.remote_group not in known:
            continue
        for version in _versions(rule):
            text = _rule(rule, version, side)
            if text is not None:
                rules[text] = None
    return tuple(rules)


@functools.lru_cache(maxsize=8192)
def _versions(rule: FilterRule) -> tuple[int, ...]:
    """The families that a rule speaks of."""
    if rule.cidr is not None:
        return (ipaddress.ip_network(rule.cidr, strict=False).version,)
    if rule.ethertype is not None:
        return (6,) if rule.ethertype == "IPv6" else (4,)
    return (4, 6)


@functools.lru_cache(maxsize=8192)
def _rule(rule: FilterRule, version: int, side: str) -> str | None:
    """A rule for one family; None for what nft would refuse, which must not keep all others from holding."""
    parts = [_FAMILIES[version]]
    if rule.remote_group is not None:
        family = "ip" if version == 4 else "ip6"
        parts.append(f"{family} {side} @{members_set(rule.remote_group, version)}")
    elif rule.cidr is not None:
        network = ipaddress.ip_network(rule.cidr, strict=False)
        if network.prefixlen:
            parts = [_within(network, side)]
    what = _protocol(rule, version)
    if what is None:
        LOG.warning("a security group rule lets nothing through: %s", rule)
        return None
    return " ".join([*parts, *what, "accept"])


def _protocol(rule: FilterRule, version: int) -> list[str] | None:
    name = (rule.protocol or "").lower()
    if name in ("", "-1", "any", "0"):
        return []
    number = int(name) if name.isascii() and name.isdigit() else _PROTOCOLS.get(name, 256)
    if number > 255:
        return None
    first = None if rule.first in (None, -1) else rule.first
    last = None if rule.last in (None, -1) else rule.last
    if number in _ICMP:
        kind = "icmp" if version == 4 else "icmpv6"
        parts = [f"meta l4proto {1 if version == 4 else 58}"]
        if max(first or 0, last or 0) > 255:
            return None
        if first is not None:
            parts.append(f"{kind} type {first}")
            if last is not None:
                parts.append(f"{kind} code {last}")
        return parts
    parts = [f"meta l4proto {number}"]
    if number in _WITH_PORTS and first is not None:
        last = first if last is None else last
        if not 0 <= first <= last <= 65535:
            return None
        if (first, last) not in ((1, 65535), (0, 65535)):
            parts.append(f"th dport {first}" if first == last else f"th dport {first}-{last}")
    return parts


@functools.lru_cache(maxsize=8192)
def _within(network: ipaddress.IPv4Network | ipaddress.IPv6Network, side: str) -> str:
    return f"{_FAMILIES[network.version]} {'ip' if network.version == 4 else 'ip6'} {side} {network}"
