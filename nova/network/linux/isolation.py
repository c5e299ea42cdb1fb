# SPDX-License-Identifier: Apache-2.0
"""Keeps each host's DHCP to its own guests where every host of a VLAN has one (multi-host networks).

DHCP messages do not cross the device that leads out of the bridge, and neither does ARP about an address
that all hosts share: every guest finds its own host behind it. One nftables table of the bridge family,
replaced in one transaction when what it holds changes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence

from nova.conf.network import NetworkSection
from nova.network.linux.libnftables import NftCommands, available
from nova.objects.host_network import HostNetwork, HostNetworkState

_TABLE = "nova_dhcp"


def uplink_of(network: HostNetwork, section: NetworkSection) -> str | None:
    """The name of the device that leads out of a network's bridge."""
    if network.vlan is not None:
        return f"vlan{network.vlan}"
    return section.flat_interface or network.bridge_interface


def rules(networks: Sequence[HostNetwork], section: NetworkSection) -> str:
    """The table as text for nft; empty where there is nothing to keep apart."""
    uplinks: set[str] = set()
    shared: set[tuple[str, str]] = set()
    for network in networks:
        uplink = uplink_of(network, section)
        if uplink is None or not network.multi_host or not network.serves:
            continue
        uplinks.add(uplink)
        if network.share_address and network.host_address:
            shared.add((uplink, network.host_address))
    head = f"table bridge {_TABLE}\ndelete table bridge {_TABLE}\n"
    if not uplinks:
        return head
    names = ", ".join(f'"{each}"' for each in sorted(uplinks))
    lines = [
        head, f"table bridge {_TABLE} {{", "set uplinks { type ifname;", f"elements = {{ {names} }}", "}",
    ]
    for hook, side in (("forward", "iifname"), ("forward", "oifname"), ("input", "iifname"),
                       ("output", "oifname")):
        lines += [
            f"chain {hook}_{side} {{", f"type filter hook {hook} priority -200; policy accept;",
            f"{side} @uplinks udp dport {{ 67, 68 }} drop",
        ]
        for uplink, address in sorted(shared, key=lambda each: (each[0], ipaddress.ip_address(each[1]))):
            lines.append(f'{side} "{uplink}" arp daddr ip {address} drop')
            lines.append(f'{side} "{uplink}" arp saddr ip {address} drop')
        lines.append("}")
    lines.append("}")
    return "\n".join(lines) + "\n"


class Isolation:
    """The part that keeps hosts' DHCP apart."""

    def __init__(self, section: NetworkSection) -> None:
        self._section = section
        self._applied: str | None = None
        self._commands = NftCommands()

    def start(self) -> None:
        """Nothing to take over: the table is replaced as a whole."""

    def stop(self) -> None:
        """The table stays."""

    def refresh(self, kind: str, ids: Sequence[str]) -> None:
        """Nothing but networks concerns it."""

    def apply(self, state: HostNetworkState, changed: Collection[str]) -> None:
        """Replace the table where it is to be another; raises ``FilterError`` where the kernel refuses."""
        text = rules(state.networks, self._section)
        if text == self._applied:
            return
        if "chain" in text or available():
            self._commands.run(text)
        self._applied = text
