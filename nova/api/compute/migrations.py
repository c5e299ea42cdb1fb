# SPDX-License-Identifier: Apache-2.0
"""``os-migrations``: moves of servers between hosts."""

from __future__ import annotations

from typing import Any, NamedTuple

from nova.api.compute.fields import ABSENT, Field, View, attribute
from nova.api.compute.migration_fields import TAIL, host_fields
from nova.api.compute.policies import ADMIN, MANAGER_OR_ADMIN
from nova.api.compute.queries import limit_of, unknown_marker
from nova.api.compute.request import ApiRequest, page_links
from nova.api.compute.routing import Query, Route
from nova.api.compute.times import changed_between, time_of
from nova.objects.migration import Migration, MigrationFilter
from nova.policy import Rule

_ROOT = "os_compute_api:os-migrations"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:index", MANAGER_OR_ADMIN, "List migrations of the own project."),
    Rule(f"{_ROOT}:index:all_projects", ADMIN, "List migrations of every project."),
    Rule(f"{_ROOT}:index:host", ADMIN, "See the hosts of migrations."),
)


class Scene(NamedTuple):
    """What a view needs beside a migration: the request, and whether the caller may see hosts."""

    request: ApiRequest
    hosts_visible: bool


def _links(migration: Migration, scene: Scene) -> Any:
    """Only live migrations under way can be shown and acted on by their own address (2.23)."""
    if not migration.is_live_and_running:
        return ABSENT
    request = scene.request
    path = f"/servers/{migration.instance_uuid}/migrations/{migration.id}"
    bookmark = request.base.replace(f"{request.root}/v2.1", request.root, 1)
    return [
        {"rel": "self", "href": f"{request.base}{path}"},
        {"rel": "bookmark", "href": f"{bookmark}{path}"},
    ]


VIEW = View(
    Field("id", attribute("id")),
    Field("uuid", attribute("uuid"), since=59),
    Field("instance_uuid", attribute("instance_uuid")),
    Field("status", attribute("status")),
    Field("migration_type", attribute("migration_type"), since=23),
    *host_fields(lambda scene: scene.hosts_visible),
    Field("old_instance_type_id", attribute("old_flavor_id")),
    Field("new_instance_type_id", attribute("new_flavor_id")),
    *TAIL,
    Field("links", _links, since=23, maybe_absent=True),
)


def _wanted(request: ApiRequest) -> MigrationFilter:
    since, before = changed_between(request)
    return MigrationFilter(
        status=request.one("status"), host=request.one("host"),
        source_compute=request.one("source_compute"),
        migration_type=request.one("migration_type"),
        instance_uuid=request.one("instance_uuid"), user_id=request.one("user_id"),
        project_id=request.one("project_id"), changes_since=since, changes_before=before,
    )


def index(request: ApiRequest) -> Any:
    """List moves, newest first; paged from 2.59 on."""
    request.check(f"{_ROOT}:index")
    if request.one("project_id") != request.caller.project_id:
        request.check(f"{_ROOT}:index:all_projects")
    paged = request.features.migration_paging
    limit = limit_of(request) if paged else None
    found: list[Migration] | None = []
    # No move is ever hidden here; asking for hidden ones is legal and finds none.
    if (request.one("hidden") or "").lower() not in ("1", "true"):
        with request.cloud.db.read() as tx:
            found = tx.migrations.list(
                _wanted(request), limit=limit, marker=request.one("marker")
            )
    if found is None:
        raise unknown_marker(request.one("marker"))
    render = VIEW.at(request.minor)
    scene = Scene(request, request.allows(f"{_ROOT}:index:host"))
    answer: dict[str, Any] = {"migrations": [render(each, scene) for each in found]}
    if paged and limit and len(found) == limit:
        answer["migrations_links"] = page_links(request, "migrations", found[-1].uuid)
    return answer


ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/os-migrations", index,
        query=Query(
            {
                "hidden": 1, "host": 1, "instance_uuid": 1, "source_compute": 1, "status": 1,
                "migration_type": 1, "limit": 59, "marker": 59, "changes-since": 59,
                "changes-before": 66, "user_id": 80, "project_id": 80,
            },
            strict=59,
            once=frozenset({"limit", "marker", "user_id", "project_id"}),
            checks={
                "limit": ApiRequest.integer, "changes-since": time_of, "changes-before": time_of,
            },
        ),
    ),
)
