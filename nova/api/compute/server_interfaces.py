# SPDX-License-Identifier: Apache-2.0
"""``/servers/{id}/os-interface``: the NICs of a server, by the id of their virtual interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from nova import errors
from nova.api.compute import server_values as values
from nova.api.compute.bodies import FILLED, Body, window
from nova.api.compute.fields import Field, View, attribute
from nova.api.compute.policies import MEMBER_OR_ADMIN, READER_OR_ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.objects.instance import Address, Instance, RequestedNetwork, Vif
from nova.objects.states import RUNNING
from nova.policy import Rule

_ROOT = "os_compute_api:os-attach-interfaces"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:list", READER_OR_ADMIN, "List a server's NICs."),
    Rule(f"{_ROOT}:show", READER_OR_ADMIN, "Show a server's NIC."),
    Rule(f"{_ROOT}:create", MEMBER_OR_ADMIN, "Give a server another NIC."),
    Rule(f"{_ROOT}:delete", MEMBER_OR_ADMIN, "Take a NIC from a server."),
)

#: The scene is the server, and the subnets of networks by (network, range).
INTERFACE = View(
    Field("net_id", attribute("network_id")),
    Field("port_id", attribute("id")),
    Field("mac_addr", attribute("mac")),
    Field(
        "port_state",
        lambda _vif, scene: "ACTIVE" if scene[0].power_state == RUNNING else "DOWN",
    ),
    Field(
        "fixed_ips",
        lambda vif, scene: [
            {"subnet_id": _subnet(vif, each, scene[1]), "ip_address": each.address}
            for each in vif.addresses
        ],
    ),
    Field("tag", attribute("tag"), since=70),
)


Subnets = Mapping[tuple[str, str | None], str | None]


def _subnet(vif: Vif, address: Address, subnets: Subnets) -> str:
    """The subnet of an address, as the network API calls it; the network where that is gone."""
    cidr = vif.cidr if address.version == 4 else vif.cidr_v6
    return subnets.get((vif.network_id, cidr)) or vif.network_id


def _scene(request: ApiRequest, instance: Instance) -> tuple[Instance, Subnets]:
    subnets: dict[tuple[str, str | None], str | None] = {}
    with request.cloud.db.read() as tx:
        for row in request.cloud.networks.networks(tx).networks:
            subnets[(row.network_uuid, row.cidr)] = row.subnet_uuid
            subnets[(row.network_uuid, row.cidr_v6)] = row.subnet_uuid_v6
    return instance, subnets


class FixedIp(msgspec.Struct, frozen=True):
    """An address asked for."""

    ip_address: str


class AttachInterface(msgspec.Struct, frozen=True):
    """The network or the port, and an address of the network."""

    net_id: Annotated[str | None, FILLED] = None
    port_id: Annotated[str | None, FILLED] = None
    fixed_ips: Annotated[list[FixedIp] | None, FILLED] = None
    tag: Annotated[str | None, window(since=49), FILLED] = None


class AttachBody(Body[AttachInterface]):
    """The body; an empty object asks for any network."""

    def read(self, raw: Any, minor: int, *, legacy: bool = False) -> AttachInterface:
        """What is asked for."""
        if raw == {}:
            return AttachInterface()
        return super().read(raw, minor, legacy=legacy)


def _server(request: ApiRequest, action: str) -> Instance:
    instance = request.cloud.operations.get(request.caller, request.path["server_id"])
    request.check(f"{_ROOT}:{action}", project_id=instance.project_id)
    return instance


def _vif(instance: Instance, port_id: str) -> Vif:
    for vif in instance.network_info:
        if vif.id == port_id:
            return vif
    raise errors.NotFound(
        f"Instance {instance.uuid} does not have a port with id {port_id[:64]}"
    )


def index(request: ApiRequest) -> Any:
    """All NICs."""
    instance = _server(request, "list")
    render = INTERFACE.at(request.minor)
    scene = _scene(request, instance)
    return {"interfaceAttachments": [render(vif, scene) for vif in instance.network_info]}


def show(request: ApiRequest) -> Any:
    """One NIC."""
    instance = _server(request, "show")
    vif = _vif(instance, request.path["port_id"])
    return {"interfaceAttachment": INTERFACE.at(request.minor)(vif, _scene(request, instance))}


def create(request: ApiRequest) -> Any:
    """Attach a NIC."""
    body: AttachInterface = request.body or AttachInterface()
    wanted = _wanted(body)
    instance = _server(request, "create")
    vif = request.cloud.operations.attach_interface(request.caller, instance, wanted)
    return {"interfaceAttachment": INTERFACE.at(request.minor)(vif, _scene(request, instance))}


def _wanted(body: AttachInterface) -> RequestedNetwork:
    network = None if body.net_id is None else values.uuid("net_id", body.net_id)
    port = None if body.port_id is None else values.uuid("port_id", body.port_id)
    if body.fixed_ips is not None and len(body.fixed_ips) != 1:
        raise errors.InvalidInput("fixed_ips", "It has to name one address.")
    address = None
    if body.fixed_ips is not None:
        address = values.address("ip_address", body.fixed_ips[0].ip_address)
    if network and port:
        raise errors.BadRequest("Must not input both network_id and port_id")
    if address and not network:
        raise errors.BadRequest("Must input network_id when request IP address")
    tag = None if body.tag is None else values.tag("tag", body.tag)
    return RequestedNetwork(network_id=network, port_id=port, address=address, tag=tag)


def delete(request: ApiRequest) -> Any:
    """Detach a NIC."""
    instance = _server(request, "delete")
    vif = _vif(instance, request.path["port_id"])
    request.cloud.operations.detach_interface(request.caller, instance, vif.id)
    return None


_PATH = "/servers/{server_id}/os-interface"
ROUTES: tuple[Route, ...] = (
    Route("GET", _PATH, index),
    Route(
        "POST", _PATH, create, optional_body=True,
        body=AttachBody("interfaceAttachment", AttachInterface),
    ),
    Route("GET", _PATH + "/{port_id}", show),
    Route("DELETE", _PATH + "/{port_id}", delete, success=202),
)
