# SPDX-License-Identifier: Apache-2.0
"""Who the router of a subnet is: the host, at an address on its bridge, somebody else, or nobody.

A row's ``dhcp_server`` is the address of the host on the bridge. It is also the ``gateway`` where the host is
the guests' router. Where another is told, which may be a guest's own address, or none, the host keeps its
address for DHCP alone.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from nova.errors import Conflict, InvalidInput
from nova.objects.network import Network

if TYPE_CHECKING:
    from nova.db.engine import Transaction

_FIXED_ROLES = frozenset({"network", "broadcast", "vpn"})


def move_gateway(tx: Transaction, row: Network, wanted: str | None) -> dict[str, str | None]:
    """Make an IPv4 address, or nobody, the router of a subnet's guests; returns the row's columns to change.

    A free address of the subnet becomes the host's own. One that a guest or a port has, and one beyond the
    subnet, is told to the guests and left to whoever has it. Addresses that are given up for it are not
    handed out, as they were not before. Raises ``InvalidInput`` for an address that cannot be a router,
    ``Conflict`` for a virtual IP of a project.
    """
    host = row.dhcp_server or row.gateway
    assert row.cidr is not None
    if row.gateway is not None and row.gateway != host:
        _give_up(tx, row, row.gateway)
    if wanted is None or wanted == host:
        if host is not None:
            tx.networks.set_roles(row.id, [host], "dhcp" if wanted is None else "gateway")
        return {"gateway": wanted, "dhcp_server": host}
    if ipaddress.ip_address(wanted) not in ipaddress.ip_network(row.cidr):
        if host is not None:
            tx.networks.set_roles(row.id, [host], "dhcp")
        return {"gateway": wanted, "dhcp_server": host}
    known = next((each for each in tx.fixed_ips.of_network(row.id) if each.address == wanted), None)
    if known is not None and known.role in _FIXED_ROLES:
        raise InvalidInput("gateway_ip", f"It is the network's own address ({known.role}).", wanted)
    if known is not None and known.vip_project_id is not None:
        raise Conflict(f"Gateway ip {wanted} is a virtual IP of a project.")
    tx.networks.set_roles(row.id, [wanted], "gateway")
    if known is not None and known.allocated:
        if host is not None:
            tx.networks.set_roles(row.id, [host], "dhcp")
        return {"gateway": wanted, "dhcp_server": host}
    if host is not None:
        tx.networks.set_roles(row.id, [host], "outside")
    return {"gateway": wanted, "dhcp_server": wanted}


def _give_up(tx: Transaction, row: Network, address: str) -> None:
    """Somebody else was the router at this address: a guest that has it keeps it, and it goes round again."""
    known = next((each for each in tx.fixed_ips.of_network(row.id) if each.address == address), None)
    if known is not None and known.role == "gateway":
        tx.networks.set_roles(row.id, [address], None if known.allocated else "outside")
