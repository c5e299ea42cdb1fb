# SPDX-License-Identifier: Apache-2.0
"""``os-volumes`` and ``os-snapshots`` (to 2.35): the proxies to the block storage service."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from nova.api.compute.bodies import FILLED, Body, ShortText
from nova.api.compute.fields import Field, View, attribute
from nova.api.compute.policies import MEMBER_OR_ADMIN, READER_OR_ADMIN
from nova.api.compute.request import Answer, ApiRequest
from nova.api.compute.routing import Query, Route
from nova.api.compute.texts import Boolean, truth
from nova.errors import BadRequest
from nova.objects.volume import Volume
from nova.policy import Rule
from nova.volume.interface import BlockStorage

_ROOT = "os_compute_api:os-volumes"
_LAST = 35

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:list", READER_OR_ADMIN, "List volumes."),
    Rule(f"{_ROOT}:create", MEMBER_OR_ADMIN, "Create a volume."),
    Rule(f"{_ROOT}:detail", READER_OR_ADMIN, "List volumes in detail."),
    Rule(f"{_ROOT}:show", READER_OR_ADMIN, "Show a volume."),
    Rule(f"{_ROOT}:delete", MEMBER_OR_ADMIN, "Delete a volume."),
    Rule(f"{_ROOT}:snapshots:list", READER_OR_ADMIN, "List snapshots of volumes."),
    Rule(f"{_ROOT}:snapshots:create", MEMBER_OR_ADMIN, "Take a snapshot of a volume."),
    Rule(f"{_ROOT}:snapshots:detail", READER_OR_ADMIN, "List snapshots of volumes in detail."),
    Rule(f"{_ROOT}:snapshots:show", READER_OR_ADMIN, "Show a snapshot of a volume."),
    Rule(f"{_ROOT}:snapshots:delete", MEMBER_OR_ADMIN, "Delete a snapshot of a volume."),
)


class NewVolume(msgspec.Struct, frozen=True):
    """A volume to be made; ``size`` is GiB."""

    size: Annotated[int, Meta(ge=1, le=2147483647)] | None
    volume_type: Annotated[ShortText | None, FILLED] = None
    metadata: Annotated[dict[str, Any] | None, FILLED] = None
    snapshot_id: Annotated[ShortText | None, FILLED] = None
    availability_zone: Annotated[ShortText | None, FILLED] = None
    display_name: Annotated[ShortText | None, FILLED] = None
    display_description: Annotated[ShortText | None, FILLED] = None


class NewSnapshot(msgspec.Struct, frozen=True):
    """A snapshot to be taken of a volume."""

    volume_id: ShortText
    force: Boolean = False
    display_name: Annotated[ShortText | None, FILLED] = None
    display_description: Annotated[ShortText | None, FILLED] = None


#: One volume, whole or in a list.
VOLUME = View(
    Field("id", attribute("uuid")),
    Field("status", attribute("status")),
    Field("size", attribute("size_gb")),
    Field("availabilityZone", attribute("availability_zone")),
    Field("createdAt", lambda volume, _scene: _moment(volume.created_at)),
    Field("attachments", lambda volume, _scene: _attachments(volume)),
    Field("displayName", attribute("name")),
    Field("displayDescription", attribute("description")),
    Field("volumeType", attribute("volume_type")),
    Field("snapshotId", attribute("snapshot_uuid")),
    Field("metadata", attribute("metadata")),
)

SNAPSHOT = View(
    Field("id", attribute("uuid")),
    Field("volumeId", attribute("volume_uuid")),
    Field("status", attribute("status")),
    Field("size", attribute("size_gb")),
    Field("createdAt", lambda snapshot, _scene: _moment(snapshot.created_at)),
    Field("displayName", attribute("name")),
    Field("displayDescription", attribute("description")),
)


def _moment(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds")


def _attachments(volume: Volume) -> list[dict[str, Any]]:
    """The first attachment, which is all that a view of those days has room for; an empty one for none."""
    found = next((each for each in volume.attachments if each.status == "attached"), None)
    if found is None:
        return [{}]
    device = {"device": found.mountpoint} if found.mountpoint else {}
    return [
        {"id": volume.uuid, "volumeId": volume.uuid, "serverId": found.instance_uuid, **device}
    ]


def _volumes(request: ApiRequest, action: str) -> BlockStorage:
    """The service, for a caller who may use it so."""
    request.check(f"{_ROOT}:{action}", project_id=request.caller.project_id)
    return request.cloud.operations.volumes


def _page(request: ApiRequest, found: list[Any]) -> list[Any]:
    offset = request.integer("offset", 0) or 0
    limit = request.integer("limit")
    most = request.cloud.config.default.osapi_max_limit
    limit = most if limit is None else min(limit, most)
    return found[offset : offset + limit]


def _shown(request: ApiRequest, view: View, found: list[Any]) -> list[dict[str, Any]]:
    render = view.at(request.minor)
    return [render(each, None) for each in _page(request, found)]


def list_volumes(request: ApiRequest) -> Any:
    """List volumes."""
    found = _volumes(request, "list").list_volumes(request.caller)
    return {"volumes": _shown(request, VOLUME, found)}


def create_volume(request: ApiRequest) -> Any:
    """Make a volume."""
    body: NewVolume = request.body
    volumes = _volumes(request, "create")
    size = body.size
    if body.snapshot_id is not None:
        snapshot = volumes.show_snapshot(request.caller, body.snapshot_id)
        size = snapshot.size_gb if size is None else size
    if size is None:
        raise BadRequest("A volume needs a size, or a snapshot.")
    made = volumes.create(
        request.caller, size, body.display_name or "", body.display_description or "",
        snapshot_id=body.snapshot_id, volume_type=body.volume_type,
        availability_zone=body.availability_zone,
        metadata=None if body.metadata is None
        else {key: str(value) for key, value in body.metadata.items()},
    )
    shown = VOLUME.at(request.minor)(made, None)
    return Answer(
        {"volume": shown}, headers={"Location": f"{request.base}/os-volumes/{made.uuid}"}
    )


def detail_volumes(request: ApiRequest) -> Any:
    """List volumes in detail, which is no other than the plain list."""
    found = _volumes(request, "detail").list_volumes(request.caller)
    return {"volumes": _shown(request, VOLUME, found)}


def show_volume(request: ApiRequest) -> Any:
    """Show a volume."""
    found = _volumes(request, "show").show(request.caller, request.path["volume_id"])
    return {"volume": VOLUME.at(request.minor)(found, None)}


def delete_volume(request: ApiRequest) -> Any:
    """Delete a volume."""
    _volumes(request, "delete").delete(request.caller, request.path["volume_id"])


def list_snapshots(request: ApiRequest) -> Any:
    """List snapshots."""
    found = _volumes(request, "snapshots:list").list_snapshots(request.caller)
    return {"snapshots": _shown(request, SNAPSHOT, found)}


def create_snapshot(request: ApiRequest) -> Any:
    """Make a snapshot; with ``force`` of a volume that is in use too."""
    body: NewSnapshot = request.body
    made = _volumes(request, "snapshots:create").create_snapshot(
        request.caller, body.volume_id, body.display_name or "", body.display_description or "",
        truth(body.force),
    )
    return {"snapshot": SNAPSHOT.at(request.minor)(made, None)}


def detail_snapshots(request: ApiRequest) -> Any:
    """List snapshots in detail, which is no other than the plain list."""
    found = _volumes(request, "snapshots:detail").list_snapshots(request.caller)
    return {"snapshots": _shown(request, SNAPSHOT, found)}


def show_snapshot(request: ApiRequest) -> Any:
    """Show a snapshot."""
    found = _volumes(request, "snapshots:show").show_snapshot(
        request.caller, request.path["snapshot_id"]
    )
    return {"snapshot": SNAPSHOT.at(request.minor)(found, None)}


def delete_snapshot(request: ApiRequest) -> Any:
    """Delete a snapshot."""
    _volumes(request, "snapshots:delete").delete_snapshot(
        request.caller, request.path["snapshot_id"]
    )


_PAGES = Query({"limit": 1, "offset": 1})

ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-volumes", list_volumes, until=_LAST, query=_PAGES),
    Route("POST", "/os-volumes", create_volume, until=_LAST, body=Body("volume", NewVolume)),
    Route("GET", "/os-volumes/detail", detail_volumes, until=_LAST, query=_PAGES),
    Route("GET", "/os-volumes/{volume_id}", show_volume, until=_LAST),
    Route("DELETE", "/os-volumes/{volume_id}", delete_volume, success=202, until=_LAST),
    Route("GET", "/os-snapshots", list_snapshots, until=_LAST, query=_PAGES),
    Route("POST", "/os-snapshots", create_snapshot, until=_LAST, body=Body("snapshot", NewSnapshot)),
    Route("GET", "/os-snapshots/detail", detail_snapshots, until=_LAST, query=_PAGES),
    Route("GET", "/os-snapshots/{snapshot_id}", show_snapshot, until=_LAST),
    Route("DELETE", "/os-snapshots/{snapshot_id}", delete_snapshot, success=202, until=_LAST),
)
