# SPDX-License-Identifier: Apache-2.0
"""Bridges and VLAN devices of a host's networks, and the host's own addresses on them.

Devices are made when they are first needed and taken over where they are there. What is right already is
not touched, so that a second start changes nothing. A bridge that has a guest on it is never removed.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
import secrets
import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

import msgspec

from nova.conf.network import NetworkSection
from nova.errors import NetworkNotReady
from nova.network.linux.announce import announce
from nova.network.linux.links import InterfaceAddress, Link, Links, open_links
from nova.objects.host_network import HostNetwork, HostNetworkState

LOG = logging.getLogger(__name__)

_FORWARDING = (Path("/proc/sys/net/ipv4/ip_forward"), Path("/proc/sys/net/ipv6/conf/all/forwarding"))


@dataclasses.dataclass(frozen=True)
class HostAddresses:
    """How this host answers on a bridge: whether it is the guests' router, and which IPs it takes."""

    routes: bool
    ipv6: bool
    announcements: int


def wanted_addresses(network: HostNetwork, how: HostAddresses) -> list[InterfaceAddress]:
    """The addresses that the host is to have on a network's bridge."""
    found: list[InterfaceAddress] = []
    if not network.serves:
        return found
    if network.cidr and network.host_address and (how.routes or network.host_address != network.gateway):
        found.append(
            InterfaceAddress(
                0, network.host_address, ipaddress.ip_network(network.cidr).prefixlen, network.broadcast
            )
        )
    if how.ipv6 and how.routes and network.cidr_v6 and network.gateway_v6:
        found.append(
            InterfaceAddress(
                0, str(ipaddress.ip_address(network.gateway_v6)),
                ipaddress.ip_network(network.cidr_v6).prefixlen,
            )
        )
    return found


class Bridges:
    """The part of a host's network that all others stand on."""

    def __init__(self, section: NetworkSection) -> None:
        self._section = section
        self._how = HostAddresses(
            routes=section.l3_lib != "nova.network.l3.NullL3", ipv6=section.use_ipv6,
            announcements=section.send_arp_for_ha_count if section.send_arp_for_ha else 0,
        )
        #: What this host had applied last: row uuid -> network. Filled from the state files at start.
        self._applied: dict[str, HostNetwork] = {}
        #: What this process has set up: row uuid -> network, without its guests.
        self._set_up: dict[str, HostNetwork] = {}
        self.known: Callable[[], Iterable[HostNetwork]] = lambda: ()

    def start(self) -> None:
        """Remember what was applied before this process."""
        self._applied = {each.uuid: each for each in self.known()}

    def stop(self) -> None:
        """Everything stays."""

    def refresh(self, kind: str, ids: Sequence[str]) -> None:
        """Nothing but networks concerns bridges."""

    def apply(self, state: HostNetworkState, changed: Collection[str]) -> dict[str, str]:
        """Make the bridges of changed networks what they are to be; returns what is wrong with which."""
        problems: dict[str, str] = {}
        wanted = {each.uuid: each for each in state.networks}
        if not state.whole:
            # Most changes are those of guests: no look at all devices for them.
            changed = {uuid for uuid in changed if not self._stands(wanted.get(uuid))}
        if not changed:
            return problems
        touched = {
            network.bridge for uuid in changed
            for network in (wanted.get(uuid), self._applied.get(uuid)) if network is not None
        }
        groups: dict[str, list[HostNetwork]] = {bridge: [] for bridge in touched}
        for network in state.networks:
            if network.bridge in groups:
                groups[network.bridge].append(network)
        with open_links() as links:
            for bridge, networks in groups.items():
                gone = [
                    each for each in self._applied.values()
                    if each.bridge == bridge
                    and (each.uuid not in wanted or wanted[each.uuid].bridge != bridge)
                ]
                try:
                    self._one(links, bridge, networks, gone)
                except NetworkNotReady as error:
                    # One bridge that cannot be does not keep the others from being.
                    problems |= dict.fromkeys((each.uuid for each in networks), error.message)
                    continue
                self._remember(networks, gone)
        if any(each.serves for each in wanted.values()) and self._how.routes:
            _forward(_FORWARDING if self._how.ipv6 else _FORWARDING[:1])
        return problems

    def _stands(self, network: HostNetwork | None) -> bool:
        """Whether this process has set a network up as it is to be, and its bridge is there."""
        if network is None or self._set_up.get(network.uuid) != _described(network):
            return False
        try:
            socket.if_nametoindex(network.bridge)
        except OSError:
            return False
        return True

    def _remember(self, networks: Iterable[HostNetwork], gone: Iterable[HostNetwork]) -> None:
        for each in gone:
            self._applied.pop(each.uuid, None)
            self._set_up.pop(each.uuid, None)
        for each in networks:
            self._applied[each.uuid] = each
            self._set_up[each.uuid] = _described(each)

    # --- one bridge ------------------------------------------------------------------------------

    def _one(
        self, links: Links, name: str, networks: Sequence[HostNetwork], gone: Sequence[HostNetwork]
    ) -> None:
        if not networks:
            self._leave(links, name, gone)
            return
        uplink = self._uplink(links, networks[0])
        bridge = self._bridge(links, name, uplink)
        mtu = max((each.mtu for each in networks if each.mtu), default=None)
        if uplink is not None:
            uplink = self._mtu(links, uplink, mtu) if networks[0].vlan is not None else uplink
            if uplink.master != bridge.index:
                bridge = move_into(links, uplink, bridge)
            links.set_up(links.by_index[uplink.index])
        bridge = self._mtu(links, links.set_up(bridge), mtu)
        wanted = [address for network in networks for address in wanted_addresses(network, self._how)]
        # First those that go: the kernel takes with a range's first address also those that came after it.
        self._drop_addresses(
            links, bridge, (*gone, *self._former(networks)), {address.text for address in wanted}
        )
        for address in wanted:
            added = links.add_address(bridge, address)
            if added and address.family == socket.AF_INET and self._how.announcements:
                announce(bridge.name, bridge.mac, address.address, self._how.announcements)

    def _former(self, networks: Iterable[HostNetwork]) -> list[HostNetwork]:
        """What networks were before, where their addresses differ."""
        return [
            self._applied[each.uuid] for each in networks
            if each.uuid in self._applied and self._applied[each.uuid] != each
        ]

    def _drop_addresses(
        self, links: Links, bridge: Link, former: Iterable[HostNetwork], keep: Collection[str]
    ) -> None:
        for network in former:
            for address in wanted_addresses(network, self._how):
                if address.text not in keep:
                    links.remove_address(bridge, address)

    def _uplink(self, links: Links, network: HostNetwork) -> Link | None:
        """The device that leads out: the VLAN's, made where it is missing, or the flat interface."""
        if network.vlan is None:
            name = self._section.flat_interface or network.bridge_interface
            return self._present(links, name, network) if name else None
        parent_name = self._section.vlan_interface or network.bridge_interface
        if not parent_name:
            raise NetworkNotReady(
                f"VLAN {network.vlan} of network {network.label} has no interface: set vlan_interface."
            )
        name = f"vlan{network.vlan}"
        found = links.by_name.get(name)
        parent = self._present(links, parent_name, network)
        if found is None:
            links.set_up(parent)
            return links.add_vlan(name, parent, network.vlan)
        if found.kind == "vlan" and (found.vlan != network.vlan or found.parent != parent.index):
            raise NetworkNotReady(
                f"{name} is there, but it is VLAN {found.vlan} of "
                f"{links.by_index[found.parent].name if found.parent in links.by_index else 'another'}, "
                f"not VLAN {network.vlan} of {parent_name}."
            )
        return found

    def _present(self, links: Links, name: str, network: HostNetwork) -> Link:
        found = links.by_name.get(name)
        if found is None:
            raise NetworkNotReady(
                f"Network {network.label} needs interface {name}, which is not on this host."
            )
        return found

    def _bridge(self, links: Links, name: str, uplink: Link | None) -> Link:
        found = links.by_name.get(name)
        if found is None:
            return links.add_bridge(name, uplink.mac if uplink is not None else random_mac())
        if found.kind != "bridge":
            raise NetworkNotReady(f"{name} is there, but it is no bridge.")
        return found

    def _mtu(self, links: Links, link: Link, mtu: int | None) -> Link:
        if mtu is None or link.mtu == mtu:
            return link
        return links.set_mtu(link, mtu)

    def _leave(self, links: Links, name: str, gone: Sequence[HostNetwork]) -> None:
        """Nobody needs this bridge any more: give its addresses up, and itself if that is wanted."""
        bridge = links.by_name.get(name)
        if bridge is None:
            return
        self._drop_addresses(links, bridge, gone, ())
        if not self._section.teardown_unused_network_gateway:
            return
        uplinks = {f"vlan{each.vlan}" for each in gone if each.vlan is not None}
        ports = links.ports_of(bridge.index)
        # Flat bridges carry a NIC of the host, and with it the host's own addresses: they stay.
        if any(port.name not in uplinks for port in ports) or links.addresses.get(bridge.index):
            return
        links.remove(bridge)
        for port in ports:
            links.remove(port)


def move_into(links: Links, port: Link, bridge: Link) -> Link:
    """Put a device into a bridge; its addresses and routes go over to the bridge. Returns the bridge.

    The bridge takes the device's MAC, so that neighbours need not ask again. Should the kernel refuse
    something half way, everything goes back to the device.

    Raises ``NetworkNotReady`` where the device is in another bridge already.
    """
    if port.master:
        other = links.by_index.get(port.master)
        raise NetworkNotReady(
            f"{port.name} is in {other.name if other else 'another bridge'} already; it cannot be put into "
            f"{bridge.name} too."
        )
    addresses = list(links.addresses.get(port.index, []))
    routes = links.routes_over(port)
    if addresses and bridge.mac != port.mac:
        bridge = links.set_mac(bridge, port.mac)
    bridge = links.set_up(bridge)
    try:
        links.set_master(port, bridge)
        for address in addresses:
            links.add_address(bridge, address)
        for route in reversed(_nearest_first(routes)):
            links.remove_route(route, port)
        for address in addresses:
            links.remove_address(port, address)
        for route in _nearest_first(routes):
            links.add_route(route, bridge)
    except NetworkNotReady:
        links.set_master(links.by_index[port.index], None)
        for address in addresses:
            links.add_address(port, address)
            links.remove_address(bridge, address)
        for route in _nearest_first(routes):
            links.add_route(route, port)
        raise
    if addresses:
        LOG.info("%s is in bridge %s now, which took over %s", port.name, bridge.name,
                 ", ".join(each.text for each in addresses))
    return bridge


def _described(network: HostNetwork) -> HostNetwork:
    return msgspec.structs.replace(network, leases=(), neighbours=())


def random_mac() -> str:
    """A MAC of nobody's, locally administered (IEEE 802)."""
    first, *others = secrets.token_bytes(6)
    return bytes((first & 0xFC | 2, *others)).hex(":")


def _nearest_first(routes: list[dict[str, object]]) -> list[dict[str, object]]:
    """Routes without a gateway first: the others lead over them."""
    return sorted(routes, key=lambda route: "gateway" in route)


def _forward(switches: Iterable[Path]) -> None:
    """Let the host pass on its guests' packets."""
    for switch in switches:
        try:
            if switch.read_text().strip() == "0":
                switch.write_text("1\n")
        except OSError as error:
            LOG.warning("%s could not be set to 1 (%s): guests reach no other network until it is",
                        switch, error.strerror)
