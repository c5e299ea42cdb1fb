# SPDX-License-Identifier: Apache-2.0
"""``POST /volumes/{volume_id}/action``: one member of the body names the action.

A function of an action reads what the action is given, and returns what is then done to the volume: what is
wrong with a body is told before the volume is looked for, as Cinder's schemas do.
"""

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
    boolean,
    identifier,
    metadata,
    one_action,
    refuse_unknown,
    required_text,
    text,
)
from nova.volume.core import checked_size

Deed = Callable[[VolumeRecord], Any]
Action = Callable[[Request, dict[str, Any]], Deed]

_ACCEPTED = Reply(202)


def act(request: Request, volume_id: str) -> Any:
    """Do what the body says."""
    name, argument = one_action(request.document())
    rule, action, since, known = _ACTIONS.get(name, _NO_ACTION)
    if action is None or request.version < since:
        raise BadRequest(f"There is no such action: {name[:60]}")
    if known is None:
        given = argument if isinstance(argument, dict) else {}
    else:
        given = argument_of(name, argument)
        refuse_unknown(name, given, known)
    deed = action(request, given)
    volume = request.service.volumes.get(request.caller, volume_id)
    request.check(rule, volume.project_id)
    return deed(volume)


# --- size, type, flags ----------------------------------------------------------------------------


def _extend(request: Request, given: dict[str, Any]) -> Deed:
    if "new_size" not in given:
        raise InvalidInput("os-extend", "'new_size' is a required property")
    size = checked_size(given["new_size"])

    def deed(volume: VolumeRecord) -> Reply:
        attached = request.version >= versions.EXTEND_ATTACHED and request.allows(
            "volume:extend_attached_volume", volume.project_id
        )
        request.service.volumes.extend(request.caller, volume.id, size, attached=attached)
        return _ACCEPTED

    return deed


def _retype(request: Request, given: dict[str, Any]) -> Deed:
    policy = given.get("migration_policy")
    if policy not in (None, "never", "on-demand"):
        raise InvalidInput("migration_policy", "It is one of 'on-demand', 'never'.", policy)
    new_type = required_text("new_type", given.get("new_type"))

    def deed(volume: VolumeRecord) -> Reply:
        request.service.volumes.retype(request.caller, volume.id, new_type)
        return _ACCEPTED

    return deed


def _set_bootable(request: Request, given: dict[str, Any]) -> Deed:
    bootable = boolean("bootable", _needed(given, "bootable"))

    def deed(volume: VolumeRecord) -> None:
        request.service.volumes.change(
            request.caller, volume.id, lambda _volume: {"bootable": bootable}
        )

    return deed


def _set_readonly(request: Request, given: dict[str, Any]) -> Deed:
    readonly = boolean("readonly", _needed(given, "readonly"))

    def edit(current: VolumeRecord) -> dict[str, Any]:
        if current.status != "available":
            raise InvalidVolume(
                f"Volume {current.id} status must be available to update readonly flag, but current "
                f"status is: {current.status}."
            )
        return {"readonly": readonly}

    def deed(volume: VolumeRecord) -> Reply:
        request.service.volumes.change(request.caller, volume.id, edit)
        return _ACCEPTED

    return deed


def _reset_status(request: Request, given: dict[str, Any]) -> Deed:
    status = text("status", given.get("status"))
    attach_status = text("attach_status", given.get("attach_status"))
    migration = text("migration_status", given.get("migration_status"))
    if status is None and attach_status is None and migration is None:
        raise InvalidInput(
            "os-reset_status", "One of status, attach_status, migration_status is needed."
        )
    if attach_status not in (None, "detached", "attached"):
        raise InvalidInput("attach_status", "It is attached or detached.", attach_status)

    def deed(volume: VolumeRecord) -> Reply:
        request.service.volumes.reset_status(
            request.caller, volume.id, status.lower() if status else None, attach_status,
            migration.lower() if migration else None,
        )
        return _ACCEPTED

    return deed


def _force_delete(request: Request, _given: dict[str, Any]) -> Deed:
    def deed(volume: VolumeRecord) -> Reply:
        request.service.volumes.delete(request.caller, volume.id, force=True)
        return _ACCEPTED

    return deed


def _migrate(_request: Request, given: dict[str, Any]) -> Deed:
    host = required_text("host", given.get("host"))

    def deed(_volume: VolumeRecord) -> Reply:
        raise BadRequest(
            f"Invalid input received: No available service named {host[:80]}: there is one backend "
            "alone."
        )

    return deed


# --- attachments, the older way --------------------------------------------------------------------


def _reserve(request: Request, _given: dict[str, Any]) -> Deed:
    return _accepted(lambda volume: request.service.attachments.mark(request.caller, volume.id))


def _unreserve(request: Request, _given: dict[str, Any]) -> Deed:
    return _accepted(lambda volume: request.service.attachments.unmark(request.caller, volume.id))


def _begin_detaching(request: Request, _given: dict[str, Any]) -> Deed:
    attachments = request.service.attachments
    return _accepted(lambda volume: attachments.begin_detaching(request.caller, volume.id))


def _roll_detaching(request: Request, _given: dict[str, Any]) -> Deed:
    attachments = request.service.attachments
    return _accepted(lambda volume: attachments.roll_detaching(request.caller, volume.id))


def _accepted(deed: Deed) -> Deed:
    def accepted(volume: VolumeRecord) -> Reply:
        deed(volume)
        return _ACCEPTED

    return accepted


def _attach(request: Request, given: dict[str, Any]) -> Deed:
    instance, host = given.get("instance_uuid"), text("host_name", given.get("host_name"))
    mode = given.get("mode") or "rw"
    if instance is None and host is None:
        raise BadRequest("Invalid request to attach volume to an invalid target")
    if mode not in ("rw", "ro"):
        raise InvalidInput("mode", "Attaching mode should be 'rw' or 'ro'.", mode)
    instance_uuid = identifier("instance_uuid", instance)
    mountpoint = required_text("mountpoint", given.get("mountpoint"))

    def deed(volume: VolumeRecord) -> None:
        request.service.attachments.attach(
            request.caller, volume.id, instance_uuid=instance_uuid, host=host,
            mountpoint=mountpoint, mode=mode,
        )

    return _accepted(deed)


def _detach(request: Request, given: dict[str, Any]) -> Deed:
    attachment_id = identifier("attachment_id", given.get("attachment_id"))

    def deed(volume: VolumeRecord) -> None:
        request.service.attachments.detach(
            request.caller, volume.id, attachment_id, trusted=request.trusted
        )

    return _accepted(deed)


def _connector(given: dict[str, Any]) -> dict[str, Any]:
    connector = _needed(given, "connector")
    if not isinstance(connector, dict):
        raise InvalidInput("connector", "It must be an object.")
    return connector


def _initialize(request: Request, given: dict[str, Any]) -> Deed:
    connector = _connector(given)

    def deed(volume: VolumeRecord) -> Any:
        connection = request.service.attachments.connection(request.caller, volume.id, connector)
        return {"connection_info": connection}

    return deed


def _terminate(request: Request, given: dict[str, Any]) -> Deed:
    _connector(given)

    def deed(volume: VolumeRecord) -> None:
        request.service.attachments.disconnect(request.caller, volume.id, trusted=request.trusted)

    return _accepted(deed)


# --- images ----------------------------------------------------------------------------------------


def _upload(request: Request, given: dict[str, Any]) -> Deed:
    visibility, protected = "private", False
    if request.version >= versions.UPLOAD_VISIBILITY:
        visibility = given.get("visibility") or "private"
        protected = boolean("protected", given.get("protected", False))
        if visibility not in ("private", "public", "shared", "community"):
            raise InvalidInput("visibility", "It is private, public, shared or community.", visibility)
    else:
        refuse_unknown("os-volume_upload_image", given, _UPLOAD - {"visibility", "protected"})
    if protected:
        raise InvalidInput(
            "protected", "Protect the image with the image service once it is there.", protected
        )
    name = required_text("image_name", given.get("image_name"))
    facts: dict[str, Any] = {
        "disk_format": text("disk_format", given.get("disk_format")) or "raw",
        "container_format": text("container_format", given.get("container_format")) or "bare",
        "visibility": visibility, "force": boolean("force", given.get("force", False)),
    }

    def deed(volume: VolumeRecord) -> Reply:
        if visibility == "public":
            request.check("volume_extension:volume_actions:upload_public", volume.project_id)
        return _uploaded(request, volume, name, facts)

    return deed


def _uploaded(request: Request, volume: VolumeRecord, name: str, facts: dict[str, Any]) -> Reply:
    before, image = request.service.volumes.upload(request.caller, volume.id, name, **facts)
    type_ = request.service.types.of_volume(volume)
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


def _reimage(request: Request, given: dict[str, Any]) -> Deed:
    image_id = identifier("image_id", given.get("image_id"))
    if image_id is None:
        raise InvalidInput("os-reimage", "'image_id' is a required property")
    reserved = boolean("reimage_reserved", given.get("reimage_reserved", False))

    def deed(volume: VolumeRecord) -> None:
        if reserved:
            request.check("volume:reimage_reserved", volume.project_id)
        request.service.volumes.reimage(request.caller, volume.id, image_id, reserved=reserved)

    return _accepted(deed)


def _set_image_metadata(request: Request, given: dict[str, Any]) -> Deed:
    added = metadata("metadata", _needed(given, "metadata"), optional=False)

    def deed(volume: VolumeRecord) -> Any:
        changed = request.service.volumes.change(
            request.caller, volume.id,
            lambda current: {"image_metadata": {**current.image_metadata, **added}},
        )
        return {"metadata": changed.image_metadata}

    return deed


def _unset_image_metadata(request: Request, given: dict[str, Any]) -> Deed:
    key = required_text("key", given.get("key"))

    def edit(current: VolumeRecord) -> dict[str, Any]:
        if key not in current.image_metadata:
            raise NotFound("Metadata item was not found")
        left = {name: value for name, value in current.image_metadata.items() if name != key}
        return {"image_metadata": left}

    def deed(volume: VolumeRecord) -> Reply:
        request.service.volumes.change(request.caller, volume.id, edit)
        return Reply(200)

    return deed


def _show_image_metadata(_request: Request, _given: dict[str, Any]) -> Deed:
    return lambda volume: {"metadata": volume.image_metadata}


def _revert(request: Request, given: dict[str, Any]) -> Deed:
    snapshot_id = identifier("snapshot_id", _needed(given, "snapshot_id"))

    def deed(volume: VolumeRecord) -> None:
        request.service.volumes.revert(request.caller, volume.id, snapshot_id or "None")

    return _accepted(deed)


def _needed(given: dict[str, Any], name: str) -> Any:
    if name not in given:
        raise InvalidInput(name, f"'{name}' is a required property")
    return given[name]


_OLD = "volume_extension:volume_actions"
_ADMIN = "volume_extension:volume_admin_actions"
_IMAGE = "volume_extension:volume_image_metadata"
_UPLOAD = frozenset(
    {"image_name", "force", "disk_format", "container_format", "visibility", "protected"}
)
_RESET = frozenset({"status", "attach_status", "migration_status"})
_MIGRATE = frozenset({"host", "force_host_copy", "lock_volume", "cluster"})
_NO_ACTION: tuple[str, Action | None, int, frozenset[str] | None] = ("", None, 0, None)
#: name -> (rule, function, first version, what it may be given; None for anything)
_ACTIONS: dict[str, tuple[str, Action | None, int, frozenset[str] | None]] = {
    "os-extend": ("volume:extend", _extend, 0, frozenset({"new_size"})),
    "os-retype": ("volume:retype", _retype, 0, frozenset({"new_type", "migration_policy"})),
    "os-set_bootable": ("volume:update", _set_bootable, 0, frozenset({"bootable"})),
    "os-update_readonly_flag": (
        "volume:update_readonly_flag", _set_readonly, 0, frozenset({"readonly"}),
    ),
    "os-reset_status": (f"{_ADMIN}:reset_status", _reset_status, 0, _RESET),
    "os-force_delete": (f"{_ADMIN}:force_delete", _force_delete, 0, None),
    "os-force_detach": (
        f"{_ADMIN}:force_detach", _detach, 0, frozenset({"connector", "attachment_id"}),
    ),
    "os-migrate_volume": (f"{_ADMIN}:migrate_volume", _migrate, 0, _MIGRATE),
    "os-reserve": (f"{_OLD}:reserve", _reserve, 0, None),
    "os-unreserve": (f"{_OLD}:unreserve", _unreserve, 0, None),
    "os-begin_detaching": (f"{_OLD}:begin_detaching", _begin_detaching, 0, None),
    "os-roll_detaching": (f"{_OLD}:roll_detaching", _roll_detaching, 0, None),
    "os-attach": (
        f"{_OLD}:attach", _attach, 0,
        frozenset({"instance_uuid", "mountpoint", "host_name", "mode"}),
    ),
    "os-detach": (f"{_OLD}:detach", _detach, 0, frozenset({"attachment_id"})),
    "os-initialize_connection": (
        f"{_OLD}:initialize_connection", _initialize, 0, frozenset({"connector"}),
    ),
    "os-terminate_connection": (
        f"{_OLD}:terminate_connection", _terminate, 0, frozenset({"connector"}),
    ),
    "os-volume_upload_image": (f"{_OLD}:upload_image", _upload, 0, _UPLOAD),
    "os-set_image_metadata": (f"{_IMAGE}:set", _set_image_metadata, 0, frozenset({"metadata"})),
    "os-unset_image_metadata": (f"{_IMAGE}:remove", _unset_image_metadata, 0, frozenset({"key"})),
    "os-show_image_metadata": (f"{_IMAGE}:show", _show_image_metadata, 0, None),
    "revert": ("volume:revert_to_snapshot", _revert, versions.REVERT, None),
    "os-reimage": (
        "volume:reimage", _reimage, versions.REIMAGE, frozenset({"image_id", "reimage_reserved"}),
    ),
}
