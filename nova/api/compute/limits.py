# SPDX-License-Identifier: Apache-2.0
"""``limits``: a project's quotas and what it uses, in one answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from nova.api.compute.fields import Field, Getter, View
from nova.api.compute.policies import ADMIN, ANYONE
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Query, Route
from nova.errors import InvalidInput
from nova.objects.quota import ProjectUsage
from nova.policy import Rule

_ROOT = "os_compute_api:limits"

RULES: tuple[Rule, ...] = (
    Rule(_ROOT, ANYONE, "Show the limits of the caller's project."),
    Rule(f"{_ROOT}:other_project", ADMIN, "Show the limits of another project."),
)


class Figures(NamedTuple):
    """What the view is made from."""

    limits: Mapping[str, int]
    usage: ProjectUsage


def _limit(resource: str) -> Getter:
    return lambda figures, _scene: figures.limits[resource]


def _used(resource: str) -> Getter:
    return lambda figures, _scene: getattr(figures.usage, resource)


VIEW = View(
    Field("maxTotalInstances", _limit("instances")),
    Field("maxTotalCores", _limit("cores")),
    Field("maxTotalRAMSize", _limit("ram")),
    Field("maxTotalKeypairs", _limit("key_pairs")),
    Field("maxServerMeta", _limit("metadata_items")),
    Field("maxServerGroups", _limit("server_groups")),
    Field("maxServerGroupMembers", _limit("server_group_members")),
    Field("maxImageMeta", _limit("metadata_items"), until=38),
    Field("maxPersonality", _limit("injected_files"), until=56),
    Field("maxPersonalitySize", _limit("injected_file_content_bytes"), until=56),
    Field("maxTotalFloatingIps", _limit("floating_ips"), until=35),
    Field("maxSecurityGroups", _limit("security_groups"), until=35),
    Field("maxSecurityGroupRules", _limit("security_group_rules"), until=35),
    Field("totalInstancesUsed", _used("instances")),
    Field("totalCoresUsed", _used("cores")),
    Field("totalRAMUsed", _used("ram")),
    Field("totalServerGroupsUsed", _used("server_groups")),
    Field("totalFloatingIpsUsed", _used("floating_ips"), until=35),
    Field("totalSecurityGroupsUsed", _used("security_groups"), until=35),
)


def index(request: ApiRequest) -> Any:
    """Show limits and usage; those of another project to administrators who name it.

    ``rate`` is always empty: requests are not limited in number.
    """
    named = request.query.get("tenant_id")
    project = request.caller.project_id
    if named:
        project = named[0]
        if len(project) > 64:
            raise InvalidInput("tenant_id", "It may have 64 characters at most.", project)
        request.check(f"{_ROOT}:other_project", project_id=project)
    with request.cloud.db.read() as tx:
        limits = request.cloud.limits.read(tx, project)
        usage = tx.quotas.usage(project)
    absolute = VIEW.at(request.minor)(Figures(limits.effective, usage), None)
    return {"limits": {"rate": [], "absolute": absolute}}


ROUTES: tuple[Route, ...] = (
    Route("GET", "/limits", index, rule=_ROOT, query=Query({"tenant_id": 1}, strict=75)),
)
