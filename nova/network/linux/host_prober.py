# SPDX-License-Identifier: Apache-2.0
"""Looks for addresses on the segments that this host is on."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from nova.network.linux.arp import probe_routed, probe_segment
from nova.objects.host_network import HostNetwork


class HostProber:
    """Asks by ARP on the network's bridge; by ICMP echo where this host only routes to the range."""

    def __init__(self, timeout: float) -> None:
        """``timeout`` is how long an address has to answer, seconds."""
        self._timeout = timeout

    def probe(self, network: HostNetwork, addresses: Sequence[str]) -> dict[str, str | None]:
        """Who answers for addresses: a MAC (``arp.ROUTED`` over a router), None for silence.

        Addresses outside the network's range are left out. Raises ``NetworkNotReady`` where this host
        cannot ask.
        """
        if network.cidr is None:
            return {}
        range_ = ipaddress.ip_network(network.cidr)
        inside = [each for each in addresses if ipaddress.ip_address(each) in range_]
        if network.bridge in {name for _index, name in socket.if_nameindex()}:
            return probe_segment(network.bridge, inside, self._timeout)
        return probe_routed(inside, self._timeout)
