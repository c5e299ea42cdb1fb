# SPDX-License-Identifier: Apache-2.0
"""``/routers``: the one router that every project has without asking: the bridges' own gateways.

Every subnet has a gateway on its bridge, and floating addresses lead through it. There is nothing to make or
to remove; what a client asks for is answered where it is so already, and refused where it cannot be.
"""

from __future__ import annotations

from typing import Any

import falcon

from nova.api.network import subnets
from nova.api.network import values as read
from nova.api.network.error_body import typed
from nova.api.network.networks import owner_of
from nova.api.network.pools import derived_uuid, pools
from nova.api.network.resource import Call, Resource, Shown, keys, standard
from nova.api.network.routing import Handler
from nova.api.network.values import Attribute
from nova.db.engine import Transaction
from nova.errors import BadRequest, Conflict, NotFound, NovaError
from nova.http.app import read_json

_NAME = "gateway"


def shown(project: str, external: str | None) -> Shown:
    """A project's router."""
    return {
        "id": derived_uuid("router", project), "name": _NAME,
        **standard({"description": "The gateways of the project's networks."}, project, 0, None,
                   None),
        "admin_state_up": True, "status": "ACTIVE",
        "external_gateway_info": None if external is None else {
            "network_id": external, "enable_snat": True, "external_fixed_ips": [],
        },
        "routes": [], "distributed": True, "ha": False, "availability_zones": ["nova"],
        "availability_zone_hints": [], "flavor_id": None,
    }


def list_routers(call: Call, tx: Transaction) -> list[Shown]:
    """The router of the caller's project; for administrators, of all projects with networks."""
    external = next((pool.uuid for pool in pools(tx)), None)
    projects = {call.caller.project_id}
    if call.is_admin:
        projects |= {row.project_id for row in tx.networks.every() if row.project_id}
    return [shown(project, external) for project in sorted(each for each in projects if each)]


def find(call: Call, tx: Transaction, identifier: str) -> Shown | None:
    """One of them."""
    return next((each for each in list_routers(call, tx) if each["id"] == identifier), None)


def add_interface(call: Call, req: falcon.Request, path: dict[str, str]) -> Any:
    """Confirm that a subnet of the project is connected: every one is."""
    with call.cloud.db.read() as tx:
        router = find(call, tx, path["id"])
        if router is None:
            raise ROUTERS.missing(path["id"])
        subnet = _subnet(call, tx, req)
    return {
        "id": router["id"], "tenant_id": router["tenant_id"], "project_id": router["tenant_id"],
        "port_id": derived_uuid("gateway", subnet["id"]), "network_id": subnet["network_id"],
        "subnet_id": subnet["id"], "subnet_ids": [subnet["id"]],
    }


def _subnet(call: Call, tx: Transaction, req: falcon.Request) -> Shown:
    body = read_json(req)
    identifier = body.get("subnet_id") if isinstance(body, dict) else None
    if not isinstance(identifier, str):
        raise BadRequest("The gateway of a subnet is its interface: name a subnet_id.")
    place = subnets.place_of(tx, identifier)
    found = subnets.find(call, tx, identifier)
    if found is None or place is None or not (
        call.owns(owner_of(place[0])) or place[0].project_id is None
    ):
        raise typed(NotFound(f"Subnet {identifier[:64]} could not be found."), "SubnetNotFound")
    return found


def remove_interface(call: Call, req: falcon.Request, path: dict[str, str]) -> Any:
    """Refuse: a subnet always has its gateway."""
    with call.cloud.db.read() as tx:
        if find(call, tx, path["id"]) is None:
            raise ROUTERS.missing(path["id"])
        subnet = _subnet(call, tx, req)
    raise typed(
        Conflict(f"Subnet {subnet['id']} has its gateway on the bridge as long as it is there; "
                 "delete the subnet instead."),
        "RouterInterfaceInUse",
    )


def create(_call: Call, _tx: Transaction, _values: dict[str, Any]) -> Shown:
    """Refuse: there is one."""
    raise _refusal()


def update(
    _call: Call, _tx: Transaction, current: Shown, values: dict[str, Any]
) -> Shown:
    """Answer a change to what is so already; refuse others."""
    if all(_is_so(current.get(name), value) for name, value in values.items()):
        return current
    raise _refusal()


def _is_so(present: Any, wanted: Any) -> bool:
    if isinstance(present, dict) and isinstance(wanted, dict):
        return all(present.get(name) == value for name, value in wanted.items())
    return bool(present == wanted)


def delete(_call: Call, _tx: Transaction, _current: Shown) -> None:
    """Refuse: it is there as long as the networks are."""
    raise _refusal()


def _refusal() -> NovaError:
    return typed(
        Conflict(
            "Every project has one router here, the gateways of its networks: it cannot be made, "
            "changed or removed. Floating IPs work without another."
        ),
        "OverQuota",
    )


ROUTERS = Resource(
    singular="router", plural="routers", error="RouterNotFound",
    attributes=read.table(
        read.NAME, read.DESCRIPTION, read.PROJECT, read.TAGS,
        Attribute("admin_state_up", read.boolean),
        Attribute("external_gateway_info", read.document),
        Attribute("distributed", read.boolean),
        Attribute("ha", read.boolean),
        Attribute("routes", read.list_of(read.document)),
        Attribute("availability_zone_hints", read.list_of(read.text())),
    ),
    keys=keys(
        "name admin_state_up status external_gateway_info routes distributed ha "
        "availability_zones availability_zone_hints flavor_id"
    ),
    list=list_routers, find=find, create=create, update=update, delete=delete,
)

PATHS: dict[str, dict[str, tuple[Handler, int]]] = {
    "/v2.0/routers/{id}/add_router_interface": {"put": (add_interface, 200)},
    "/v2.0/routers/{id}/remove_router_interface": {"put": (remove_interface, 200)},
}
