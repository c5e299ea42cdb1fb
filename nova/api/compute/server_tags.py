# SPDX-License-Identifier: Apache-2.0
"""``/servers/{id}/tags`` (from 2.26)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from nova import errors
from nova.api.compute import server_values as values
from nova.api.compute.bodies import Body
from nova.api.compute.policies import MEMBER_OR_ADMIN, READER_OR_ADMIN
from nova.api.compute.request import Answer, ApiRequest
from nova.api.compute.routing import ANY_QUERY, Route
from nova.objects.instance import Instance
from nova.objects.states import ACTIVE, PAUSED, STOPPED, SUSPENDED
from nova.policy import Rule

_ROOT = "os_compute_api:os-server-tags"
_CHANGEABLE = (ACTIVE, PAUSED, SUSPENDED, STOPPED)

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:index", READER_OR_ADMIN, "List a server's tags."),
    Rule(f"{_ROOT}:show", READER_OR_ADMIN, "Ask whether a server has a tag."),
    Rule(f"{_ROOT}:update", MEMBER_OR_ADMIN, "Add a tag to a server."),
    Rule(f"{_ROOT}:update_all", MEMBER_OR_ADMIN, "Replace a server's tags."),
    Rule(f"{_ROOT}:delete", MEMBER_OR_ADMIN, "Take a tag from a server."),
    Rule(f"{_ROOT}:delete_all", MEMBER_OR_ADMIN, "Take all tags from a server."),
)


class Tags(msgspec.Struct, frozen=True):
    """All tags."""

    tags: list[str]


def _server(request: ApiRequest, action: str) -> Instance:
    instance = request.cloud.operations.get(request.caller, request.path["server_id"])
    request.check(f"{_ROOT}:{action}", project_id=instance.project_id)
    return instance


def _changeable(request: ApiRequest, action: str, shown: str) -> Instance:
    """The server, in a state in which its tags may change."""
    instance = _server(request, action)
    if instance.vm_state not in _CHANGEABLE:
        raise errors.Conflict(
            f"Cannot '{shown}' instance {instance.uuid} while it is in vm_state "
            f"{instance.vm_state}"
        )
    return instance


def index(request: ApiRequest) -> Any:
    """All tags."""
    return {"tags": list(_server(request, "index").tags)}


def show(request: ApiRequest) -> Any:
    """Whether the server has the tag: 204 or 404."""
    instance = _server(request, "show")
    tag = request.path["tag"]
    if tag not in instance.tags:
        raise errors.NotFound(f"Server {instance.uuid} has no tag '{tag[:60]}'")
    return None


def update(request: ApiRequest) -> Any:
    """Add one: 201, or 204 where it is there."""
    instance = _changeable(request, "update", "update tag")
    tag = request.path["tag"]
    values.tag("tag", tag)
    if tag in instance.tags:
        return Answer(None, 204)
    if len(instance.tags) >= values.MOST_TAGS:
        raise errors.BadRequest(
            f"The number of tags exceeded the per-server limit {values.MOST_TAGS}"
        )
    request.cloud.operations.set_tags(request.caller, instance, [*instance.tags, tag])
    location = f"{request.base}/servers/{instance.uuid}/tags/{quote(tag)}"
    return Answer(None, 201, {"Location": location})


def update_all(request: ApiRequest) -> Any:
    """Replace all."""
    tags = values.tags("tags", request.body.tags)
    instance = _changeable(request, "update_all", "update tags")
    request.cloud.operations.set_tags(request.caller, instance, tags)
    return {"tags": sorted(tags)}


def delete(request: ApiRequest) -> Any:
    """Take one off."""
    instance = _changeable(request, "delete", "delete tag")
    tag = request.path["tag"]
    if tag not in instance.tags:
        raise errors.NotFound(f"Instance {instance.uuid} has no tag '{tag[:60]}'")
    rest = [other for other in instance.tags if other != tag]
    request.cloud.operations.set_tags(request.caller, instance, rest)
    return None


def delete_all(request: ApiRequest) -> Any:
    """Take all off."""
    instance = _changeable(request, "delete_all", "delete tags")
    request.cloud.operations.set_tags(request.caller, instance, [])
    return None


_PATH = "/servers/{server_id}/tags"
ROUTES: tuple[Route, ...] = (
    Route("GET", _PATH, index, since=26, query=ANY_QUERY),
    Route("PUT", _PATH, update_all, since=26, body=Body(None, Tags)),
    Route("DELETE", _PATH, delete_all, success=204, since=26),
    Route("GET", _PATH + "/{tag}", show, success=204, since=26, query=ANY_QUERY),
    Route("PUT", _PATH + "/{tag}", update, success=201, since=26),
    Route("DELETE", _PATH + "/{tag}", delete, success=204, since=26),
)
