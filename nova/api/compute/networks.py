# SPDX-License-Identifier: Apache-2.0
"""``os-networks`` and ``os-tenant-networks``: the networks of nova-network (until 2.35)."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nova.api.compute.bodies import Body, PositiveInt, ShortText
from nova.api.compute.fields import Field, View, attribute
from nova.api.compute.policies import ADMIN, MEMBER_OR_ADMIN, READER_OR_ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.api.compute.texts import Boolean, truth
from nova.api.compute.times import precise
from nova.db.engine import Transaction
from nova.errors import BadRequest, InvalidInput, NetworkNotFound, NotImplementedByDriver
from nova.network.creation import NetworkRequest, create_networks
from nova.network.manager import manager_named
from nova.objects.network import Network
from nova.policy import Rule

_NETWORKS = "os_compute_api:os-networks"
_ASSOCIATE = "os_compute_api:os-networks-associate"
_TENANT = "os_compute_api:os-tenant-networks"

RULES: tuple[Rule, ...] = (
    Rule(f"{_NETWORKS}:list", READER_OR_ADMIN, "List networks."),
    Rule(f"{_NETWORKS}:show", READER_OR_ADMIN, "Show a network."),
    Rule(f"{_NETWORKS}:create", ADMIN, "Create a network, or choose its VLAN."),
    Rule(f"{_NETWORKS}:delete", ADMIN, "Delete a network."),
    Rule(f"{_NETWORKS}:add", ADMIN, "Bind a network to the own project."),
    Rule(_ASSOCIATE, ADMIN, "Bind a network to a host or a project, or unbind it."),
    Rule(f"{_TENANT}:list", READER_OR_ADMIN, "List the networks of the own project."),
    Rule(f"{_TENANT}:show", READER_OR_ADMIN, "Show a network of the own project."),
    Rule(f"{_TENANT}:create", MEMBER_OR_ADMIN, "Create a network for the own project."),
    Rule(f"{_TENANT}:delete", MEMBER_OR_ADMIN, "Delete a network of the own project."),
)

_LIMITED = (
    "cidr", "netmask", "gateway", "broadcast", "dns1", "dns2", "cidr_v6", "gateway_v6", "label",
    "netmask_v6",
)
_FOR_ADMINISTRATORS = (
    "injected", "bridge", "vlan", "vpn_public_address", "vpn_public_port", "vpn_private_address",
    "dhcp_start", "project_id", "host", "bridge_interface", "multi_host", "priority", "rxtx_base",
    "mtu", "dhcp_server", "enable_dhcp", "share_address",
)
VIEW = View(
    Field("id", attribute("uuid")),
    *(Field(name, attribute(name)) for name in _LIMITED),
    *(Field(name, attribute(name), only="admin") for name in _FOR_ADMINISTRATORS),
    Field("created_at", lambda network, _scene: precise(network.created_at), only="admin"),
    Field("updated_at", lambda network, _scene: precise(network.updated_at), only="admin"),
    Field("deleted", lambda _network, _scene: False, only="admin"),
    Field("deleted_at", lambda _network, _scene: None, only="admin"),
)
TENANT_VIEW = View(
    Field("id", attribute("uuid")),
    Field("cidr", lambda network, _scene: str(network.cidr or network.cidr_v6 or "")),
    Field("label", attribute("label")),
)

Address = Annotated[str, Meta(min_length=1, max_length=43)]
DeviceName = Annotated[str, Meta(max_length=255)]
Label = Annotated[str, Meta(min_length=1, max_length=255)]


class NetworkCreate(msgspec.Struct):
    """The body of POST /os-networks; the names are those of ``NetworkRequest``."""

    label: Label
    cidr: Address | None = None
    cidr_v6: Address | None = None
    gateway: Address | None = None
    gateway_v6: Address | None = None
    bridge: DeviceName | None = None
    bridge_interface: DeviceName | None = None
    dns1: Address | None = None
    dns2: Address | None = None
    fixed_cidr: Address | None = None
    dhcp_server: Address | None = None
    allowed_start: Address | None = None
    allowed_end: Address | None = None
    project_id: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    uuid: Annotated[str, Meta(max_length=36)] | None = None
    vlan: PositiveInt | None = None
    vlan_start: PositiveInt | None = None
    vpn_start: PositiveInt | None = None
    mtu: PositiveInt | None = None
    priority: Annotated[int, Meta(ge=0, le=2147483647)] | None = None
    multi_host: Boolean | None = None
    enable_dhcp: Boolean | None = None
    share_address: Boolean | None = None
    ipam: Boolean | None = None


class TenantNetworkCreate(msgspec.Struct):
    """The body of POST /os-tenant-networks. ``network_size`` is in addresses."""

    label: Label
    cidr: Address | None = None
    cidr_v6: Address | None = None
    ipam: Boolean | None = None
    vlan_start: PositiveInt | None = None
    network_size: Annotated[int, Meta(ge=1, le=65536)] | None = None
    num_networks: Annotated[int, Meta(ge=1, le=64)] | None = None


class NetworkAdd(msgspec.Struct):
    """The body of POST /os-networks/add; null takes any free network."""

    id: ShortText | None


class NetworkAction(msgspec.Struct):
    """The body of POST …/action: one of these."""

    disassociate: Any = UNSET
    disassociate_host: Any = UNSET
    disassociate_project: Any = UNSET
    associate_host: Annotated[str, Meta(min_length=1, max_length=255)] | UnsetType = UNSET


def visible_networks(request: ApiRequest, tx: Transaction) -> list[Network]:
    """All networks for administrators; the project's own and those of nobody for others."""
    if request.caller.is_admin:
        return tx.networks.every()
    return tx.networks.visible_to(request.caller.project_id)


def visible_network(request: ApiRequest, tx: Transaction, uuid: str) -> Network:
    """One of ``visible_networks``; ``NetworkNotFound`` for every other uuid."""
    network = tx.networks.find(uuid)
    caller = request.caller
    if network is None or not (
        caller.is_admin or network.project_id in (None, caller.project_id)
    ):
        raise NetworkNotFound(uuid[:64])
    return network


def tell_networks_changed(request: ApiRequest, tx: Transaction) -> None:
    """Once committed, have the cloud forget what it knew of networks."""
    tx.after_commit(request.cloud.networks.forget_networks)
    tx.after_commit(request.cloud.events.networks_changed)


def _shown(request: ApiRequest, network: Network) -> dict[str, Any]:
    flags = ("admin",) if request.caller.is_admin else ()
    return VIEW.at(request.minor, flags)(network, None)


def index(request: ApiRequest) -> Any:
    """List networks."""
    with request.cloud.db.read() as tx:
        found = visible_networks(request, tx)
    return {"networks": [_shown(request, network) for network in found]}


def show(request: ApiRequest) -> Any:
    """Show a network."""
    with request.cloud.db.read() as tx:
        network = visible_network(request, tx, request.path["network_id"])
    return {"network": _shown(request, network)}


def _truth(value: bool | str | None) -> bool | None:
    return None if value is None else truth(value)


def _size_of(cidr: str | None) -> int | None:
    """The addresses of a range; None where it is none, which the planner explains."""
    try:
        return None if cidr is None else ipaddress.IPv4Network(cidr, strict=False).num_addresses
    except ValueError:
        return None


def _refuse_neither(cidr: str | None, cidr_v6: str | None) -> None:
    if cidr is None and cidr_v6 is None:
        raise InvalidInput("network", "'cidr' or 'cidr_v6' is a required property.")


def create(request: ApiRequest) -> Any:
    """Create one network of the size of its range."""
    body: NetworkCreate = request.body
    _refuse_neither(body.cidr, body.cidr_v6)
    fields = msgspec.structs.asdict(body)
    del fields["ipam"]
    for name in ("multi_host", "enable_dhcp", "share_address"):
        fields[name] = _truth(fields[name])
    wanted = NetworkRequest(**fields, num_networks=1, network_size=_size_of(body.cidr))

    def write(tx: Transaction) -> Network:
        network = create_networks(tx, wanted, request.cloud.config.network)[0]
        tell_networks_changed(request, tx)
        return network

    network = request.cloud.db.run(write)
    return {"network": _shown(request, network)}


def delete(request: ApiRequest) -> Any:
    """Delete a network that is bound to no project and has no address in use."""

    def write(tx: Transaction) -> None:
        tx.networks.delete(request.path["network_id"])
        tell_networks_changed(request, tx)

    request.cloud.db.run(write)


def add(request: ApiRequest) -> Any:
    """Bind a network of nobody, the one named or the next, to the caller's project."""
    body: NetworkAdd = request.body
    if not manager_named(request.cloud.config.network.network_manager).binds_to_project:
        raise NotImplementedByDriver("VLAN support must be enabled")

    def write(tx: Transaction) -> None:
        if body.id is None:
            candidates = [each for each in tx.networks.every() if each.project_id is None]
        else:
            named = tx.networks.find(body.id)
            if named is None:
                raise BadRequest(f"Network could not be found for uuid {body.id}")
            candidates = [named]
        project = request.caller.project_id
        if not any(tx.networks.claim_unowned(each.id, project) for each in candidates):
            raise BadRequest("No more networks.")
        tell_networks_changed(request, tx)

    request.cloud.db.run(write)


def act(request: ApiRequest) -> Any:
    """Bind a network to a host, or unbind it from host, project, or both."""
    body: NetworkAction = request.body
    wanted = request.path["network_id"]
    named = [name for name in body.__struct_fields__ if getattr(body, name) is not UNSET]
    if len(named) != 1:
        raise BadRequest("There must be exactly one action in the body.")

    def write(tx: Transaction) -> None:
        if body.associate_host is not UNSET:
            tx.networks.set_host(wanted, body.associate_host)
        if named[0] in ("disassociate", "disassociate_host"):
            tx.networks.set_host(wanted, None)
        if named[0] in ("disassociate", "disassociate_project"):
            tx.networks.set_project(wanted, None)
        tell_networks_changed(request, tx)

    request.cloud.db.run(write)


# -- os-tenant-networks ----------------------------------------------------------------------------


def tenant_index(request: ApiRequest) -> Any:
    """List the networks that the caller's project may use."""
    with request.cloud.db.read() as tx:
        found = visible_networks(request, tx)
    render = TENANT_VIEW.at(request.minor)
    return {"networks": [render(network, None) for network in found]}


def tenant_show(request: ApiRequest) -> Any:
    """Show a network that the caller's project may use."""
    with request.cloud.db.read() as tx:
        network = visible_network(request, tx, request.path["network_id"])
    return {"network": TENANT_VIEW.at(request.minor)(network, None)}


def tenant_create(request: ApiRequest) -> Any:
    """Create networks for the caller's project; the answer shows the first.

    Which VLAN it gets is the administrator's business: naming one needs the right to create
    networks of any kind.
    """
    body: TenantNetworkCreate = request.body
    _refuse_neither(body.cidr, body.cidr_v6)
    if body.vlan_start is not None:
        request.check(f"{_NETWORKS}:create")
    size = _size_of(body.cidr)
    if size is not None and size < 4:
        raise BadRequest("Requested network does not contain enough (2+) usable hosts")
    wanted = NetworkRequest(
        label=body.label, cidr=body.cidr, cidr_v6=body.cidr_v6, vlan_start=body.vlan_start,
        network_size=body.network_size, num_networks=body.num_networks,
        project_id=request.caller.project_id,
    )

    def write(tx: Transaction) -> list[Network]:
        made = create_networks(tx, wanted, request.cloud.config.network)
        tell_networks_changed(request, tx)
        return made

    made = request.cloud.db.run(write)
    return {"network": TENANT_VIEW.at(request.minor)(made[0], None)}


def tenant_delete(request: ApiRequest) -> Any:
    """Delete a network of the caller's project that has no address in use."""
    wanted = request.path["network_id"]
    caller = request.caller

    def write(tx: Transaction) -> None:
        network = visible_network(request, tx, wanted)
        if not caller.is_admin and network.project_id != caller.project_id:
            raise NetworkNotFound(wanted[:64])
        tx.networks.delete(wanted, require_disassociated=False)
        tell_networks_changed(request, tx)

    request.cloud.db.run(write)


ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-networks", index, rule=f"{_NETWORKS}:list", until=35),
    Route("POST", "/os-networks", create, rule=f"{_NETWORKS}:create", until=35,
          body=Body("network", NetworkCreate)),
    Route("POST", "/os-networks/add", add, 202, rule=f"{_NETWORKS}:add", until=35,
          body=Body(None, NetworkAdd)),
    Route("GET", "/os-networks/{network_id}", show, rule=f"{_NETWORKS}:show", until=35),
    Route("DELETE", "/os-networks/{network_id}", delete, 202, rule=f"{_NETWORKS}:delete",
          until=35),
    Route("POST", "/os-networks/{network_id}/action", act, 202, rule=_ASSOCIATE, until=35,
          body=Body(None, NetworkAction)),
    Route("GET", "/os-tenant-networks", tenant_index, rule=f"{_TENANT}:list", until=35),
    Route("POST", "/os-tenant-networks", tenant_create, rule=f"{_TENANT}:create", until=35,
          body=Body("network", TenantNetworkCreate)),
    Route("GET", "/os-tenant-networks/{network_id}", tenant_show, rule=f"{_TENANT}:show",
          until=35),
    Route("DELETE", "/os-tenant-networks/{network_id}", tenant_delete, 202,
          rule=f"{_TENANT}:delete", until=35),
)
