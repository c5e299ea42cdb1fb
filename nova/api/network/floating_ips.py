# SPDX-License-Identifier: Apache-2.0
"""``/floatingips``: addresses that a project holds of external networks, and where they lead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nova.api.network import values as read
from nova.api.network import virtual_ips
from nova.api.network.error_body import typed
from nova.api.network.pools import pools
from nova.api.network.resource import Call, Resource, Shown, keys, merged, standard
from nova.api.network.router_interfaces import router_uuid
from nova.api.network.values import Attribute
from nova.db.engine import Transaction
from nova.errors import BadRequest, Conflict, NetworkNotFound, NotFound
from nova.network import floating
from nova.objects.network import FixedIP, FloatingIP, Network, ProjectRouter

_FACTS = ("description", "tags")


def shown(
    floating_ip: FloatingIP, network_id: str, port_id: str | None, routers: Mapping[str, ProjectRouter]
) -> Shown:
    """A floating address as clients see it; ``routers`` are those that were made, by project."""
    owner = floating_ip.project_id or ""
    return {
        "id": floating_ip.uuid,
        **standard(floating_ip.facts, owner, floating_ip.revision, floating_ip.created_at,
                   floating_ip.updated_at),
        "floating_ip_address": floating_ip.address, "floating_network_id": network_id,
        "fixed_ip_address": floating_ip.fixed_address, "port_id": port_id,
        "router_id": router_uuid(owner, routers.get(owner)) if port_id else None,
        "status": "ACTIVE" if port_id else "DOWN", "port_details": None, "dns_name": "",
        "dns_domain": "", "qos_policy_id": None, "port_forwardings": [],
    }


def _shown_many(call: Call, tx: Transaction, found: list[FloatingIP]) -> list[Shown]:
    networks = {pool.name: pool.uuid for pool in pools(tx)} if found else {}
    ports: dict[int, str] = {}
    if any(each.fixed_ip_id is not None and each.port_uuid is None for each in found):
        ports = _ports_of_virtual_ips(call, tx)
    routers = {each.project_id: each for each in tx.routers.every()} if found else {}
    return [
        shown(each, networks[each.pool], each.port_uuid or ports.get(each.fixed_ip_id or 0), routers)
        for each in found
    ]


def _ports_of_virtual_ips(call: Call, tx: Transaction) -> dict[int, str]:
    rows = call.cloud.networks.networks(tx, fresh=True).by_id
    return {
        vip.id: virtual_ips.port_uuid(rows[vip.network_id], vip)
        for vip in tx.fixed_ips.claimed_vips()
    }


def list_floating_ips(call: Call, tx: Transaction) -> list[Shown]:
    """The addresses that the caller's project holds; those of all projects for administrators."""
    if call.is_admin:
        found = [each for each in tx.floating_ips.every() if each.project_id is not None]
    else:
        found = tx.floating_ips.of_project(call.caller.project_id)
    return _shown_many(call, tx, found)


def find(call: Call, tx: Transaction, identifier: str) -> Shown | None:
    """One of them."""
    found = tx.floating_ips.find_by_uuid(identifier)
    if found is None or found.project_id is None or not call.owns(found.project_id):
        return None
    return _shown_many(call, tx, [found])[0]


def create(call: Call, tx: Transaction, values: dict[str, Any]) -> Shown:
    """Take an address of an external network, within the quota, and lead it to a port if asked."""
    project = call.project_of(values)
    _refuse_address_alone(values)
    network = values["floating_network_id"]
    pool = next((each for each in pools(tx) if each.uuid == network), None)
    if pool is None:
        if tx.networks.find(network) is not None:
            raise BadRequest(
                f"Bad floatingip request: Network {network} is not a valid external network"
            )
        raise NetworkNotFound(network)
    address = _address_in(values, pool.subnets)
    limits = call.cloud.limits.get(project, call.caller.user_id)
    tx.quotas.reserve(project, {"floating_ips": 1}, limits)
    try:
        taken: FloatingIP | None
        if address is not None:
            taken = tx.floating_ips.allocate_address(project, pool.name, address)
        else:
            taken = tx.floating_ips.allocate(project, pool.name)
    except NotFound:
        raise typed(
            Conflict(f"No more IP addresses available on network {network}."),
            "IpAddressGenerationFailure",
        ) from None
    if taken is None:
        raise typed(
            Conflict(f"IP address {address} is not available in network {network}."),
            "IpAddressAlreadyAllocated",
        )
    tx.floating_ips.describe(taken.id, merged(None, values, _FACTS) or None)
    if values.get("port_id") is not None:
        _lead(call, tx, taken, values["port_id"], values.get("fixed_ip_address"))
    found = tx.floating_ips.get(taken.id)
    return _shown_many(call, tx, [found])[0]


def _address_in(values: dict[str, Any], subnets: tuple[dict[str, Any], ...]) -> str | None:
    wanted = values.get("subnet_id")
    if wanted is not None and all(each["id"] != wanted for each in subnets):
        raise BadRequest(f"Subnet {wanted} is not a subnet of the external network.")
    address: str | None = values.get("floating_ip_address")
    return address


def _refuse_address_alone(values: dict[str, Any]) -> None:
    if values.get("fixed_ip_address") and not values.get("port_id"):
        raise typed(
            BadRequest("Bad floatingip request: fixed_ip_address cannot be specified without a port_id."),
            "BadRequest",
        )


def update(call: Call, tx: Transaction, current: Shown, values: dict[str, Any]) -> Shown:
    """Lead an address to a port or to none; describe it."""
    _refuse_address_alone(values)
    found = tx.floating_ips.find_by_uuid(current["id"])
    assert found is not None
    tx.floating_ips.describe(found.id, merged(found.facts, values, _FACTS))
    if "port_id" in values or "fixed_ip_address" in values:
        if found.auto_assigned:
            raise Conflict(
                f"Floating ip {found.address} was assigned automatically and stays with its server."
            )
        port = values["port_id"] if "port_id" in values else current["port_id"]
        if port is None:
            tx.floating_ips.disassociate(found.id)
            _tell(call, tx, found.instance_uuid)
        else:
            _lead(call, tx, found, port, values.get("fixed_ip_address"))
    return _shown_many(call, tx, [tx.floating_ips.get(found.id)])[0]


def _lead(
    call: Call, tx: Transaction, floating_ip: FloatingIP, port_id: str, fixed: str | None
) -> None:
    """Lead an address to a port's fixed address: the one named, or its first."""
    port = tx.ports.find(port_id)
    instance: str | None = None
    host: str | None = None
    if port is not None and call.owns(port.card.project_id):
        choices = [(row, address) for row, address, _network in port.addresses]
        instance = port.card.instance_uuid
        host = port.server.host if port.server else None
    else:
        vip: tuple[Network, FixedIP] | None = virtual_ips.located(call, tx, port_id)
        if vip is None:
            raise typed(NotFound(f"Port {port_id} could not be found."), "PortNotFound")
        choices = [(vip[1].id, vip[1].address)]
    chosen = next((row for row, address in choices if fixed in (None, address)), None)
    if chosen is None:
        what = f"fixed IP {fixed}" if fixed else "fixed IPv4 addresses"
        raise BadRequest(
            f"Bad floatingip request: Port {port_id} does not have {what}."
        )
    tx.floating_ips.associate(floating_ip.id, chosen, host)
    for each in {floating_ip.instance_uuid, instance}:
        _tell(call, tx, each)


def _tell(call: Call, tx: Transaction, instance: str | None) -> None:
    """Let compute's views show the change."""
    if instance is not None:
        call.cloud.operations.refresh_addresses(tx, [instance])
    tx.after_commit(call.cloud.events.networks_changed)


def delete(call: Call, tx: Transaction, current: Shown) -> None:
    """Give an address back to its pool."""
    found = tx.floating_ips.find_by_uuid(current["id"])
    assert found is not None
    assert found.project_id is not None
    floating.release(tx, found.project_id, found, call.cloud.networks.refreshes)
    tx.quotas.release(found.project_id, {"floating_ips": 1})
    _tell(call, tx, found.instance_uuid)


ATTRIBUTES = read.table(
    read.DESCRIPTION, read.PROJECT, read.TAGS,
    Attribute("floating_network_id", read.uuid, put=False, required=True),
    Attribute("floating_ip_address", read.nullable(read.address), put=False, rule=True),
    Attribute("subnet_id", read.nullable(read.uuid), put=False),
    Attribute("port_id", read.nullable(read.uuid)),
    Attribute("fixed_ip_address", read.nullable(read.address)),
)

FLOATING_IPS = Resource(
    singular="floatingip", plural="floatingips", error="FloatingIPNotFound",
    attributes=ATTRIBUTES,
    keys=keys(
        "floating_ip_address floating_network_id fixed_ip_address port_id router_id status"
    ),
    list=list_floating_ips, find=find, create=create, update=update, delete=delete,
)
