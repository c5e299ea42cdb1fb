# SPDX-License-Identifier: Apache-2.0
"""``/attachments`` (3.27) and their completion (3.44)."""

from __future__ import annotations

from typing import Any

from nova.errors import BadRequest, InvalidInput, VolumeAttachmentNotFound
from nova.volume.api import versions, views
from nova.volume.api.filters import refuse_unknown_filters
from nova.volume.api.query import part_of
from nova.volume.api.request import Reply, Request, as_bool, identifier, one_action

_CREATE = frozenset({"volume_uuid", "instance_uuid", "connector", "mode"})
_FILTERS = {
    "volume_id": "volume_id", "status": "status", "attach_status": "status",
    "instance_id": "instance_uuid",
}


def lines(request: Request) -> Any:
    """List."""
    return {"attachments": [views.attachment_line(each) for each in _found(request)]}


def details(request: Request) -> Any:
    """List in detail."""
    return {"attachments": [views.attachment_view(each) for each in _found(request)]}


def _found(request: Request) -> Any:
    request.require(versions.ATTACHMENTS)
    request.check("volume:get_all")
    given = dict(request.parameters())
    refuse_unknown_filters(request, "attachment", given)
    equal = {_FILTERS[name]: value for name, value in given.items() if name in _FILTERS}
    everywhere = as_bool("all_tenants", given.get("all_tenants", "false"))
    found = request.service.attachments.page(request.caller, everywhere=everywhere, **equal)
    return part_of(found, given, VolumeAttachmentNotFound)


def create(request: Request) -> Any:
    """Reserve, and connect where a connector is given."""
    request.require(versions.ATTACHMENTS)
    known = _CREATE if request.version >= versions.ATTACHMENT_MODE else _CREATE - {"mode"}
    given = request.body("attachment", known)
    volume_id = identifier("volume_uuid", given.get("volume_uuid"))
    if volume_id is None:
        raise InvalidInput("attachment", "'volume_uuid' is a required property")
    connector = given.get("connector")
    if connector is not None and not isinstance(connector, dict):
        raise InvalidInput("connector", "It must be an object.")
    mode = given.get("mode")
    if mode not in (None, "rw", "ro"):
        raise InvalidInput("mode", "It is 'rw' or 'ro'.", mode)
    instance = identifier("instance_uuid", given.get("instance_uuid"))
    volume = request.service.volumes.get(request.caller, volume_id)
    request.check("volume:attachment_create", volume.project_id)
    made = request.service.attachments.reserve(request.caller, volume_id, instance, mode)
    if connector:
        made = request.service.attachments.connect(request.caller, made.id, connector)
    return {"attachment": views.attachment_view(made)}


def show(request: Request, attachment_id: str) -> Any:
    """Show."""
    request.require(versions.ATTACHMENTS)
    found = request.service.attachments.get(request.caller, attachment_id)
    request.check("volume:get", found.project_id)
    return {"attachment": views.attachment_view(found)}


def update(request: Request, attachment_id: str) -> Any:
    """Connect."""
    request.require(versions.ATTACHMENTS)
    given = request.body("attachment", frozenset({"connector"}))
    connector = given.get("connector")
    if not isinstance(connector, dict) or not connector:
        raise InvalidInput("attachment", "'connector' is a required property")
    found = request.service.attachments.get(request.caller, attachment_id)
    request.check("volume:attachment_update", found.project_id)
    changed = request.service.attachments.connect(request.caller, attachment_id, connector)
    return {"attachment": views.attachment_view(changed)}


def delete(request: Request, attachment_id: str) -> Any:
    """End an attachment; answers those that are left."""
    request.require(versions.ATTACHMENTS)
    found = request.service.attachments.get(request.caller, attachment_id)
    request.check("volume:attachment_delete", found.project_id)
    left = request.service.attachments.delete(
        request.caller, attachment_id, trusted=request.trusted
    )
    return {"attachments": [views.attachment_line(each) for each in left]}


def act(request: Request, attachment_id: str) -> Reply:
    """``os-complete``."""
    request.require(versions.ATTACHMENT_COMPLETE)
    name, _argument = one_action(request.document())
    if name != "os-complete":
        raise BadRequest(f"There is no such action: {name[:60]}")
    found = request.service.attachments.get(request.caller, attachment_id)
    request.check("volume:attachment_complete", found.project_id)
    request.service.attachments.complete(request.caller, attachment_id)
    return Reply(204)
