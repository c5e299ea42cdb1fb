# SPDX-License-Identifier: Apache-2.0
"""``os-hosts``: hosts and what projects use on them (until 2.42)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from nova.api.compute.bodies import Body
from nova.api.compute.policies import ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Query, Route
from nova.api.compute.service_views import COMPUTE, service_scene, tell_services_changed
from nova.db.engine import Transaction
from nova.errors import BadRequest, NotFound, NotImplementedByDriver
from nova.objects.host import Service
from nova.objects.usage import HostedServer
from nova.policy import Rule

_ROOT = "os_compute_api:os-hosts"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:list", ADMIN, "List hosts."),
    Rule(f"{_ROOT}:show", ADMIN, "Show a host and what projects use on it."),
    Rule(f"{_ROOT}:update", ADMIN, "Enable or disable a host."),
    Rule(f"{_ROOT}:reboot", ADMIN, "Reboot a host."),
    Rule(f"{_ROOT}:shutdown", ADMIN, "Shut a host down."),
    Rule(f"{_ROOT}:start", ADMIN, "Start a host."),
)

Switch = Literal["enable", "disable", "Enable", "Disable", "ENABLE", "DISABLE"]


class HostUpdate(msgspec.Struct):
    """The body of PUT."""

    status: Switch | UnsetType = UNSET
    maintenance_mode: Switch | UnsetType = UNSET


def index(request: ApiRequest) -> Any:
    """List the enabled services with their hosts and zones; of one zone if named."""
    zone = request.one("zone")
    with request.cloud.db.read() as tx:
        services = tx.services.list()
        scene = service_scene(request, tx)
    return {
        "hosts": [
            {"host_name": each.host, "service": each.topic, "zone": scene.zone(each)}
            for each in services
            if not each.disabled and (not zone or scene.zone(each) == zone)
        ]
    }


def _resource(
    host: str, project: str, cpu: int, memory_mb: int, disk_gb: int
) -> dict[str, dict[str, Any]]:
    return {
        "resource": {
            "host": host, "project": project, "cpu": cpu, "memory_mb": memory_mb,
            "disk_gb": disk_gb,
        }
    }


def _sum(host: str, project: str, servers: Iterable[HostedServer]) -> dict[str, dict[str, Any]]:
    listed = list(servers)
    return _resource(
        host, project, sum(each.vcpus for each in listed),
        sum(each.memory_mb for each in listed), sum(each.local_gb for each in listed),
    )


def show(request: ApiRequest) -> Any:
    """Sizes of a host, what is used of them, and the part of each project."""
    host = request.path["host_name"]
    with request.cloud.db.read() as tx:
        nodes = tx.nodes.by_host(host)
        servers = tx.usage.hosted([host]).get(host, [])
    if not nodes:
        raise NotFound(f"Compute host {host[:255]} could not be found.")
    resources = [
        _resource(
            host, "(total)", sum(node.vcpus for node in nodes),
            sum(node.memory_mb for node in nodes), sum(node.local_gb for node in nodes),
        ),
        _resource(
            host, "(used_now)", sum(node.vcpus_used + node.reserved_vcpus for node in nodes),
            sum(node.memory_mb_used + node.reserved_memory_mb for node in nodes),
            sum(node.local_gb_used + node.reserved_disk_gb for node in nodes),
        ),
        _sum(host, "(used_max)", servers),
    ]
    for project in dict.fromkeys(each.project_id for each in servers):
        resources.append(
            _sum(host, project, (each for each in servers if each.project_id == project))
        )
    return {"host": resources}


def _compute_service(tx: Transaction, host: str) -> Service:
    service = tx.services.get_by_host(COMPUTE, host)
    if service is None:
        raise NotFound(f"Compute host {host[:255]} could not be found.")
    return service


def update(request: ApiRequest) -> Any:
    """Let a host take new servers or not. No driver has a maintenance mode."""
    body: HostUpdate = request.body
    host = request.path["host_name"]
    if body.status is UNSET and body.maintenance_mode is UNSET:
        raise BadRequest(
            "Invalid input for field/attribute body. 'status' or 'maintenance_mode' is a "
            "required property"
        )

    def write(tx: Transaction) -> bool:
        service = _compute_service(tx, host)
        if body.maintenance_mode is not UNSET or body.status is UNSET:
            raise NotImplementedByDriver("The requested functionality is not supported.")
        enabled = body.status.lower() == "enable"
        tx.services.set_disabled(service.id, not enabled)
        tell_services_changed(request, tx)
        return enabled

    enabled = request.cloud.db.run(write)
    return {"host": host, "status": "enabled" if enabled else "disabled"}


def power(request: ApiRequest) -> Any:
    """Reboot, shut down or start a host: no driver can."""
    with request.cloud.db.read() as tx:
        _compute_service(tx, request.path["host_name"])
    raise NotImplementedByDriver("The requested functionality is not supported.")


ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-hosts", index, rule=f"{_ROOT}:list", query=Query({"zone": 1}), until=42),
    Route("GET", "/os-hosts/{host_name}", show, rule=f"{_ROOT}:show", until=42),
    Route("PUT", "/os-hosts/{host_name}", update, rule=f"{_ROOT}:update",
          body=Body(None, HostUpdate), until=42),
    Route("GET", "/os-hosts/{host_name}/reboot", power, rule=f"{_ROOT}:reboot", until=42),
    Route("GET", "/os-hosts/{host_name}/shutdown", power, rule=f"{_ROOT}:shutdown", until=42),
    Route("GET", "/os-hosts/{host_name}/startup", power, rule=f"{_ROOT}:start", until=42),
)
