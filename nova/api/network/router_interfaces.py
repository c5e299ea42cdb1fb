# SPDX-License-Identifier: Apache-2.0
"""Gateways of subnets as ports of the router that a project made."""

from __future__ import annotations

from nova.api.network.pools import derived_uuid
from nova.api.network.resource import Call, Shown, moment
from nova.db.engine import Transaction
from nova.objects.network import Network, ProjectRouter

DEVICE_OWNER = "network:router_interface"
#: Each host of a network has a MAC of its own for the gateway's address.
_NO_MAC = "00:00:00:00:00:00"


def router_uuid(project: str, made: ProjectRouter | None) -> str:
    """The id of a project's router. One that was made has another than the gateways that are there without:
    once it is deleted, its id has to be gone.
    """
    if made is None:
        return derived_uuid("router", project)
    return derived_uuid("router", project, str(made.id), str(made.created_at))


def gateway_port_uuid(subnet: str) -> str:
    """The id of a subnet's gateway as a port."""
    return derived_uuid("gateway", subnet)


def subnets_of(tx: Transaction, made: ProjectRouter) -> list[str]:
    """The subnets on a router that are still there."""
    noted = list((made.facts or {}).get("interfaces", ()))
    if not noted:
        return []
    present = {
        each for row in tx.networks.every() for each in (row.subnet_uuid, row.subnet_uuid_v6)
    }
    return [each for each in noted if each in present]


def subnet_of_port(tx: Transaction, port: str) -> str | None:
    """The subnet whose gateway a port is."""
    for row in tx.networks.every():
        for subnet in (row.subnet_uuid, row.subnet_uuid_v6):
            if subnet is not None and gateway_port_uuid(subnet) == port:
                return subnet
    return None


def list_ports(call: Call, tx: Transaction) -> list[Shown]:
    """The interfaces of the routers that the caller sees."""
    made = tx.routers.every(None if call.is_admin else call.caller.project_id)
    made = [each for each in made if (each.facts or {}).get("interfaces")]
    if not made:
        return []
    places: dict[str, tuple[Network, str | None]] = {}
    for row in tx.networks.every():
        for subnet, gateway in (
            (row.subnet_uuid, row.gateway), (row.subnet_uuid_v6, row.gateway_v6)
        ):
            if subnet is not None:
                places[subnet] = (row, gateway)
    return [
        _shown(router, subnet, *places[subnet])
        for router in made for subnet in (router.facts or {})["interfaces"] if subnet in places
    ]


def find_port(call: Call, tx: Transaction, identifier: str) -> Shown | None:
    """One of them."""
    return next((each for each in list_ports(call, tx) if each["id"] == identifier), None)


def _shown(router: ProjectRouter, subnet: str, row: Network, gateway: str | None) -> Shown:
    fixed = [] if gateway is None else [{"subnet_id": subnet, "ip_address": gateway}]
    return {
        "id": gateway_port_uuid(subnet), "name": "", "network_id": row.network_uuid,
        "tenant_id": router.project_id, "project_id": router.project_id, "description": "",
        "tags": [], "created_at": moment(row.created_at), "updated_at": moment(row.updated_at),
        "revision_number": 0, "mac_address": _NO_MAC, "admin_state_up": True, "status": "ACTIVE",
        "device_id": router_uuid(router.project_id, router), "device_owner": DEVICE_OWNER,
        "fixed_ips": fixed, "security_groups": [], "allowed_address_pairs": [],
        "extra_dhcp_opts": [], "port_security_enabled": False, "binding:vnic_type": "normal",
        "ip_allocation": "immediate",
    }
