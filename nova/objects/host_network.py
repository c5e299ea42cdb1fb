# SPDX-License-Identifier: Apache-2.0
"""What a host's network is to be: told by the conductor, made true by the host's network service.

The state is a description, not a list of changes: a host that applies it twice changes nothing the second
time, and one that missed a message is put right by the next whole state.
"""

from __future__ import annotations

import msgspec

from nova.objects.host_filters import HostFilters


class HostLease(msgspec.Struct, frozen=True, kw_only=True):
    """A guest's card and the IPv4 address that DHCP gives it. ``first`` marks a guest's first card.

    ``options`` are DHCP options that its port asks for: (name or number, value).
    """

    mac: str
    address: str
    hostname: str
    instance_uuid: str
    vif_id: str
    first: bool = True
    options: tuple[tuple[str, str], ...] = ()


class HostNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """One network (a subnet) as this host is to have it.

    ``network_uuid`` is the network that clients know, ``uuid`` the row's own: rows of one network share the
    bridge. ``host_address`` is the IPv4 address that this host carries on the bridge and serves DHCP from,
    ``gateway`` what guests are told as their router (in multi-host networks without a shared address
    that is this host), None where they have none; ``routes`` are further ones: (range, next
    hop). ``serves`` is false on a host that bridges the guests' traffic only, ``routed`` where the router of
    the network's project is switched off.
    """

    uuid: str
    network_uuid: str
    label: str
    bridge: str
    bridge_interface: str | None = None
    vlan: int | None = None
    mtu: int | None = None
    cidr: str | None = None
    broadcast: str | None = None
    gateway: str | None = None
    routes: tuple[tuple[str, str], ...] = ()
    host_address: str | None = None
    dhcp_start: str | None = None
    enable_dhcp: bool = True
    cidr_v6: str | None = None
    gateway_v6: str | None = None
    dns: tuple[str, ...] = ()
    project_id: str | None = None
    multi_host: bool = False
    share_address: bool = False
    serves: bool = True
    routed: bool = True
    leases: tuple[HostLease, ...] = ()
    neighbours: tuple[tuple[str, str], ...] = ()


class HostNetworkState(msgspec.Struct, frozen=True, kw_only=True):
    """Networks of a host. ``whole`` says that there are no others; else only those asked for were looked at.

    ``filters`` are all of the host, whichever networks were asked for; None where nobody could be asked.
    ``names`` are what its DNS answers beside the names of guests: (address, full name); None where they were
    not asked for.
    """

    host: str
    whole: bool
    networks: tuple[HostNetwork, ...] = ()
    filters: HostFilters | None = None
    names: tuple[tuple[str, str], ...] | None = None


class LeaseEvent(msgspec.Struct, frozen=True):
    """A DHCP lease began (``add``), is known still (``old``), or ended (``del``)."""

    kind: str
    mac: str
    address: str
    hostname: str | None = None
