# SPDX-License-Identifier: Apache-2.0
"""Floating IPs: pools that administrators fill, addresses that projects hold and lead to servers.

Quotas are the caller's to count. What changes the addresses of a server is reported by its uuid, so
that the caller can renew what it keeps of them (``NetworkAllocator.vifs_of``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from nova.errors import BadRequest, Forbidden, InvalidInput, NotFound
from nova.network.names import names_changed
from nova.network.ranges import host_addresses
from nova.objects.network import FloatingIP

if TYPE_CHECKING:
    from nova.db.engine import Transaction
    from nova.network.refreshes import NetworkRefreshes


class Change(msgspec.Struct, frozen=True):
    """A floating address after a change, and the servers whose addresses changed with it."""

    floating_ip: FloatingIP
    instances: tuple[str, ...] = ()


def create_range(
    tx: Transaction, ip_range: str, pool: str, interface: str | None = None
) -> list[str]:
    """Add one address, or all host addresses of a CIDR, to a pool; returns them.

    Raises ``InvalidInput`` for a bad range or pool, ``Conflict`` where an address is there already.
    """
    addresses = host_addresses("ip_range", ip_range)
    if not 1 <= len(pool) <= 255:
        raise InvalidInput("pool", "It must have 1 to 255 characters.", pool)
    tx.floating_ips.create_many(addresses, pool, interface)
    return addresses


def delete_range(
    tx: Transaction, ip_range: str, refreshes: NetworkRefreshes | None = None
) -> Mapping[str, int]:
    """Remove one address, or those of a CIDR, with their names in DNS; returns how many each project held,
    for its quota.

    Raises ``InvalidInput`` for a bad range, ``Conflict`` while one leads to a server.
    """
    addresses = host_addresses("ip_range", ip_range)
    held = tx.floating_ips.delete_many(addresses)
    if tx.dns.forget_addresses(addresses):
        names_changed(refreshes, tx)
    return held


def get_owned(tx: Transaction, project_id: str, floating_ip_id: int | str) -> FloatingIP:
    """A floating address of a project; ``NotFound`` for an unknown id or another's address."""
    try:
        found = tx.floating_ips.get(int(floating_ip_id))
    except ValueError:
        raise NotFound(f"Floating ip not found for id {floating_ip_id}.") from None
    if found.project_id != project_id:
        raise NotFound(f"Floating ip not found for id {floating_ip_id}.")
    return found


def release(
    tx: Transaction, project_id: str, floating_ip: FloatingIP,
    refreshes: NetworkRefreshes | None = None,
) -> Change:
    """Return a project's address to its pool; it leads nowhere afterwards, and has no name in DNS.

    Raises ``Forbidden`` for another project's address and for one that was assigned automatically.
    """
    if floating_ip.project_id != project_id:
        raise Forbidden(f"Floating ip {floating_ip.address} is not yours.")
    if floating_ip.auto_assigned:
        raise Forbidden(
            f"Floating ip {floating_ip.address} was assigned automatically and is given back with "
            "its server."
        )
    tx.floating_ips.give_back(floating_ip.id)
    if tx.dns.forget_addresses([floating_ip.address]):
        names_changed(refreshes, tx)
    return Change(tx.floating_ips.get(floating_ip.id), _led_to(floating_ip))


def associate(
    tx: Transaction,
    project_id: str,
    address: str,
    instance_uuid: str,
    host: str | None,
    fixed_address: str | None = None,
) -> Change:
    """Lead a project's floating address to a server, away from where it led before.

    Without ``fixed_address`` the server's first fixed address is taken. Raises ``NotFound`` for an
    address that the project does not hold, ``BadRequest`` where the server has no (such) fixed
    address.
    """
    floating_ip = tx.floating_ips.get_by_address(address)
    if floating_ip.project_id != project_id:
        raise NotFound(f"floating ip not found: {address}")
    held = tx.fixed_ips.of_instances([instance_uuid])
    if not held:
        raise BadRequest("No fixed ips associated to instance")
    target = next(
        (each for each in held if fixed_address in (None, each.address)), None
    )
    if target is None:
        raise BadRequest(f"Specified fixed address {fixed_address} not assigned to instance")
    tx.floating_ips.associate(floating_ip.id, target.id, host)
    before = [uuid for uuid in _led_to(floating_ip) if uuid != instance_uuid]
    return Change(tx.floating_ips.get(floating_ip.id), (*before, instance_uuid))


def disassociate(
    tx: Transaction, project_id: str, address: str, instance_uuid: str | None = None
) -> Change:
    """Let a project's floating address lead nowhere.

    Raises ``NotFound`` for an address that the project does not hold, ``BadRequest`` where it does
    not lead to a server (to ``instance_uuid``, if given).
    """
    floating_ip = tx.floating_ips.get_by_address(address)
    if floating_ip.project_id != project_id:
        raise NotFound(f"floating ip not found: {address}")
    if floating_ip.instance_uuid is None or instance_uuid not in (
        None, floating_ip.instance_uuid,
    ):
        raise BadRequest(f"Floating ip {address} is not associated.")
    if floating_ip.auto_assigned:
        raise Forbidden("Cannot disassociate auto assigned floating ip")
    tx.floating_ips.disassociate(floating_ip.id)
    return Change(tx.floating_ips.get(floating_ip.id), _led_to(floating_ip))


def _led_to(floating_ip: FloatingIP) -> tuple[str, ...]:
    return () if floating_ip.instance_uuid is None else (floating_ip.instance_uuid,)
