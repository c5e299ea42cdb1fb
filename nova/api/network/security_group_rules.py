# SPDX-License-Identifier: Apache-2.0
"""``/security-group-rules``: what may come in, and what may go out.

Every group begins with a rule of direction egress for each IP version that lets everything out. They are
rules as any other and can be deleted and made again.

All ports of a protocol that has some are stored as 1 to 65535, as compute's API has them, and shown as null,
as Neutron has them (neutron, ``db/securitygroups_db``, where the refusals' types are too).
"""

from __future__ import annotations

import functools
import ipaddress
from typing import Any

from nova.api.network import values as read
from nova.api.network.error_body import typed
from nova.api.network.resource import Call, Resource, Shown, keys, merged, standard
from nova.api.network.values import Attribute
from nova.db.engine import Transaction
from nova.errors import BadRequest, Conflict, NotFound, NovaError, QuotaExceeded
from nova.network.filter_refreshes import group_changed
from nova.network.ranges import unscoped
from nova.network.security_groups import DEFAULT, counted
from nova.objects.network import SecurityGroup, SecurityGroupRule

_VERSIONS = {"IPv4": 4, "IPv6": 6}
_ANYWHERE = {"IPv4": "0.0.0.0/0", "IPv6": "::/0"}
#: Protocols by name (neutron-lib, ``constants.IP_PROTOCOL_MAP``; IANA's protocol numbers).
PROTOCOLS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "icmp": 1, "icmpv6": 58,
    "ipv6-icmp": 58, "igmp": 2, "ipip": 4, "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-nonxt": 59,
    "ipv6-opts": 60, "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6,
    "udp": 17, "udplite": 136, "vrrp": 112, "hopopt": 0,
}
_WITH_PORTS = {6, 17, 33, 132, 136}
_ALL_PORTS = (1, 65535)
_ICMP = {1, 58}
#: Numbers of the protocols that are IPv6's alone.
_SIX_ONLY = {41, 43, 44, 58, 59, 60}


def ethertype_of(rule: SecurityGroupRule) -> str:
    """A rule's IP version: as said, else that of its range."""
    if rule.ethertype:
        return rule.ethertype
    return "IPv6" if rule.cidr and ":" in rule.cidr else "IPv4"


def shown(group: SecurityGroup, rule: SecurityGroupRule) -> Shown:
    """A rule as clients see it. -1 for ICMP and a missing port are both any."""
    low, high = _open_ports(rule.protocol, rule.from_port, rule.to_port)
    cidr = None if (rule.facts or {}).get("anywhere") else rule.cidr
    return {
        "id": rule.uuid,
        **standard(rule.facts, group.project_id, rule.revision, rule.created_at, rule.updated_at),
        "security_group_id": group.uuid, "direction": rule.direction, "ethertype": ethertype_of(rule),
        "protocol": rule.protocol, "port_range_min": low, "port_range_max": high,
        "remote_ip_prefix": cidr, "remote_group_id": rule.source_group_uuid,
        "remote_address_group_id": None, "normalized_cidr": _masked(cidr),
        "belongs_to_default_sg": group.name == DEFAULT,
    }


@functools.lru_cache(maxsize=4096)
def _masked(cidr: str | None) -> str | None:
    """A range without the bits behind its prefix."""
    return None if cidr is None else str(ipaddress.ip_network(cidr, strict=False))


def _open_ports(
    protocol: str | None, low: int | None, high: int | None
) -> tuple[int | None, int | None]:
    """A stored pair as clients see it: null where it is any."""
    if (low, high) == _ALL_PORTS and _number(protocol) in _WITH_PORTS:
        return None, None
    return None if low == -1 else low, None if high == -1 else high


def shown_rules(group: SecurityGroup) -> list[Shown]:
    """All rules of a group."""
    return [shown(group, rule) for rule in group.rules]


def list_rules(call: Call, tx: Transaction) -> list[Shown]:
    """The rules of the groups that the caller sees."""
    wanted = call.values_of("security_group_id")
    if wanted is not None:
        groups = [
            group for group in tx.security_groups.by_uuids(wanted) if call.owns(group.project_id)
        ]
    elif call.is_admin:
        groups = tx.security_groups.every()
    else:
        groups = tx.security_groups.of_project(call.caller.project_id)
    return [rule for group in groups for rule in shown_rules(group)]


def find(call: Call, tx: Transaction, identifier: str) -> Shown | None:
    """One of them."""
    rule = tx.security_groups.find_rule(identifier)
    if rule is None:
        return None
    group = tx.security_groups.get(rule.group_id)
    return shown(group, rule) if call.owns(group.project_id) else None


def create(call: Call, tx: Transaction, values: dict[str, Any]) -> Shown:
    """Add a rule to a group, within the quota of rules in one group."""
    tx.quotas.hold(_group(call, tx, values["security_group_id"]).project_id)
    group = _group(call, tx, values["security_group_id"])
    source = None
    if values.get("remote_group_id") is not None:
        if values.get("remote_ip_prefix") is not None:
            raise typed(
                BadRequest("Only remote_ip_prefix or remote_group_id may be provided."),
                "SecurityGroupMultipleRemoteEntites",
            )
        source = _group(call, tx, values["remote_group_id"])
    ethertype = values.get("ethertype", "IPv4")
    protocol = _of_family(values.get("protocol"), ethertype)
    low, high = _ports(protocol, values.get("port_range_min"), values.get("port_range_max"))
    cidr = _range(values, ethertype, anywhere=source is None)
    _refuse_other_family(protocol, ethertype)
    direction = values["direction"]
    _refuse_present(
        group, (direction, ethertype, protocol, low, high, cidr, source.uuid if source else None)
    )
    limit = call.cloud.limits.get(group.project_id, call.caller.user_id).get(
        "security_group_rules", -1
    )
    if 0 <= limit <= counted(group):
        raise QuotaExceeded("Quota exceeded for resources: ['security_group_rule'].")
    kept = cidr if source is None else None
    facts = merged(None, values, ("description", "tags"))
    if kept is not None and values.get("remote_ip_prefix") is None:
        # Said by nobody, so it is shown to nobody.
        facts["anywhere"] = True
    rule = tx.security_groups.add_rule(
        group.id, protocol=protocol, from_port=low, to_port=high, cidr=kept,
        source_group_id=None if source is None else source.id, direction=direction,
        ethertype=ethertype, facts=facts or None,
    )
    group_changed(call.cloud.networks.refreshes, tx, group.id)
    tx.after_commit(call.cloud.events.security_groups_changed)
    return shown(group, rule)


def _group(call: Call, tx: Transaction, identifier: str) -> SecurityGroup:
    group = tx.security_groups.find_by_uuid(identifier)
    if group is None or not call.owns(group.project_id):
        raise typed(
            NotFound(f"Security group {identifier} does not exist"), "SecurityGroupNotFound"
        )
    return group


def _range(values: dict[str, Any], ethertype: str, *, anywhere: bool) -> str | None:
    given: str | None = values.get("remote_ip_prefix")
    if given is None:
        return _ANYWHERE[ethertype] if anywhere else None
    if ipaddress.ip_interface(given).version != _VERSIONS[ethertype]:
        raise typed(
            BadRequest(f"Conflicting value ethertype {ethertype} for CIDR {given}"),
            "SecurityGroupRuleParameterConflict",
        )
    return given


def _number(protocol: str | None) -> int | None:
    if protocol is None:
        return None
    number = read.number(protocol)
    return PROTOCOLS.get(protocol.lower()) if number is None else number


def _of_family(protocol: str | None, ethertype: str) -> str | None:
    """The protocol's own name in an IP version: all ICMP of IPv6 is ``ipv6-icmp``, number 58."""
    if ethertype == "IPv6":
        if protocol in ("icmp", "icmpv6"):
            return "ipv6-icmp"
        if protocol == "1":
            return "58"
    return protocol


def _refuse_other_family(protocol: str | None, ethertype: str) -> None:
    if ethertype == "IPv4" and _number(protocol) in _SIX_ONLY:
        raise typed(
            BadRequest(f"Invalid ethertype {ethertype} for protocol {protocol}."),
            "SecurityGroupEthertypeConflictWithProtocol",
        )


def _ports(protocol: str | None, low: int | None, high: int | None) -> tuple[int | None, int | None]:
    """The stored pair: type and code (-1 for any) for ICMP, a range of ports for the others."""
    if low == -1 and high not in (None, -1):
        raise _invalid_port(low)
    low, high = (None if each == -1 else each for each in (low, high))
    if (low, high) == _ALL_PORTS:
        low, high = None, None
    number = _number(protocol)
    if number in _ICMP:
        for name, value in (("port_range_min", low), ("port_range_max", high)):
            if value is not None and value > 255:
                part = "type" if name == "port_range_min" else "code"
                raise typed(
                    BadRequest(f"Invalid value for ICMP {part} ({name}) {value}. It must be 0 to 255."),
                    "SecurityGroupInvalidIcmpValue",
                )
        if high is not None and low is None:
            raise typed(
                BadRequest(f"ICMP code (port-range-max) {high} is provided but ICMP type "
                           "(port-range-min) is missing."),
                "SecurityGroupMissingIcmpType",
            )
        return (-1 if low is None else low), (-1 if high is None else high)
    if low is None and high is None:
        return _ALL_PORTS if number in _WITH_PORTS else (None, None)
    if number is None:
        raise typed(
            BadRequest("Must also specify protocol if port range is given."),
            "SecurityGroupProtocolRequiredWithPorts",
        )
    if number not in _WITH_PORTS:
        raise typed(
            BadRequest(f"Ports cannot be specified for protocol {protocol}. Ports are only supported for "
                       "DCCP, SCTP, TCP, UDP, UDPLITE."),
            "SecurityGroupInvalidProtocolForPort",
        )
    if 0 in (low, high):
        raise _invalid_port(0)
    if low is None or high is None or low > high:
        raise typed(
            BadRequest("For TCP/UDP protocols, port_range_min must be <= port_range_max"),
            "SecurityGroupInvalidPortRange",
        )
    return low, high


def _refuse_present(group: SecurityGroup, wanted: tuple[Any, ...]) -> None:
    """Refuse a rule that the group has: protocols are compared by number, every address is any."""
    key = _key(*wanted)
    for rule in group.rules:
        if key == _key(
            rule.direction, ethertype_of(rule), rule.protocol, rule.from_port, rule.to_port, rule.cidr,
            rule.source_group_uuid,
        ):
            raise typed(
                Conflict(f"Security group rule already exists. Rule id is {rule.uuid}."),
                "SecurityGroupRuleExists",
            )


def _key(
    direction: str, ethertype: str, protocol: str | None, low: int | None, high: int | None,
    cidr: str | None, source: str | None,
) -> tuple[Any, ...]:
    number = 58 if ethertype == "IPv6" and _number(protocol) == 1 else _number(protocol)
    within = None if cidr in _ANYWHERE.values() else cidr
    return direction, ethertype, number, *_open_ports(protocol, low, high), within, source


def delete(call: Call, tx: Transaction, current: Shown) -> None:
    """Remove a rule."""
    rule = tx.security_groups.find_rule(current["id"])
    if rule is None:
        raise SECURITY_GROUP_RULES.missing(current["id"])
    tx.security_groups.delete_rule(rule.id)
    group_changed(call.cloud.networks.refreshes, tx, rule.group_id)
    tx.after_commit(call.cloud.events.security_groups_changed)


def _protocol(name: str, value: Any) -> str | None:
    if value is None or value == "" or (isinstance(value, str) and value.lower() == "any"):
        return None
    text = str(value).lower()
    number = read.number(text)
    if isinstance(value, bool) or not (text in PROTOCOLS if number is None else number <= 255):
        raise typed(
            BadRequest(f"Security group rule protocol {str(value)[:40]} not supported. Only protocol "
                       f"values {sorted(PROTOCOLS)} and integer representations [0 to 255] are "
                       "supported."),
            "SecurityGroupRuleInvalidProtocol",
        )
    return text if number is None else str(number)


def _ethertype(name: str, value: Any) -> str:
    for known in _VERSIONS:
        if isinstance(value, str) and value.lower() == known.lower():
            return known
    raise typed(
        BadRequest(f"Security group rule for ethertype '{str(value)[:40]}' not supported. Allowed values "
                   "are ['IPv4', 'IPv6']."),
        "SecurityGroupRuleInvalidEtherType",
    )


def _prefix(name: str, value: Any) -> str | None:
    """A range as it was said, with its prefix: the bits behind it stay."""
    if value in (None, ""):
        return None
    try:
        if not isinstance(value, str):
            raise ValueError
        return ipaddress.ip_interface(unscoped(value)).with_prefixlen
    except ValueError:
        raise typed(
            BadRequest(f"Invalid CIDR {str(value)[:80]} given as IP prefix."), "InvalidCIDR"
        ) from None


def _port(name: str, value: Any) -> int | None:
    """A port, an ICMP type or code; -1, which older clients send for any, as it is."""
    if value in (None, ""):
        return None
    if value in (-1, "-1"):
        return -1
    try:
        found: int | None = read.integer(0, 65535)(name, value)
    except BadRequest:
        raise _invalid_port(value) from None
    return found


def _invalid_port(value: Any) -> NovaError:
    return typed(
        BadRequest(f"Invalid value for port {str(value)[:40]}"), "SecurityGroupInvalidPortValue"
    )


ATTRIBUTES = read.table(
    read.DESCRIPTION, read.PROJECT, read.TAGS,
    Attribute("security_group_id", read.uuid, required=True),
    Attribute("direction", read.one_of("ingress", "egress"), required=True),
    Attribute("ethertype", _ethertype, convert=True),
    Attribute("protocol", _protocol, convert=True),
    Attribute("port_range_min", _port, convert=True),
    Attribute("port_range_max", _port, convert=True),
    Attribute("remote_ip_prefix", _prefix, convert=True),
    Attribute("remote_group_id", read.nullable(read.text(64))),
)

SECURITY_GROUP_RULES = Resource(
    singular="security_group_rule", plural="security_group_rules",
    error="SecurityGroupRuleNotFound", attributes=ATTRIBUTES,
    keys=keys(
        "security_group_id direction ethertype protocol port_range_min port_range_max "
        "remote_ip_prefix remote_group_id remote_address_group_id normalized_cidr "
        "belongs_to_default_sg"
    ),
    list=list_rules, find=find, create=create, delete=delete, path="security-group-rules",
)
