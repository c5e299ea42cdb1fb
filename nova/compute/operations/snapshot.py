# SPDX-License-Identifier: Apache-2.0
"""createImage, createBackup, and shelving, which keeps its disk as an image too."""

from __future__ import annotations

import contextlib
import uuid as uuids
from collections.abc import Mapping
from typing import Any

import msgspec

from nova.compute.lifecycle import Action
from nova.compute.operations.core import (
    OperationsCore,
    begin,
    enter,
    prepare,
    prepared,
)
from nova.compute.operations.volume_snapshot import inherited_properties, snapshot_volumes
from nova.conductor.dispatch import unprepared
from nova.conductor.ending import end_and_discard, stands
from nova.db.engine import Transaction
from nova.errors import BadRequest, Conflict, ImageNotFound, NovaError
from nova.objects.context import RequestContext
from nova.objects.image import Image, snapshot_format
from nova.objects.instance import Instance
from nova.objects.states import SHELVED, SHELVED_OFFLOADED


def snapshot(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    name: str,
    properties: Mapping[str, Any],
) -> str:
    """Make an image of a server's root disk; returns the image's id.

    Where that is a volume, the image is the list of its disks, each volume as a snapshot of it.
    """
    action = prepare(context, instance, "snapshot")
    if instance.volume_backed:
        return snapshot_volumes(core, context, instance, name, properties)
    return _begin_with_image(core, context, instance, action, {}, name, properties)


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
    if instance.volume_backed:
        raise BadRequest("Backup is not supported for volume-backed instances.")
    if rotation == 0:
        _rotate(core, context, instance, backup_type, 0)
        return None
    image_id = _begin_with_image(
        core, context, instance, action, {}, name,
        {**properties, "image_type": "backup", "backup_type": backup_type},
    )
    _rotate(core, context, instance, backup_type, rotation)
    return image_id


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


def _begin_with_image(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    action: Action,
    payload: Mapping[str, Any],
    name: str,
    properties: Mapping[str, Any],
) -> str:
    """Begin an operation that fills an image; returns the image's id.

    The operation with the image's id is written before the image is made, so that after a crash in
    between nobody has an image that no operation knows of. Its step is entered last.
    """
    image_id = str(uuids.uuid4())
    facts = {**payload, "image_id": image_id}
    operation_id = core.db.run(
        lambda tx: enter(core, tx, context, instance, action, facts, send=False)
    )
    try:
        _make_image(core, context, instance, name, properties, image_id)
    except BaseException:
        core.db.run(lambda tx: _withdraw(core, tx, operation_id, image_id))
        raise
    if not core.db.run(lambda tx: _send(core, tx, operation_id)):
        if not core.db.run(lambda tx: prepared(core, tx, operation_id)):
            with contextlib.suppress(NovaError):
                core.images.delete(context, image_id)
        raise Conflict(f"Instance {instance.uuid} was taken by another request meanwhile.")
    return image_id


def _send(core: OperationsCore, tx: Transaction, operation_id: int) -> bool:
    """Enter the first step of an operation that is prepared now; False where it was overtaken."""
    operation = tx.operations.get(operation_id)
    if operation is None or operation.finished_at is not None or operation.step == "discard":
        return False
    instance = tx.instances.get(operation.instance_uuid)
    assert operation.step is not None
    return instance is not None and core.dispatcher.enter(
        tx, operation, instance, operation.step
    )


def _withdraw(core: OperationsCore, tx: Transaction, operation_id: int, image_id: str) -> None:
    """End an operation that could not be prepared; the server is idle again.

    The image may have come to be, where only the answer was lost.
    """
    operation = tx.operations.get(operation_id, lock=True)
    if operation is None or operation.finished_at is not None:
        return
    instance = tx.instances.get(operation.instance_uuid, lock=True)
    if instance is None or operation.step == "discard":
        prepared(core, tx, operation_id)
        return
    if stands(operation, instance):
        tx.instances.transition(instance.uuid, {"task_state": None})
    end_and_discard(core, tx, unprepared(operation), instance, image_id, failed=True)


def _make_image(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    name: str,
    properties: Mapping[str, Any],
    image_id: str,
) -> Image:
    """The image's record, before its data (nova-facts: what snapshot images carry)."""
    inherited = inherited_properties(instance)
    facts = {
        **inherited, "image_type": "snapshot", "instance_uuid": instance.uuid,
        "user_id": context.user_id, "owner_id": instance.project_id,
        "base_image_ref": instance.image_ref, "image_location": "snapshot",
        "image_state": "available", **{key: str(value) for key, value in properties.items()},
    }
    known = instance.image_properties or {}
    return core.images.create(
        context, name=name, properties=facts,
        disk_format=snapshot_format(known), container_format="bare",
        min_disk=instance.root_gb, min_ram=int(known.get("min_ram") or 0),
        owner=instance.project_id, image_id=image_id,
    )


def shelve(core: OperationsCore, context: RequestContext, instance: Instance) -> None:
    """Stop a server, keep its disk as an image, and take it off its host after a while."""
    action = prepare(context, instance, "shelve")
    offload = core.config.default.shelved_offload_time == 0 or instance.volume_backed
    payload: dict[str, Any] = {"offload": offload}
    if not instance.volume_backed:
        _begin_with_image(
            core, context, instance, action, payload, f"{instance.name}-shelved", {}
        )
    else:
        core.db.run(lambda tx: enter(core, tx, context, instance, action, payload))


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

    def write(tx: Transaction) -> None:
        payload: dict[str, Any] = {}
        changes: dict[str, Any] = {}
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

    core.db.run(write)
