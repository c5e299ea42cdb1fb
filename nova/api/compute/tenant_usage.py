# SPDX-License-Identifier: Apache-2.0
"""``os-simple-tenant-usage``: what projects used in a period."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable
from typing import Any

from nova.api.compute.policies import ADMIN, READER_OR_ADMIN
from nova.api.compute.queries import limit_of, unknown_marker
from nova.api.compute.request import ApiRequest, page_links
from nova.api.compute.routing import Query, Route
from nova.api.compute.times import precise
from nova.db.schema.base import now
from nova.errors import BadRequest
from nova.objects.usage import ServerUsage
from nova.policy import Rule

_ROOT = "os_compute_api:os-simple-tenant-usage"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:list", ADMIN, "List the usage of all projects."),
    Rule(f"{_ROOT}:show", READER_OR_ADMIN, "Show the usage of a project."),
)

_FORMATS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f")


@dataclasses.dataclass(frozen=True)
class Period:
    """The period asked for, not reaching into the future; naive UTC."""

    start: datetime.datetime
    stop: datetime.datetime


def _read_moment(text: str) -> datetime.datetime:
    for form in _FORMATS:
        try:
            return datetime.datetime.strptime(text, form)
        except ValueError:
            continue
    raise BadRequest(f"Datetime is in invalid format: {text[:40]}")


def _period(request: ApiRequest) -> Period:
    """``start`` and ``end`` of the query, each the present time where it is missing."""
    texts = [request.query.get(name, [""])[0] for name in ("start", "end")]
    moment = now()
    start, stop = (_read_moment(text) if text else moment for text in texts)
    if start >= stop and any(texts):
        raise BadRequest("Invalid start time. The start time cannot occur after the end time.")
    return Period(start, min(stop, moment))


def _server(usage: ServerUsage, hours: float, moment: datetime.datetime) -> dict[str, Any]:
    ended = usage.terminated_at
    return {
        "instance_id": usage.uuid,
        "name": usage.name,
        "hours": hours,
        "flavor": usage.flavor.name if usage.flavor is not None else "",
        "vcpus": usage.vcpus,
        "memory_mb": usage.memory_mb,
        "local_gb": usage.local_gb,
        "tenant_id": usage.project_id,
        "started_at": precise(usage.launched_at),
        "ended_at": precise(ended),
        "state": usage.vm_state if ended is None else "terminated",
        "uptime": int(((ended or moment) - usage.launched_at).total_seconds()),
    }


def _summaries(
    servers: Iterable[ServerUsage], period: Period, *, detailed: bool
) -> list[dict[str, Any]]:
    moment = now()
    by_project: dict[str, dict[str, Any]] = {}
    for usage in servers:
        summary = by_project.get(usage.project_id)
        if summary is None:
            summary = by_project[usage.project_id] = {
                "tenant_id": usage.project_id,
                "start": precise(period.start),
                "stop": precise(period.stop),
                "total_hours": 0.0,
                "total_local_gb_usage": 0.0,
                "total_memory_mb_usage": 0.0,
                "total_vcpus_usage": 0.0,
            }
            if detailed:
                summary["server_usages"] = []
        hours = usage.hours_in(period.start, period.stop)
        summary["total_hours"] += hours
        summary["total_local_gb_usage"] += usage.local_gb * hours
        summary["total_memory_mb_usage"] += usage.memory_mb * hours
        summary["total_vcpus_usage"] += usage.vcpus * hours
        if detailed:
            summary["server_usages"].append(_server(usage, hours, moment))
    return list(by_project.values())


def _servers(
    request: ApiRequest, period: Period, project_id: str | None, *, detailed: bool
) -> tuple[list[ServerUsage], list[dict[str, str]] | None]:
    """The servers of the period, and from 2.40 on the link to the next page."""
    paged = request.features.usage_paging
    limit = limit_of(request) if paged else None
    marker = request.one("marker")
    with request.cloud.db.read() as tx:
        found = tx.usage.servers_between(
            period.start, period.stop, project_id=project_id, detailed=detailed, limit=limit,
            marker=marker,
        )
    if found is None:
        raise unknown_marker(marker)
    links = None
    if limit and len(found) == limit:
        links = page_links(request, "usages", found[-1].uuid)
    return found, links


def index(request: ApiRequest) -> Any:
    """The usage of all projects; each with its servers where ``detailed=1``."""
    period = _period(request)
    detailed = request.query.get("detailed", ["0"])[0] == "1"
    servers, links = _servers(request, period, None, detailed=detailed)
    answer: dict[str, Any] = {
        "tenant_usages": _summaries(servers, period, detailed=detailed)
    }
    if links:
        answer["tenant_usages_links"] = links
    return answer


def show(request: ApiRequest) -> Any:
    """The usage of one project with its servers; an empty object where it had none."""
    project = request.path["tenant_id"]
    request.check(f"{_ROOT}:show", project_id=project)
    period = _period(request)
    servers, links = _servers(request, period, project, detailed=True)
    summaries = _summaries(servers, period, detailed=True)
    answer: dict[str, Any] = {"tenant_usage": summaries[0] if summaries else {}}
    if links:
        answer["tenant_usage_links"] = links
    return answer


_CHECKS = {"limit": ApiRequest.integer}

ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/os-simple-tenant-usage", index, rule=f"{_ROOT}:list",
        query=Query(
            {"start": 1, "end": 1, "detailed": 1, "limit": 40, "marker": 40}, strict=75, checks=_CHECKS
        ),
    ),
    Route(
        "GET", "/os-simple-tenant-usage/{tenant_id}", show,
        query=Query({"start": 1, "end": 1, "limit": 40, "marker": 40}, strict=75, checks=_CHECKS),
    ),
)
