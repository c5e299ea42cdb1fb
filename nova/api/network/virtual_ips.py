# SPDX-License-Identifier: Apache-2.0
"""Claimed virtual IPs as ports with a device owner of their own.

A client claims one by making a port with that device owner, and gives it back by deleting the port.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nova.api.network.pools import derived_uuid
from nova.api.network.resource import Call, Shown
from nova.db.engine import Transaction
from nova.errors import BadRequest, Conflict, InvalidInput, NoMoreAddresses
from nova.network.cards import row_with
from nova.network.vips import claim_vip, release_vip
from nova.objects.network import FixedIP, Network

DEVICE_OWNER = "nova:virtual_ip"
_NO_MAC = "00:00:00:00:00:00"
_DEFAULT_NAME = "virtual-ip"


def shown(row: Network, vip: FixedIP) -> Shown:
    """A claimed virtual IP as a port. Its MAC is that of whichever guest has it now."""
    owner = vip.vip_project_id or ""
    return {
        "id": port_uuid(row, vip), "name": vip.vip_name or "", "network_id": row.network_uuid,
        "tenant_id": owner, "project_id": owner, "description": "", "tags": [],
        "created_at": None, "updated_at": None, "revision_number": 0,
        "mac_address": vip.seen_mac or _NO_MAC, "admin_state_up": True, "status": "ACTIVE",
        "device_id": "", "device_owner": DEVICE_OWNER,
        "fixed_ips": [{"subnet_id": row.subnet_uuid, "ip_address": vip.address}],
        "security_groups": [], "allowed_address_pairs": [], "extra_dhcp_opts": [],
        "port_security_enabled": False, "binding:vnic_type": "normal",
        "ip_allocation": "immediate",
    }


def port_uuid(row: Network, vip: FixedIP) -> str:
    """The id of a virtual IP's port: the same as long as its network lives."""
    return derived_uuid("vip", row.uuid, vip.address)


def claimed(call: Call, tx: Transaction) -> list[tuple[Network, FixedIP]]:
    """The claimed virtual IPs that the caller sees, with their networks."""
    found = tx.fixed_ips.claimed_vips()
    if not found:
        return []
    networks = call.cloud.networks.networks(tx)
    if any(each.network_id not in networks.by_id for each in found):
        networks = call.cloud.networks.networks(tx, fresh=True)
    return [
        (networks.by_id[each.network_id], each) for each in found if call.owns(each.vip_project_id)
    ]


def list_ports(call: Call, tx: Transaction) -> list[Shown]:
    """All of them."""
    return [shown(row, vip) for row, vip in claimed(call, tx)]


def located(call: Call, tx: Transaction, identifier: str) -> tuple[Network, FixedIP] | None:
    """The virtual IP of a port id that the caller sees."""
    for row, vip in claimed(call, tx):
        if port_uuid(row, vip) == identifier:
            return row, vip
    return None


def find_port(call: Call, tx: Transaction, identifier: str) -> Shown | None:
    """One of them."""
    found = located(call, tx, identifier)
    return None if found is None else shown(*found)


def claim(
    call: Call, tx: Transaction, rows: Sequence[Network], project: str, values: dict[str, Any]
) -> Shown:
    """Claim the virtual IP named, or the first that nobody has."""
    given = values.get("fixed_ips") or []
    if len(given) > 1:
        raise InvalidInput("fixed_ips", "A virtual IP is one address.")
    wanted = given[0] if given else {}
    candidates = [row for row in rows if row.cidr is not None]
    if "subnet_id" in wanted:
        candidates = [row for row in candidates if row.subnet_uuid == wanted["subnet_id"]]
    if not candidates:
        raise BadRequest("The network has no such subnet to take a virtual IP from.")
    address = wanted.get("ip_address")
    if address is not None:
        candidates = [row_with(candidates, address)]
    name = values.get("name", "").strip() or _DEFAULT_NAME
    for row in candidates:
        try:
            vip = claim_vip(tx, project, name, row, address)
        except NoMoreAddresses:
            if row is candidates[-1]:
                raise
            continue
        tx.after_commit(call.cloud.events.networks_changed)
        return shown(row, vip)
    raise NoMoreAddresses("No virtual IP is left.")


def update(call: Call, tx: Transaction, current: Shown, values: dict[str, Any]) -> Shown:
    """Rename a virtual IP; it has nothing else to change."""
    changed = sorted(name for name in values if name != "name" and values[name] != current.get(name))
    if changed:
        raise Conflict(f"{changed[0]} of a virtual IP cannot be changed.")
    found = located(call, tx, current["id"])
    assert found is not None
    _row, vip = found
    name = values.get("name", "").strip() or _DEFAULT_NAME
    tx.fixed_ips.rename_vip(vip.id, name)
    return {**current, "name": name}


def release(call: Call, tx: Transaction, current: Shown) -> None:
    """Give a virtual IP back; no floating address leads to it any more."""
    found = located(call, tx, current["id"])
    assert found is not None
    row, vip = found
    release_vip(
        tx, vip.address, project_id=vip.vip_project_id, network=row, refreshes=call.cloud.networks.refreshes
    )
    tx.after_commit(call.cloud.events.networks_changed)
