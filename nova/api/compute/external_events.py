# SPDX-License-Identifier: Apache-2.0
"""``POST /os-server-external-events``: other services tell of changes that concern servers."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nova import errors
from nova.api.compute import server_values as values
from nova.api.compute.bodies import Body
from nova.api.compute.request import Answer, ApiRequest
from nova.api.compute.routing import Route
from nova.objects.instance import Instance
from nova.policy import Rule

_RULE = "os_compute_api:os-server-external-events:create"
RULES: tuple[Rule, ...] = (
    Rule(_RULE, "role:service or rule:context_is_admin", "Tell of events outside."),
)

_NETWORK = frozenset({"network-changed", "network-vif-deleted"})
_NAMES = _NETWORK | {"network-vif-plugged", "network-vif-unplugged"}
_TAGGED = frozenset({"volume-extended", "power-update", "accelerator-request-bound"})
#: Later events, and the features that brought them.
_LATER = {
    "volume-extended": "volume_extended_event", "power-update": "power_update_event",
    "accelerator-request-bound": "accelerator_event",
    "volume-reimaged": "volume_reimaged_event",
}
_STATUSES = ("failed", "completed", "in-progress")


class Event(msgspec.Struct, frozen=True):
    """One event."""

    name: str
    server_uuid: str
    status: str | UnsetType = UNSET
    tag: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET


class Events(msgspec.Struct, frozen=True):
    """All of a request."""

    events: Annotated[list[Event], Meta(min_length=1, max_length=1000)]


def create(request: ApiRequest) -> Any:
    """Take events; each gets a code of its own, and 207 says that some were not taken.

    Addresses are read again at events of the network, and a boot goes on whose ports are plugged; a volume
    that has grown is made known to the guest, and one that has a new image to the rebuild that waits for it.
    The other events tell hosts what nothing here waits for; there are no accelerators.
    """
    for event in request.body.events:
        _check(request, event)
    request.check(_RULE)
    uuids = [event.server_uuid for event in request.body.events]
    with request.cloud.db.read() as tx:
        servers = tx.instances.get_many(set(uuids))
    shown = []
    changed: set[str] = set()
    operations = request.cloud.operations
    for event in request.body.events:
        code = _code(event, servers.get(event.server_uuid))
        if code == 200 and event.name in _NETWORK:
            changed.add(event.server_uuid)
        elif code == 200 and event.name == "network-vif-plugged" and event.tag is not UNSET:
            operations.port_plugged(
                event.server_uuid, str(event.tag), plugged=event.status != "failed"
            )
        elif code == 200 and event.name == "volume-extended":
            operations.volume_extended(request.caller, servers[event.server_uuid], str(event.tag))
        elif code == 200 and event.name == "volume-reimaged":
            operations.volume_reimaged(servers[event.server_uuid])
        shown.append(_shown(event, code))
    if changed and request.cloud.networks.outside is not None:
        request.cloud.operations.refresh_from_outside(sorted(changed))
    elif changed:
        request.cloud.db.run(lambda tx: operations.refresh_addresses(tx, sorted(changed)))
    if request.legacy and not any(event["code"] == 200 for event in shown):
        raise errors.NotFound("No instances found for any event")
    complete = all(event["code"] == 200 for event in shown)
    return Answer({"events": shown}, 200 if complete else 207)


def _check(request: ApiRequest, event: Event) -> None:
    later = _LATER.get(event.name)
    if event.name not in _NAMES and not (later and getattr(request.features, later)):
        raise errors.InvalidInput("name", "There is no such event.", event.name)
    values.uuid("server_uuid", event.server_uuid)
    if event.status is not UNSET and event.status not in _STATUSES:
        raise errors.InvalidInput(
            "status", "It has to be failed, completed or in-progress.", event.status
        )


def _code(event: Event, server: Instance | None) -> int:
    if server is None:
        return 404
    if event.name in _TAGGED and event.tag is UNSET:
        return 400
    return 200 if server.host is not None else 422


def _shown(event: Event, code: int) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": event.name, "server_uuid": event.server_uuid, "code": code,
        "status": "completed" if code == 200 else "failed",
    }
    if event.tag is not UNSET:
        shown["tag"] = event.tag
    return shown


ROUTES: tuple[Route, ...] = (
    Route("POST", "/os-server-external-events", create, body=Body(None, Events)),
)
