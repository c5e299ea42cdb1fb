# SPDX-License-Identifier: Apache-2.0
"""Volumes of servers that are there: attach, detach, exchange, and what else is said of them.

A request's row comes first, then the block storage service is asked, with the caller's own rights; then the
host is told. An interruption in between is found by recovery, which goes on from the row.
"""

from __future__ import annotations

import uuid as uuids
from collections.abc import Mapping
from typing import Any

import msgspec

from nova.compute.lifecycle import ACTIONS
from nova.compute.operations.core import OperationsCore, prepare, prepared
from nova.conductor.dispatch import unprepared
from nova.conductor.ending import Overtaken, end_and_discard
from nova.conductor.volume_attachments import surely
from nova.conductor.volume_rows import (
    ATTACHING,
    DETACHED,
    DETACHING,
    SWAPPING,
    device_of,
    undo_of_one,
)
from nova.conductor.volume_steps import prepare_boot, reserve_one
from nova.db.engine import Transaction
from nova.errors import (
    BadRequest,
    Conflict,
    InstanceNotFound,
    InvalidVolume,
    NotFound,
    VolumeNotFound,
)
from nova.objects.context import RequestContext, internal_context
from nova.objects.device_names import name_for
from nova.objects.instance import BlockDevice, Instance
from nova.objects.states import SHELVED_OFFLOADED
from nova.objects.volume import Volume


def attached(instance: Instance, volume_id: str) -> BlockDevice:
    """The disk that a volume is; ``NotFound`` where the server does not have it."""
    for device in instance.volumes:
        if device.volume_id == volume_id:
            return device
    raise NotFound(f"Instance {instance.uuid} is not attached to volume {volume_id[:64]}")


def attach_volume(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    volume_id: str,
    *,
    device: str | None = None,
    tag: str | None = None,
    delete_on_termination: bool = False,
    multiattach: bool = True,
) -> BlockDevice:
    """Give a server a volume; ``multiattach`` says whether it may be one that others have as well.

    Raises ``VolumeNotFound``, ``InvalidVolume`` and ``BadRequest`` for what cannot be attached.
    """
    action = prepare(context, instance, "attach_volume")
    volume = core.volumes.show(context, volume_id)
    check_attachable(volume, instance, multiattach=multiattach)
    if instance.vm_state == SHELVED_OFFLOADED:
        if tag is not None:
            raise BadRequest("Tagged volume attachment is not supported for shelved-offloaded instances.")
        if volume.multiattach:
            raise BadRequest(
                "Attaching multiattach volumes is not supported for shelved-offloaded instances."
            )
    made = BlockDevice(
        source_type="volume", destination_type="volume", boot_index=None, uuid=volume_id,
        volume_id=volume_id, volume_size=volume.size_gb, tag=tag, state=ATTACHING,
        delete_on_termination=delete_on_termination, bdm_uuid=str(uuids.uuid4()),
    )

    def write(tx: Transaction) -> tuple[int, BlockDevice]:
        fresh = _locked(tx, context, instance, action.name)
        if any(each.volume_id == volume_id for each in fresh.volumes):
            raise InvalidVolume(f"volume {volume_id} already attached")
        named = msgspec.structs.replace(made, device_name=name_for(fresh, device))
        tx.block_devices.edit(instance.uuid, lambda devices: (*devices, named))
        return _start(core, tx, context, fresh, action.name, "volumes", {"bdm_uuid": named.bdm_uuid}), named

    operation_id, named = core.db.run(write)
    _reserve(core, context, operation_id)
    return named


def check_attachable(volume: Volume, instance: Instance | None, *, multiattach: bool) -> None:
    """Raise ``InvalidVolume`` or ``BadRequest`` for a volume that no server can get now."""
    if volume.multiattach and not multiattach:
        raise BadRequest(
            "Multiattach volumes are only supported starting with compute API version 2.60."
        )
    if instance is not None and any(
        each.instance_uuid == instance.uuid for each in volume.attachments
    ):
        raise InvalidVolume(f"volume {volume.uuid} already attached")
    usable = ("available", "in-use") if volume.multiattach else ("available",)
    if volume.status not in usable:
        raise InvalidVolume(
            f"volume {volume.uuid} status must be available or downloading to reserve, but the current "
            f"status is {volume.status}."
        )


def _locked(
    tx: Transaction, context: RequestContext, instance: Instance, action_name: str
) -> Instance:
    """The row as it is now, kept from others; checked once more."""
    fresh = tx.instances.get(instance.uuid, lock=True)
    if fresh is None:
        raise InstanceNotFound(instance.uuid)
    prepare(context, fresh, action_name)
    return fresh


def _start(
    core: OperationsCore,
    tx: Transaction,
    context: RequestContext,
    instance: Instance,
    flow: str,
    step: str,
    payload: Mapping[str, Any],
) -> int:
    """Write an operation whose first step is entered when the service was asked."""
    return core.dispatcher.start(
        tx, context, instance, ACTIONS[flow], step, payload, send=False
    )


def _reserve(core: OperationsCore, context: RequestContext, operation_id: int) -> None:
    """Reserve with the caller's rights; what is refused leaves the server as it was."""
    with core.db.read() as tx:
        operation = tx.operations.get(operation_id)
        instance = None if operation is None else tx.instances.get(operation.instance_uuid)
    if operation is None or instance is None:
        return
    if operation.step != "volumes" or operation.finished_at is not None:
        # A delete, for example, was faster.
        core.db.run(lambda tx: prepared(core, tx, operation_id))
        raise Conflict(f"Instance {instance.uuid} was taken by another request meanwhile.")
    try:
        if not reserve_one(core, operation, instance, context):
            core.db.run(lambda tx: prepared(core, tx, operation_id))
            core.dispatcher.wake_now([operation_id], "volumes")
    except Overtaken:
        core.db.run(lambda tx: prepared(core, tx, operation_id))
        raise Conflict(f"Instance {instance.uuid} was taken by another request meanwhile.") from None
    except Exception:
        core.db.run(lambda tx: _withdraw(core, tx, operation_id))
        raise


def _withdraw(core: OperationsCore, tx: Transaction, operation_id: int) -> None:
    """Take an operation back that the block storage service refused, or did not answer."""
    operation = tx.operations.get(operation_id, lock=True)
    if operation is None or operation.finished_at is not None or operation.step == "discard":
        prepared(core, tx, operation_id)
        return
    instance = tx.instances.get(operation.instance_uuid, lock=True)
    if instance is not None:
        operation = unprepared(operation)
        end_and_discard(
            core, tx, operation, instance, None, failed=True,
            given_up=undo_of_one(tx, operation, instance),
        )


def detach_volume(
    core: OperationsCore, context: RequestContext, instance: Instance, volume_id: str
) -> None:
    """Take a volume from a server. Raises ``BadRequest`` for the root volume of one that has it open."""
    core.volumes.show(context, volume_id)
    device = attached(instance, volume_id)
    if device.boot_index == 0:
        raise BadRequest("Cannot detach a root device volume")
    action = prepare(context, instance, "detach_volume")
    if instance.host is not None and not core.hosts.is_up(instance.host):
        raise Conflict(f"Service is unavailable at this time: host {instance.host} is down.")

    def write(tx: Transaction) -> int:
        fresh = _locked(tx, context, instance, action.name)
        present = attached(fresh, volume_id)
        _refuse_busy(present)
        tx.block_devices.change(
            fresh.uuid, present.bdm_uuid, state=DETACHED if fresh.host is None else DETACHING
        )
        fresh = tx.instances.get(fresh.uuid) or fresh
        return _start(
            core, tx, context, fresh, action.name, "volumes" if fresh.host is None else "detach",
            {"bdm_uuid": present.bdm_uuid, "volume_id": volume_id},
        )

    operation_id = core.db.run(write)
    try:
        # One that a shelved server has is only reserved: there is nothing that it could be detached from.
        if device.host is not None:
            core.volumes.begin_detaching(context, volume_id)
    except Exception:
        core.db.run(lambda tx: _withdraw(core, tx, operation_id))
        raise
    if not core.db.run(lambda tx: _send(core, tx, operation_id)) and device.host is not None:
        # A delete overtook it and nobody waits for this process any more. A volume that other servers
        # have too would stay ``detaching``.
        cloud = internal_context(context.request_id)
        surely("volume", volume_id, lambda: core.volumes.roll_detaching(cloud, volume_id))


def _refuse_busy(device: BlockDevice) -> None:
    if device.state is not None:
        raise InvalidVolume(
            f"volume {device.volume_id} is {device.state}; it must be in-use to do that."
        )


def _send(core: OperationsCore, tx: Transaction, operation_id: int) -> bool:
    """Enter the first step of an operation that was prepared; False where it is over."""
    operation = tx.operations.get(operation_id, lock=True)
    if operation is None or operation.finished_at is not None or operation.step == "discard":
        return prepared(core, tx, operation_id)
    instance = tx.instances.get(operation.instance_uuid)
    if instance is not None:
        assert operation.step is not None
        core.dispatcher.enter(tx, operation, instance, operation.step)
    return True


def swap_volume(
    core: OperationsCore, context: RequestContext, instance: Instance, volume_id: str, new_volume_id: str
) -> None:
    """Copy a volume that a server has to another one, which takes its place.

    Raises ``Conflict`` where the block storage service is not migrating the volume: it alone asks for this.
    """
    old = core.volumes.show(context, volume_id)
    if not old.migration_status:
        raise Conflict(
            f"volume {volume_id} is not migrating; this API should only be called by the block storage "
            f"service"
        )
    try:
        wanted = core.volumes.show(context, new_volume_id)
    except VolumeNotFound as error:
        raise BadRequest(error.message) from None
    migrates = old.migration_status == "migrating" and wanted.migration_status == f"target:{volume_id}"
    present = attached(instance, volume_id)
    action = prepare(context, instance, "swap_volume")
    if old.multiattach and len(old.attachments) > 1:
        raise BadRequest(
            f"Swapping multi-attach volumes with more than one read/write attachment is not supported: "
            f"{volume_id}."
        )
    if wanted.status != "available":
        raise InvalidVolume(f"status of volume {new_volume_id} must be available, it is {wanted.status}.")
    if wanted.attachments:
        raise InvalidVolume("New volume must be detached in order to swap.")
    if wanted.size_gb < old.size_gb:
        raise InvalidVolume("New volume must be the same size or larger.")

    def write(tx: Transaction) -> int:
        fresh = _locked(tx, context, instance, action.name)
        device = attached(fresh, volume_id)
        _refuse_busy(device)
        tx.block_devices.change(fresh.uuid, device.bdm_uuid, state=SWAPPING)
        return _start(
            core, tx, context, fresh, action.name, "volumes",
            {"bdm_uuid": device.bdm_uuid, "volume_id": volume_id, "new_volume_id": new_volume_id,
             "new_size": wanted.size_gb, "migrates": migrates},
        )

    if present.volume_id == new_volume_id:
        raise InvalidVolume(f"volume {new_volume_id} already attached")
    _reserve(core, context, core.db.run(write))


def update_attachment(
    core: OperationsCore, context: RequestContext, instance: Instance, volume_id: str, ends: bool
) -> None:
    """Say whether a volume goes with its server."""
    device = attached(instance, volume_id)

    def write(tx: Transaction) -> None:
        if tx.block_devices.change(
            instance.uuid, device.bdm_uuid, delete_on_termination=ends
        ) is None:
            raise InstanceNotFound(instance.uuid)

    core.db.run(write)


def volume_extended(
    core: OperationsCore, context: RequestContext, instance: Instance, volume_id: str
) -> bool:
    """A volume has grown: its server is told. False where it does not have it."""
    try:
        device = attached(instance, volume_id)
    except NotFound:
        return False
    size = core.volumes.show(internal_context(context.request_id), volume_id).size_gb
    if size <= (device.volume_size or 0):
        return True

    def write(tx: Transaction) -> None:
        fresh = tx.instances.get(instance.uuid, lock=True)
        if fresh is None or fresh.host is None or device_of(fresh, device.bdm_uuid) is None:
            return
        core.dispatcher.start(
            tx, context, fresh, ACTIONS["extend_volume"], "run",
            {"bdm_uuid": device.bdm_uuid, "volume_id": volume_id, "size_gb": size},
        )

    core.db.run(write)
    return True


def volume_reimaged(core: OperationsCore, instance: Instance) -> None:
    """An image was written over a volume: who waits for it looks now."""
    with core.db.read() as tx:
        waiting = [
            each.id for each in tx.operations.open_for(instance.uuid)
            if each.flow == "rebuild" and each.step == "volumes"
        ]
    if waiting:
        core.dispatcher.wake_now(waiting, "volumes")


def snapshot_volume(
    core: OperationsCore, context: RequestContext, volume_id: str, snapshot_id: str,
    create_info: Mapping[str, str],
) -> None:
    """Have the host of a volume's server do its part in a snapshot; the service is told of the end."""
    _start_snapshot(core, context, volume_id, "snapshot_volume", snapshot_id, create_info)


def delete_volume_snapshot(
    core: OperationsCore, context: RequestContext, volume_id: str, snapshot_id: str,
    delete_info: Mapping[str, str | None],
) -> None:
    """Have the host of a volume's server merge such a snapshot's files; the service is told of the end."""
    _start_snapshot(core, context, volume_id, "delete_volume_snapshot", snapshot_id, delete_info)


def _start_snapshot(
    core: OperationsCore, context: RequestContext, volume_id: str, flow: str, snapshot_id: str,
    info: Mapping[str, str | None],
) -> None:
    """Raises ``BadRequest`` where no server has the volume, ``Conflict`` where its server cannot now."""

    def write(tx: Transaction) -> None:
        servers = tx.block_devices.servers_of(volume_id)
        instance = tx.instances.get(servers[0], lock=True) if servers else None
        if instance is None:
            raise BadRequest(f"No volume Block Device Mapping with id {volume_id[:64]}.")
        prepare(context, instance, flow)
        if instance.host is None:
            raise BadRequest(f"Instance {instance.uuid} is not ready")
        core.dispatcher.start(
            tx, context, instance, ACTIONS[flow], "run",
            {"volume_id": volume_id, "snapshot_id": snapshot_id, "info": dict(info)},
        )

    core.db.run(write)


def begin_boot(
    core: OperationsCore, context: RequestContext, operation_ids: list[int]
) -> None:
    """Ask for the volumes of boots that were accepted, with the caller's rights.

    What the service does not do at once, or refuses, is the conductor's from here.
    """
    left = []
    for operation_id in operation_ids:
        with core.db.read() as tx:
            operation = tx.operations.get(operation_id)
            instance = None if operation is None else tx.instances.get(operation.instance_uuid)
        if operation is None or instance is None or operation.step != "volumes":
            continue
        try:
            if not prepare_boot(core, operation, instance, context):
                left.append(operation_id)
        except Overtaken:
            continue
        except Exception:
            left.append(operation_id)
    if left:
        core.dispatcher.wake_now(left, "volumes")
