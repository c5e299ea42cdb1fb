# SPDX-License-Identifier: Apache-2.0
"""``/messages`` (3.3): why work failed."""

from __future__ import annotations

from typing import Any

from nova.errors import NotFound
from nova.objects.volume_record import VolumeMessage
from nova.volume.api import versions, views
from nova.volume.api.filters import refuse_unknown_filters
from nova.volume.api.query import part_of
from nova.volume.api.request import Reply, Request

_FILTERS = {
    "resource_uuid": "resource_id", "resource_type": "resource_type", "event_id": "event_id",
    "request_id": "request_id",
}


def lines(request: Request) -> Any:
    """List; paged from 3.5 on."""
    request.require(versions.MESSAGES)
    request.check("message:get_all")
    given = dict(request.parameters())
    refuse_unknown_filters(request, "message", given)
    found = [
        each for each in request.service.messages.page(request.caller)
        if all(getattr(each, _FILTERS[name]) == given[name] for name in given if name in _FILTERS)
        and given.get("message_level", "ERROR") == "ERROR"
    ]
    if request.version >= versions.MESSAGES_PAGED:
        found = part_of(
            found, given, lambda marker: NotFound(f"Message {marker} could not be found.")
        )
    return {"messages": [_view(request, each) for each in found]}


def show(request: Request, message_id: str) -> Any:
    """Show."""
    request.require(versions.MESSAGES)
    found = request.service.messages.get(request.caller, message_id)
    request.check("message:get", found.project_id)
    return {"message": _view(request, found)}


def delete(request: Request, message_id: str) -> Reply:
    """Delete."""
    request.require(versions.MESSAGES)
    found = request.service.messages.get(request.caller, message_id)
    request.check("message:delete", found.project_id)
    request.service.messages.delete(request.caller, message_id)
    return Reply(204)


def _view(request: Request, message: VolumeMessage) -> dict[str, Any]:
    return {
        "id": message.id, "event_id": message.event_id, "user_message": message.text,
        "message_level": "ERROR", "created_at": views.moment(message.created_at),
        "guaranteed_until": views.moment(message.expires_at), "request_id": message.request_id,
        "resource_type": message.resource_type, "resource_uuid": message.resource_id,
        "links": request.links(f"messages/{message.id}"),
    }
