# SPDX-License-Identifier: Apache-2.0
"""Looks for addresses on the segments that this host is on, and on those that its NICs lead to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from nova.conf.network import NetworkSection
from nova.errors import NetworkNotReady
from nova.network.linux.arp import probe_routed, probe_segment, probe_wire
from nova.objects.host_network import HostNetwork
from nova.objects.network import Segment


class HostProber:
    """Asks by ARP on the network's bridge; by ICMP echo where this host only routes to the range."""

    def __init__(self, section: NetworkSection) -> None:
        """``probe_timeout`` is how long an address has to answer, seconds."""
        self._section = section
        self._timeout = section.probe_timeout

    def probe(self, network: HostNetwork, addresses: Sequence[str]) -> dict[str, str | None]:
        """Who answers for addresses: a MAC (``arp.ROUTED`` over a router), None for silence.

        Addresses outside the network's range are left out. Raises ``NetworkNotReady`` where this host
        cannot ask.
        """
        if network.cidr is None:
            return {}
        inside = _inside(network.cidr, addresses)
        if network.bridge in _devices():
            return probe_segment(network.bridge, inside, self._timeout)
        return probe_routed(inside, self._timeout)

    def probe_beside(self, segment: Segment, addresses: Sequence[str]) -> dict[str, str | None]:
        """The same for a segment that this host carries no network of; nothing is set up for it.

        Raises ``NetworkNotReady`` also where no NIC of this host leads there.
        """
        inside, present = _inside(segment.cidr, addresses), _devices()
        if segment.bridge in present:
            return probe_segment(segment.bridge, inside, self._timeout)
        section = self._section
        wanted = section.flat_interface if segment.vlan is None else section.vlan_interface
        device = wanted or segment.bridge_interface
        if not device or device not in present:
            raise NetworkNotReady(f"No interface of this host leads to the segment of {segment.bridge}.")
        return probe_wire(device, segment.vlan, inside, self._timeout)


def _inside(cidr: str, addresses: Sequence[str]) -> list[str]:
    range_ = ipaddress.ip_network(cidr)
    return [each for each in addresses if ipaddress.ip_address(each) in range_]


def _devices() -> set[str]:
    return {name for _index, name in socket.if_nameindex()}
