# SPDX-License-Identifier: Apache-2.0
"""Networks made in two steps: first the segment (VLAN and bridge), then subnets on it.

A segment's first row has its uuid. Its first subnet of each IP version becomes that row's range; each
further IPv4 subnet is a row of its own on the same VLAN and bridge (``segment_uuid``).
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from nova.conf.network import NetworkSection
from nova.errors import Conflict, InvalidInput
from nova.network.creation import NetworkRequest, devices_of, plan_networks, vip_count, vlans_of
from nova.network.manager import manager_named
from nova.network.pool_ranges import Pool, check_pools, numbers_in
from nova.objects.network import Network, PlannedAddress, PlannedNetwork

if TYPE_CHECKING:
    from nova.db.engine import Transaction


class SubnetRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A subnet asked for. ``pools`` are kept as they are named; None leaves them to the network
    manager. ``gateway`` None takes the first address; without ``routed`` there is none. One beyond
    ``cidr`` is told to guests, and the host takes the first address for DHCP.
    """

    cidr: str
    gateway: str | None = None
    routed: bool = True
    pools: tuple[Pool, ...] | None = None
    dns: tuple[str, ...] = ()
    enable_dhcp: bool = True


def create_segment(
    tx: Transaction, request: NetworkRequest, section: NetworkSection
) -> Network:
    """Store a network that has no subnet yet; ``InvalidInput`` for a VLAN that cannot be."""
    manager = manager_named(section.network_manager)
    existing = tx.networks.every()
    if request.vlan is not None and not manager.vlan:
        raise InvalidInput("vlan", f"{manager.name} makes networks without a VLAN.", request.vlan)
    vlan = vlans_of(request, section, existing, 1)[0] if manager.vlan else None
    network = Network(
        id=0, uuid=request.uuid or str(uuid.uuid4()), label=request.label or "",
        project_id=request.project_id, mtu=request.mtu, multi_host=section.multi_host,
        share_address=section.share_dhcp_address,
    )
    network = devices_of(network, request, section, existing, vlan, vlan_manager=manager.vlan)
    return tx.networks.create(PlannedNetwork(network, ()))


def add_subnet(
    tx: Transaction, rows: Sequence[Network], wanted: SubnetRequest, section: NetworkSection
) -> Network:
    """Add a subnet to a network; ``rows`` are all rows of it, its first row last.

    Returns the row that has the range. Raises ``InvalidInput`` for a range or pool that cannot be,
    ``Conflict`` where it overlaps another network or is a second one of IPv6.
    """
    first = rows[-1]
    version = ipaddress.ip_network(wanted.cidr).version
    planned = _planned(tx, first, wanted, section, version)
    if version == 6:
        if first.cidr_v6 is not None:
            raise Conflict(f"Network {first.uuid} has an IPv6 subnet already.")
        tx.networks.fill(first.id, planned)
        return tx.networks.get(first.uuid)
    if first.cidr is None:
        tx.networks.fill(first.id, planned)
        return tx.networks.get(first.uuid)
    further = msgspec.structs.replace(
        planned.network, uuid=str(uuid.uuid4()), segment_uuid=first.uuid, facts=None
    )
    return tx.networks.create(PlannedNetwork(further, planned.addresses))


def _planned(
    tx: Transaction, first: Network, wanted: SubnetRequest, section: NetworkSection, version: int
) -> PlannedNetwork:
    manager = manager_named(section.network_manager)
    whole = ipaddress.ip_network(wanted.cidr)
    size = whole.num_addresses
    elsewhere = wanted.gateway is not None and ipaddress.ip_address(wanted.gateway) not in whole
    request = NetworkRequest(
        label=first.label or "network", num_networks=1, project_id=first.project_id,
        vlan=first.vlan if manager.vlan else None, bridge=first.bridge,
        bridge_interface=first.bridge_interface, mtu=first.mtu, multi_host=first.multi_host,
        share_address=first.share_address, enable_dhcp=wanted.enable_dhcp,
        dns1=wanted.dns[0] if wanted.dns else None,
        dns2=wanted.dns[1] if len(wanted.dns) > 1 else None,
        cidr=wanted.cidr if version == 4 else None,
        cidr_v6=wanted.cidr if version == 6 else None,
        network_size=size if version == 4 else None,
        gateway=wanted.gateway if version == 4 and not elsewhere else None,
        no_gateway=(elsewhere and version == 4) or not wanted.routed,
        gateway_v6=wanted.gateway if version == 6 else None,
    )
    if first.vlan is None and manager.vlan:
        # A flat network under the VLAN manager stays flat.
        manager = manager_named("nova.network.manager.FlatDHCPManager")
    planned = plan_networks(
        request, manager=manager, section=section, existing=tx.networks.every()
    )[0]
    network = msgspec.structs.replace(
        planned.network, label=first.label, dns1=request.dns1, dns2=request.dns2
    )
    if elsewhere and version == 4:
        network = msgspec.structs.replace(network, gateway=wanted.gateway)
    if version == 6 or wanted.pools is None:
        return PlannedNetwork(network, planned.addresses)
    check_pools(wanted.pools, wanted.cidr, network.gateway)
    return PlannedNetwork(network, _with_pools(wanted.pools, planned.addresses, section))


def _with_pools(
    pools: Sequence[Pool], addresses: tuple[PlannedAddress, ...], section: NetworkSection
) -> tuple[PlannedAddress, ...]:
    """The addresses with those outside the pools kept back.

    Virtual IPs come from outside the pools alone, as far as there is room, so that the pools are those
    asked for.
    """
    inside = numbers_in(pools)
    usable = {"outside", "vip", None}
    numbers = [int(ipaddress.IPv4Address(each.address)) for each in addresses]
    free = [
        index for index, each in enumerate(addresses)
        if each.role in usable and numbers[index] not in inside
    ]
    count = vip_count(len(addresses), section)
    vips = set(free[-count:]) if count else set()
    result = []
    for index, each in enumerate(addresses):
        role = each.role
        if role in usable:
            role = "vip" if index in vips else None if numbers[index] in inside else "outside"
        result.append(PlannedAddress(each.address, role))
    return tuple(result)
