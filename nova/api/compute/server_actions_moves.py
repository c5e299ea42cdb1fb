# SPDX-License-Identifier: Apache-2.0
"""Actions that give a server another size or host: resize, migrate, live migrate, evacuate."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from nova import errors
from nova.api.compute import server_values as values
from nova.api.compute.bodies import FILLED, Body, window
from nova.api.compute.policies import ADMIN, MANAGER_OR_ADMIN, MEMBER_OR_ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.server_action_table import ServerAction
from nova.api.compute.server_references import references_refused
from nova.api.compute.texts import Boolean, truth
from nova.objects.instance import Instance
from nova.policy import Rule

_SERVERS = "os_compute_api:servers"
_MOVE = "os_compute_api:os-migrate-server"
_EVACUATE = "os_compute_api:os-evacuate"

RULES: tuple[Rule, ...] = (
    Rule(f"{_SERVERS}:resize", MEMBER_OR_ADMIN, "Resize a server."),
    Rule(f"{_SERVERS}:confirm_resize", MEMBER_OR_ADMIN, "Confirm a resize."),
    Rule(f"{_SERVERS}:revert_resize", MEMBER_OR_ADMIN, "Revert a resize."),
    Rule(f"{_MOVE}:migrate", MANAGER_OR_ADMIN, "Move a server to another host."),
    Rule(f"{_MOVE}:migrate:host", ADMIN, "Move a server to a named host."),
    Rule(f"{_MOVE}:migrate_live", MANAGER_OR_ADMIN, "Move a running server to another host."),
    Rule(f"{_MOVE}:migrate_live:host", ADMIN, "Move a running server to a named host."),
    Rule(_EVACUATE, ADMIN, "Build a server again whose host is down."),
)


class Resize(msgspec.Struct, frozen=True):
    """The new flavor."""

    flavor_ref: str | int = msgspec.field(name="flavorRef")
    disk_config: Annotated[str | None, FILLED] = msgspec.field(name="OS-DCF:diskConfig", default=None)


def resize(request: ApiRequest, instance: Instance, body: Resize) -> Any:
    """Give the server another flavor."""
    flavor = values.last_segment(str(body.flavor_ref))
    if not flavor or len(flavor) > 255:
        raise errors.InvalidInput("flavorRef", "It is not the id of a flavor.", flavor)
    disk_config = body.disk_config
    if disk_config is not None:
        values.disk_config("OS-DCF:diskConfig", disk_config)
    with references_refused():
        request.cloud.operations.resize(
            request.caller, instance, flavor, disk_config=disk_config
        )
    return None


def confirm_resize(request: ApiRequest, instance: Instance, _body: Any) -> Any:
    """Keep the new size."""
    with references_refused():
        request.cloud.operations.confirm_resize(request.caller, instance)
    return None


def revert_resize(request: ApiRequest, instance: Instance, _body: Any) -> Any:
    """Go back to the old size."""
    with references_refused():
        request.cloud.operations.revert_resize(request.caller, instance)
    return None


class Migrate(msgspec.Struct, frozen=True):
    """Where to, if that matters."""

    host: Annotated[str | None, window(since=56)] = None


def migrate(request: ApiRequest, instance: Instance, body: Any) -> Any:
    """Move the server, stopped, to another host."""
    host = body.host if isinstance(body, Migrate) else None
    if host is not None:
        values.host("host", host)
        request.check(f"{_MOVE}:migrate:host", project_id=instance.project_id)
    with references_refused():
        request.cloud.operations.migrate(request.caller, instance, host=host)
    return None


class LiveMigrateWithOvercommit(msgspec.Struct, frozen=True):
    """The form up to 2.24."""

    host: str | None
    block_migration: Boolean
    disk_over_commit: Boolean


class LiveMigrate(msgspec.Struct, frozen=True):
    """The form from 2.25 on."""

    host: str | None
    block_migration: Boolean | Literal["auto"]
    force: Annotated[Boolean, window(since=30, until=67)] = False


def live_migrate(request: ApiRequest, instance: Instance, body: Any) -> Any:
    """Move the server while it runs."""
    host = body.host
    if host is not None:
        values.host("host", host)
        request.check(f"{_MOVE}:migrate_live:host", project_id=instance.project_id)
    block: Any = body.block_migration
    block = block if block == "auto" else truth(block)
    force = truth(body.force) if isinstance(body, LiveMigrate) else False
    if force and host is None:
        raise errors.BadRequest("Can't force to a non-provided destination")
    with references_refused():
        request.cloud.operations.live_migrate(
            request.caller, instance, host=host, block_migration=block, force=force
        )
    return None


class EvacuateWithStorage(msgspec.Struct, frozen=True):
    """The form up to 2.13."""

    on_shared_storage: Boolean = msgspec.field(name="onSharedStorage")
    host: Annotated[str | UnsetType | None, FILLED] = UNSET
    admin_pass: str | UnsetType = msgspec.field(name="adminPass", default=UNSET)


class Evacuate(msgspec.Struct, frozen=True):
    """The form from 2.14 on."""

    host: str | UnsetType = UNSET
    admin_pass: str | UnsetType = msgspec.field(name="adminPass", default=UNSET)
    force: Annotated[Boolean, window(since=29, until=67)] = False


def evacuate(request: ApiRequest, instance: Instance, body: Any) -> Any:
    """Build the server again on another host."""
    old_form = isinstance(body, EvacuateWithStorage)
    password = None if body.admin_pass is UNSET else body.admin_pass
    if old_form and password is not None and truth(body.on_shared_storage):
        raise errors.BadRequest("admin password can't be changed on existing disk")
    host = None if body.host is UNSET else body.host
    if host is not None:
        values.host("host", host)
    force = False if old_form else truth(body.force)
    if force and host is None:
        raise errors.BadRequest("Can't force to a non-provided destination")
    set_password = request.cloud.operations.evacuate(
        request.caller, instance, host=host, password=password, force=force,
        stopped=request.features.evacuated_stopped,
    )
    if old_form and request.cloud.config.default.enable_instance_password:
        return {"adminPass": set_password}
    return None


ACTIONS: tuple[ServerAction, ...] = (
    ServerAction("resize", resize, f"{_SERVERS}:resize", body=Body("resize", Resize)),
    ServerAction(
        "confirmResize", confirm_resize, f"{_SERVERS}:confirm_resize", success=204
    ),
    ServerAction("revertResize", revert_resize, f"{_SERVERS}:revert_resize"),
    ServerAction("migrate", migrate, f"{_MOVE}:migrate", until=55),
    ServerAction(
        "migrate", migrate, f"{_MOVE}:migrate", since=56,
        body=Body("migrate", Migrate, nullable=True),
    ),
    ServerAction(
        "os-migrateLive", live_migrate, f"{_MOVE}:migrate_live", until=24,
        body=Body("os-migrateLive", LiveMigrateWithOvercommit),
    ),
    ServerAction(
        "os-migrateLive", live_migrate, f"{_MOVE}:migrate_live", since=25,
        body=Body("os-migrateLive", LiveMigrate),
    ),
    ServerAction(
        "evacuate", evacuate, _EVACUATE, success=200, until=13,
        body=Body("evacuate", EvacuateWithStorage),
    ),
    ServerAction(
        "evacuate", evacuate, _EVACUATE, success=200, since=14,
        body=Body("evacuate", Evacuate),
    ),
)
