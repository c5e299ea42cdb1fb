# SPDX-License-Identifier: Apache-2.0
"""``/servers/{id}/topology`` (from 2.78)."""

from __future__ import annotations

from typing import Any

from nova.api.compute.policies import ADMIN, READER_OR_ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.policy import Rule

_ROOT = "compute:server:topology"
RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:index", READER_OR_ADMIN, "See a server's NUMA topology."),
    Rule(f"{_ROOT}:host:index", ADMIN, "See the host's side of a server's NUMA topology."),
)


def show(request: ApiRequest) -> Any:
    """The guest's NUMA nodes and where on its host they are; none where it has no topology."""
    instance = request.cloud.operations.get(request.caller, request.path["server_id"])
    request.check(f"{_ROOT}:index", project_id=instance.project_id)
    topology = instance.topology
    if topology is None:
        return {"nodes": [], "pagesize_kb": None}
    with_host = request.allows(f"{_ROOT}:host:index", project_id=instance.project_id)
    nodes = []
    page: int | None = None
    for cell in topology.cells:
        node: dict[str, Any] = {
            "vcpu_set": list(cell.cpus), "siblings": [list(core) for core in cell.siblings],
            "memory_mb": cell.memory_mb,
        }
        if with_host:
            node["host_node"] = cell.host_cell
            node["cpu_pinning"] = {str(vcpu): cpu for vcpu, cpu in cell.pinning}
        page = cell.page_kb or page
        nodes.append(node)
    return {"nodes": nodes, "pagesize_kb": page}


ROUTES: tuple[Route, ...] = (Route("GET", "/servers/{server_id}/topology", show, since=78),)
