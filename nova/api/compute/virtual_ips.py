# SPDX-License-Identifier: Apache-2.0
"""``os-virtual-ips``: addresses that networks keep for projects to set up inside their guests.

Our own extension, at every version; see docs/api/virtual-ips.md.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from nova.api.compute.bodies import Body
from nova.api.compute.fields import Field, View, attribute
from nova.api.compute.fixed_ips import address_of
from nova.api.compute.networks import visible_network, visible_networks
from nova.api.compute.policies import MEMBER_OR_ADMIN, READER_OR_ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Query, Route
from nova.db.engine import Transaction
from nova.network import vips
from nova.objects.network import FixedIP, Network
from nova.policy import Rule

_ROOT = "os_compute_api:os-virtual-ips"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:list", READER_OR_ADMIN, "List virtual IPs."),
    Rule(f"{_ROOT}:create", MEMBER_OR_ADMIN, "Claim a virtual IP."),
    Rule(f"{_ROOT}:delete", MEMBER_OR_ADMIN, "Give a virtual IP back."),
)

class Scene(msgspec.Struct, frozen=True):
    """The uuids of networks and the servers of virtual IPs, by the ids of their rows."""

    networks: dict[int, str]
    servers: dict[int, list[str]]


VIEW = View(
    Field("address", attribute("address")),
    Field("network_id", lambda vip, scene: scene.networks[vip.network_id]),
    Field("project_id", attribute("vip_project_id")),
    Field("name", attribute("vip_name")),
    Field("instances", lambda vip, scene: scene.servers.get(vip.id, [])),
    Field("status", lambda vip, _scene: "claimed" if vip.vip_project_id else "free"),
)


class VirtualIPClaim(msgspec.Struct):
    """The body of POST; without an address the first free one is taken."""

    network_id: Annotated[str, Meta(max_length=36)]
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    address: Annotated[str, Meta(min_length=1, max_length=39)] | None = None
    instances: Annotated[
        list[Annotated[str, Meta(min_length=36, max_length=36)]], Meta(max_length=100)
    ] = msgspec.field(default_factory=list)


def index(request: ApiRequest) -> Any:
    """List the virtual IPs of the networks that the caller may use.

    Members see free ones and those that their project claimed.
    """
    caller = request.caller
    wanted = request.one("network_id")
    with request.cloud.db.read() as tx:
        if wanted is None:
            networks = visible_networks(request, tx)
            found = vips.list_vips(tx)
        else:
            networks = [visible_network(request, tx, wanted)]
            found = vips.list_vips(tx, networks[0])
        servers = tx.virtual_ips.servers_of([vip.id for vip in found if vip.vip_project_id])
    uuids = {network.id: network.uuid for network in networks}
    render = VIEW.at(request.minor)
    return {
        "virtual_ips": [
            render(vip, Scene(uuids, servers))
            for vip in found
            if vip.network_id in uuids
            and (caller.is_admin or vip.vip_project_id in (None, caller.project_id))
        ]
    }


def create(request: ApiRequest) -> Any:
    """Claim a virtual IP of a network for the caller's project."""
    body: VirtualIPClaim = request.body
    address = None if body.address is None else address_of(body.address)

    def write(tx: Transaction) -> tuple[Network, FixedIP, dict[int, list[str]]]:
        network = visible_network(request, tx, body.network_id)
        vip = vips.claim_vip(
            tx, request.caller.project_id, body.name, network, address, body.instances,
            request.cloud.networks.refreshes,
        )
        servers = tx.virtual_ips.servers_of([vip.id])
        tx.after_commit(request.cloud.events.networks_changed)
        return network, vip, servers

    network, vip, servers = request.cloud.db.run(write)
    return {"virtual_ip": VIEW.at(request.minor)(vip, Scene({network.id: network.uuid}, servers))}


def delete(request: ApiRequest) -> Any:
    """Give a virtual IP back; administrators may give back any project's."""
    caller = request.caller
    address = address_of(request.path["address"])

    def write(tx: Transaction) -> None:
        network = visible_network(request, tx, request.path["network_id"])
        vips.release_vip(
            tx, address, project_id=None if caller.is_admin else caller.project_id,
            network=network, refreshes=request.cloud.networks.refreshes,
        )
        tx.after_commit(request.cloud.events.networks_changed)

    request.cloud.db.run(write)


ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-virtual-ips", index, rule=f"{_ROOT}:list", query=Query({"network_id": 1})),
    Route("POST", "/os-virtual-ips", create, 201, rule=f"{_ROOT}:create",
          body=Body("virtual_ip", VirtualIPClaim)),
    Route("DELETE", "/os-virtual-ips/{network_id}/{address}", delete, 204,
          rule=f"{_ROOT}:delete"),
)
