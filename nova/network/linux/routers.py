# SPDX-License-Identifier: Apache-2.0
"""Routers that are switched off: their networks are reached from their own bridge alone.

The host goes on giving addresses, names and metadata; what it would pass on to another network or to the
outside, or from there by a floating address, is dropped, on open connections as well.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from nova.network.linux.nftables import Chain, Nftables, Table, digest_of
from nova.objects.host_network import HostNetwork, HostNetworkState

NAME = "nova_routers"
_LAYOUT = b"1"
_METADATA = "169.254.169.254"


def router_table(networks: Sequence[HostNetwork]) -> Table:
    """The table of a host: what is not passed on, to and from networks that are not ``routed``."""
    rules: list[str] = []
    for network in networks:
        for family, range_ in (("ip", network.cidr), ("ip6", network.cidr_v6)):
            if not network.routed and range_ is not None:
                rules += [
                    f'{family} saddr {range_} oifname != "{network.bridge}" counter drop',
                    f'{family} daddr {range_} iifname != "{network.bridge}" counter drop',
                ]
    if rules:
        # It may be answered on another machine; the answers belong to the same connection.
        rules.insert(0, f"ct original ip daddr {_METADATA} accept")
    return Table(
        "inet", NAME,
        chains={"forward": Chain(tuple(rules), "type filter hook forward priority 10; policy accept;")},
        digest=digest_of(msgspec.msgpack.encode((_LAYOUT, rules))),
    )


class Routers:
    """The part that holds back what switched-off routers would pass on."""

    def __init__(self, *, routes: bool = True, nftables: Nftables | None = None) -> None:
        """Without ``routes`` the host is nobody's router (``l3_lib``), and nothing is done."""
        self._routes = routes
        self._nftables = nftables or Nftables()
        self._table = router_table(())

    def start(self) -> None:
        """What an earlier process wrote holds until the first state."""

    def apply(self, state: HostNetworkState, changed: Collection[str]) -> None:
        """Bring the rules up to date; see whether somebody took them away. Raises ``FilterError``."""
        if not self._routes:
            return
        if state.whole and changed and self._table.chains["forward"].rules:
            self._nftables.check([self._table])
        self._table = router_table(state.networks)
        self._nftables.apply([self._table])

    def refresh(self, kind: str, ids: Sequence[str]) -> None:
        """Only networks tell of routers."""

    def stop(self) -> None:
        """The rules stay."""
