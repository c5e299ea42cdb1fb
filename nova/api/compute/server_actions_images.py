# SPDX-License-Identifier: Apache-2.0
"""Actions that make an image of a server, or the server anew from one."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nova import errors
from nova.api.compute import server_values as values
from nova.api.compute.bodies import Body, NonNegativeInt, window
from nova.api.compute.policies import MEMBER_OR_ADMIN
from nova.api.compute.request import Answer, ApiRequest
from nova.api.compute.server_action_table import ServerAction
from nova.api.compute.server_references import references_refused
from nova.api.compute.servers_create import FileItem, injected_files
from nova.api.compute.servers_view import ServerRenderer, changed_flags
from nova.api.compute.texts import Boolean, truth
from nova.objects.boot import RebuildRequest
from nova.objects.instance import Instance
from nova.policy import Rule

_SERVERS = "os_compute_api:servers"
_VOLUME_BACKED = f"{_SERVERS}:create_image:allow_volume_backed"
_CERTIFICATES = f"{_SERVERS}:rebuild:trusted_certs"

RULES: tuple[Rule, ...] = (
    Rule(f"{_SERVERS}:create_image", MEMBER_OR_ADMIN, "Make an image of a server."),
    Rule(_VOLUME_BACKED, MEMBER_OR_ADMIN, "Make an image of a server whose disk is a volume."),
    Rule(f"{_SERVERS}:rebuild", MEMBER_OR_ADMIN, "Rebuild a server."),
    Rule(_CERTIFICATES, MEMBER_OR_ADMIN, "Rebuild a server with trusted certificates."),
    Rule("os_compute_api:os-create-backup", MEMBER_OR_ADMIN, "Back a server up."),
)


class CreateImage(msgspec.Struct, frozen=True):
    """The image's name and properties."""

    name: str
    metadata: dict[str, str] = {}


def create_image(request: ApiRequest, instance: Instance, body: CreateImage) -> Any:
    """Make an image of the server."""
    name = values.name("name", body.name, legacy=request.legacy)
    properties = values.metadata("metadata", body.metadata, legacy=request.legacy)
    _check_property_quota(request, properties)
    if instance.volume_backed:
        request.check(_VOLUME_BACKED, project_id=instance.project_id)
    image_id = request.cloud.operations.snapshot(request.caller, instance, name, properties)
    return _made(request, image_id)


def _check_property_quota(request: ApiRequest, properties: dict[str, str]) -> None:
    """Up to 2.38 an image's properties count against the metadata quota."""
    if request.features.no_image_metadata_quota:
        return
    caller = request.caller
    most = request.cloud.limits.get(caller.project_id, caller.user_id)["metadata_items"]
    if 0 <= most < len(properties):
        raise errors.QuotaExceeded(f"Maximum number of metadata items exceeds {most}")


def _made(request: ApiRequest, image_id: str) -> Answer:
    if request.features.image_id_in_body:
        return Answer({"image_id": image_id})
    return Answer(None, headers={"Location": f"{request.base}/images/{image_id}"})


class CreateBackup(msgspec.Struct, frozen=True):
    """A backup: its name, its kind (any text; the command line sends none), how many of it to keep."""

    name: str
    backup_type: Annotated[str, Meta(max_length=255)]
    rotation: NonNegativeInt
    metadata: dict[str, str] = {}


def create_backup(request: ApiRequest, instance: Instance, body: CreateBackup) -> Any:
    """Make a backup and remove those that are too many."""
    name = values.name("name", body.name, legacy=request.legacy)
    properties = values.metadata("metadata", body.metadata, legacy=request.legacy)
    _check_property_quota(request, properties)
    image_id = request.cloud.operations.backup(
        request.caller, instance, name, body.backup_type, body.rotation, properties
    )
    return None if image_id is None else _made(request, image_id)


class Rebuild(msgspec.Struct, frozen=True):
    """The body, newest form."""

    image_ref: str = msgspec.field(name="imageRef")
    name: str | UnsetType = UNSET
    admin_pass: str | UnsetType = msgspec.field(name="adminPass", default=UNSET)
    metadata: dict[str, str] | UnsetType = UNSET
    preserve_ephemeral: Boolean = False
    disk_config: str | UnsetType = msgspec.field(name="OS-DCF:diskConfig", default=UNSET)
    access_ipv4: str | UnsetType = msgspec.field(name="accessIPv4", default=UNSET)
    access_ipv6: str | UnsetType = msgspec.field(name="accessIPv6", default=UNSET)
    personality: Annotated[list[FileItem], window(until=56)] = []
    description: Annotated[str | UnsetType | None, window(since=19)] = UNSET
    key_name: Annotated[str | UnsetType | None, window(since=54)] = UNSET
    user_data: Annotated[str | UnsetType | None, window(since=57)] = UNSET
    trusted_image_certificates: Annotated[
        list[str] | UnsetType | None, window(since=63)
    ] = UNSET
    hostname: Annotated[str | UnsetType, window(since=90)] = UNSET


def rebuild(request: ApiRequest, instance: Instance, body: Rebuild) -> Any:
    """Make the server anew from an image."""
    wanted = _rebuild_request(request, body)
    if wanted.trusted_image_certificates is not UNSET:
        request.check(_CERTIFICATES, project_id=instance.project_id)
    operations = request.cloud.operations
    with references_refused():
        password = operations.rebuild(request.caller, instance, wanted)
    instance = operations.get(request.caller, instance.uuid)
    flags = changed_flags(request, instance.project_id, rebuilt=True)
    server = ServerRenderer(request, flags).plain(instance)
    if request.cloud.config.default.enable_instance_password:
        server["adminPass"] = password
    return Answer({"server": server}, headers={"Location": server["links"][0]["href"]})


def _rebuild_request(request: ApiRequest, body: Rebuild) -> RebuildRequest:
    legacy = request.legacy
    return RebuildRequest(
        image_ref=values.uuid("imageRef", values.last_segment(body.image_ref)),
        over_volume=request.features.rebuild_volume_backed,
        name=UNSET if body.name is UNSET else values.name("name", body.name, legacy=legacy),
        description=(
            UNSET
            if body.description is UNSET
            else values.description("description", body.description)
        ),
        hostname=(
            UNSET
            if body.hostname is UNSET
            else values.hostname(
                "hostname", body.hostname, dotted=request.features.dotted_hostnames
            )
        ),
        metadata=(
            None
            if body.metadata is UNSET
            else values.metadata("metadata", body.metadata, legacy=legacy)
        ),
        admin_password=None if body.admin_pass is UNSET else body.admin_pass,
        preserve_ephemeral=truth(body.preserve_ephemeral),
        disk_config=(
            UNSET
            if body.disk_config is UNSET
            else values.disk_config("OS-DCF:diskConfig", body.disk_config)
        ),
        access_ipv4=_access("accessIPv4", body.access_ipv4, 4, legacy),
        access_ipv6=_access("accessIPv6", body.access_ipv6, 6, legacy),
        personality=injected_files(body.personality),
        key_name=_key_name(body.key_name),
        user_data=(
            UNSET
            if body.user_data is UNSET
            else values.user_data("user_data", body.user_data)
        ),
        trusted_image_certificates=(
            UNSET
            if body.trusted_image_certificates is UNSET
            else values.certificates(
                "trusted_image_certificates", body.trusted_image_certificates
            )
        ),
    )


def _access(field: str, text: str | UnsetType, version: int, legacy: bool) -> str | UnsetType:
    if text is UNSET:
        return UNSET
    return values.address(field, text, version=version, empty=legacy)


def _key_name(text: str | UnsetType | None) -> str | UnsetType | None:
    if text is UNSET or text is None:
        return text
    return values.name("key_name", text)


ACTIONS: tuple[ServerAction, ...] = (
    ServerAction(
        "createImage", create_image, f"{_SERVERS}:create_image",
        body=Body("createImage", CreateImage),
    ),
    ServerAction(
        "createBackup", create_backup, "os_compute_api:os-create-backup",
        body=Body("createBackup", CreateBackup),
    ),
    ServerAction("rebuild", rebuild, f"{_SERVERS}:rebuild", body=Body("rebuild", Rebuild)),
)
