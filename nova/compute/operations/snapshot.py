# SPDX-License-Identifier: Apache-2.0
"""createImage, createBackup, and shelving, which keeps its disk as an image too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from nova.compute.operations.core import (
    OperationsCore,
    begin,
    enter,
    prepare,
)
from nova.errors import BadRequest, Conflict, ImageNotFound, NovaError
from nova.objects.context import RequestContext
from nova.objects.image import Image
from nova.objects.instance import Instance
from nova.objects.states import SHELVED, SHELVED_OFFLOADED

#: Properties of the base image that say something of one image only and are not inherited
#: (the original's ``non_inheritable_image_properties``).
_OWN = frozenset(
    {
        "cache_in_nova", "bittorrent", "img_signature_hash_method", "img_signature",
        "img_signature_key_type", "img_signature_certificate_uuid", "min_disk", "min_ram",
        "disk_format", "container_format", "owner_specified",
    }
)


def snapshot(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    name: str,
    properties: Mapping[str, Any],
) -> str:
    """Make an image of a server's root disk; returns the image's id."""
    action = prepare(context, instance, "snapshot")
    image = _make_image(core, context, instance, name, properties)
    try:
        with core.db.write() as tx:
            enter(core, tx, context, instance, action, {"image_id": image.id})
    except NovaError:
        core.images.delete(context, image.id)
        raise
    return image.id


def backup(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    name: str,
    backup_type: str,
    rotation: int,
    properties: Mapping[str, Any],
) -> str | None:
    """Make a backup image and keep the ``rotation`` newest of its type; 0 removes all of them."""
    action = prepare(context, instance, "backup")
    if not instance.image_ref:
        raise BadRequest("Backup is not supported for volume-backed instances.")
    if rotation == 0:
        _rotate(core, context, instance, backup_type, 0)
        return None
    image = _make_image(
        core, context, instance, name,
        {**properties, "image_type": "backup", "backup_type": backup_type},
    )
    try:
        with core.db.write() as tx:
            enter(core, tx, context, instance, action, {"image_id": image.id})
    except NovaError:
        core.images.delete(context, image.id)
        raise
    _rotate(core, context, instance, backup_type, rotation)
    return image.id


def _rotate(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    backup_type: str,
    keep: int,
) -> None:
    images = core.images.list(
        context,
        filters={"backup_type": backup_type, "instance_uuid": instance.uuid},
        limit=None, marker=None,
    )
    oldest_last = sorted(
        images, key=lambda each: (each.created_at is not None, each.created_at), reverse=True
    )
    for image in oldest_last[keep:]:
        try:
            core.images.delete(context, image.id)
        except (ImageNotFound, NovaError):
            continue


def _make_image(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    name: str,
    properties: Mapping[str, Any],
) -> Image:
    """The image's record, before its data (nova-facts: what snapshot images carry)."""
    inherited = {
        key: str(value) for key, value in (instance.image_properties or {}).items()
        if key not in _OWN and value is not None
    }
    facts = {
        **inherited, "image_type": "snapshot", "instance_uuid": instance.uuid,
        "user_id": context.user_id, "owner_id": instance.project_id,
        "base_image_ref": instance.image_ref, "image_location": "snapshot",
        "image_state": "available", **{key: str(value) for key, value in properties.items()},
    }
    known = instance.image_properties or {}
    return core.images.create(
        context, name=name, properties=facts,
        disk_format=str(known.get("disk_format") or "raw"), container_format="bare",
        min_disk=instance.root_gb, min_ram=int(known.get("min_ram") or 0),
        owner=instance.project_id,
    )


def shelve(core: OperationsCore, context: RequestContext, instance: Instance) -> None:
    """Stop a server, keep its disk as an image, and take it off its host after a while."""
    action = prepare(context, instance, "shelve")
    payload: dict[str, Any] = {"offload": core.config.default.shelved_offload_time == 0}
    image: Image | None = None
    if instance.image_ref:
        image = _make_image(core, context, instance, f"{instance.name}-shelved", {})
        payload["image_id"] = image.id
    try:
        with core.db.write() as tx:
            enter(core, tx, context, instance, action, payload)
    except NovaError:
        if image is not None:
            core.images.delete(context, image.id)
        raise


def shelve_offload(core: OperationsCore, context: RequestContext, instance: Instance) -> None:
    """Take a shelved server off its host now."""
    begin(core, context, instance, "shelve_offload")


def unshelve(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    *,
    availability_zone: str | msgspec.UnsetType | None = msgspec.UNSET,
    host: str | None = None,
) -> None:
    """Start a shelved server again, in a zone or on a host if one is named."""
    action = prepare(context, instance, "unshelve")
    named = availability_zone is not msgspec.UNSET or host is not None
    if instance.vm_state == SHELVED:
        if named:
            raise Conflict(
                f"Unshelving a server to a zone or host is allowed while it is "
                f"{SHELVED_OFFLOADED}; instance {instance.uuid} is {SHELVED}."
            )
        begin(core, context, instance, "unshelve", step="run")
        return
    payload: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    with core.db.write() as tx:
        if isinstance(availability_zone, str):
            if availability_zone not in {
                *tx.aggregates.zones_of_hosts().values(),
                core.config.default.default_availability_zone,
            }:
                raise BadRequest("The requested availability zone is not available")
            changes["availability_zone"] = availability_zone
        if availability_zone is not msgspec.UNSET:
            changes["pinned_availability_zone"] = availability_zone
        if host is not None:
            if not tx.nodes.by_host(host):
                raise BadRequest(f"Compute host {host} could not be found.")
            payload["wanted_host"] = host
        enter(core, tx, context, instance, action, payload, step="place", changes=changes)
