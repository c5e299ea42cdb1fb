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
from nova.api.compute.routing import Handler, Query, Route
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


def _without_service(action: str) -> Handler:
    def handler(request: ApiRequest) -> Any:
        """What a request comes to without a volume service."""
        request.check(f"{_ROOT}:{action}", project_id=request.caller.project_id)
        raise NotImplementedByDriver("There is no volume service in this cloud.")

    return handler


def _collection(
    path: str, prefix: str, item: str, body: Body[Any], *, created: int
) -> tuple[Route, ...]:
    pages = Query({"limit": 1, "offset": 1})
    return (
        Route("GET", path, _without_service(f"{prefix}list"), until=_LAST, query=pages),
        Route("POST", path, _without_service(f"{prefix}create"), success=created, until=_LAST,
              body=body),
        Route("GET", f"{path}/detail", _without_service(f"{prefix}detail"), until=_LAST,
              query=pages),
        Route("GET", f"{path}/{item}", _without_service(f"{prefix}show"), until=_LAST),
        Route("DELETE", f"{path}/{item}", _without_service(f"{prefix}delete"), success=202,
              until=_LAST),
    )


ROUTES: tuple[Route, ...] = (
    *_collection("/os-volumes", "", "{volume_id}", Body("volume", NewVolume), created=200),
    *_collection(
        "/os-snapshots", "snapshots:", "{snapshot_id}", Body("snapshot", NewSnapshot), created=200
    ),
)
