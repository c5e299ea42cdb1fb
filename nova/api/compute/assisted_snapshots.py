# SPDX-License-Identifier: Apache-2.0
"""``os-assisted-volume-snapshots``: a volume service asks for a snapshot of a volume that a guest has open.

Such a volume is a file that the hypervisor has to let go of: what is written from then on goes to a new file
on top, which the service has made.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from nova.api.compute.bodies import Body
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Query, Route
from nova.decoding import json_decoder
from nova.errors import BadRequest, Conflict
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


class DeleteInfo(msgspec.Struct, frozen=True):
    """Which file is to be merged into which; without ``file_to_merge`` all below the active one into it."""

    volume_id: str
    type: str | None = None
    file_to_merge: str | None = None
    merge_target_file: str | None = None


_decode_delete_info = json_decoder(DeleteInfo).decode


def create(request: ApiRequest) -> Any:
    """Begin to take a snapshot: its service is told of the end, not the caller."""
    body: AssistedSnapshot = request.body
    info = body.create_info
    try:
        request.cloud.operations.snapshot_volume(
            request.caller, body.volume_id, info.snapshot_id, {"new_file": info.new_file},
        )
    except Conflict as error:
        raise BadRequest(error.message) from None
    return {"snapshot": {"id": info.id or info.snapshot_id, "volumeId": body.volume_id}}


def delete(request: ApiRequest) -> Any:
    """Begin to delete a snapshot; ``delete_info`` of the query is a JSON object that names the volume."""
    text = request.one("delete_info")
    if text is None:
        raise BadRequest("The query has to have delete_info.")
    try:
        info = _decode_delete_info(text.encode())
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BadRequest(f"Invalid input for query parameters delete_info. {error}") from None
    try:
        request.cloud.operations.delete_volume_snapshot(
            request.caller, info.volume_id, request.path["snapshot_id"],
            {"file_to_merge": info.file_to_merge, "merge_target_file": info.merge_target_file},
        )
    except Conflict as error:
        raise BadRequest(error.message) from None


_PATH = "/os-assisted-volume-snapshots"
ROUTES: tuple[Route, ...] = (
    Route("POST", _PATH, create, rule=f"{_ROOT}:create", body=Body("snapshot", AssistedSnapshot)),
    Route("DELETE", _PATH + "/{snapshot_id}", delete, success=204, rule=f"{_ROOT}:delete",
          query=Query({"delete_info": 1}, strict=75)),
)
