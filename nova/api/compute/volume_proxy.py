# SPDX-License-Identifier: Apache-2.0
"""``os-volumes`` and ``os-snapshots`` (to 2.35): the proxies to a volume service.

There is none in this cloud: requests are read and checked as ever, and answered with 501 then.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from nova.api.compute.bodies import Body
from nova.api.compute.policies import MEMBER_OR_ADMIN, READER_OR_ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Query, Route
from nova.api.compute.texts import Boolean
from nova.errors import NotImplementedByDriver
from nova.policy import Rule

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

    size: Annotated[int, Meta(ge=1, le=2147483647)]
    volume_type: str | None = None
    metadata: dict[str, Any] | None = None
    snapshot_id: str | None = None
    availability_zone: str | None = None
    display_name: str | None = None
    display_description: str | None = None


class NewSnapshot(msgspec.Struct, frozen=True):
    """A snapshot to be taken of a volume."""

    volume_id: str
    force: Boolean = False
    display_name: str | None = None
    display_description: str | None = None


def _no_service(request: ApiRequest, action: str) -> NotImplementedByDriver:
    """What a request comes to that its caller may make."""
    request.check(f"{_ROOT}:{action}", project_id=request.caller.project_id)
    return NotImplementedByDriver("There is no volume service in this cloud.")


def list_volumes(request: ApiRequest) -> Any:
    """List volumes."""
    raise _no_service(request, "list")


def create_volume(request: ApiRequest) -> Any:
    """Make a volume."""
    raise _no_service(request, "create")


def detail_volumes(request: ApiRequest) -> Any:
    """List volumes in detail."""
    raise _no_service(request, "detail")


def show_volume(request: ApiRequest) -> Any:
    """Show a volume."""
    raise _no_service(request, "show")


def delete_volume(request: ApiRequest) -> Any:
    """Delete a volume."""
    raise _no_service(request, "delete")


def list_snapshots(request: ApiRequest) -> Any:
    """List snapshots."""
    raise _no_service(request, "snapshots:list")


def create_snapshot(request: ApiRequest) -> Any:
    """Make a snapshot."""
    raise _no_service(request, "snapshots:create")


def detail_snapshots(request: ApiRequest) -> Any:
    """List snapshots in detail."""
    raise _no_service(request, "snapshots:detail")


def show_snapshot(request: ApiRequest) -> Any:
    """Show a snapshot."""
    raise _no_service(request, "snapshots:show")


def delete_snapshot(request: ApiRequest) -> Any:
    """Delete a snapshot."""
    raise _no_service(request, "snapshots:delete")


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
