# SPDX-License-Identifier: Apache-2.0
"""``POST /volumes/{volume_id}/action``: one member of the body names the action."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nova.errors import BadRequest, InvalidInput, InvalidVolume, NotFound
from nova.objects.volume_record import VolumeRecord
from nova.volume.api import versions, views
from nova.volume.api.request import (
    Reply,
    Request,
    argument_of,
    as_bool,
    identifier,
    metadata,
    one_action,
    required_text,
    text,
)

Action = Callable[[Request, VolumeRecord, dict[str, Any]], Any]


def act(request: Request, volume_id: str) -> Any:
    """Do what the body says."""
    name, argument = one_action(request.document())
    if name not in _ACTIONS:
        raise BadRequest(f"There is no such action: {name[:60]}")
    rule, action, since = _ACTIONS[name]
    if request.version < since:
        raise BadRequest(f"There is no such action: {name[:60]}")
    volume = request.service.volumes.get(request.caller, volume_id)
    request.check(rule, volume.project_id)
    return action(request, volume, argument_of(name, argument))


# --- size, type, flags ----------------------------------------------------------------------------


def _extend(request: Request, volume: VolumeRecord, given: dict[str, Any]) -> Reply:
    if "new_size" not in given:
        raise InvalidInput("os-extend", "'new_size' is a required property")
    attached = request.version >= versions.EXTEND_ATTACHED and request.allows(
        "volume:extend_attached_volume", volume.project_id
    )
    request.service.volumes.extend(
        request.caller, volume.id, given["new_size"], attached=attached
    )
    return Reply(202)


def _retype(request: Request, volume: VolumeRecord, given: dict[str, Any]) -> Reply:
    policy = given.get("migration_policy")
    if policy not in (None, "never", "on-demand"):
        raise InvalidInput("migration_policy", "It is one of 'on-demand', 'never'.", policy)
    request.service.volumes.retype(
        request.caller, volume.id, required_text("new_type", given.get("new_type"))
    )
    return Reply(202)


def _set_bootable(request: Request, volume: VolumeRecord, given: dict[str, Any]) -> None:
    bootable = as_bool("bootable", _needed(given, "bootable"))
    request.service.volumes.change(
        request.caller, volume.id, lambda _volume: {"bootable": bootable}
    )


def _set_readonly(request: Request, volume: VolumeRecord, given: dict[str, Any]) -> Reply:
    readonly = as_bool("readonly", _needed(given, "readonly"))

    def edit(current: VolumeRecord) -> dict[str, Any]:
        if current.status != "available":
            raise InvalidVolume(
                f"Volume {current.id} status must be available to update readonly flag, but current "
                f"status is: {current.status}."
            )
        return {"readonly": readonly}

    request.service.volumes.change(request.caller, volume.id, edit)
    return Reply(202)


def _reset_status(request: Request, volume: VolumeRecord, given: dict[str, Any]) -> Reply:
    status = text("status", given.get("status"))
    attach_status = text("attach_status", given.get("attach_status"))
    migration = text("migration_status", given.get("migration_status"))
    if status is None and attach_status is None and migration is None:
        raise InvalidInput(
            "os-reset_status", "One of status, attach_status, migration_status is needed."
        )
    if attach_status not in (None, "detached", "attached"):
        raise InvalidInput("attach_status", "It is attached or detached.", attach_status)
    request.service.volumes.reset_status(
        request.caller, volume.id, status.lower() if status else None, attach_status,
        migration.lower() if migration else None,
    )
    return Reply(202)


def _force_delete(request: Request, volume: VolumeRecord, _given: dict[str, Any]) -> Reply:
    request.service.volumes.delete(request.caller, volume.id, force=True)
    return Reply(202)


def _migrate(_request: Request, _volume: VolumeRecord, given: dict[str, Any]) -> Reply:
    host = required_text("host", given.get("host"))
    raise BadRequest(
        f"Invalid input received: No available service named {host[:80]}: there is one backend alone."
    )


# --- attachments, the older way --------------------------------------------------------------------


def _reserve(request: Request, volume: VolumeRecord, _given: dict[str, Any]) -> Reply:
    request.service.attachments.mark(request.caller, volume.id)
    return Reply(202)


def _unreserve(request: Request, volume: VolumeRecord, _given: dict[str, Any]) -> Reply:
    request.service.attachments.unmark(request.caller, volume.id)
    return Reply(202)


def _begin_detaching(request: Request, volume: VolumeRecord, _given: dict[str, Any]) -> Reply:
    request.service.attachments.begin_detaching(request.caller, volume.id)
    return Reply(202)


def _roll_detaching(request: Request, volume: VolumeRecord, _given: dict[str, Any]) -> Reply:
    request.service.attachments.roll_detaching(request.caller, volume.id)
    return Reply(202)


def _attach(request: Request, volume: VolumeRecord, given: dict[str, Any]) -> Reply:
    instance, host = given.get("instance_uuid"), text("host_name", given.get("host_name"))
    mode = given.get("mode") or "rw"
    if instance is None and host is None:
        raise BadRequest("Invalid request to attach volume to an invalid target")
    if mode not in ("rw", "ro"):
        raise InvalidInput("mode", "Attaching mode should be 'rw' or 'ro'.", mode)
    request.service.attachments.attach(
        request.caller, volume.id, instance_uuid=identifier("instance_uuid", instance), host=host,
        mountpoint=required_text("mountpoint", given.get("mountpoint")), mode=mode,
    )
    return Reply(202)


def _detach(request: Request, volume: VolumeRecord, given: dict[str, Any]) -> Reply:
    request.service.attachments.detach(
        request.caller, volume.id, identifier("attachment_id", given.get("attachment_id")),
        trusted=request.trusted,
    )
    return Reply(202)


def _connector(given: dict[str, Any]) -> dict[str, Any]:
    connector = _needed(given, "connector")
    if not isinstance(connector, dict):
        raise InvalidInput("connector", "It must be an object.")
    return connector


def _initialize(request: Request, volume: VolumeRecord, given: dict[str, Any]) -> Any:
    connection = request.service.attachments.connection(
        request.caller, volume.id, _connector(given)
    )
    return {"connection_info": connection}


def _terminate(request: Request, volume: VolumeRecord, given: dict[str, Any]) -> Reply:
    _connector(given)
    request.service.attachments.disconnect(request.caller, volume.id, trusted=request.trusted)
    return Reply(202)


# --- images ----------------------------------------------------------------------------------------


def _upload(request: Request, volume: VolumeRecord, given: dict[str, Any]) -> Reply:
    visibility, protected = "private", False
    if request.version >= versions.UPLOAD_VISIBILITY:
        visibility = given.get("visibility") or "private"
        protected = as_bool("protected", given.get("protected", False))
        if visibility not in ("private", "public", "shared", "community"):
            raise InvalidInput("visibility", "It is private, public, shared or community.", visibility)
        if visibility == "public":
            request.check("volume_extension:volume_actions:upload_public", volume.project_id)
    if protected:
        raise InvalidInput(
            "protected", "Protect the image with the image service once it is there.", protected
        )
    before, image = request.service.volumes.upload(
        request.caller, volume.id, required_text("image_name", given.get("image_name")),
        disk_format=text("disk_format", given.get("disk_format")) or "raw",
        container_format=text("container_format", given.get("container_format")) or "bare",
        visibility=visibility, force=as_bool("force", given.get("force", False)),
    )
    type_ = request.service.types.get(request.caller, volume.type_id)
    answer: dict[str, Any] = {
        "id": volume.id, "updated_at": views.moment(before.updated_at), "status": "uploading",
        "display_description": volume.description, "size": volume.size,
        "volume_type": views.type_view(request, type_, created=True), "image_id": image.id,
        "container_format": image.container_format, "disk_format": image.disk_format,
        "image_name": image.name,
    }
    if request.version >= versions.UPLOAD_VISIBILITY:
        answer |= {"visibility": image.visibility, "protected": image.protected}
    return Reply(202, {"os-volume_upload_image": answer})


def _reimage(request: Request, volume: VolumeRecord, given: dict[str, Any]) -> Reply:
    image_id = identifier("image_id", given.get("image_id"))
    if image_id is None:
        raise InvalidInput("os-reimage", "'image_id' is a required property")
    reserved = as_bool("reimage_reserved", given.get("reimage_reserved", False))
    if reserved:
        request.check("volume:reimage_reserved", volume.project_id)
    request.service.volumes.reimage(request.caller, volume.id, image_id, reserved=reserved)
    return Reply(202)


def _set_image_metadata(request: Request, volume: VolumeRecord, given: dict[str, Any]) -> Any:
    added = metadata("metadata", _needed(given, "metadata"))
    changed = request.service.volumes.change(
        request.caller, volume.id,
        lambda current: {"image_metadata": {**current.image_metadata, **added}},
    )
    return {"metadata": changed.image_metadata}


def _unset_image_metadata(request: Request, volume: VolumeRecord, given: dict[str, Any]) -> Reply:
    key = required_text("key", given.get("key"))

    def edit(current: VolumeRecord) -> dict[str, Any]:
        if key not in current.image_metadata:
            raise NotFound("Metadata item was not found")
        left = {name: value for name, value in current.image_metadata.items() if name != key}
        return {"image_metadata": left}

    request.service.volumes.change(request.caller, volume.id, edit)
    return Reply(200)


def _show_image_metadata(request: Request, volume: VolumeRecord, _given: dict[str, Any]) -> Any:
    return {"metadata": volume.image_metadata}


def _revert(request: Request, volume: VolumeRecord, given: dict[str, Any]) -> Reply:
    snapshot_id = identifier("snapshot_id", given.get("snapshot_id"))
    request.service.volumes.revert(request.caller, volume.id, snapshot_id or "None")
    return Reply(202)


def _needed(given: dict[str, Any], name: str) -> Any:
    if name not in given:
        raise InvalidInput(name, f"'{name}' is a required property")
    return given[name]


_OLD = "volume_extension:volume_actions"
_ADMIN = "volume_extension:volume_admin_actions"
_IMAGE = "volume_extension:volume_image_metadata"
#: name -> (rule, function, first version)
_ACTIONS: dict[str, tuple[str, Action, int]] = {
    "os-extend": ("volume:extend", _extend, 0),
    "os-retype": ("volume:retype", _retype, 0),
    "os-set_bootable": ("volume:update", _set_bootable, 0),
    "os-update_readonly_flag": ("volume:update_readonly_flag", _set_readonly, 0),
    "os-reset_status": (f"{_ADMIN}:reset_status", _reset_status, 0),
    "os-force_delete": (f"{_ADMIN}:force_delete", _force_delete, 0),
    "os-force_detach": (f"{_ADMIN}:force_detach", _detach, 0),
    "os-migrate_volume": (f"{_ADMIN}:migrate_volume", _migrate, 0),
    "os-reserve": (f"{_OLD}:reserve", _reserve, 0),
    "os-unreserve": (f"{_OLD}:unreserve", _unreserve, 0),
    "os-begin_detaching": (f"{_OLD}:begin_detaching", _begin_detaching, 0),
    "os-roll_detaching": (f"{_OLD}:roll_detaching", _roll_detaching, 0),
    "os-attach": (f"{_OLD}:attach", _attach, 0),
    "os-detach": (f"{_OLD}:detach", _detach, 0),
    "os-initialize_connection": (f"{_OLD}:initialize_connection", _initialize, 0),
    "os-terminate_connection": (f"{_OLD}:terminate_connection", _terminate, 0),
    "os-volume_upload_image": (f"{_OLD}:upload_image", _upload, 0),
    "os-set_image_metadata": (f"{_IMAGE}:set", _set_image_metadata, 0),
    "os-unset_image_metadata": (f"{_IMAGE}:remove", _unset_image_metadata, 0),
    "os-show_image_metadata": (f"{_IMAGE}:show", _show_image_metadata, 0),
    "revert": ("volume:revert_to_snapshot", _revert, versions.REVERT),
    "os-reimage": ("volume:reimage", _reimage, versions.REIMAGE),
}
