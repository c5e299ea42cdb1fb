# SPDX-License-Identifier: Apache-2.0
"""``/servers``: list, show, create, update, delete."""

from __future__ import annotations

from typing import Any

import msgspec

from nova import errors
from nova.api.compute import servers_query, servers_view
from nova.api.compute.policies import ADMIN, MEMBER_OR_ADMIN, READER_OR_ADMIN
from nova.api.compute.request import ApiRequest, page_links
from nova.api.compute.routing import Route
from nova.api.compute.servers_create import CREATE, create
from nova.api.compute.servers_create import RULES as CREATE_RULES
from nova.api.compute.servers_update import UPDATE, update
from nova.api.compute.servers_view import ServerRenderer, bookmark_base, detail_flags, show_flags
from nova.errors import InstanceNotFound
from nova.objects.listing import ServerLine
from nova.policy import Rule

_ROOT = "os_compute_api:servers"
_encode = msgspec.json.Encoder().encode

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:index", READER_OR_ADMIN, "List servers."),
    Rule(f"{_ROOT}:detail", READER_OR_ADMIN, "List servers with details."),
    Rule(f"{_ROOT}:show", READER_OR_ADMIN, "Show a server."),
    Rule(f"{_ROOT}:delete", MEMBER_OR_ADMIN, "Delete a server."),
    Rule(f"{_ROOT}:update", MEMBER_OR_ADMIN, "Update a server."),
    Rule(servers_view.EXTRA_SPECS_RULE, READER_OR_ADMIN, "See extra specs in servers."),
    Rule(servers_view.HOST_STATUS_RULE, ADMIN, "See the status of a server's host."),
    Rule(servers_view.HOST_UNKNOWN_RULE, ADMIN, "See that a host's status is unknown."),
    Rule(servers_view.ATTRIBUTES_RULE, ADMIN, "See the extended attributes of servers."),
    *servers_query.RULES,
    *CREATE_RULES,
)


def index(request: ApiRequest) -> Any:
    """List ids and names."""
    lines = _lines(request, detail=False)
    base, bookmark = request.base, bookmark_base(request)
    answer: dict[str, Any] = {
        "servers": [
            {
                "id": line.uuid, "name": line.name,
                "links": servers_view.links(base, bookmark, line.uuid),
            }
            for line in lines
        ]
    }
    following = _next_page(request, lines)
    if following is not None:
        answer["servers_links"] = following
    return answer


def detail(request: ApiRequest) -> Any:
    """List servers whole."""
    renderer = ServerRenderer(request, detail_flags(request))
    lines = _lines(request, detail=True)
    with request.cloud.db.read() as tx:
        fragments = renderer.of_lines(tx, lines)
    following = _next_page(request, lines)
    links = b"" if following is None else b',"servers_links":' + _encode(following)
    return b'{"servers":[' + b",".join(fragments) + b"]" + links + b"}"


def _lines(request: ApiRequest, *, detail: bool) -> list[ServerLine]:
    if servers_query.nothing(request):
        return []
    query = servers_query.server_query(request, detail=detail)
    with request.cloud.db.read() as tx:
        lines = tx.listing.lines(query)
    if lines is None:
        raise errors.BadRequest(f"marker [{(query.marker or '')[:64]}] not found")
    return lines


def _next_page(request: ApiRequest, lines: list[ServerLine]) -> list[dict[str, str]] | None:
    """Links to the next page, where this one is full."""
    most = request.cloud.config.default.osapi_max_limit
    limit = request.integer("limit")
    size = most if limit is None else min(limit, most)
    if not lines or len(lines) < size:
        return None
    return page_links(request, "servers", lines[-1].uuid)


def show(request: ApiRequest) -> Any:
    """Show one."""
    uuid = request.path["server_id"]
    caller = request.caller
    with request.cloud.db.read() as tx:
        line = tx.listing.line(uuid)
        if line is None or not (caller.is_admin or line.project_id == caller.project_id):
            raise InstanceNotFound(uuid[:64])
        request.check(f"{_ROOT}:show", project_id=line.project_id)
        renderer = ServerRenderer(request, show_flags(request, line.project_id))
        fragments = renderer.of_lines(tx, [line])
    if not fragments:
        raise InstanceNotFound(uuid[:64])
    return b'{"server":' + fragments[0] + b"}"


def delete(request: ApiRequest) -> Any:
    """Delete one."""
    instance = request.cloud.operations.get(request.caller, request.path["server_id"])
    request.check(
        f"{_ROOT}:delete", project_id=instance.project_id, user_id=instance.user_id
    )
    request.cloud.operations.delete(request.caller, instance)
    return None


ROUTES: tuple[Route, ...] = (
    Route("GET", "/servers", index, rule=f"{_ROOT}:index", query=servers_query.QUERY),
    Route("GET", "/servers/detail", detail, rule=f"{_ROOT}:detail", query=servers_query.QUERY),
    Route("POST", "/servers", create, success=202, body=CREATE),
    Route("POST", "/os-volumes_boot", create, success=202, body=CREATE, until=102),
    Route("GET", "/servers/{server_id}", show),
    Route("PUT", "/servers/{server_id}", update, body=UPDATE),
    Route("DELETE", "/servers/{server_id}", delete, success=204),
)
