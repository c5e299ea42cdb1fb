# SPDX-License-Identifier: Apache-2.0
"""``PUT /servers/{id}``: names, description, access addresses, disk config, pinned zone."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from nova import errors
from nova.api.compute import server_values as values
from nova.api.compute.bodies import Body, window
from nova.api.compute.request import ApiRequest
from nova.api.compute.servers_view import ServerRenderer, changed_flags
from nova.objects.instance import Instance


class ServerUpdate(msgspec.Struct, frozen=True):
    """The body, newest form."""

    name: str | UnsetType = UNSET
    disk_config: str | UnsetType = msgspec.field(name="OS-DCF:diskConfig", default=UNSET)
    access_ipv4: str | UnsetType = msgspec.field(name="accessIPv4", default=UNSET)
    access_ipv6: str | UnsetType = msgspec.field(name="accessIPv6", default=UNSET)
    description: Annotated[str | UnsetType | None, window(since=19)] = UNSET
    hostname: Annotated[str | UnsetType, window(since=90)] = UNSET
    pinned_availability_zone: Annotated[str | UnsetType | None, window(since=104)] = UNSET


UPDATE: Body[ServerUpdate] = Body("server", ServerUpdate)


def update(request: ApiRequest) -> Any:
    """Change what was sent."""
    changes = _changes(request, request.body)
    operations = request.cloud.operations
    instance = operations.get(request.caller, request.path["server_id"])
    request.check(
        "os_compute_api:servers:update",
        project_id=instance.project_id, user_id=instance.user_id,
    )
    zone = request.body.pinned_availability_zone
    if zone is not UNSET:
        _check_pin(request, instance, zone)
        changes["pinned_availability_zone"] = zone
    if changes:
        operations.update(request.caller, instance, changes)
        instance = operations.get(request.caller, instance.uuid)
    flags = changed_flags(request, instance.project_id)
    return {"server": ServerRenderer(request, flags).plain(instance)}


def _changes(request: ApiRequest, body: ServerUpdate) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if body.name is not UNSET:
        changes["name"] = values.name("name", body.name, legacy=request.legacy)
    if body.disk_config is not UNSET:
        changes["disk_config"] = values.disk_config("OS-DCF:diskConfig", body.disk_config)
    if body.access_ipv4 is not UNSET:
        changes["access_ipv4"] = values.address(
            "accessIPv4", body.access_ipv4, version=4, empty=request.legacy
        )
    if body.access_ipv6 is not UNSET:
        changes["access_ipv6"] = values.address(
            "accessIPv6", body.access_ipv6, version=6, empty=request.legacy
        )
    if body.description is not UNSET:
        changes["description"] = values.description("description", body.description)
    if body.hostname is not UNSET:
        changes["hostname"] = values.hostname(
            "hostname", body.hostname, dotted=request.features.dotted_hostnames
        )
    return changes


def _check_pin(request: ApiRequest, instance: Instance, zone: str | None) -> None:
    """A server can be unpinned, or pinned to the zone that it is in."""
    if zone is None:
        return
    values.name("pinned_availability_zone", zone)
    pinned = instance.pinned_availability_zone
    if pinned is not None:
        if zone != pinned:
            raise errors.Conflict(
                "Cannot change pinned availability zone directly. Unpin first by setting "
                "pinned_availability_zone to null."
            )
        return
    current = (
        request.cloud.zones.zone_of(instance.host) if instance.host else instance.availability_zone
    )
    if zone != current:
        raise errors.Conflict(
            f"Server can only be pinned to its current availability zone '{current}', but "
            f"'{zone[:64]}' was requested."
        )
