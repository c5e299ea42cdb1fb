# SPDX-License-Identifier: Apache-2.0
"""Floating addresses and the way out: what Kilo's nova-network did with chains of iptables and ebtables.

A floating address is a /32 on the public interface of the host that its guest is on (multi-host) or that
serves its network. One nftables table translates: two maps for the floating addresses, and the host's own
address for all other traffic that leaves guests' networks. Where a network's router is elsewhere, a second
one turns aside on the bridge what has to leave by this host all the same.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import logging
import socket
import struct
from collections.abc import Collection, Mapping, Sequence

import msgspec

from nova.conf.network import NetworkSection
from nova.errors import NetworkNotReady
from nova.network.linux import conntrack
from nova.network.linux.announce import announce
from nova.network.linux.libnftables import FilterError, NftCommands
from nova.network.linux.links import InterfaceAddress, Links, open_links
from nova.network.linux.nftables import Chain, ElementSet, Nftables, Table, digest_of
from nova.objects.host_filters import HostFilters, HostFloating
from nova.objects.host_network import HostNetwork, HostNetworkState

LOG = logging.getLogger(__name__)

NAME = "nova"
_METADATA = "169.254.169.254"
_LAYOUT = b"2"
#: linux/sockios.h
_SIOCGIFHWADDR = 0x8927


def nat_table(
    networks: Sequence[HostNetwork],
    floating: Sequence[HostFloating],
    section: NetworkSection,
    source: str | None,
) -> Table:
    """The table of a host; ``source`` is the address that other traffic leaves with, None for its own."""
    inward = {each.address: each.fixed_address for each in floating}
    outward: dict[str, str] = {}
    for each in floating:
        outward.setdefault(each.fixed_address, each.address)
    served = [each for each in networks if each.serves and each.cidr]
    after: list[str] = []
    for network in served:
        for untouched in (*_metadata_hosts(section), *section.dmz_cidr):
            after.append(f"ip saddr {network.cidr} ip daddr {untouched} accept")
        after.append(f"ip saddr {network.cidr} ip daddr {network.cidr} ct status and dnat == 0 accept")
    # A guest that asks another by its floating address is answered at its own floating address.
    after.append("ct status dnat snat ip to ip saddr map @floating_out")
    public = sorted({each.interface or section.public_interface for each in floating})
    after += [f'oifname "{each}" snat ip to ip saddr map @floating_out' for each in public]
    if source is not None:
        for network in served:
            after += _leaving(network, section, source)
    through = _through(served, section)
    before = ["dnat ip to ip daddr map @floating_in"]
    if section.metadata_host is not None:
        target = f"{section.metadata_host}:{section.metadata_port}"
        before.insert(0, f"ip daddr {_METADATA} tcp dport 80 dnat ip to {target}")
    else:
        # To the address of the bridge that the request came on, which stays known.
        before.insert(0, f"ip daddr {_METADATA} tcp dport 80 redirect to :{section.metadata_port}")
    content = msgspec.msgpack.encode([_LAYOUT, inward, outward, before, after, through])
    return Table(
        "ip", NAME,
        sets={
            "floating_in": ElementSet("ipv4_addr : ipv4_addr", inward, map=True),
            "floating_out": ElementSet("ipv4_addr : ipv4_addr", outward, map=True),
        },
        chains={
            "prerouting": Chain(tuple(before), "type nat hook prerouting priority -100; policy accept;"),
            "output": Chain(
                ("dnat ip to ip daddr map @floating_in",),
                "type nat hook output priority -100; policy accept;",
            ),
            "postrouting": Chain(tuple(after), "type nat hook postrouting priority 100; policy accept;"),
            "forward": Chain(tuple(through), "type filter hook forward priority 0; policy accept;"),
        },
        digest=digest_of(content),
    )


def aside_table(
    networks: Sequence[HostNetwork], floating: Sequence[HostFloating], section: NetworkSection
) -> Table:
    """The table of the bridge family: what guests send to a router elsewhere though it has to leave here is
    taken up by the bridge itself, as by the ``redirect`` of ebtables.
    """
    rules: list[str] = []
    for network in networks:
        if not (network.serves and network.cidr and _router_is_elsewhere(network)):
            continue
        mac = hardware_address(network.bridge)
        if mac is None:
            continue
        range_ = ipaddress.ip_network(network.cidr)
        aside = f"ether daddr set {mac} meta pkttype set unicast"
        fixed = sorted(
            each.fixed_address for each in floating
            if each.network_uuid == network.network_uuid
            and ipaddress.ip_address(each.fixed_address) in range_
        )
        # Ranges of networks do not overlap, so that the source tells the bridge; not every kernel can.
        if fixed:
            rules.append(f"ip saddr {{ {', '.join(fixed)} }} ip daddr != {network.cidr} {aside}")
        rules += [f"ip saddr {network.cidr} ip daddr {each} {aside}" for each in section.force_snat_range]
    hook = "type filter hook prerouting priority -300; policy accept;"
    return Table(
        "bridge", f"{NAME}_aside", chains={"prerouting": Chain(tuple(rules), hook)},
        digest=digest_of(msgspec.msgpack.encode([_LAYOUT, rules])),
    )


def hardware_address(device: str) -> str | None:
    """The MAC of a device of this network namespace; None where there is no such device."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking, _SIOCGIFHWADDR, struct.pack("256s", device.encode()[:15]))
        except OSError:
            return None
    return answer[18:24].hex(":")


def _through(served: Sequence[HostNetwork], section: NetworkSection) -> list[str]:
    """Which interfaces bridges pass packets on to (``forward_bridge_interface``)."""
    bridges = sorted({each.bridge for each in served})
    if not bridges or "all" in section.forward_bridge_interface:
        return []
    inside = ", ".join(f'"{each}"' for each in bridges)
    others = ", ".join(f'"{each}"' for each in section.forward_bridge_interface if each)
    rules = [f'iifname "{each}" oifname "{each}" accept' for each in bridges]
    if others:
        rules += [
            f"iifname {{ {inside} }} oifname {{ {others} }} accept",
            f"iifname {{ {others} }} oifname {{ {inside} }} accept",
        ]
    return [*rules, f"iifname {{ {inside} }} drop", f"oifname {{ {inside} }} drop"]


def _metadata_hosts(section: NetworkSection) -> tuple[str, ...]:
    return () if section.metadata_host is None else (section.metadata_host,)


def _leaving(network: HostNetwork, section: NetworkSection, source: str) -> list[str]:
    """How traffic of a network leaves: where a router elsewhere is its gateway, only what
    ``force_snat_range`` names takes this host's address.
    """
    head = f"ip saddr {network.cidr}"
    if _router_is_elsewhere(network):
        return [f"{head} ip daddr {each} snat ip to {source}" for each in section.force_snat_range]
    return [f'{head} oifname "{section.public_interface}" snat ip to {source}']


def _router_is_elsewhere(network: HostNetwork) -> bool:
    return network.gateway is not None and network.host_address not in (None, network.gateway)


class FloatingAddresses:
    """Carries floating addresses and translates."""

    def __init__(
        self,
        section: NetworkSection,
        my_ip: str,
        nftables: Nftables | None = None,
    ) -> None:
        self._section = section
        leaving = section.routing_source_ip or my_ip
        self._leaving = None if ipaddress.ip_address(leaving).is_loopback else leaving
        self._nftables = nftables or Nftables()
        self._networks: tuple[HostNetwork, ...] = ()
        self._table = nat_table((), (), section, None)
        self._aside = aside_table((), (), section)
        #: What this host carries: floating address -> interface.
        self._carried: dict[str, str] = {}
        self._routes = section.l3_lib != "nova.network.l3.NullL3"

    def start(self) -> None:
        """Remember the addresses that an earlier process carried: the kernel's map has them."""
        if self._routes:
            self._carried = dict.fromkeys(_mapped(), self._section.public_interface)

    def apply(self, state: HostNetworkState, changed: Collection[str]) -> None:
        """Bring addresses and translation up to date."""
        if not self._routes or state.filters is None:
            return
        self._networks = state.networks
        if changed:
            self._nftables.check([self._table, self._aside])
        self.set(state.filters)

    def refresh_with(self, filters: HostFilters) -> None:
        """Bring the floating addresses up to date; the networks are as they were."""
        if self._routes:
            self.set(filters)

    def stop(self) -> None:
        """Everything stays and serves."""

    def set(self, filters: HostFilters) -> None:
        """Carry exactly these addresses. Raises ``NetworkNotReady`` or ``FilterError``."""
        wanted = {
            each.address: each.interface or self._section.public_interface for each in filters.floating
        }
        table = nat_table(self._networks, filters.floating, self._section, self._leaving)
        moved = _changed(self._table, table)
        self._table = table
        self._aside = aside_table(self._networks, filters.floating, self._section)
        # Translation first: an address that answers leads somewhere.
        self._nftables.apply([table, self._aside])
        if wanted or self._carried:
            with open_links() as links:
                gone = {
                    address: device for address, device in self._carried.items()
                    if wanted.get(address) != device
                }
                for address, device in gone.items():
                    _take_off(links, address, device)
                for address, device in wanted.items():
                    self._put_on(links, address, device)
                moved |= gone.keys()
            self._carried = wanted
        for address in moved:
            conntrack.forget(address)

    def remove(self) -> None:
        """Carry nothing and translate nothing."""
        self._networks = ()
        self.set(HostFilters())
        self._nftables.remove([self._table, self._aside])

    def _put_on(self, links: Links, address: str, device: str) -> None:
        link = links.by_name.get(device)
        if link is None:
            LOG.error(
                "floating address %s: there is no interface %s here; see the option public_interface",
                address, device,
            )
            return
        if links.add_address(link, InterfaceAddress(link.index, address, 32)) and link.mac:
            try:
                # However it is configured: who moved must be found at once.
                announce(device, link.mac, address, max(1, self._section.send_arp_for_ha_count))
            except NetworkNotReady as error:
                LOG.warning("%s", error.message)


def _take_off(links: Links, address: str, device: str) -> None:
    link = links.by_name.get(device)
    if link is not None:
        links.remove_address(link, InterfaceAddress(link.index, address, 32))


def _changed(before: Table, after: Table) -> set[str]:
    """The floating addresses that lead elsewhere now, or nowhere."""
    old, new = before.sets["floating_in"].elements, after.sets["floating_in"].elements
    return {address for address, fixed in old.items() if new.get(address) != fixed}


def _mapped() -> Mapping[str, str]:
    """The floating addresses of the kernel's table; none where there is no such table."""
    try:
        listing = NftCommands(json=True).run(f"list map ip {NAME} floating_in")
    except FilterError:
        return {}
    for entry in json.loads(listing)["nftables"]:
        if "map" in entry:
            return {pair[0]: pair[1] for pair in entry["map"].get("elem", ())}
    return {}
