# SPDX-License-Identifier: Apache-2.0
"""Virtual IPs: addresses that a network keeps, for projects to set up inside their guests.

The allocator never hands one out. A claim records which project uses which, for what, and on which
servers; what these send from it counts as theirs where a security group names their group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nova.errors import Conflict, InvalidInput, NoMoreAddresses
from nova.network.filter_refreshes import members_changed
from nova.network.refreshes import NetworkRefreshes
from nova.objects.network import FixedIP, Network

if TYPE_CHECKING:
    from nova.db.engine import Transaction


def list_vips(
    tx: Transaction, network: Network | None = None, *, project_id: str | None = None
) -> list[FixedIP]:
    """Virtual IPs of one network or all, claimed by one project or all of them."""
    return tx.fixed_ips.vips(None if network is None else network.id, project_id=project_id)


def claim_vip(
    tx: Transaction,
    project_id: str,
    name: str,
    network: Network,
    address: str | None = None,
    instances: Sequence[str] = (),
    refreshes: NetworkRefreshes | None = None,
) -> FixedIP:
    """Claim a virtual IP of a network: the one named, or the first that nobody has; for these servers.

    Raises ``InvalidInput`` for a bad name and for a server that the project does not have, ``Conflict``
    where the network is another project's, ``NotFound`` where the address is no virtual IP of the network,
    ``AddressInUse`` where it is claimed, ``NoMoreAddresses`` where none is left.
    """
    text = name.strip()
    if not 1 <= len(text) <= 255:
        raise InvalidInput("name", "It must have 1 to 255 characters.", name)
    if not project_id:
        raise InvalidInput("project_id", "A virtual IP is claimed for a project.", project_id)
    if network.project_id not in (None, project_id):
        raise Conflict(f"Network {network.uuid} belongs to project {network.project_id}.")
    wanted = list(dict.fromkeys(instances))
    missing = tx.virtual_ips.missing(project_id, wanted) if wanted else []
    if missing:
        raise InvalidInput("instances", f"Project {project_id} has no such server.", missing[0])
    claimed = tx.fixed_ips.claim_vip(network.id, project_id, text, address)
    if claimed is None:
        raise NoMoreAddresses(f"No virtual IP is left in network {network.uuid}.")
    if wanted:
        tx.virtual_ips.allow(claimed.id, wanted)
        members_changed(refreshes, tx, wanted)
    return claimed


def release_vip(
    tx: Transaction,
    address: str,
    *,
    project_id: str | None = None,
    network: Network | None = None,
    refreshes: NetworkRefreshes | None = None,
) -> None:
    """Give a virtual IP back, of one network where two have the address.

    No floating address leads to it any more. Raises ``NotFound`` where it is not claimed (by
    ``project_id``, if given).
    """
    network_id = None if network is None else network.id
    led_to = [
        each.id for each in tx.fixed_ips.vips(network_id, project_id=project_id)
        if each.address == address
    ]
    tx.fixed_ips.release_vip(address, project_id, network_id)
    for row, servers in tx.virtual_ips.servers_of(led_to).items():
        tx.virtual_ips.allow(row, ())
        members_changed(refreshes, tx, servers)
    for row in led_to:
        tx.floating_ips.disassociate_row(row)
