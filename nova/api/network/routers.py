# SPDX-License-Identifier: Apache-2.0
"""``/routers``: the one router of every project: the bridges' own gateways.

Every subnet has a gateway on its bridge, and floating addresses lead through it, whether or not anybody made
a router. A project that makes one gives that router a name and says which subnets are on it; what the
bridges cannot do is refused.
"""

from __future__ import annotations

from typing import Any

import falcon

from nova.api.network import router_interfaces as interfaces
from nova.api.network import subnets
from nova.api.network import values as read
from nova.api.network.error_body import typed
from nova.api.network.networks import owner_of, rows_of
from nova.api.network.pools import pools
from nova.api.network.resource import Call, Resource, Shown, keys, merged, standard
from nova.api.network.router_interfaces import gateway_port_uuid, router_uuid
from nova.api.network.routing import Handler
from nova.api.network.values import Attribute
from nova.db.engine import Transaction
from nova.errors import BadRequest, Conflict, InvalidInput, NetworkNotFound, NotFound, NovaError
from nova.http.app import read_json
from nova.objects.network import ProjectRouter

_NAME = "gateway"
_TEXT = "The gateways of the project's networks."
_FACTS = ("description", "tags", "external_gateway_info", "admin_state_up")


def shown(project: str, made: ProjectRouter | None, externals: list[str]) -> Shown:
    """A project's router, made or not."""
    facts: dict[str, Any] = {"description": _TEXT}
    external = externals[0] if externals else None
    if made is not None:
        facts = dict(made.facts or {})
        external = (facts.get("external_gateway_info") or {}).get("network_id")
        if external not in externals:
            external = None
    return {
        "id": router_uuid(project, made), "name": made.name if made else _NAME,
        **standard(
            facts, project, made.revision if made else 0, made.created_at if made else None,
            made.updated_at if made else None,
        ),
        "admin_state_up": facts.get("admin_state_up", True), "status": "ACTIVE",
        "external_gateway_info": None if external is None else {
            "network_id": external, "enable_snat": True, "external_fixed_ips": [],
        },
        "routes": [], "distributed": False, "ha": False, "availability_zones": ["nova"],
        "availability_zone_hints": [], "flavor_id": None,
    }


def list_routers(call: Call, tx: Transaction) -> list[Shown]:
    """The router of the caller's project; for administrators, of all projects with networks."""
    externals = [pool.uuid for pool in pools(tx)]
    made = {
        each.project_id: each
        for each in tx.routers.every(None if call.is_admin else call.caller.project_id)
    }
    projects = {call.caller.project_id, *made}
    if call.is_admin:
        projects |= {row.project_id for row in tx.networks.every() if row.project_id}
    return [
        shown(project, made.get(project), externals)
        for project in sorted(each for each in projects if each)
    ]


def find(call: Call, tx: Transaction, identifier: str) -> Shown | None:
    """One of them."""
    return next((each for each in list_routers(call, tx) if each["id"] == identifier), None)


def _made(tx: Transaction, project: str) -> ProjectRouter | None:
    return next(iter(tx.routers.every(project)), None)


def create(call: Call, tx: Transaction, values: dict[str, Any]) -> Shown:
    """Make the router of a project; there is one for each."""
    project = call.project_of(values)
    if _made(tx, project) is not None:
        raise typed(
            Conflict("Quota exceeded for resources: ['router']. Every project has one router here: "
                     "the gateways of its networks."),
            "OverQuota",
        )
    _check_honoured(call, tx, values)
    tx.routers.create(project, values.get("name", ""), merged({}, values, _FACTS))
    if values.get("admin_state_up") is False:
        _tell_hosts(call, tx, project)
    return shown(project, _made(tx, project), [pool.uuid for pool in pools(tx)])


def _check_honoured(call: Call, tx: Transaction, values: dict[str, Any]) -> None:
    """Refuse what the gateways of bridges cannot do."""
    for name, reason in (
        ("ha", "A network's gateway is on each of its hosts."),
        ("distributed", "Whether each host is a gateway is set for all networks: multi_host."),
        ("routes", "The gateways keep no routes of projects; give a subnet host_routes."),
    ):
        if values.get(name):
            raise InvalidInput(name, reason)
    gateway = values.get("external_gateway_info")
    if gateway:
        network = gateway.get("network_id")
        if not any(pool.uuid == network for pool in pools(tx)):
            if rows_of(call, tx, str(network)) is None:
                raise NetworkNotFound(str(network)[:64])
            raise typed(
                BadRequest(f"Bad router request: Network {network} is not an external network."),
                "BadRequest",
            )
        if gateway.get("enable_snat") is False or gateway.get("external_fixed_ips"):
            raise InvalidInput(
                "external_gateway_info",
                "Hosts forward with their own addresses: enable_snat stays true, and there are no "
                "external_fixed_ips to choose.",
            )


def update(call: Call, tx: Transaction, current: Shown, values: dict[str, Any]) -> Shown:
    """Change a router that was made; for another, answer what is so already and refuse the rest."""
    project = current["project_id"]
    made = _made(tx, project)
    if made is None:
        if all(_is_so(current.get(name), value) for name, value in values.items()):
            return current
        raise _refusal()
    _check_honoured(call, tx, values)
    columns: dict[str, Any] = {"facts": merged(made.facts, values, _FACTS)}
    if "name" in values:
        columns["name"] = values["name"]
    tx.routers.update(project, columns)
    if values.get("admin_state_up", current["admin_state_up"]) != current["admin_state_up"]:
        _tell_hosts(call, tx, project)
    found = find(call, tx, current["id"])
    assert found is not None
    return found


def _is_so(present: Any, wanted: Any) -> bool:
    if isinstance(present, dict) and isinstance(wanted, dict):
        return all(present.get(name) == value for name, value in wanted.items())
    return bool(present == wanted)


def _tell_hosts(call: Call, tx: Transaction, project: str) -> None:
    """Whether the project's networks are routed changed: their hosts look anew."""
    refreshes = call.cloud.networks.refreshes
    if refreshes is not None:
        refreshes.of_networks(tx, [row.uuid for row in tx.networks.owned_by(project)])


def delete(call: Call, tx: Transaction, current: Shown) -> None:
    """Forget a router that was made and has no subnets; the gateways are there as before."""
    made = _made(tx, current["project_id"])
    if made is None:
        raise _refusal()
    if interfaces.subnets_of(tx, made):
        raise typed(
            Conflict(f"Router {current['id']} still has ports"), "RouterInUse"
        )
    tx.routers.delete(current["project_id"])
    if not current["admin_state_up"]:
        _tell_hosts(call, tx, current["project_id"])


def _refusal() -> NovaError:
    return typed(
        Conflict(
            "This router is the gateways of the project's networks, and is there without being made: "
            "make one to give it a name. Floating IPs work without."
        ),
        "RouterInUse",
    )


# -- interfaces ------------------------------------------------------------------------------------


def add_interface(call: Call, req: falcon.Request, path: dict[str, str]) -> Any:
    """Put a subnet of the project on its router."""

    def write(tx: Transaction) -> Any:
        router, subnet = _pair(call, tx, req, path["id"])
        if subnet["gateway_ip"] is None:
            raise typed(
                BadRequest("Bad router request: Subnet for router interface must have a gateway IP."),
                "BadRequest",
            )
        made = _made(tx, router["project_id"])
        if made is not None:
            present = interfaces.subnets_of(tx, made)
            if subnet["id"] in present:
                raise typed(
                    BadRequest(f"Bad router request: Router already has a port on subnet {subnet['id']}."),
                    "BadRequest",
                )
            _note(tx, made, [*present, subnet["id"]])
        return _interface(router, subnet)

    return call.cloud.db.run(write)


def remove_interface(call: Call, req: falcon.Request, path: dict[str, str]) -> Any:
    """Take a subnet off a router that was made; its gateway stays on the bridge."""

    def write(tx: Transaction) -> Any:
        router, subnet = _pair(call, tx, req, path["id"])
        made = _made(tx, router["project_id"])
        if made is None:
            raise typed(
                Conflict(f"Subnet {subnet['id']} has its gateway on the bridge as long as it is there; "
                         "delete the subnet instead."),
                "RouterInterfaceInUse",
            )
        present = interfaces.subnets_of(tx, made)
        if subnet["id"] not in present:
            raise typed(
                NotFound(f"Router {router['id']} has no interface on subnet {subnet['id']}"),
                "RouterInterfaceNotFoundForSubnet",
            )
        _note(tx, made, [each for each in present if each != subnet["id"]])
        return _interface(router, subnet)

    return call.cloud.db.run(write)


def _note(tx: Transaction, made: ProjectRouter, subnets_: list[str]) -> None:
    tx.routers.update(made.project_id, {"facts": {**(made.facts or {}), "interfaces": subnets_}})


def _interface(router: Shown, subnet: Shown) -> Shown:
    return {
        "id": router["id"], "tenant_id": router["tenant_id"], "project_id": router["tenant_id"],
        "port_id": gateway_port_uuid(subnet["id"]), "network_id": subnet["network_id"],
        "subnet_id": subnet["id"], "subnet_ids": [subnet["id"]],
    }


def _pair(call: Call, tx: Transaction, req: falcon.Request, identifier: str) -> tuple[Shown, Shown]:
    router = find(call, tx, identifier)
    if router is None:
        raise ROUTERS.missing(identifier)
    body = read_json(req)
    if not isinstance(body, dict):
        raise BadRequest("Either subnet_id or port_id must be specified")
    wanted = body.get("subnet_id")
    if wanted is None and isinstance(body.get("port_id"), str):
        wanted = interfaces.subnet_of_port(tx, body["port_id"])
        if wanted is None:
            raise BadRequest(
                "The gateway of a subnet is its interface, and no other port can be: name a subnet_id."
            )
    if not isinstance(wanted, str):
        raise BadRequest("Either subnet_id or port_id must be specified")
    place = subnets.place_of(tx, wanted)
    found = subnets.find(call, tx, wanted)
    if found is None or place is None or not (
        call.owns(owner_of(place[0])) or place[0].project_id is None
    ):
        raise typed(NotFound(f"Subnet {wanted[:64]} could not be found."), "SubnetNotFound")
    return router, found


ROUTERS = Resource(
    singular="router", plural="routers", error="RouterNotFound",
    attributes=read.table(
        read.NAME, read.DESCRIPTION, read.PROJECT, read.TAGS,
        Attribute("admin_state_up", read.boolean),
        Attribute("external_gateway_info", read.nullable(read.document)),
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
