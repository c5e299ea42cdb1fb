# SPDX-License-Identifier: Apache-2.0
"""``os-floating-ips`` with pools and bulk (until 2.35)."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from nova.api.compute.bodies import Body
from nova.api.compute.fields import Field, View, attribute
from nova.api.compute.policies import ADMIN, ANYONE, MEMBER_OR_ADMIN, READER_OR_ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.api.compute.server_values import is_uuid
from nova.api.network.pools import pool_named
from nova.db.engine import Transaction
from nova.errors import NotFound
from nova.network import floating
from nova.objects.network import FloatingIP
from nova.policy import Rule

_ROOT = "os_compute_api:os-floating-ips"
_POOLS = "os_compute_api:os-floating-ip-pools"
_BULK = "os_compute_api:os-floating-ips-bulk"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:list", READER_OR_ADMIN, "List the floating addresses of the own project."),
    Rule(f"{_ROOT}:show", READER_OR_ADMIN, "Show a floating address of the own project."),
    Rule(f"{_ROOT}:create", MEMBER_OR_ADMIN, "Take a floating address from a pool."),
    Rule(f"{_ROOT}:delete", MEMBER_OR_ADMIN, "Give a floating address back to its pool."),
    Rule(_POOLS, ANYONE, "List the pools of floating addresses."),
    Rule(_BULK, ADMIN, "List, add and remove the addresses of pools."),
)

VIEW = View(
    Field("id", attribute("id")),
    Field("ip", attribute("address")),
    Field("pool", attribute("pool")),
    Field("fixed_ip", attribute("fixed_address")),
    Field("instance_id", attribute("instance_uuid")),
)
BULK_VIEW = View(
    Field("address", attribute("address")),
    Field("pool", attribute("pool")),
    Field("interface", attribute("interface")),
    Field("project_id", attribute("project_id")),
    Field("instance_uuid", attribute("instance_uuid")),
    Field("fixed_ip", attribute("fixed_address")),
)

PoolName = Annotated[str, Meta(min_length=1, max_length=255)]


class Allocation(msgspec.Struct):
    """The body of POST /os-floating-ips, which may be missing."""

    pool: PoolName | None = None


class BulkCreate(msgspec.Struct):
    """The body of POST /os-floating-ips-bulk: one address or a CIDR."""

    ip_range: Annotated[str, Meta(min_length=1, max_length=64)]
    pool: PoolName | None = None
    interface: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


class BulkDelete(msgspec.Struct):
    """The body of PUT /os-floating-ips-bulk/delete."""

    ip_range: Annotated[str, Meta(min_length=1, max_length=64)]


def index(request: ApiRequest) -> Any:
    """List the addresses that the caller's project holds."""
    with request.cloud.db.read() as tx:
        found = tx.floating_ips.of_project(request.caller.project_id)
    render = VIEW.at(request.minor)
    return {"floating_ips": [render(each, None) for each in found]}


def _held(request: ApiRequest, tx: Transaction) -> FloatingIP:
    """The project's address of the path's id; ``NotFound`` for all others."""
    text = request.path["floating_ip_id"]
    if len(text) > 10 or not text.isascii() or not text.isdigit() or int(text) > 2**31 - 1:
        raise NotFound(f"Floating ip not found for id {text[:64]}.")
    return floating.get_owned(tx, request.caller.project_id, text)


def show(request: ApiRequest) -> Any:
    """Show an address that the caller's project holds."""
    with request.cloud.db.read() as tx:
        found = _held(request, tx)
    return {"floating_ip": VIEW.at(request.minor)(found, None)}


def create(request: ApiRequest) -> Any:
    """Take an address from a pool, within the project's quota."""
    body: Allocation | None = request.body
    caller = request.caller
    pool = (body.pool if body else None) or request.cloud.config.network.default_floating_pool
    limits = request.cloud.limits.get(caller.project_id, caller.user_id)

    def write(tx: Transaction) -> FloatingIP:
        tx.quotas.reserve(caller.project_id, {"floating_ips": 1}, limits)
        return tx.floating_ips.allocate(caller.project_id, _pool_name(tx, pool))

    taken = request.cloud.db.run(write)
    return {"floating_ip": VIEW.at(request.minor)(taken, None)}


def _pool_name(tx: Transaction, text: str) -> str:
    """The name of a pool, which may be asked for by the uuid of its external network as well."""
    if not is_uuid(text):
        return text
    found = pool_named(tx, text.lower())
    return text if found is None else found.name


def delete(request: ApiRequest) -> Any:
    """Give an address back to its pool; it leads nowhere afterwards."""
    project = request.caller.project_id

    def write(tx: Transaction) -> None:
        change = floating.release(
            tx, project, _held(request, tx), request.cloud.networks.refreshes
        )
        tx.quotas.release(project, {"floating_ips": 1})
        if change.instances:
            request.cloud.operations.refresh_addresses(tx, change.instances)
            tx.after_commit(request.cloud.events.networks_changed)

    request.cloud.db.run(write)


def pools(request: ApiRequest) -> Any:
    """List the names of the pools."""
    with request.cloud.db.read() as tx:
        names = tx.floating_ips.pools()
    return {"floating_ip_pools": [{"name": name} for name in names]}


# -- the administrator's side ----------------------------------------------------------------------


def bulk_index(request: ApiRequest) -> Any:
    """List all addresses of all pools."""
    with request.cloud.db.read() as tx:
        found = tx.floating_ips.every()
    render = BULK_VIEW.at(request.minor)
    return {"floating_ip_info": [render(each, None) for each in found]}


def bulk_show(request: ApiRequest) -> Any:
    """List the addresses that a host serves."""
    host = request.path["host_name"]
    with request.cloud.db.read() as tx:
        found = tx.floating_ips.every(host)
    if not found:
        raise NotFound(f"Floating ip not found for host {host[:255]}.")
    render = BULK_VIEW.at(request.minor)
    return {"floating_ip_info": [render(each, None) for each in found]}


def bulk_create(request: ApiRequest) -> Any:
    """Add an address, or those of a range, to a pool."""
    body: BulkCreate = request.body
    options = request.cloud.config.network
    pool = body.pool or options.default_floating_pool
    interface = body.interface or options.public_interface
    request.cloud.db.run(lambda tx: floating.create_range(tx, body.ip_range, pool, interface))
    return {
        "floating_ips_bulk_create": {
            "ip_range": body.ip_range, "pool": pool, "interface": interface,
        }
    }


def bulk_update(request: ApiRequest) -> Any:
    """Remove an address, or those of a range, that lead nowhere."""
    if request.path["host_name"] != "delete":
        raise NotFound("Unknown action")
    body: BulkDelete = request.body

    def write(tx: Transaction) -> None:
        removed = floating.delete_range(tx, body.ip_range, request.cloud.networks.refreshes)
        for project, number in removed.items():
            tx.quotas.release(project, {"floating_ips": number})

    request.cloud.db.run(write)
    return {"floating_ips_bulk_delete": body.ip_range}


ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-floating-ips", index, rule=f"{_ROOT}:list", until=35),
    Route("POST", "/os-floating-ips", create, rule=f"{_ROOT}:create", until=35,
          body=Body(None, Allocation, tolerant=True), optional_body=True),
    Route("GET", "/os-floating-ips/{floating_ip_id}", show, rule=f"{_ROOT}:show", until=35),
    Route("DELETE", "/os-floating-ips/{floating_ip_id}", delete, 202, rule=f"{_ROOT}:delete",
          until=35),
    Route("GET", "/os-floating-ip-pools", pools, rule=_POOLS, until=35),
    Route("GET", "/os-floating-ips-bulk", bulk_index, rule=_BULK, until=35),
    Route("POST", "/os-floating-ips-bulk", bulk_create, rule=_BULK, until=35,
          body=Body("floating_ips_bulk_create", BulkCreate)),
    Route("GET", "/os-floating-ips-bulk/{host_name}", bulk_show, rule=_BULK, until=35),
    Route("PUT", "/os-floating-ips-bulk/{host_name}", bulk_update, rule=_BULK, until=35,
          body=Body(None, BulkDelete)),
)
