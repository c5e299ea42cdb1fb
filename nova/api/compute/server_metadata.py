# SPDX-License-Identifier: Apache-2.0
"""``/servers/{id}/metadata``."""

from __future__ import annotations

from typing import Any

import msgspec

from nova import errors
from nova.api.compute import server_values as values
from nova.api.compute.bodies import Body
from nova.api.compute.policies import MEMBER_OR_ADMIN, READER_OR_ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.objects.instance import Instance
from nova.policy import Rule

_ROOT = "os_compute_api:server-metadata"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:index", READER_OR_ADMIN, "List a server's metadata."),
    Rule(f"{_ROOT}:show", READER_OR_ADMIN, "Show an item of a server's metadata."),
    Rule(f"{_ROOT}:create", MEMBER_OR_ADMIN, "Add items to a server's metadata."),
    Rule(f"{_ROOT}:update_all", MEMBER_OR_ADMIN, "Replace a server's metadata."),
    Rule(f"{_ROOT}:update", MEMBER_OR_ADMIN, "Set an item of a server's metadata."),
    Rule(f"{_ROOT}:delete", MEMBER_OR_ADMIN, "Delete an item of a server's metadata."),
)


class Metadata(msgspec.Struct, frozen=True):
    """Several items."""

    metadata: dict[str, str]


class Item(msgspec.Struct, frozen=True):
    """One item."""

    meta: dict[str, str]


#: ``{"metadata": {…}}`` and ``{"meta": {…}}``.
METADATA: Body[Metadata] = Body(None, Metadata)
ITEM: Body[Item] = Body(None, Item)


def one_item(request: ApiRequest, item: dict[str, str], key: str) -> dict[str, str]:
    """The one item of a body, which has to be that of the path."""
    if key not in item:
        raise errors.BadRequest("Request body and URI mismatch")
    if len(item) > 1:
        raise errors.BadRequest("Request body contains too many items")
    return values.metadata("meta", item, legacy=request.legacy)


def _server(request: ApiRequest, action: str) -> Instance:
    instance = request.cloud.operations.get(request.caller, request.path["server_id"])
    request.check(f"{_ROOT}:{action}", project_id=instance.project_id)
    return instance


def index(request: ApiRequest) -> Any:
    """All items."""
    return {"metadata": _server(request, "index").metadata}


def show(request: ApiRequest) -> Any:
    """One item."""
    key = request.path["key"]
    metadata = _server(request, "show").metadata
    if key not in metadata:
        raise errors.NotFound("Metadata item was not found")
    return {"meta": {key: metadata[key]}}


def create(request: ApiRequest) -> Any:
    """Add items, and change those that are there."""
    items = values.metadata("metadata", request.body.metadata, legacy=request.legacy)
    instance = _server(request, "create")
    metadata = {**instance.metadata, **items}
    request.cloud.operations.set_metadata(request.caller, instance, metadata)
    return {"metadata": metadata}


def update_all(request: ApiRequest) -> Any:
    """Replace all items."""
    items = values.metadata("metadata", request.body.metadata, legacy=request.legacy)
    instance = _server(request, "update_all")
    request.cloud.operations.set_metadata(request.caller, instance, items)
    return {"metadata": items}


def update(request: ApiRequest) -> Any:
    """Set one item."""
    item = one_item(request, request.body.meta, request.path["key"])
    instance = _server(request, "update")
    request.cloud.operations.set_metadata(
        request.caller, instance, {**instance.metadata, **item}
    )
    return {"meta": item}


def delete(request: ApiRequest) -> Any:
    """Delete one item."""
    key = request.path["key"]
    instance = _server(request, "delete")
    if key not in instance.metadata:
        raise errors.NotFound("Metadata item was not found")
    rest = {name: value for name, value in instance.metadata.items() if name != key}
    request.cloud.operations.set_metadata(request.caller, instance, rest)
    return None


_PATH = "/servers/{server_id}/metadata"
ROUTES: tuple[Route, ...] = (
    Route("GET", _PATH, index),
    Route("POST", _PATH, create, body=METADATA),
    Route("PUT", _PATH, update_all, body=METADATA),
    Route("GET", _PATH + "/{key}", show),
    Route("PUT", _PATH + "/{key}", update, body=ITEM),
    Route("DELETE", _PATH + "/{key}", delete, success=204),
)
