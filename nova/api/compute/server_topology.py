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
    """The guest's NUMA nodes, as its host wrote them down; none where it has no topology."""
    instance = request.cloud.operations.get(request.caller, request.path["server_id"])
    request.check(f"{_ROOT}:index", project_id=instance.project_id)
    topology = instance.system_metadata.get("numa_topology")
    if not isinstance(topology, dict):
        return {"nodes": [], "pagesize_kb": None}
    with_host = request.allows(f"{_ROOT}:host:index", project_id=instance.project_id)
    nodes = []
    for cell in topology.get("nodes", ()):
        node: dict[str, Any] = {
            "vcpu_set": cell.get("vcpu_set", []), "siblings": cell.get("siblings", []),
            "memory_mb": cell.get("memory_mb", 0),
        }
        if with_host:
            node["host_node"] = cell.get("host_node")
            node["cpu_pinning"] = cell.get("cpu_pinning", {})
        nodes.append(node)
    return {"nodes": nodes, "pagesize_kb": topology.get("pagesize_kb")}


ROUTES: tuple[Route, ...] = (Route("GET", "/servers/{server_id}/topology", show, since=78),)
