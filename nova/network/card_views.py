# SPDX-License-Identifier: Apache-2.0
"""Network cards as servers show them, from the rows of cards and addresses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nova.errors import NetworkNotFound
from nova.network.addresses import slaac_address
from nova.network.catalog import NetworkCatalog, NetworkSnapshot
from nova.objects.instance import Address, Vif
from nova.objects.network import InterfaceAddress, Network

if TYPE_CHECKING:
    from nova.db.engine import Transaction


def by_instance(lines: Iterable[InterfaceAddress]) -> dict[str, list[InterfaceAddress]]:
    """Lines of cards by their instance, in their order."""
    groups: dict[str, list[InterfaceAddress]] = {}
    for line in lines:
        groups.setdefault(line.instance_uuid, []).append(line)
    return groups


def vifs(
    catalog: NetworkCatalog, tx: Transaction, lines: dict[str, list[InterfaceAddress]]
) -> dict[str, tuple[Vif, ...]]:
    """The cards of instances from what the database has of them."""
    if not lines:
        return {}
    snapshot = catalog.snapshot(tx)
    used = {each.network_id for group in lines.values() for each in group}
    if not used <= snapshot.by_id.keys():
        snapshot = catalog.refresh(tx)
    return {instance_uuid: _assemble(snapshot, group) for instance_uuid, group in lines.items()}


def _assemble(snapshot: NetworkSnapshot, lines: Sequence[InterfaceAddress]) -> tuple[Vif, ...]:
    cards: dict[str, InterfaceAddress] = {}
    addresses: dict[str, dict[str, list[str]]] = {}
    for line in lines:
        cards[line.vif_uuid] = line
        carried = addresses.setdefault(line.vif_uuid, {})
        if line.address is not None:
            floating = carried.setdefault(line.address, [])
            if line.floating is not None:
                floating.append(line.floating)
    vifs = []
    for vif_uuid, line in cards.items():
        network = snapshot.by_id.get(line.network_id)
        if network is None:
            raise NetworkNotFound(str(line.network_id))
        carried = addresses[vif_uuid]
        vifs.append(
            vif_of(
                network, vif_uuid, line.mac, line.tag,
                tuple((address, tuple(floating)) for address, floating in carried.items()),
            )
        )
    return tuple(vifs)


def vif_of(
    network: Network,
    vif_uuid: str,
    mac: str,
    tag: str | None,
    fixed: Sequence[tuple[str, tuple[str, ...]]],
) -> Vif:
    """A card as servers show it; ``fixed`` are its addresses with the floating ones that lead to each."""
    addresses = tuple(Address(address, 4, floating) for address, floating in fixed)
    if network.cidr_v6 is not None:
        addresses = (*addresses, Address(slaac_address(network.cidr_v6, mac), 6))
    return Vif(
        id=vif_uuid,
        mac=mac,
        network_id=network.network_uuid,
        label=network.label,
        addresses=addresses,
        tag=tag,
        bridge=network.bridge,
        bridge_interface=network.bridge_interface,
        vlan=network.vlan,
        cidr=network.cidr,
        gateway=network.gateway,
        netmask=network.netmask,
        broadcast=network.broadcast,
        dhcp_server=network.dhcp_server if network.enable_dhcp else None,
        dns=network.dns,
        mtu=network.mtu,
        multi_host=network.multi_host,
        cidr_v6=network.cidr_v6,
        gateway_v6=network.gateway_v6,
        routes=(*network.routes, *network.routes_v6),
    )
