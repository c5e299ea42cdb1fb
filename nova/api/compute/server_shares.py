# SPDX-License-Identifier: Apache-2.0
"""``/servers/{id}/shares`` (from 2.97).

There is no shared file system service in this cloud: no server has shares, and none is found.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from nova import errors
from nova.api.compute import server_values as values
from nova.api.compute.bodies import FILLED, Body
from nova.api.compute.policies import MEMBER_OR_ADMIN, READER_OR_ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Query, Route
from nova.objects.instance import Instance
from nova.objects.states import ERROR, STOPPED
from nova.policy import Rule

_ROOT = "os_compute_api:os-server-shares"
_TAG = re.compile(r"[a-zA-Z0-9-]{1,255}")

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:index", READER_OR_ADMIN, "List a server's shares."),
    Rule(f"{_ROOT}:show", READER_OR_ADMIN, "Show a server's share."),
    Rule(f"{_ROOT}:create", MEMBER_OR_ADMIN, "Attach a share to a server."),
    Rule(f"{_ROOT}:delete", MEMBER_OR_ADMIN, "Detach a share from a server."),
)


class AttachShare(msgspec.Struct, frozen=True):
    """The share, and the tag by which the guest mounts it."""

    share_id: str
    tag: Annotated[Annotated[str, Meta(min_length=1, max_length=255)] | None, FILLED] = None


def _server(request: ApiRequest, action: str) -> Instance:
    instance = request.cloud.operations.get(request.caller, request.path["server_id"])
    request.check(f"{_ROOT}:{action}", project_id=instance.project_id)
    return instance


def _check_state(instance: Instance, action: str, states: tuple[str, ...]) -> None:
    if instance.vm_state not in states:
        raise errors.Conflict(
            f"Cannot '{action}' instance {instance.uuid} while it is in vm_state "
            f"{instance.vm_state}"
        )


def index(request: ApiRequest) -> Any:
    """The shares of the server."""
    _server(request, "index")
    shares: list[dict[str, Any]] = []
    return {"shares": shares}


def create(request: ApiRequest) -> Any:
    """Attach a share."""
    body: AttachShare = request.body
    share = values.uuid("share_id", body.share_id)
    if body.tag is not None and _TAG.fullmatch(body.tag) is None:
        raise errors.InvalidInput("tag", "It has letters, digits and dashes only.", body.tag)
    _check_state(_server(request, "create"), "create share", (STOPPED,))
    raise errors.NotFound(f"Share {share} could not be found.")


def show(request: ApiRequest) -> Any:
    """Show a share."""
    _server(request, "show")
    raise _not_attached(request)


def delete(request: ApiRequest) -> Any:
    """Detach a share."""
    _check_state(_server(request, "delete"), "delete share", (STOPPED, ERROR))
    raise _not_attached(request)


def _not_attached(request: ApiRequest) -> errors.NotFound:
    share = values.uuid("share_id", request.path["share_id"])
    return errors.NotFound(f"Share {share} is not attached to this server.")


_PATH = "/servers/{server_id}/shares"
ROUTES: tuple[Route, ...] = (
    Route("GET", _PATH, index, since=97, query=Query(strict=97)),
    Route("POST", _PATH, create, success=201, since=97, body=Body("share", AttachShare)),
    Route("GET", _PATH + "/{share_id}", show, since=97, query=Query(strict=97)),
    Route("DELETE", _PATH + "/{share_id}", delete, since=97),
)
