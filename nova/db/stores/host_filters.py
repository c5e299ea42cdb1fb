# SPDX-License-Identifier: Apache-2.0
"""What a host filters and which floating addresses it carries, in a fixed number of statements."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, select, union

from nova.db.schema.compute import instances
from nova.db.schema.hosts import claims, compute_nodes
from nova.db.schema.network import (
    fixed_ips,
    floating_ips,
    networks,
    security_group_members,
    security_group_rules,
    virtual_interfaces,
    virtual_ip_servers,
)
from nova.db.stores.host_networks import guests_of_host
from nova.objects.host_filters import (
    FilterGroup,
    FilterPort,
    FilterRule,
    GroupMembers,
    HostFilters,
    HostFloating,
)

_vif = virtual_interfaces.c
_member = security_group_members.c
_rule = security_group_rules.c
_guests = guests_of_host()

# A card of a network may have addresses of several of its subnets, each a row of its own.
_CARDS = (
    select(
        _vif.uuid, _vif.instance_uuid, _vif.facts, networks.c.id, networks.c.segment_uuid,
        networks.c.uuid, networks.c.cidr, networks.c.cidr_v6, networks.c.gateway, networks.c.gateway_v6,
        networks.c.dhcp_server, networks.c.facts,
    )
    .select_from(
        virtual_interfaces.outerjoin(
            fixed_ips,
            (fixed_ips.c.instance_uuid == _vif.instance_uuid)
            & (fixed_ips.c.virtual_interface_uuid == _vif.uuid),
        ).join(
            networks, networks.c.id == func.coalesce(fixed_ips.c.network_id, _vif.network_id)
        )
    )
    .where(_vif.instance_uuid.in_(select(_guests)))
    .order_by(_vif.id, networks.c.id)
)
_MEMBERSHIPS = select(_member.instance_uuid, _member.group_id).where(
    _member.instance_uuid.in_(select(_guests))
)
_GROUPS_HERE = select(_member.group_id).where(_member.instance_uuid.in_(select(_guests)))
_RULES = (
    select(
        _rule.group_id, _rule.protocol, _rule.from_port, _rule.to_port, _rule.cidr,
        _rule.source_group_id, _rule.ethertype, _rule.direction,
    )
    .where(_rule.group_id.in_(_GROUPS_HERE))
    .order_by(_rule.group_id, _rule.id)
)
_SOURCES = select(_rule.source_group_id).where(
    _rule.source_group_id.is_not(None), _rule.group_id.in_(_GROUPS_HERE)
)
# Members that are ports without a server send nothing and get nothing.
_MEMBERS = (
    select(
        _member.group_id, _vif.address, _vif.facts, networks.c.cidr_v6, fixed_ips.c.address,
    )
    .select_from(
        security_group_members.join(
            virtual_interfaces, _vif.instance_uuid == _member.instance_uuid
        ).join(networks, networks.c.id == _vif.network_id).outerjoin(
            fixed_ips,
            (fixed_ips.c.instance_uuid == _vif.instance_uuid)
            & (fixed_ips.c.virtual_interface_uuid == _vif.uuid),
        )
    )
    .where(_member.group_id.in_(_SOURCES))
)
# What a member sends from a virtual IP that is meant for it comes from a member as well.
_MEMBERS_VIRTUAL = (
    select(_member.group_id, fixed_ips.c.address)
    .select_from(
        security_group_members.join(
            virtual_ip_servers, virtual_ip_servers.c.instance_uuid == _member.instance_uuid
        ).join(fixed_ips, fixed_ips.c.id == virtual_ip_servers.c.fixed_ip_id)
    )
    .where(_member.group_id.in_(_SOURCES))
)
_FLOATING = (
    select(
        floating_ips.c.address, fixed_ips.c.address, networks.c.segment_uuid, networks.c.uuid,
        floating_ips.c.interface,
    )
    .select_from(
        floating_ips.join(fixed_ips, fixed_ips.c.id == floating_ips.c.fixed_ip_id)
        .join(networks, networks.c.id == fixed_ips.c.network_id)
        # One that leads to a virtual IP has no server.
        .outerjoin(instances, instances.c.uuid == fixed_ips.c.instance_uuid)
    )
    .where(
        case((networks.c.multi_host, instances.c.host), else_=networks.c.host) == bindparam("host")
    )
    .order_by(floating_ips.c.id)
)
_HOSTS_OF_GROUPS = (
    select(instances.c.host)
    .select_from(
        security_group_members.join(instances, instances.c.uuid == _member.instance_uuid)
    )
    .where(instances.c.host.is_not(None), instances.c.deleted == 0)
    .distinct()
)
_NAMING = select(_rule.group_id).where(
    _rule.source_group_id.in_(bindparam("groups", expanding=True))
)
_WITH_GROUP = _HOSTS_OF_GROUPS.where(_member.group_id.in_(bindparam("groups", expanding=True)))
_WITH_RULE_NAMING = _HOSTS_OF_GROUPS.where(_member.group_id.in_(_NAMING))
_GROUPS_OF = select(_member.group_id).where(
    _member.instance_uuid.in_(bindparam("uuids", expanding=True))
).distinct()
_FLOATING_HOSTS = (
    select(case((networks.c.multi_host, instances.c.host), else_=networks.c.host))
    .select_from(
        fixed_ips.join(networks, networks.c.id == fixed_ips.c.network_id).join(
            instances, instances.c.uuid == fixed_ips.c.instance_uuid
        )
    )
    .where(fixed_ips.c.instance_uuid.in_(bindparam("uuids", expanding=True)))
    .distinct()
)
# Also those that a server is coming to, or has yet to leave.
_HOSTS_OF = union(
    select(instances.c.host).where(instances.c.uuid.in_(bindparam("uuids", expanding=True))),
    select(compute_nodes.c.host)
    .join(claims, claims.c.node_id == compute_nodes.c.id)
    .where(claims.c.instance_uuid.in_(bindparam("uuids", expanding=True))),
)


class HostFilterStore:
    """Filters of hosts in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of_host(
        self, host: str, *, neighbours: bool, form_v6: Callable[[str, str], str]
    ) -> HostFilters:
        """All that a host filters and carries.

        With ``neighbours`` the guests of a network may always reach each other. ``form_v6`` tells the IPv6
        address that a card forms in a range from its MAC.
        """
        values = {"host": host}
        groups_of: dict[str, list[int]] = {}
        for instance_uuid, group_id in self._connection.execute(_MEMBERSHIPS, values):
            groups_of.setdefault(instance_uuid, []).append(group_id)
        coming: dict[int, list[FilterRule]] = {
            group_id: [] for groups in groups_of.values() for group_id in groups
        }
        leaving: dict[int, list[FilterRule]] = {group_id: [] for group_id in coming}
        named = set()
        for group_id, protocol, first, last, cidr, remote, ethertype, direction in (
            self._connection.execute(_RULES, values)
        ):
            (coming if direction == "ingress" else leaving)[group_id].append(
                FilterRule(
                    protocol=protocol, first=first, last=last, cidr=cidr, remote_group=remote,
                    ethertype=ethertype,
                )
            )
            if remote is not None:
                named.add(remote)
        return HostFilters(
            groups=tuple(
                FilterGroup(each, tuple(coming[each]), tuple(leaving[each])) for each in sorted(coming)
            ),
            members=self._members(values, named, form_v6) if named else (),
            ports=self._ports(values, groups_of, neighbours=neighbours),
            floating=self.floating_of(host),
        )

    def floating_of(self, host: str) -> tuple[HostFloating, ...]:
        """The floating addresses that a host carries: of its own guests, and where it serves the network
        for others.
        """
        return tuple(
            HostFloating(
                address=address, fixed_address=fixed, network_uuid=segment or uuid, interface=interface
            )
            for address, fixed, segment, uuid, interface in self._connection.execute(
                _FLOATING, {"host": host}
            )
        )

    # -- whom a change concerns --------------------------------------------------------------------

    def hosts_with_groups(self, group_ids: Sequence[int]) -> set[str]:
        """The hosts with a guest in one of these groups."""
        return set(self._connection.execute(_WITH_GROUP, {"groups": group_ids}).scalars())

    def hosts_naming_groups(self, group_ids: Sequence[int]) -> set[str]:
        """The hosts with a guest in a group that has a rule for members of one of these groups."""
        return set(self._connection.execute(_WITH_RULE_NAMING, {"groups": group_ids}).scalars())

    def groups_of(self, instance_uuids: Sequence[str]) -> list[int]:
        """The groups that any of these instances is in."""
        return list(self._connection.execute(_GROUPS_OF, {"uuids": instance_uuids}).scalars())

    def hosts_of(self, instance_uuids: Sequence[str]) -> set[str]:
        """The hosts that these instances are on or moving between, and those that would carry their floating
        addresses.
        """
        found = set(self._connection.execute(_HOSTS_OF, {"uuids": instance_uuids}).scalars())
        found |= set(self._connection.execute(_FLOATING_HOSTS, {"uuids": instance_uuids}).scalars())
        return {each for each in found if each is not None}

    # -- parts of the answer -----------------------------------------------------------------------

    def _members(
        self,
        values: Mapping[str, Any],
        named: Iterable[int],
        form_v6: Callable[[str, str], str],
    ) -> tuple[GroupMembers, ...]:
        members: dict[int, set[str]] = {each: set() for each in named}
        for group_id, mac, facts, cidr_v6, address in self._connection.execute(_MEMBERS, values):
            found = members.setdefault(group_id, set())
            if address is not None:
                found.add(address)
            if cidr_v6 is not None:
                found.add(form_v6(cidr_v6, mac))
            found.update(_allowed_pairs(facts))
        for group_id, address in self._connection.execute(_MEMBERS_VIRTUAL, values):
            members.setdefault(group_id, set()).add(address)
        return tuple(GroupMembers(each, tuple(sorted(members[each]))) for each in sorted(members))

    def _ports(
        self, values: Mapping[str, Any], groups_of: Mapping[str, Sequence[int]], *, neighbours: bool
    ) -> tuple[FilterPort, ...]:
        cards: dict[str, list[Any]] = {}
        for row in self._connection.execute(_CARDS, values):
            cards.setdefault(row[0], []).append(row)
        ports = []
        for uuid, rows in cards.items():
            _uuid, instance_uuid, facts, *_rest = rows[0]
            if not _secure(facts, rows[0][-1]):
                continue
            ranges = [cidr for row in rows for cidr in (row.cidr, row.cidr_v6) if cidr]
            ports.append(
                FilterPort(
                    device=f"tap{uuid[:11]}",
                    groups=tuple(sorted(groups_of.get(instance_uuid, ()))),
                    dhcp=_unique(row.dhcp_server or row.gateway for row in rows),
                    routers=_unique(row.gateway_v6 for row in rows),
                    neighbours=_unique(ranges) if neighbours else (),
                )
            )
        return tuple(ports)


def _secure(facts: Mapping[str, Any] | None, network_facts: Mapping[str, Any] | None) -> bool:
    """Whether a card is filtered at all (``port_security_enabled``), as it or its network says."""
    inherited = (network_facts or {}).get("port_security_enabled", True)
    return bool((facts or {}).get("port_security_enabled", inherited))


def _allowed_pairs(facts: Mapping[str, Any] | None) -> list[str]:
    """The single addresses that a port was also allowed to send from."""
    found = []
    for pair in (facts or {}).get("allowed_address_pairs") or ():
        network = ipaddress.ip_network(pair["ip_address"], strict=False)
        if network.num_addresses == 1:
            found.append(str(network.network_address))
    return found


def _unique(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for each in values if each))
