# SPDX-License-Identifier: Apache-2.0
"""``os-services``: daemons, and which compute hosts take new servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nova.api.compute.bodies import Body, window
from nova.api.compute.fields import Field, View, attribute
from nova.api.compute.policies import ADMIN
from nova.api.compute.queries import integer_id, uuid_id
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Query, Route
from nova.api.compute.service_views import (
    COMPUTE,
    ServiceScene,
    service_scene,
    status,
    tell_aggregates_changed,
    tell_services_changed,
)
from nova.api.compute.texts import Boolean, truth
from nova.api.compute.times import precise
from nova.db.engine import Transaction
from nova.errors import BadRequest, Conflict, NotFound
from nova.objects.host import Service
from nova.objects.migration import EVACUATION, MigrationFilter
from nova.policy import Rule

_ROOT = "os_compute_api:os-services"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:list", ADMIN, "List services."),
    Rule(f"{_ROOT}:update", ADMIN, "Enable, disable or force down a compute service."),
    Rule(f"{_ROOT}:delete", ADMIN, "Delete a service."),
)

HostName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9\-._]*$")]
Reason = Annotated[str, Meta(min_length=1, max_length=255)]

VIEW = View(
    Field("id", attribute("id"), until=52),
    Field("id", attribute("uuid"), since=53),
    Field("binary", attribute("binary")),
    Field("host", attribute("host")),
    Field("zone", lambda service, scene: scene.zone(service)),
    Field("status", lambda service, _scene: status(service)),
    Field("state", lambda service, scene: scene.state(service)),
    Field("updated_at",
          lambda service, _scene: precise(service.last_seen_up or service.updated_at)),
    Field("disabled_reason", attribute("disabled_reason")),
    Field("forced_down", attribute("forced_down"), since=11),
)


class NamedUpdate(msgspec.Struct):
    """The body until 2.52: the service by host and binary, the change in the path."""

    host: HostName
    binary: Annotated[str, Meta(min_length=1, max_length=255)]
    disabled_reason: Reason | UnsetType = UNSET
    forced_down: Annotated[Boolean | UnsetType, window(since=11)] = UNSET


class ServiceUpdate(msgspec.Struct):
    """The body from 2.53 on: the service by uuid in the path."""

    status: Literal["enabled", "disabled"] | UnsetType = UNSET
    disabled_reason: Reason | UnsetType = UNSET
    forced_down: Boolean | UnsetType = UNSET


def index(request: ApiRequest) -> Any:
    """List services, of one host or binary if named."""
    with request.cloud.db.read() as tx:
        found = tx.services.list(
            binary=request.one("binary") or None, host=request.one("host") or None
        )
        scene = service_scene(request, tx)
    render = VIEW.at(request.minor)
    return {"services": [render(service, scene) for service in found]}


def _refuse_other_daemons(binary: str) -> None:
    if binary != COMPUTE:
        raise BadRequest(
            f"Updating a {binary[:60]} service is not supported. Only nova-compute services can "
            "be updated."
        )


def _refuse_open_evacuations(tx: Transaction, host: str) -> None:
    """A host whose servers were evacuated must clear up before it counts as up again."""
    waiting = tx.migrations.list(
        MigrationFilter(source_compute=host, status="done", migration_type=EVACUATION), limit=1
    )
    if waiting:
        raise BadRequest(
            f"Unable to force up host {host} as `done` evacuation migration records remain "
            "associated with the host. Ensure the compute service has been restarted, allowing "
            "these records to move to `completed` before retrying this request."
        )


def _enable(tx: Transaction, service: Service, _body: NamedUpdate) -> dict[str, Any]:
    tx.services.set_disabled(service.id, False)
    return {"status": "enabled"}


def _disable(tx: Transaction, service: Service, _body: NamedUpdate) -> dict[str, Any]:
    tx.services.set_disabled(service.id, True)
    return {"status": "disabled"}


def _disable_log_reason(tx: Transaction, service: Service, body: NamedUpdate) -> dict[str, Any]:
    if body.disabled_reason is UNSET:
        raise BadRequest("Missing disabled reason field")
    tx.services.set_disabled(service.id, True, body.disabled_reason)
    return {"status": "disabled", "disabled_reason": body.disabled_reason}


def _force_down(tx: Transaction, service: Service, body: NamedUpdate) -> dict[str, Any]:
    if body.forced_down is UNSET:
        raise BadRequest("Missing forced_down field")
    down = truth(body.forced_down)
    if not down:
        _refuse_open_evacuations(tx, service.host)
    tx.services.set_forced_down(service.id, down)
    return {"forced_down": down}


Change = Callable[[Transaction, Service, NamedUpdate], dict[str, Any]]
_CHANGES: dict[str, Change] = {
    "enable": _enable, "disable": _disable, "disable-log-reason": _disable_log_reason,
}
_CHANGES_211: dict[str, Change] = {**_CHANGES, "force-down": _force_down}


def _named_update(request: ApiRequest, changes: dict[str, Change]) -> Any:
    body: NamedUpdate = request.body
    change = changes.get(request.path["service_id"])
    if change is None:
        raise NotFound("Unknown action")
    # In Kilo every daemon could be disabled, though only compute hosts took notice.
    if not request.legacy:
        _refuse_other_daemons(body.binary)

    def write(tx: Transaction) -> dict[str, Any]:
        service = tx.services.get_by_host(body.binary, body.host)
        if service is None:
            raise NotFound(f"Could not find binary {body.binary} on host {body.host}.")
        changed = change(tx, service, body)
        tell_services_changed(request, tx)
        return changed

    changed = request.cloud.db.run(write)
    return {"service": {"host": body.host, "binary": body.binary, **changed}}


def update_by_name(request: ApiRequest) -> Any:
    """``PUT /os-services/{enable|disable|disable-log-reason}``."""
    return _named_update(request, _CHANGES)


def update_by_name_211(request: ApiRequest) -> Any:
    """The same with ``force-down``, from 2.11 until 2.52."""
    return _named_update(request, _CHANGES_211)


def update(request: ApiRequest) -> Any:
    """Change status and forced_down of a compute service known by uuid."""
    body: ServiceUpdate = request.body
    wanted = uuid_id(request.path["service_id"])
    reason = None if body.disabled_reason is UNSET else body.disabled_reason

    def write(tx: Transaction) -> tuple[Service, ServiceScene]:
        service = tx.services.get_by_uuid(wanted)
        _refuse_other_daemons(service.binary)
        if body.status == "enabled" and reason:
            raise BadRequest("Specifying 'disabled_reason' with status 'enabled' is invalid.")
        if body.status is UNSET and body.forced_down is UNSET:
            raise BadRequest(
                "No updates were requested. Fields 'status' or 'forced_down' should be specified."
            )
        if body.forced_down is not UNSET and not truth(body.forced_down):
            _refuse_open_evacuations(tx, service.host)
        if body.status is not UNSET:
            service = tx.services.set_disabled(service.id, body.status == "disabled", reason)
        if body.forced_down is not UNSET:
            service = tx.services.set_forced_down(service.id, truth(body.forced_down))
        scene = service_scene(request, tx)
        tell_services_changed(request, tx)
        return service, scene

    service, scene = request.cloud.db.run(write)
    return {"service": VIEW.at(request.minor)(service, scene)}


def delete(request: ApiRequest) -> Any:
    """Remove a service; a compute service with its nodes and its places in aggregates.

    Refused while the host has servers or moves that have not ended.
    """
    text = request.path["service_id"]

    def write(tx: Transaction) -> None:
        if request.features.uuid_identifiers:
            service = tx.services.get_by_uuid(uuid_id(text))
        else:
            service = tx.services.get_by_id(integer_id("id", text))
        if service.binary == COMPUTE:
            _forget_host(tx, service.host)
            tell_aggregates_changed(request, tx)
        tx.services.delete(service.id)
        tell_services_changed(request, tx)

    request.cloud.db.run(write)


def _forget_host(tx: Transaction, host: str) -> None:
    if tx.usage.count_on([host]):
        raise Conflict(
            "Unable to delete compute service that is hosting instances. Migrate or delete the "
            "instances first."
        )
    if tx.migrations.unfinished_on(host):
        raise Conflict(
            "Unable to delete compute service that has in-progress migrations. Complete the "
            "migrations or delete the instances first."
        )
    for aggregate in tx.aggregates.list():
        if host in aggregate.hosts:
            tx.aggregates.remove_host(aggregate.id, host)
    for node in tx.nodes.by_host(host):
        tx.nodes.delete(node.id)


_NAMED = Body(None, NamedUpdate)

ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-services", index, rule=f"{_ROOT}:list",
          query=Query({"host": 1, "binary": 1}, strict=75)),
    Route("PUT", "/os-services/{service_id}", update_by_name, rule=f"{_ROOT}:update",
          body=_NAMED, until=10),
    Route("PUT", "/os-services/{service_id}", update_by_name_211, rule=f"{_ROOT}:update",
          body=_NAMED, since=11, until=52),
    Route("PUT", "/os-services/{service_id}", update, rule=f"{_ROOT}:update",
          body=Body(None, ServiceUpdate), since=53),
    Route("DELETE", "/os-services/{service_id}", delete, 204, rule=f"{_ROOT}:delete"),
)
