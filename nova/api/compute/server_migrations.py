# SPDX-License-Identifier: Apache-2.0
"""``/servers/{id}/migrations``: the live migration of a server that is under way."""

from __future__ import annotations

from typing import Any

from nova import errors
from nova.api.compute.fields import Field, Getter, View, attribute
from nova.api.compute.migration_fields import TAIL, host_fields
from nova.api.compute.policies import ADMIN, MANAGER_OR_ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.http.app import read_json
from nova.objects.instance import Instance
from nova.objects.migration import Migration
from nova.policy import Rule

_ROOT = "os_compute_api:servers:migrations"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:index", MANAGER_OR_ADMIN, "List a server's live migrations."),
    Rule(f"{_ROOT}:index:host", ADMIN, "See the hosts of a server's live migrations."),
    Rule(f"{_ROOT}:show", ADMIN, "Show a server's live migration."),
    Rule(f"{_ROOT}:force_complete", MANAGER_OR_ADMIN, "Bring a live migration to its end."),
    Rule(f"{_ROOT}:delete", MANAGER_OR_ADMIN, "Abort a live migration."),
)


def _bytes(name: str) -> Getter:
    return lambda migration, _hosts: (
        None if migration.progress is None else getattr(migration.progress, name)
    )


#: The scene is whether the caller may see hosts.
MIGRATION = View(
    Field("id", attribute("id")),
    Field("uuid", attribute("uuid"), since=59),
    Field("server_uuid", attribute("instance_uuid")),
    Field("status", attribute("status")),
    *host_fields(bool),
    Field("memory_total_bytes", _bytes("memory_total")),
    Field("memory_processed_bytes", _bytes("memory_processed")),
    Field("memory_remaining_bytes", _bytes("memory_remaining")),
    Field("disk_total_bytes", _bytes("disk_total")),
    Field("disk_processed_bytes", _bytes("disk_processed")),
    Field("disk_remaining_bytes", _bytes("disk_remaining")),
    *TAIL,
)


def _server(request: ApiRequest, action: str) -> Instance:
    instance = request.cloud.operations.get(request.caller, request.path["server_id"])
    request.check(f"{_ROOT}:{action}", project_id=instance.project_id)
    return instance


def _live(request: ApiRequest, instance: Instance) -> list[Migration]:
    with request.cloud.db.read() as tx:
        return tx.migrations.live_of(instance.uuid)


def index(request: ApiRequest) -> Any:
    """Live migrations that are under way."""
    instance = _server(request, "index")
    hosts = request.allows(f"{_ROOT}:index:host", project_id=instance.project_id)
    render = MIGRATION.at(request.minor)
    return {"migrations": [render(each, hosts) for each in _live(request, instance)]}


def show(request: ApiRequest) -> Any:
    """One that is under way."""
    instance = _server(request, "show")
    wanted = request.path["migration_id"]
    for migration in _live(request, instance):
        if str(migration.id) == wanted:
            return {"migration": MIGRATION.at(request.minor)(migration, True)}
    raise _not_found(instance, wanted)


def act(request: ApiRequest) -> Any:
    """``{"force_complete": null}``."""
    raw = read_json(request.http)
    if not isinstance(raw, dict) or list(raw) != ["force_complete"]:
        raise errors.BadRequest("There is no such action: the only one is force_complete.")
    if raw["force_complete"] is not None:
        raise errors.InvalidInput("force_complete", "It has to be null.")
    instance = _server(request, "force_complete")
    try:
        request.cloud.operations.live_migrate_force_complete(
            request.caller, instance, _number(request, instance)
        )
    except errors.InstanceNotFound:
        raise
    except errors.NotFound as error:
        raise errors.BadRequest(error.message) from None
    return None


def abort(request: ApiRequest) -> Any:
    """Abort one."""
    instance = _server(request, "delete")
    number = _number(request, instance)
    if not request.features.abort_queued_migrations:
        for migration in _live(request, instance):
            if migration.id == number and migration.status in ("queued", "preparing"):
                raise errors.BadRequest(
                    f"Migration {number} state of instance {instance.uuid} is "
                    f"{migration.status}. Cannot abort live migration while the migration is in "
                    "this state."
                )
    request.cloud.operations.live_migrate_abort(request.caller, instance, number)
    return None


def _number(request: ApiRequest, instance: Instance) -> int:
    text = request.path["migration_id"]
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise _not_found(instance, text)
    return int(text)


def _not_found(instance: Instance, text: str) -> errors.NotFound:
    return errors.NotFound(
        f"In-progress live migration {text[:40]} is not found for server {instance.uuid}."
    )


_PATH = "/servers/{server_id}/migrations"
ROUTES: tuple[Route, ...] = (
    Route("GET", _PATH, index, since=23),
    Route("GET", _PATH + "/{migration_id}", show, since=23),
    Route("DELETE", _PATH + "/{migration_id}", abort, success=202, since=24),
    Route("POST", _PATH + "/{migration_id}/action", act, success=202, since=22),
)
