# SPDX-License-Identifier: Apache-2.0
"""Plans networks: from what an operator asks for to the rows to be stored.

The rules are those of the original's nova-network (Kilo), with two differences: several networks
may share one VLAN id, and so one bridge; and the last usable addresses are kept for virtual IPs.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from nova.conf.network import NetworkSection
from nova.errors import Conflict, InvalidInput
from nova.network.manager import NetworkManager, manager_named
from nova.network.ranges import (
    Range4,
    Range6,
    carve,
    check_address,
    member_address,
    parse_v4,
    parse_v6,
    unscoped,
)
from nova.objects.network import Network, PlannedAddress, PlannedNetwork

if TYPE_CHECKING:
    from nova.db.engine import Transaction

_LARGEST_VLAN = 4094
#: Linux refuses longer names of network devices (IFNAMSIZ, include/uapi/linux/if.h).
_LONGEST_DEVICE_NAME = 15
_FEWEST_ADDRESSES = 4
_MOST_ADDRESSES = 1 << 18
#: Ranges of up to so many addresses keep ``vip_reserve_small``, larger ones ``vip_reserve_large``.
_SMALL_RANGE = 64


class NetworkRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for; None takes the configured default. The names are those of the Kilo API.

    ``network_size`` is in addresses and is rounded up to a power of two; ``vpn_start`` is a port. With
    ``no_gateway`` the host takes the address of the gateway for DHCP alone.
    """

    label: str | None = None
    cidr: str | None = None
    num_networks: int | None = None
    network_size: int | None = None
    vlan: int | None = None
    vlan_start: int | None = None
    vpn_start: int | None = None
    cidr_v6: str | None = None
    gateway: str | None = None
    gateway_v6: str | None = None
    bridge: str | None = None
    bridge_interface: str | None = None
    multi_host: bool | None = None
    dns1: str | None = None
    dns2: str | None = None
    uuid: str | None = None
    fixed_cidr: str | None = None
    project_id: str | None = None
    priority: int | None = None
    mtu: int | None = None
    enable_dhcp: bool | None = None
    dhcp_server: str | None = None
    share_address: bool | None = None
    allowed_start: str | None = None
    allowed_end: str | None = None
    no_gateway: bool = False


def create_networks(
    tx: Transaction, request: NetworkRequest, section: NetworkSection
) -> list[Network]:
    """Plan networks and store them; raises what ``plan_networks`` raises, with nothing stored."""
    planned = plan_networks(
        request,
        manager=manager_named(section.network_manager),
        section=section,
        existing=tx.networks.every(),
    )
    return [tx.networks.create(each) for each in planned]


def plan_networks(
    request: NetworkRequest,
    *,
    manager: NetworkManager,
    section: NetworkSection,
    existing: Sequence[Network],
) -> list[PlannedNetwork]:
    """The networks that a request makes, with all their addresses.

    Raises ``InvalidInput``, naming the field, for anything wrong; ``Conflict`` where the range
    overlaps that of an existing network, or where the VLAN runs over another interface already.
    """
    count = _check_plain_fields(request, section, manager)
    ranges4, ranges6 = _ranges(request, section, existing, count)
    vlans = vlans_of(request, section, existing, count) if manager.vlan else [None] * count
    planned = []
    for index in range(count):
        label = request.label if count == 1 else f"{request.label}_{index}"
        network = Network(
            id=0,
            uuid=request.uuid or str(uuid.uuid4()),
            label=label or "",
            project_id=request.project_id,
            enable_dhcp=True if request.enable_dhcp is None else request.enable_dhcp,
            share_address=_given(request.share_address, section.share_dhcp_address),
            dns1=request.dns1 or section.flat_network_dns,
            dns2=request.dns2,
            mtu=request.mtu,
            multi_host=_given(request.multi_host, section.multi_host),
            priority=request.priority,
        )
        network = devices_of(
            network, request, section, existing, vlans[index], vlan_manager=manager.vlan
        )
        if manager.vlan:
            port = (request.vpn_start or section.vpn_start) + len(existing) + index
            network = msgspec.structs.replace(network, vpn_public_port=port)
        if ranges6:
            network = _with_v6(
                network, ranges6[index], request.gateway_v6, routed=not request.no_gateway
            )
        addresses: tuple[PlannedAddress, ...] = ()
        if ranges4:
            network, addresses = _with_v4(network, ranges4[index], request, manager, section)
        planned.append(PlannedNetwork(network, addresses))
    return planned


def vip_count(addresses: int, section: NetworkSection) -> int:
    """How many virtual IPs a range of that many addresses keeps."""
    if addresses <= section.vip_reserve_threshold_small:
        return 0
    return section.vip_reserve_small if addresses <= _SMALL_RANGE else section.vip_reserve_large


def _given(value: bool | None, default: bool) -> bool:
    return default if value is None else value


def _check_plain_fields(
    request: NetworkRequest, section: NetworkSection, manager: NetworkManager
) -> int:
    """Check what needs no other network; returns how many networks are to be made."""
    label = (request.label or "").strip()
    if not 1 <= len(label) <= 255:
        raise InvalidInput("label", "It must have 1 to 255 characters.", request.label or "")
    if request.cidr is None and request.cidr_v6 is None:
        raise InvalidInput("cidr", "A network needs cidr or cidr_v6.")
    count = section.num_networks if request.num_networks is None else request.num_networks
    if count < 1:
        raise InvalidInput("num_networks", "It must be at least 1.", count)
    if count > 1:
        for field in (
            "uuid", "gateway", "gateway_v6", "dhcp_server", "fixed_cidr", "allowed_start",
            "allowed_end",
        ):
            if getattr(request, field) is not None:
                raise InvalidInput(field, "It can be given for one network only.")
    if request.uuid is not None:
        _check_uuid(request.uuid)
    for field in ("dns1", "dns2"):
        check_address(field, getattr(request, field))
    if request.mtu is not None and not 68 <= request.mtu <= 65535:
        raise InvalidInput("mtu", "It must be between 68 and 65535.", request.mtu)
    if request.vpn_start is not None and not 1 <= request.vpn_start <= 65535:
        raise InvalidInput("vpn", "It must be a port, 1 to 65535.", request.vpn_start)
    for field in ("bridge", "bridge_interface"):
        name = getattr(request, field)
        if name and (len(name) > _LONGEST_DEVICE_NAME or "/" in name or name.split() != [name]):
            raise InvalidInput(
                field, "It must be the name of a device, at most 15 characters.", name
            )
    if request.vlan is not None and not manager.vlan:
        raise InvalidInput("vlan", f"{manager.name} makes networks without a VLAN.", request.vlan)
    if request.cidr is None:
        for field in ("gateway", "dhcp_server", "fixed_cidr", "allowed_start", "allowed_end"):
            if getattr(request, field) is not None:
                raise InvalidInput(field, "It needs a cidr.", getattr(request, field))
    if request.gateway_v6 is not None and request.cidr_v6 is None:
        raise InvalidInput("gateway_v6", "It needs a cidr_v6.", request.gateway_v6)
    return count


def _check_uuid(value: str) -> None:
    try:
        valid = str(uuid.UUID(value)) == value.lower()
    except ValueError:
        valid = False
    if not valid:
        raise InvalidInput("uuid", "It must be a UUID.", value)


def _ranges(
    request: NetworkRequest, section: NetworkSection, existing: Sequence[Network], count: int
) -> tuple[list[Range4], list[Range6]]:
    size = request.network_size
    if size is not None and size < _FEWEST_ADDRESSES:
        raise InvalidInput("network_size", "It must be at least 4.", size)
    ranges4: list[Range4] = []
    if request.cidr is not None:
        whole = parse_v4("cidr", request.cidr)
        if size is None:
            size = min(whole.num_addresses // count, section.network_size)
        bits = max(size - 1, 0).bit_length()
        if whole.num_addresses < _FEWEST_ADDRESSES or size < _FEWEST_ADDRESSES:
            raise InvalidInput("cidr", "Each network needs at least 4 addresses.", request.cidr)
        if 1 << bits > _MOST_ADDRESSES:
            raise InvalidInput(
                "network_size", f"A network has at most {_MOST_ADDRESSES} addresses.", size
            )
        if whole.num_addresses < count << bits:
            raise InvalidInput(
                "cidr",
                f"The network range is not big enough to fit {count} networks. "
                f"Network size is {1 << bits}.",
                request.cidr,
            )
        used4 = [ipaddress.IPv4Network(each.cidr) for each in existing if each.cidr]
        ranges4 = carve(whole, 32 - bits, count, used4)
    ranges6: list[Range6] = []
    if request.cidr_v6 is not None:
        whole6 = parse_v6("cidr_v6", request.cidr_v6)
        # Every subnet of IPv6 has room for interface identifiers of 64 bits (RFC 4291, 2.5.4).
        bits6 = max((size or section.network_size) - 1, 0).bit_length()
        prefix = max(min(64, 128 - bits6), whole6.prefixlen)
        if prefix > 64:
            raise InvalidInput("cidr_v6", "Its prefix must be /64 or shorter.", request.cidr_v6)
        if whole6.num_addresses >> (128 - prefix) < count:
            raise InvalidInput(
                "cidr_v6",
                f"The network range is not big enough to fit {count} networks of /{prefix}.",
                request.cidr_v6,
            )
        used6 = [ipaddress.IPv6Network(each.cidr_v6) for each in existing if each.cidr_v6]
        ranges6 = carve(whole6, prefix, count, used6)
    return ranges4, ranges6


def vlans_of(
    request: NetworkRequest, section: NetworkSection, existing: Sequence[Network], count: int
) -> list[int | None]:
    """One VLAN id a network: the one named for all, or the next that nobody uses."""
    if request.vlan is not None:
        if not 1 <= request.vlan <= _LARGEST_VLAN:
            raise InvalidInput("vlan", "It must be between 1 and 4094.", request.vlan)
        return [request.vlan] * count
    start = section.vlan_start if request.vlan_start is None else request.vlan_start
    if start < 1 or start + count > _LARGEST_VLAN:
        raise InvalidInput(
            "vlan_start",
            "It must be at least 1, and its sum with num_networks at most 4094.",
            start,
        )
    used = {each.vlan for each in existing}
    first = start + len(existing)
    candidates = (
        vlan
        for vlan in (*range(first, _LARGEST_VLAN + 1), *range(start, first))
        if vlan not in used and vlan <= _LARGEST_VLAN
    )
    chosen: list[int | None] = [vlan for vlan, _ in zip(candidates, range(count), strict=False)]
    if len(chosen) < count:
        raise InvalidInput("vlan_start", "No unused VLAN id is left from there on.", start)
    return chosen


def devices_of(
    network: Network,
    request: NetworkRequest,
    section: NetworkSection,
    existing: Sequence[Network],
    vlan: int | None,
    *,
    vlan_manager: bool,
) -> Network:
    """The network with its VLAN, bridge and the interface below it."""
    interface = request.bridge_interface or (
        section.vlan_interface if vlan_manager else section.flat_interface
    )
    bridge = f"br{vlan}" if vlan_manager else request.bridge or section.flat_network_bridge
    if vlan_manager:
        neighbour = next((each for each in existing if each.vlan == vlan), None)
        if neighbour is not None and neighbour.bridge_interface is not None:
            if request.bridge_interface not in (None, neighbour.bridge_interface):
                raise Conflict(
                    f"VLAN {vlan} runs over bridge_interface {neighbour.bridge_interface} in "
                    f"network {neighbour.label} ({neighbour.uuid}); "
                    f"it cannot run over {request.bridge_interface} too."
                )
            interface = neighbour.bridge_interface
        if not interface and not section.fake_network:
            raise InvalidInput(
                "bridge_interface", "It must be given where vlan_interface is not configured."
            )
    elif not bridge:
        if not section.fake_network:
            raise InvalidInput(
                "bridge", "It must be given where flat_network_bridge is not configured."
            )
        bridge = "br100"
    return msgspec.structs.replace(
        network, vlan=vlan, bridge=bridge, bridge_interface=interface or None
    )


def _with_v6(network: Network, subnet: Range6, gateway: str | None, *, routed: bool) -> Network:
    chosen: str | None
    if gateway is None:
        chosen = str(subnet[1]) if routed else None
    else:
        try:
            chosen = str(ipaddress.IPv6Address(unscoped(gateway)))
        except ValueError:
            raise InvalidInput("gateway_v6", "It must be an IPv6 address.", gateway) from None
    return msgspec.structs.replace(
        network, cidr_v6=str(subnet), netmask_v6=str(subnet.netmask), gateway_v6=chosen
    )


def _with_v4(
    network: Network,
    subnet: Range4,
    request: NetworkRequest,
    manager: NetworkManager,
    section: NetworkSection,
) -> tuple[Network, tuple[PlannedAddress, ...]]:
    """The network with its addressing, and one row an address."""
    first = int(subnet.network_address)
    current, bottom = first + 1, manager.bottom_reserved
    top = manager.top_reserved + (section.cnt_vpn_clients if manager.vlan else 0)
    if request.allowed_start is not None:
        current = member_address("allowed_start", request.allowed_start, subnet)
        bottom = current - first
    if request.allowed_end is not None:
        end = member_address("allowed_end", request.allowed_end, subnet)
        if end < current:
            raise InvalidInput("allowed_end", "It lies before allowed_start.", request.allowed_end)
        top = first + subnet.num_addresses - 1 - end
    if request.gateway is not None:
        gateway = member_address("gateway", request.gateway, subnet)
    else:
        gateway, current = current, current + 1
    dhcp_server = gateway
    if request.dhcp_server is not None:
        dhcp_server = member_address("dhcp_server", request.dhcp_server, subnet)
    while current in (gateway, dhcp_server):
        current += 1
    vpn: int | None = None
    if manager.vlan:
        vpn, current = current, current + 1
        while current in (gateway, dhcp_server):
            current += 1
    network = msgspec.structs.replace(
        network,
        cidr=str(subnet),
        netmask=str(subnet.netmask),
        broadcast=str(subnet.broadcast_address),
        gateway=None if request.no_gateway else str(ipaddress.IPv4Address(gateway)),
        dhcp_server=str(ipaddress.IPv4Address(dhcp_server)),
        dhcp_start=str(ipaddress.IPv4Address(min(current, int(subnet.broadcast_address)))),
        vpn_private_address=None if vpn is None else str(ipaddress.IPv4Address(vpn)),
    )
    span = subnet
    if request.fixed_cidr is not None:
        span = parse_v4("fixed_cidr", request.fixed_cidr)
        if not span.subnet_of(subnet):
            raise InvalidInput("fixed_cidr", f"It is not within {subnet}.", request.fixed_cidr)
    roles = {gateway: "dhcp" if request.no_gateway else "gateway"}
    if vpn is not None:
        roles[vpn] = "vpn"
    if dhcp_server != gateway:
        roles[dhcp_server] = "dhcp"
    roles[first] = "network"
    roles[int(subnet.broadcast_address)] = "broadcast"
    vips = vip_count(span.num_addresses, section)
    return network, _addresses(span, roles, bottom, top, vips)


def _addresses(
    span: Range4, roles: dict[int, str], bottom: int, top: int, vips: int
) -> tuple[PlannedAddress, ...]:
    """One row an address; the last ``vips`` of those without another role are kept for virtual IPs.
    """
    first, size = int(span.network_address), span.num_addresses
    planned: list[PlannedAddress] = []
    for index in reversed(range(size)):
        number = first + index
        role = roles.get(number)
        if role is None and (index < bottom or size - index <= top):
            role = "outside"
        if role is None and vips:
            role = "vip"
            vips -= 1
        address = f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        planned.append(PlannedAddress(address, role))
    planned.reverse()
    return tuple(planned)
