# SPDX-License-Identifier: Apache-2.0
"""``os-assisted-volume-snapshots``: a volume service asks for a snapshot of a volume that a guest has open.

No volume of this cloud can be one of those (files on network file systems that the hypervisor snapshots),
as none is attached by a volume service: the answer is the one for a volume that no server has.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from nova.api.compute.bodies import Body
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Query, Route
from nova.errors import BadRequest
from nova.policy import Rule

_ROOT = "os_compute_api:os-assisted-volume-snapshots"
_SERVICE = "role:service"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:create", _SERVICE, "Take a snapshot of an attached volume for a volume service."),
    Rule(f"{_ROOT}:delete", _SERVICE, "Delete a snapshot of an attached volume for a volume service."),
)

_Text = Annotated[str, Meta(min_length=1)]


class CreateInfo(msgspec.Struct, frozen=True):
    """How the snapshot is to be taken: the file that takes what is written from now on."""

    snapshot_id: _Text
    type: Literal["qcow2"]
    new_file: _Text
    id: _Text | None = None


class AssistedSnapshot(msgspec.Struct, frozen=True):
    """The volume, and how."""

    volume_id: _Text
    create_info: CreateInfo


class _DeleteInfo(msgspec.Struct, frozen=True):
    volume_id: str


def create(request: ApiRequest) -> Any:
    """Take a snapshot."""
    body: AssistedSnapshot = request.body
    raise _not_attached(body.volume_id)


def delete(request: ApiRequest) -> Any:
    """Delete a snapshot; ``delete_info`` of the query is a JSON object that names the volume."""
    text = request.one("delete_info")
    if text is None:
        raise BadRequest("The query has to have delete_info.")
    try:
        info = msgspec.json.decode(text.encode(), type=_DeleteInfo)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BadRequest(f"Invalid input for query parameters delete_info. {error}") from None
    raise _not_attached(info.volume_id)


def _not_attached(volume_id: str) -> BadRequest:
    return BadRequest(f"No volume Block Device Mapping with id {volume_id[:64]}.")


_PATH = "/os-assisted-volume-snapshots"
ROUTES: tuple[Route, ...] = (
    Route("POST", _PATH, create, rule=f"{_ROOT}:create", body=Body("snapshot", AssistedSnapshot)),
    Route("DELETE", _PATH + "/{snapshot_id}", delete, success=204, rule=f"{_ROOT}:delete",
          query=Query({"delete_info": 1}, strict=75)),
)
