# SPDX-License-Identifier: Apache-2.0
"""Networks, addresses, floating IPs and security groups.

The field order of the records is that of their tables' columns (checked by a test).
"""

from __future__ import annotations

import datetime
from typing import Any

import msgspec


class Network(msgspec.Struct, frozen=True):
    """One subnet, with the VLAN and bridge that carry it. Several networks may share a VLAN."""

    id: int
    uuid: str
    label: str
    project_id: str | None = None
    injected: bool = False
    cidr: str | None = None
    netmask: str | None = None
    gateway: str | None = None
    broadcast: str | None = None
    cidr_v6: str | None = None
    netmask_v6: str | None = None
    gateway_v6: str | None = None
    dhcp_server: str | None = None
    dhcp_start: str | None = None
    enable_dhcp: bool = True
    share_address: bool = False
    dns1: str | None = None
    dns2: str | None = None
    mtu: int | None = None
    vlan: int | None = None
    bridge: str | None = None
    bridge_interface: str | None = None
    multi_host: bool = False
    host: str | None = None
    priority: int | None = None
    rxtx_base: int | None = None
    vpn_public_address: str | None = None
    vpn_public_port: int | None = None
    vpn_private_address: str | None = None
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
    segment_uuid: str | None = None
    subnet_uuid: str | None = None
    subnet_uuid_v6: str | None = None
    revision: int = 0
    facts: dict[str, Any] | None = None

    @property
    def network_uuid(self) -> str:
        """The uuid of the network that this row belongs to: its own, or its segment's first's."""
        return self.segment_uuid or self.uuid

    @property
    def dns(self) -> tuple[str, ...]:
        """The name servers of its ranges. The IPv4 range has two columns, and facts for those beyond."""
        facts = self.facts or {}
        four = (facts.get("subnet4") or {}).get("further_dns", ())
        six = (facts.get("subnet6") or {}).get("dns_nameservers", ())
        given = (self.dns1, self.dns2, *four, *six)
        return tuple(dict.fromkeys(each for each in given if each is not None))

    @property
    def names_pools(self) -> bool:
        """Whether somebody named the pools of its IPv4 range."""
        return bool(((self.facts or {}).get("subnet4") or {}).get("allocation_pools"))

    @property
    def routes(self) -> tuple[tuple[str, str], ...]:
        """Further routes that guests of the IPv4 range are told: (range, next hop)."""
        return self._routes("subnet4")

    @property
    def routes_v6(self) -> tuple[tuple[str, str], ...]:
        """The same of the IPv6 range."""
        return self._routes("subnet6")

    def _routes(self, part: str) -> tuple[tuple[str, str], ...]:
        facts = (self.facts or {}).get(part) or {}
        return tuple((each["destination"], each["nexthop"]) for each in facts.get("host_routes", ()))

    @property
    def has_range(self) -> bool:
        """Whether the row has a subnet; addresses come from nowhere else."""
        return self.cidr is not None or self.cidr_v6 is not None


class PlannedAddress(msgspec.Struct, frozen=True):
    """An address of a network to be made; a ``role`` means that it is reserved, and why."""

    address: str
    role: str | None = None


class PlannedNetwork(msgspec.Struct, frozen=True):
    """A network to be made: its row (the id is 0 until it is stored) and its addresses in order."""

    network: Network
    addresses: tuple[PlannedAddress, ...]


class NetworkUsage(msgspec.Struct, frozen=True):
    """How many addresses of a network are in which state."""

    network_id: int
    total: int
    allocated: int
    reserved: int
    vips: int
    vips_claimed: int
    used_elsewhere: int

    @property
    def free(self) -> int:
        """Addresses that the allocator may still hand out."""
        return self.total - self.allocated - self.reserved - self.used_elsewhere


class VirtualInterface(msgspec.Struct, frozen=True):
    """A network card; ``address`` is its MAC. Without an instance it is a port that nobody bound.

    ``kept`` ones were made by a user and outlive the server that they are bound to.
    """

    id: int
    uuid: str
    address: str
    network_id: int
    instance_uuid: str | None
    tag: str | None
    created_at: datetime.datetime
    project_id: str | None = None
    kept: bool = False
    updated_at: datetime.datetime | None = None
    revision: int = 0
    facts: dict[str, Any] | None = None


class PortServer(msgspec.Struct, frozen=True):
    """What a port shows of the server that it is bound to."""

    host: str | None
    power_state: int
    availability_zone: str | None
    task_state: str | None


class PortRecord(msgspec.Struct, frozen=True):
    """A port with its addresses, as (row id, address, network row id), and its server."""

    card: VirtualInterface
    addresses: tuple[tuple[int, str, int], ...] = ()
    server: PortServer | None = None


#: How far the clocks of two processes may be apart: an address that one has given back just now is free
#: for the other all the same.
CLOCK_SKEW = datetime.timedelta(seconds=5)


class FixedIP(msgspec.Struct, frozen=True):
    """One address of a network's range. See the table for what makes it free."""

    id: int
    address: str
    network_id: int
    position: int
    virtual_interface_uuid: str | None
    instance_uuid: str | None
    allocated: bool
    leased: bool
    reserved: bool
    role: str | None
    host: str | None
    vip_project_id: str | None
    vip_name: str | None
    used_elsewhere: bool
    seen_mac: str | None
    seen_at: datetime.datetime | None
    probed_at: datetime.datetime | None
    released_at: datetime.datetime

    def is_free(self, moment: datetime.datetime) -> bool:
        """Whether it may be given to a server."""
        return not self.reserved and self.is_unused(moment)

    def is_unused(self, moment: datetime.datetime) -> bool:
        """Whether nobody has it, though it may be reserved."""
        taken = self.allocated or self.used_elsewhere
        return not taken and self.released_at <= moment + CLOCK_SKEW

    def is_free_by_name(self, moment: datetime.datetime, network: Network) -> bool:
        """Whether it may be given to who names it.

        Outside pools that were named nothing is handed out, but may be asked for (as in Neutron).
        """
        if self.role == "outside" and network.names_pools:
            return self.is_unused(moment)
        return self.is_free(moment)

    @property
    def is_unclaimed_vip(self) -> bool:
        """Whether it is kept for a virtual IP that nobody has claimed."""
        return self.role == "vip" and self.vip_project_id is None


class ProbeCandidate(msgspec.Struct, frozen=True):
    """A free address that may be looked for on the wire, and when it last was. ``id`` is its row."""

    id: int
    address: str
    probed_at: datetime.datetime | None
    released_at: datetime.datetime
    used_elsewhere: bool

    def is_fresh(self, since: datetime.datetime) -> bool:
        """Whether it was looked for since then, and since it was last given back."""
        return self.probed_at is not None and self.probed_at >= max(since, self.released_at)


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """What a host needs to know to ask on a segment that it carries no network of: ``bridge_interface`` leads
    there where its own configuration names no interface.
    """

    cidr: str
    bridge: str
    vlan: int | None = None
    bridge_interface: str | None = None


class ProbedNetwork(msgspec.Struct, frozen=True):
    """A network (its row's id and uuid), and hosts that can look for addresses: those on its segment, or
    where nobody is on it yet, others, with the ``segment`` to look on.
    """

    id: int
    uuid: str
    hosts: tuple[str, ...]
    segment: Segment | None = None


class FixedIPDetail(msgspec.Struct, frozen=True):
    """A fixed address with its network's range and, where one holds it, its server's name and host.
    """

    fixed_ip: FixedIP
    cidr: str | None
    hostname: str | None
    instance_host: str | None


class InterfaceAddress(msgspec.Struct, frozen=True):
    """One line of an instance's interfaces: the card, one fixed address, one floating address."""

    instance_uuid: str
    vif_uuid: str
    mac: str
    network_id: int
    tag: str | None
    address: str | None
    floating: str | None


class FloatingIP(msgspec.Struct, frozen=True):
    """A floating address. ``fixed_ip_id`` is set while it leads to a fixed address."""

    id: int
    address: str
    fixed_ip_id: int | None
    project_id: str | None
    host: str | None
    auto_assigned: bool
    pool: str
    interface: str | None
    created_at: datetime.datetime | None
    updated_at: datetime.datetime | None
    uuid: str = ""
    revision: int = 0
    facts: dict[str, Any] | None = None
    fixed_address: str | None = None
    instance_uuid: str | None = None
    port_uuid: str | None = None
    fixed_network_id: int | None = None


class FloatingPool(msgspec.Struct, frozen=True):
    """A pool of floating addresses that was made as an external network."""

    id: int
    uuid: str
    name: str
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
    revision: int = 0
    facts: dict[str, Any] | None = None


class ProjectRouter(msgspec.Struct, frozen=True):
    """What a project calls the gateways of its networks, once it made a router."""

    id: int
    project_id: str
    name: str
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
    revision: int = 0
    facts: dict[str, Any] | None = None


class SubnetPool(msgspec.Struct, frozen=True):
    """Ranges that subnets are cut from."""

    id: int
    uuid: str
    project_id: str | None
    name: str
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
    revision: int = 0
    facts: dict[str, Any] | None = None


class SecurityGroup(msgspec.Struct, frozen=True):
    """A security group, with its rules where they were read along."""

    id: int
    project_id: str
    user_id: str
    name: str
    description: str
    created_at: datetime.datetime | None
    updated_at: datetime.datetime | None
    uuid: str = ""
    revision: int = 0
    facts: dict[str, Any] | None = None
    rules: tuple[SecurityGroupRule, ...] = ()


class SecurityGroupRule(msgspec.Struct, frozen=True):
    """What may come in from, or with the ``direction`` "egress" go out to, ``cidr`` or members of
    ``source_group_id``.

    A ``protocol`` of None is any. For ICMP the ports are type and code, -1 for any.
    """

    id: int
    group_id: int
    protocol: str | None
    from_port: int | None
    to_port: int | None
    cidr: str | None
    source_group_id: int | None
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
    uuid: str = ""
    direction: str = "ingress"
    ethertype: str | None = None
    revision: int = 0
    facts: dict[str, Any] | None = None
    source_group_name: str | None = None
    source_group_project: str | None = None
    source_group_uuid: str | None = None


class DefaultRule(msgspec.Struct, frozen=True):
    """A rule that every new ``default`` group starts with."""

    id: int
    protocol: str | None
    from_port: int | None
    to_port: int | None
    cidr: str | None
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
