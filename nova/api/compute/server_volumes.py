# SPDX-License-Identifier: Apache-2.0
"""``/servers/{id}/os-volume_attachments``, from the server's own block devices."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from nova import errors
from nova.api.compute import server_values as values
from nova.api.compute.bodies import FILLED, Body, window
from nova.api.compute.fields import ABSENT, Field, View, attribute
from nova.api.compute.policies import MEMBER_OR_ADMIN, READER_OR_ADMIN
from nova.api.compute.request import Answer, ApiRequest
from nova.api.compute.routing import ANY_QUERY, Query, Route
from nova.api.compute.texts import Boolean, truth
from nova.compute.operations.volumes import attached
from nova.objects.instance import BlockDevice, Instance
from nova.objects.states import SHELVED, SHELVED_OFFLOADED
from nova.policy import Rule

_ROOT = "os_compute_api:os-volumes-attachments"
_DEVICE = re.compile(r"/dev/x?[a-z]?d?[a-z]+[0-9]*")

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:index", READER_OR_ADMIN, "List a server's volumes."),
    Rule(f"{_ROOT}:show", READER_OR_ADMIN, "Show a server's volume."),
    Rule(f"{_ROOT}:create", MEMBER_OR_ADMIN, "Attach a volume to a server."),
    Rule(f"{_ROOT}:update", MEMBER_OR_ADMIN, "Change how a volume is attached."),
    Rule(f"{_ROOT}:swap", "role:service", "Put another volume in a volume's place."),
    Rule(f"{_ROOT}:delete", MEMBER_OR_ADMIN, "Detach a volume from a server."),
)

#: The scene is the server.
ATTACHMENT = View(
    Field("id", attribute("volume_id"), until=88),
    Field("volumeId", attribute("volume_id")),
    Field("serverId", lambda _device, server: server.uuid),
    Field("device", lambda device, _server: device.device_name or ABSENT, maybe_absent=True),
    Field("tag", attribute("tag"), since=70),
    Field("delete_on_termination", attribute("delete_on_termination"), since=79),
    Field("attachment_id", attribute("attachment_id"), since=89),
    Field("bdm_uuid", attribute("bdm_uuid"), since=89),
)

#: What an attach is answered, to 2.100; the ids of 2.89 never came into it.
ATTACHED = View(
    Field("id", attribute("volume_id")),
    Field("volumeId", attribute("volume_id")),
    Field("serverId", lambda _device, server: server.uuid),
    Field("device", attribute("device_name")),
    Field("tag", attribute("tag"), since=70),
    Field("delete_on_termination", attribute("delete_on_termination"), since=79),
)


class AttachVolume(msgspec.Struct, frozen=True):
    """The volume to attach, newest form."""

    volume_id: str = msgspec.field(name="volumeId")
    device: str | None = None
    tag: Annotated[str | None, window(since=49), FILLED] = None
    delete_on_termination: Annotated[Boolean, window(since=79)] = False


class UpdateAttachment(msgspec.Struct, frozen=True):
    """What may be said of an attachment, newest form."""

    volume_id: str = msgspec.field(name="volumeId")
    device: Annotated[str | None, window(since=85)] = None
    tag: Annotated[str | None, window(since=85), FILLED] = None
    delete_on_termination: Annotated[Boolean | None, window(since=85), FILLED] = None
    server_id: Annotated[str | None, window(since=85), FILLED] = msgspec.field(
        name="serverId", default=None
    )
    id: Annotated[str | None, window(since=85), FILLED] = None


def _server(request: ApiRequest, action: str) -> Instance:
    instance = request.cloud.operations.get(request.caller, request.path["server_id"])
    request.check(f"{_ROOT}:{action}", project_id=instance.project_id)
    return instance


def index(request: ApiRequest) -> Any:
    """All volumes."""
    instance = _server(request, "index")
    devices = [device for device in instance.block_devices if device.volume_id]
    if request.features.attachment_ids:
        # Their schema has no place for one whose attachment is still to be made.
        devices = [device for device in devices if device.attachment_id is not None]
    offset = request.integer("offset", 0) or 0
    limit = request.integer("limit")
    devices = devices[offset : None if limit is None else offset + limit]
    render = ATTACHMENT.at(request.minor)
    return {"volumeAttachments": [render(device, instance) for device in devices]}


def show(request: ApiRequest) -> Any:
    """One volume."""
    instance = _server(request, "show")
    device = attached(instance, request.path["volume_id"])
    if request.features.attachment_ids and device.attachment_id is None:
        raise errors.NotFound(
            f"Instance {instance.uuid} is not attached to volume {device.volume_id}"
        )
    return {"volumeAttachment": ATTACHMENT.at(request.minor)(device, instance)}


def create(request: ApiRequest) -> Any:
    """Attach a volume."""
    body: AttachVolume = request.body
    volume = values.uuid("volumeId", body.volume_id)
    _check_texts(body.device, body.tag)
    instance = _server(request, "create")
    _check_shelved(request, instance, "attach_volume")
    made = request.cloud.operations.attach_volume(
        request.caller, instance, volume, device=body.device, tag=body.tag,
        delete_on_termination=truth(body.delete_on_termination),
        multiattach=request.features.multiattach_volumes,
    )
    if request.features.attach_volume_accepted:
        return Answer(None, 202)
    return {"volumeAttachment": ATTACHED.at(request.minor)(made, instance)}


def update(request: ApiRequest) -> Any:
    """Change ``delete_on_termination`` (2.85), or exchange the volume."""
    body: UpdateAttachment = request.body
    wanted = values.uuid("volumeId", body.volume_id)
    _check_texts(body.device, body.tag)
    for field, text in (("id", body.id), ("serverId", body.server_id)):
        if text is not None:
            values.uuid(field, text)
    present = request.path["volume_id"]
    instance = request.cloud.operations.get(request.caller, request.path["server_id"])
    swaps = wanted != present or not request.features.update_attachments
    request.check(
        f"{_ROOT}:{'swap' if swaps else 'update'}", project_id=instance.project_id
    )
    operations = request.cloud.operations
    if request.features.update_attachments:
        _check_unchanged(body, instance, attached(instance, present))
        if body.delete_on_termination is not None:
            operations.update_volume_attachment(
                request.caller, instance, present, truth(body.delete_on_termination)
            )
    if swaps:
        operations.swap_volume(request.caller, instance, present, wanted)
    return None


def _check_texts(device: str | None, tag: str | None) -> None:
    if device is not None and _DEVICE.fullmatch(device) is None:
        raise errors.InvalidInput("device", "It is not the name of a device.", device)
    if tag is not None:
        values.tag("tag", tag)


def _check_unchanged(body: UpdateAttachment, instance: Instance, device: BlockDevice) -> None:
    for field, sent, kept in (
        ("id", body.id, device.volume_id),
        ("serverId", body.server_id, instance.uuid),
        ("device", body.device, device.device_name),
        ("tag", body.tag, device.tag),
    ):
        if sent is not None and sent != kept:
            raise errors.BadRequest(f"The {field} property is not mutable")


def delete(request: ApiRequest) -> Any:
    """Detach a volume."""
    instance = _server(request, "delete")
    _check_shelved(request, instance, "detach_volume")
    request.cloud.operations.detach_volume(request.caller, instance, request.path["volume_id"])


def _check_shelved(request: ApiRequest, instance: Instance, action: str) -> None:
    """Volumes of shelved servers can be attached and detached from 2.20 on."""
    shelved = instance.vm_state in (SHELVED, SHELVED_OFFLOADED)
    if shelved and not request.features.detach_shelved_volumes:
        raise errors.Conflict(
            f"Cannot '{action}' instance {instance.uuid} while it is in vm_state "
            f"{instance.vm_state}"
        )


_PATH = "/servers/{server_id}/os-volume_attachments"
ROUTES: tuple[Route, ...] = (
    Route("GET", _PATH, index, query=Query({"limit": 1, "offset": 1}, strict=75)),
    Route("POST", _PATH, create, body=Body("volumeAttachment", AttachVolume)),
    Route("GET", _PATH + "/{volume_id}", show, query=ANY_QUERY),
    Route(
        "PUT", _PATH + "/{volume_id}", update, success=202,
        body=Body("volumeAttachment", UpdateAttachment),
    ),
    Route("DELETE", _PATH + "/{volume_id}", delete, success=202),
)
