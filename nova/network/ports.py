# SPDX-License-Identifier: Apache-2.0
"""Ports that users make before there is a server for them, and the addresses that ports hold.

A port is a network card (``virtual_interfaces``), the same that a server gets at boot. Its addresses are rows
of ``fixed_ips`` like all others.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from nova.db.schema.base import now
from nova.errors import AddressInUse, BadRequest, NoMoreAddresses, ServiceUnavailable
from nova.network.addresses import random_macs, slaac_address
from nova.objects.network import Network, PortRecord

if TYPE_CHECKING:
    from nova.db.engine import Transaction

_ATTEMPTS = 5


class NotOfNetwork(BadRequest):
    """An address is of no subnet of the network."""

    network_type = "InvalidIpForNetwork"


class NotOfSubnet(BadRequest):
    """An address is not of the subnet that is named with it."""

    network_type = "InvalidIpForSubnet"


class NotChosen(BadRequest):
    """An address is another than the one that the guest forms by itself."""

    network_type = "AllocationOnAutoAddressSubnet"


class WantedAddress(msgspec.Struct, frozen=True):
    """An address asked for: of one subnet, or this very one, or both."""

    subnet_uuid: str | None = None
    address: str | None = None


def create_port(
    tx: Transaction,
    rows: Sequence[Network],
    project_id: str,
    *,
    wanted: Sequence[WantedAddress] | None,
    mac: str | None,
    facts: dict[str, Any] | None,
) -> str:
    """Make a port in a network, given by its rows; returns its uuid.

    Without ``wanted`` it gets one address, if the network has a subnet. Raises ``BadRequest`` for an
    address or subnet that is not the network's, ``AddressInUse``, ``NoMoreAddresses``, ``MacInUse``.
    """
    chosen = mac or _unused_mac(tx)
    port = str(uuid.uuid4())
    held = take_addresses(tx, rows, port, chosen, wanted)
    tx.ports.create(
        {
            "uuid": port, "address": chosen, "project_id": project_id, "facts": facts,
            "network_id": held[0][1].id if held else rows[0].id,
        }
    )
    return port


def take_addresses(
    tx: Transaction,
    rows: Sequence[Network],
    port: str,
    mac: str,
    wanted: Sequence[WantedAddress] | None,
) -> list[tuple[int, Network]]:
    """Take the addresses asked for, for a port; returns (row id, network) of each.

    Those of IPv6 are formed from the MAC and are not rows. Raises what ``create_port`` raises.
    """
    four = [row for row in rows if row.cidr is not None]
    if wanted is None:
        return [_next(tx, four, port)] if four else []
    taken: list[tuple[int, Network]] = []
    for each in wanted:
        if _is_formed(rows, each, mac):
            continue
        candidates = [
            row for row in four if each.subnet_uuid in (None, row.subnet_uuid)
        ]
        if not candidates:
            raise BadRequest(
                f"Subnet {each.subnet_uuid} is not a subnet of network {rows[0].network_uuid}."
            )
        if each.address is None:
            taken.append(_next(tx, candidates, port))
        else:
            taken.append(_named(tx, candidates, port, each))
    return taken


def _is_formed(rows: Sequence[Network], wanted: WantedAddress, mac: str) -> bool:
    """Whether an address is one of IPv6, which the guest forms by itself; refuses another."""
    six = next((row for row in rows if row.cidr_v6 is not None), None)
    version = None if wanted.address is None else ipaddress.ip_address(wanted.address).version
    if version != 6 and (six is None or wanted.subnet_uuid != six.subnet_uuid_v6):
        return False
    if six is None:
        raise NotOfNetwork(
            f"IP address {wanted.address} is not a valid IP for any of the subnets on the specified network."
        )
    formed = slaac_address(str(six.cidr_v6), mac)
    if wanted.address not in (None, formed):
        raise NotChosen(
            f"IP address {wanted.address} cannot be given: the guest forms {formed} from its MAC."
        )
    return True


def _next(tx: Transaction, rows: Sequence[Network], port: str) -> tuple[int, Network]:
    for row in rows:
        for _ in range(_ATTEMPTS):
            free = tx.fixed_ips.next_free(row.id, 1)
            if not free:
                break
            if tx.ports.hold(port, [free[0][0]]):
                return free[0][0], row
    names = ", ".join(row.network_uuid for row in rows[:1])
    raise NoMoreAddresses(f"No more IP addresses available on network {names}.")


def _named(
    tx: Transaction, rows: Sequence[Network], port: str, wanted: WantedAddress
) -> tuple[int, Network]:
    address = str(wanted.address)
    number = ipaddress.ip_address(address)
    for row in rows:
        if number not in ipaddress.ip_network(str(row.cidr)):
            continue
        found = tx.fixed_ips.lock(row.id, [address]).get(address)
        if found is None or found.role in ("network", "broadcast"):
            break
        if found.is_unclaimed_vip:
            raise AddressInUse(address, kept_for="virtual IPs")
        if not found.is_free_by_name(now(), row) or not tx.ports.hold(port, [found.id]):
            raise AddressInUse(address)
        return found.id, row
    if wanted.subnet_uuid is not None:
        raise NotOfSubnet(f"IP address {address} is not a valid IP for the specified subnet.")
    raise NotOfNetwork(
        f"IP address {address} is not a valid IP for any of the subnets on the specified network."
    )


def change_addresses(
    tx: Transaction,
    rows: Sequence[Network],
    port: PortRecord,
    wanted: Sequence[WantedAddress],
) -> None:
    """Let a port have these addresses: those it has and that are named stay, the others go.

    The server of a bound port is to be told by the caller. Raises what ``create_port`` raises.
    """
    subnets = {row.id: row.subnet_uuid for row in rows}
    kept: set[int] = set()
    missing: list[WantedAddress] = []
    for each in wanted:
        match = next(
            (
                row for row, address, network in port.addresses
                if row not in kept and each.address in (None, address)
                and each.subnet_uuid in (None, subnets.get(network))
            ),
            None,
        )
        if match is None:
            missing.append(each)
        else:
            kept.add(match)
    lost = [row for row, _address, _network in port.addresses if row not in kept]
    if lost:
        tx.ports.let_go(lost)
    taken = take_addresses(tx, rows, port.card.uuid, port.card.address, missing)
    if port.card.instance_uuid is not None and taken:
        tx.fixed_ips.assign(
            [(row, port.card.instance_uuid, port.card.uuid) for row, _network in taken]
        )
    if not kept and taken:
        tx.ports.update(port.card.uuid, {"network_id": taken[0][1].id})


def _unused_mac(tx: Transaction) -> str:
    for _ in range(_ATTEMPTS):
        mac = random_macs(1)[0]
        if not tx.ports.mac_taken(mac):
            return mac
    raise ServiceUnavailable("No unused MAC address was found; try again.")
