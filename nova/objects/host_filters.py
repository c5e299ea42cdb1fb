# SPDX-License-Identifier: Apache-2.0
"""What a host lets through to and from its guests, and which floating addresses it answers for.

Like ``HostNetworkState`` a description of the whole: a host that gets the same twice changes nothing.
"""

from __future__ import annotations

import msgspec


class FilterRule(msgspec.Struct, frozen=True, kw_only=True):
    """Something that may come in from, or go out to, ``cidr``, members of ``remote_group``, or anywhere.

    A ``protocol`` of None is any. ``first`` and ``last`` are ports, or type and code of ICMP; None or -1 is
    any. ``ethertype`` is IPv4, IPv6, or None where the range, if any, tells it.
    """

    protocol: str | None = None
    first: int | None = None
    last: int | None = None
    cidr: str | None = None
    remote_group: int | None = None
    ethertype: str | None = None


#: That everything may go out: what a new group says.
EVERYTHING = (FilterRule(ethertype="IPv4"), FilterRule(ethertype="IPv6"))


class FilterGroup(msgspec.Struct, frozen=True):
    """A security group of at least one guest here: what may come in, and what may go out (``leaving``)."""

    id: int
    rules: tuple[FilterRule, ...] = ()
    leaving: tuple[FilterRule, ...] = ()


class GroupMembers(msgspec.Struct, frozen=True):
    """The addresses, of both families, of all members of a group that a rule here names."""

    id: int
    addresses: tuple[str, ...] = ()


class FilterPort(msgspec.Struct, frozen=True, kw_only=True):
    """A guest's network device on this host and the groups, by id, whose rules let traffic in and out.

    ``dhcp`` are the addresses that its DHCP answers come from, ``routers`` those of routers that may
    announce themselves to it by IPv6, ``neighbours`` the ranges of its own networks where
    these may always come in (``allow_same_net_traffic``).
    """

    device: str
    groups: tuple[int, ...] = ()
    dhcp: tuple[str, ...] = ()
    routers: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()


class HostFloating(msgspec.Struct, frozen=True, kw_only=True):
    """A floating address that this host carries, the fixed one it leads to, and where that is.

    ``interface`` is what carries it where that is not the host's ``public_interface``.
    """

    address: str
    fixed_address: str
    network_uuid: str
    interface: str | None = None


class HostFilters(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. Ports that are not named are not filtered."""

    groups: tuple[FilterGroup, ...] = ()
    members: tuple[GroupMembers, ...] = ()
    ports: tuple[FilterPort, ...] = ()
    floating: tuple[HostFloating, ...] = ()
