# SPDX-License-Identifier: Apache-2.0
"""Actions on a server where it is: power, lock, rescue, shelve, password, deletion, state."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nova import errors
from nova.api.compute import server_values as values
from nova.api.compute.bodies import FILLED, Body, window
from nova.api.compute.policies import ADMIN, MEMBER_OR_ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.server_action_table import ActionHandler, ServerAction
from nova.api.compute.server_references import references_refused
from nova.objects.instance import Instance
from nova.policy import Rule

_SERVERS = "os_compute_api:servers"
_LOCK = "os_compute_api:os-lock-server"
_SHELVE = "os_compute_api:os-shelve"
_OVERRIDE = f"{_LOCK}:unlock:unlock_override"
_TO_HOST = f"{_SHELVE}:unshelve_to_host"

RULES: tuple[Rule, ...] = (
    Rule(f"{_SERVERS}:start", MEMBER_OR_ADMIN, "Start a server."),
    Rule(f"{_SERVERS}:stop", MEMBER_OR_ADMIN, "Stop a server."),
    Rule(f"{_SERVERS}:reboot", MEMBER_OR_ADMIN, "Reboot a server."),
    Rule(f"{_SERVERS}:trigger_crash_dump", MEMBER_OR_ADMIN, "Make a server dump its memory."),
    Rule("os_compute_api:os-pause-server:pause", MEMBER_OR_ADMIN, "Pause a server."),
    Rule("os_compute_api:os-pause-server:unpause", MEMBER_OR_ADMIN, "Unpause a server."),
    Rule("os_compute_api:os-suspend-server:suspend", MEMBER_OR_ADMIN, "Suspend a server."),
    Rule("os_compute_api:os-suspend-server:resume", MEMBER_OR_ADMIN, "Resume a server."),
    Rule(f"{_LOCK}:lock", MEMBER_OR_ADMIN, "Lock a server."),
    Rule(f"{_LOCK}:unlock", MEMBER_OR_ADMIN, "Unlock a server."),
    Rule(_OVERRIDE, ADMIN, "Unlock a server that an administrator locked."),
    Rule("os_compute_api:os-rescue", MEMBER_OR_ADMIN, "Rescue a server."),
    Rule("os_compute_api:os-unrescue", MEMBER_OR_ADMIN, "Unrescue a server."),
    Rule(f"{_SHELVE}:shelve", MEMBER_OR_ADMIN, "Shelve a server."),
    Rule(f"{_SHELVE}:shelve_offload", ADMIN, "Take a shelved server off its host."),
    Rule(f"{_SHELVE}:unshelve", MEMBER_OR_ADMIN, "Unshelve a server."),
    Rule(_TO_HOST, ADMIN, "Unshelve a server to a named host."),
    Rule("os_compute_api:os-deferred-delete:force", MEMBER_OR_ADMIN, "Delete a server at once."),
    Rule("os_compute_api:os-deferred-delete:restore", MEMBER_OR_ADMIN,
         "Restore a server that waits for its deletion."),
    Rule("os_compute_api:os-admin-password", MEMBER_OR_ADMIN, "Change a server's password."),
    Rule("os_compute_api:os-admin-actions:reset_state", ADMIN, "Set the state of a server."),
)


def _plain(operation: str) -> ActionHandler:
    """An action that is one operation without further arguments."""

    def handler(request: ApiRequest, instance: Instance, _body: Any) -> Any:
        getattr(request.cloud.operations, operation)(request.caller, instance)
        return None

    return handler


class Reboot(msgspec.Struct, frozen=True):
    """How to reboot."""

    type: Literal["HARD", "Hard", "hard", "SOFT", "Soft", "soft"]


def reboot(request: ApiRequest, instance: Instance, body: Reboot) -> Any:
    """Reboot, soft or hard."""
    request.cloud.operations.reboot(request.caller, instance, body.type.upper() == "HARD")
    return None


class Lock(msgspec.Struct, frozen=True):
    """Why a server is locked."""

    locked_reason: Annotated[str, Meta(min_length=1, max_length=255)] | UnsetType = UNSET


def lock(request: ApiRequest, instance: Instance, body: Any) -> Any:
    """Lock; the reason exists from 2.73 on."""
    reason = body.locked_reason if isinstance(body, Lock) else UNSET
    request.cloud.operations.lock(
        request.caller, instance, None if reason is UNSET else reason
    )
    return None


def unlock(request: ApiRequest, instance: Instance, _body: Any) -> Any:
    """Unlock; an administrator's lock only by administrators."""
    if instance.locked_by == "admin":
        request.check(_OVERRIDE, project_id=instance.project_id, user_id=instance.user_id)
    request.cloud.operations.unlock(request.caller, instance)
    return None


class Rescue(msgspec.Struct, frozen=True):
    """Password and image of the rescue system."""

    admin_pass: Annotated[str | None, FILLED] = msgspec.field(name="adminPass", default=None)
    rescue_image_ref: Annotated[str | None, FILLED] = None


def rescue(request: ApiRequest, instance: Instance, body: Rescue) -> Any:
    """Start a rescue system beside the server's own disk."""
    image = body.rescue_image_ref
    if image is not None:
        image = values.uuid("rescue_image_ref", values.last_segment(image))
    with references_refused():
        password = request.cloud.operations.rescue(
            request.caller, instance, password=body.admin_pass, image_ref=image,
            volume_backed=request.features.rescue_volume_backed,
        )
    shown = request.cloud.config.default.enable_instance_password
    return {"adminPass": password} if shown else {}


class Unshelve(msgspec.Struct, frozen=True):
    """Where an offloaded server is to come back."""

    availability_zone: str | UnsetType | None = UNSET
    host: Annotated[str | UnsetType, window(since=91)] = UNSET


def unshelve(request: ApiRequest, instance: Instance, body: Any) -> Any:
    """Bring back a shelved server."""
    zone: Any = UNSET
    host = None
    if isinstance(body, Unshelve):
        zone = body.availability_zone
        host = None if body.host is UNSET else values.host("host", body.host)
        if zone is UNSET and host is None and not request.features.unpin_zone:
            raise errors.InvalidInput("unshelve", "It names neither availability_zone nor host.")
        if zone is None and not request.features.unpin_zone:
            raise errors.InvalidInput("availability_zone", "It has to be text.", None)
        if isinstance(zone, str):
            values.name("availability_zone", zone)
    if host is not None:
        request.check(_TO_HOST, project_id=instance.project_id)
    with references_refused():
        request.cloud.operations.unshelve(
            request.caller, instance, availability_zone=zone, host=host
        )
    return None


class ChangePassword(msgspec.Struct, frozen=True):
    """The new password."""

    admin_pass: str = msgspec.field(name="adminPass")


def change_password(request: ApiRequest, instance: Instance, body: ChangePassword) -> Any:
    """Set the administrator's password in the guest."""
    request.cloud.operations.change_password(request.caller, instance, body.admin_pass)
    return None


def force_delete(request: ApiRequest, instance: Instance, _body: Any) -> Any:
    """Delete at once."""
    request.cloud.operations.delete(request.caller, instance, force=True)
    return None


class ResetState(msgspec.Struct, frozen=True):
    """The state to set."""

    state: str


def reset_state(request: ApiRequest, instance: Instance, body: ResetState) -> Any:
    """Set the state by hand."""
    if body.state not in ("active", "error"):
        raise errors.InvalidInput("state", "It has to be active or error.", body.state)
    request.cloud.operations.reset_state(request.caller, instance, body.state)
    return None


class MaybeBody(Body[Any]):
    """A body whose value may be null, which stays None."""

    def read(self, raw: Any, minor: int, *, legacy: bool = False) -> Any:
        """None for null."""
        if self.key is not None and raw.get(self.key) is None:
            return None
        return super().read(raw, minor, legacy=legacy)


ACTIONS: tuple[ServerAction, ...] = (
    ServerAction("os-start", _plain("start"), f"{_SERVERS}:start"),
    ServerAction("os-stop", _plain("stop"), f"{_SERVERS}:stop"),
    ServerAction("reboot", reboot, f"{_SERVERS}:reboot", body=Body("reboot", Reboot)),
    ServerAction("pause", _plain("pause"), "os_compute_api:os-pause-server:pause"),
    ServerAction("unpause", _plain("unpause"), "os_compute_api:os-pause-server:unpause"),
    ServerAction("suspend", _plain("suspend"), "os_compute_api:os-suspend-server:suspend"),
    ServerAction("resume", _plain("resume"), "os_compute_api:os-suspend-server:resume"),
    ServerAction("lock", lock, f"{_LOCK}:lock", until=72),
    ServerAction("lock", lock, f"{_LOCK}:lock", body=MaybeBody("lock", Lock), since=73),
    ServerAction("unlock", unlock, f"{_LOCK}:unlock"),
    ServerAction(
        "rescue", rescue, "os_compute_api:os-rescue", success=200,
        body=Body("rescue", Rescue, nullable=True),
    ),
    ServerAction("unrescue", _plain("unrescue"), "os_compute_api:os-unrescue"),
    ServerAction("shelve", _plain("shelve"), f"{_SHELVE}:shelve"),
    ServerAction("shelveOffload", _plain("shelve_offload"), f"{_SHELVE}:shelve_offload"),
    ServerAction("unshelve", unshelve, f"{_SHELVE}:unshelve", until=76),
    ServerAction(
        "unshelve", unshelve, f"{_SHELVE}:unshelve", body=MaybeBody("unshelve", Unshelve),
        since=77,
    ),
    ServerAction("forceDelete", force_delete, "os_compute_api:os-deferred-delete:force"),
    ServerAction("restore", _plain("restore"), "os_compute_api:os-deferred-delete:restore"),
    ServerAction(
        "changePassword", change_password, "os_compute_api:os-admin-password",
        body=Body("changePassword", ChangePassword),
    ),
    ServerAction(
        "trigger_crash_dump", _plain("crash_dump"), f"{_SERVERS}:trigger_crash_dump",
        null=True, since=17,
    ),
    ServerAction(
        "os-resetState", reset_state, "os_compute_api:os-admin-actions:reset_state",
        body=Body("os-resetState", ResetState),
    ),
)
