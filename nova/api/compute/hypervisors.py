# SPDX-License-Identifier: Apache-2.0
"""``os-hypervisors``: compute nodes with their sizes and what is used of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from nova.api.compute import server_values as values
from nova.api.compute.fields import ABSENT, Field, View, attribute
from nova.api.compute.policies import ADMIN
from nova.api.compute.queries import flag_of, integer_id, limit_of, uuid_id
from nova.api.compute.request import ApiRequest, page_links
from nova.api.compute.routing import Query, Route
from nova.api.compute.service_views import COMPUTE, ServiceScene, service_scene, status
from nova.db.engine import Transaction
from nova.errors import BadRequest, NotFound, NotImplementedByDriver
from nova.objects.host import ComputeNode, Service
from nova.objects.usage import HostedServer
from nova.policy import Rule

_ROOT = "os_compute_api:os-hypervisors"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:list", ADMIN, "List hypervisors."),
    Rule(f"{_ROOT}:list-detail", ADMIN, "List hypervisors with all facts."),
    Rule(f"{_ROOT}:statistics", ADMIN, "Sums over all hypervisors."),
    Rule(f"{_ROOT}:show", ADMIN, "Show a hypervisor."),
    Rule(f"{_ROOT}:uptime", ADMIN, "Show the uptime of a hypervisor."),
    Rule(f"{_ROOT}:search", ADMIN, "Search hypervisors by name."),
    Rule(f"{_ROOT}:servers", ADMIN, "List the servers on hypervisors."),
)


@dataclasses.dataclass(frozen=True)
class Scene:
    """What views need beside a node. ``servers`` is None where they were not asked for."""

    services: Mapping[str, Service]
    facts: ServiceScene
    workload: Mapping[str, int]
    servers: Mapping[str, list[HostedServer]] | None
    always_list_servers: bool


def _cpu_info_text(node: ComputeNode, _scene: Scene) -> str:
    return msgspec.json.encode(node.cpu_info).decode() if node.cpu_info else ""


def _service(identifier: str) -> Any:
    def get(node: ComputeNode, scene: Scene) -> dict[str, Any]:
        service = scene.services[node.host]
        return {
            "id": getattr(service, identifier),
            "host": node.host,
            "disabled_reason": service.disabled_reason,
        }

    return get


def _servers(node: ComputeNode, scene: Scene) -> Any:
    if scene.servers is None:
        return ABSENT
    here = scene.servers.get(node.host, [])
    if not here and not scene.always_list_servers:
        return ABSENT
    return [{"name": each.internal_name, "uuid": each.uuid} for each in here]


def _memory_used(node: ComputeNode, _scene: Scene) -> int:
    return node.memory_mb_used + node.reserved_memory_mb


def _disk_used(node: ComputeNode, _scene: Scene) -> int:
    return node.local_gb_used + node.reserved_disk_gb


_SUMMARY = (
    Field("id", attribute("id"), until=52),
    Field("id", attribute("uuid"), since=53),
    Field("hypervisor_hostname", attribute("hypervisor_hostname")),
    Field("state", lambda node, scene: scene.facts.state(scene.services[node.host])),
    Field("status", lambda node, scene: status(scene.services[node.host])),
    Field("servers", _servers, maybe_absent=True),
)
SUMMARY = View(*_SUMMARY)
UPTIME = View(*_SUMMARY, Field("uptime", attribute("uptime")))
DETAIL = View(
    *_SUMMARY,
    Field("hypervisor_type", attribute("hypervisor_type")),
    Field("hypervisor_version", attribute("hypervisor_version")),
    Field("host_ip", attribute("host_ip")),
    Field("service", _service("id"), until=52),
    Field("service", _service("uuid"), since=53),
    Field("vcpus", lambda node, _scene: node.vcpus + node.pcpus, until=87),
    Field("memory_mb", attribute("memory_mb"), until=87),
    Field("local_gb", attribute("local_gb"), until=87),
    Field("vcpus_used", lambda node, _scene: node.vcpus_used + node.pcpus_used + node.reserved_vcpus,
          until=87),
    Field("memory_mb_used", _memory_used, until=87),
    Field("local_gb_used", _disk_used, until=87),
    Field("free_ram_mb",
          lambda node, scene: node.memory_mb - _memory_used(node, scene), until=87),
    Field("free_disk_gb",
          lambda node, scene: node.local_gb - _disk_used(node, scene), until=87),
    Field("current_workload", lambda node, scene: scene.workload.get(node.host, 0), until=87),
    Field("running_vms", attribute("running_vms"), until=87),
    Field("disk_available_least", attribute("disk_available_least"), until=87),
    Field("cpu_info", _cpu_info_text, until=27),
    Field("cpu_info", attribute("cpu_info"), since=28, until=87),
    Field("uptime", attribute("uptime"), since=88),
)


def _scene(
    request: ApiRequest,
    tx: Transaction,
    view: View,
    nodes: Iterable[ComputeNode],
    *,
    with_servers: bool,
) -> Scene:
    """What a view of these nodes needs; the workload is counted for the detailed view only."""
    hosts = list({node.host for node in nodes})
    if len(hosts) == 1:
        services = tx.services.list(COMPUTE, hosts[0])
    else:
        services = tx.services.list(COMPUTE)
    return Scene(
        services={service.host: service for service in services},
        facts=service_scene(request, tx),
        workload=(
            tx.usage.workload(hosts if len(hosts) == 1 else None) if view is DETAIL else {}
        ),
        servers=tx.usage.hosted(hosts) if with_servers else None,
        always_list_servers=request.features.hypervisor_servers_always,
    )


def _render(
    request: ApiRequest, view: View, nodes: Iterable[ComputeNode], scene: Scene
) -> list[dict[str, Any]]:
    """Views of nodes; those whose service was deleted are left out."""
    render = view.at(request.minor)
    return [render(node, scene) for node in nodes if node.host in scene.services]


def _find(request: ApiRequest, tx: Transaction, text: str) -> ComputeNode:
    """The node of a path's or marker's id, which is a uuid from 2.53 on and a number before."""
    if request.features.uuid_identifiers:
        return tx.nodes.get_by_uuid(uuid_id(text))
    try:
        number = integer_id("hypervisor", text)
    except BadRequest:
        raise NotFound(f"Hypervisor with ID '{text[:64]}' could not be found.") from None
    return tx.nodes.get(number)


def _page(request: ApiRequest, tx: Transaction) -> tuple[list[ComputeNode], bool]:
    """The nodes of this page, and whether it is full."""
    if not request.features.hypervisor_paging:
        return tx.nodes.list(), False
    limit = limit_of(request)
    marker = request.one("marker")
    after = 0
    if marker is not None:
        try:
            after = _find(request, tx, marker).id
        except (BadRequest, NotFound):
            raise BadRequest(f"marker [{marker[:64]}] not found") from None
    nodes = tx.nodes.page(limit, after=after) if limit else []
    return nodes, bool(limit) and len(nodes) == limit


def _with_servers(request: ApiRequest) -> bool:
    if request.one("with_servers") == "":
        raise BadRequest("Invalid input for query parameters with_servers. It is empty.")
    return flag_of(request, "with_servers")


def _matching(tx: Transaction, pattern: str) -> list[ComputeNode]:
    nodes = tx.nodes.search(pattern)
    if not nodes:
        raise NotFound(f"No hypervisor matching '{pattern[:255]}' could be found.")
    return nodes


def _list(request: ApiRequest, view: View) -> Any:
    pattern = request.one("hypervisor_hostname_pattern")
    if pattern is not None:
        values.host("hypervisor_hostname_pattern", pattern)
    if pattern is not None and (request.one("limit") or request.one("marker")):
        raise BadRequest(
            "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not "
            "supported."
        )
    with request.cloud.db.read() as tx:
        if pattern is None:
            nodes, full = _page(request, tx)
        else:
            nodes, full = _matching(tx, pattern), False
        scene = _scene(request, tx, view, nodes, with_servers=_with_servers(request))
    shown = _render(request, view, nodes, scene)
    answer: dict[str, Any] = {"hypervisors": shown}
    if full:
        last = nodes[-1].uuid if request.features.uuid_identifiers else str(nodes[-1].id)
        answer["hypervisors_links"] = page_links(request, "hypervisors", last)
    return answer


def index(request: ApiRequest) -> Any:
    """List hypervisors: id, name, state and status."""
    return _list(request, SUMMARY)


def detail(request: ApiRequest) -> Any:
    """List hypervisors with all facts."""
    return _list(request, DETAIL)


def _one(request: ApiRequest, view: View, *, with_servers: bool) -> dict[str, Any]:
    text = request.path["hypervisor_id"]
    with request.cloud.db.read() as tx:
        try:
            node = _find(request, tx, text)
        except NotFound:
            raise NotFound(f"Hypervisor with ID '{text[:64]}' could not be found.") from None
        scene = _scene(request, tx, view, [node], with_servers=with_servers)
    shown = _render(request, view, [node], scene)
    if not shown:
        raise NotFound(f"Hypervisor with ID '{text[:64]}' could not be found.")
    return shown[0]


def show(request: ApiRequest) -> Any:
    """Show a hypervisor."""
    return {"hypervisor": _one(request, DETAIL, with_servers=_with_servers(request))}


def uptime(request: ApiRequest) -> Any:
    """Show the uptime of a hypervisor, as its host last reported it (until 2.87)."""
    shown = _one(request, UPTIME, with_servers=False)
    if shown["state"] == "down":
        raise BadRequest("The compute service of this hypervisor is down.")
    if shown["uptime"] is None:
        raise NotImplementedByDriver("The driver of this hypervisor reports no uptime.")
    return {"hypervisor": shown}


def statistics(request: ApiRequest) -> Any:
    """Sums over the hypervisors of enabled services (until 2.87)."""
    with request.cloud.db.read() as tx:
        sums = msgspec.structs.asdict(tx.nodes.statistics())
        sums["current_workload"] = sum(tx.usage.workload().values())
    return {"hypervisor_statistics": sums}


def search(request: ApiRequest) -> Any:
    """Hypervisors whose name contains a text (until 2.52)."""
    return _searched(request, with_servers=False)


def servers(request: ApiRequest) -> Any:
    """The same with the servers on them (until 2.52)."""
    return _searched(request, with_servers=True)


def _searched(request: ApiRequest, *, with_servers: bool) -> Any:
    with request.cloud.db.read() as tx:
        nodes = _matching(tx, request.path["hypervisor_id"])
        scene = _scene(request, tx, SUMMARY, nodes, with_servers=with_servers)
    return {"hypervisors": _render(request, SUMMARY, nodes, scene)}


_LISTING = Query(
    {"limit": 33, "marker": 33, "hypervisor_hostname_pattern": 53, "with_servers": 53}, strict=53,
    once=frozenset({"limit", "marker", "hypervisor_hostname_pattern", "with_servers"}),
    checks={"limit": ApiRequest.integer, "with_servers": flag_of},
)
_ONE = Query(
    {"with_servers": 53}, strict=53, once=frozenset({"with_servers"}), checks={"with_servers": flag_of},
)

ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-hypervisors", index, rule=f"{_ROOT}:list", query=_LISTING),
    Route("GET", "/os-hypervisors/detail", detail, rule=f"{_ROOT}:list-detail", query=_LISTING),
    Route("GET", "/os-hypervisors/statistics", statistics, rule=f"{_ROOT}:statistics", until=87),
    Route("GET", "/os-hypervisors/{hypervisor_id}", show, rule=f"{_ROOT}:show", query=_ONE),
    Route("GET", "/os-hypervisors/{hypervisor_id}/uptime", uptime, rule=f"{_ROOT}:uptime",
          until=87),
    Route("GET", "/os-hypervisors/{hypervisor_id}/search", search, rule=f"{_ROOT}:search",
          until=52),
    Route("GET", "/os-hypervisors/{hypervisor_id}/servers", servers, rule=f"{_ROOT}:servers",
          until=52),
)
