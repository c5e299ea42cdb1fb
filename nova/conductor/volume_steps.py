# SPDX-License-Identifier: Apache-2.0
"""What the block storage service is asked at the step ``volumes`` of an operation, and what follows.

Every function may be run again from its beginning: what was done is in the server's row, and the service's
own calls may be repeated. It answers False where the service needs more time, and it is run again later.
Requests of a user's are made with the user's own rights as long as these are at hand (``caller``).
"""

from __future__ import annotations

import datetime

import msgspec

from nova.conductor.beside import asked_now
from nova.conductor.ending import Overtaken, end, stands
from nova.conductor.volume_attachments import VolumeHolder, reserve
from nova.conductor.volume_rows import ASKED_FOR, DETACHED, device_of
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.errors import InvalidVolume, NotFound, NovaError, VolumeNotFound
from nova.objects.context import RequestContext, internal_context
from nova.objects.instance import BlockDevice, Instance
from nova.objects.operation import Operation
from nova.objects.states import SCHEDULING

#: How long a volume may take to be made, for a boot to go on with it.
PATIENCE = datetime.timedelta(minutes=30)


class VolumeFailed(NovaError):
    """A volume did not become what it was to be."""


def owner_of(operation: Operation, instance: Instance) -> RequestContext:
    """The server's owner, for what belongs to them, where the request itself is over."""
    return RequestContext(
        user_id=instance.user_id, project_id=instance.project_id, roles=("member", "reader"),
        request_id=operation.request_id,
    )


def still_open(tx: Transaction, operation: Operation) -> tuple[Operation, Instance]:
    """The operation at its step and its server, both locked; ``Overtaken`` where it went another way."""
    found = tx.operations.get(operation.id, lock=True)
    if found is None or found.finished_at is not None or found.step != operation.step:
        raise Overtaken
    instance = tx.instances.get(operation.instance_uuid, lock=True)
    if instance is None or not stands(found, instance):
        raise Overtaken
    return found, instance


# --- boots ------------------------------------------------------------------------------------------


def prepare_boot(
    core: VolumeHolder, operation: Operation, instance: Instance, caller: RequestContext | None = None
) -> bool:
    """Make the volumes of a boot, reserve them and those that are there; then it is placed."""
    cloud = internal_context(operation.request_id)
    complete = True
    for device in instance.volumes:
        if device.volume_id is None:
            device = _make(core, operation, instance, device, caller)
        if device.attachment_id is not None:
            continue
        assert device.volume_id is not None
        if device.made and not _is_ready(core, operation, device.volume_id):
            complete = False
            continue
        # No operation came before that of a boot: nothing of the server's is to be given up first.
        attachment = core.volumes.reserve(caller or cloud, device.volume_id, instance.uuid)
        _note(core, operation, device, attachment)
    if complete:
        core.db.run(lambda tx: _place(core, tx, operation))
    return complete


def _make(
    core: VolumeHolder,
    operation: Operation,
    instance: Instance,
    device: BlockDevice,
    caller: RequestContext | None,
) -> BlockDevice:
    source = {device.source_type: device.uuid}
    context = caller or owner_of(operation, instance)
    volume = core.volumes.create(
        context, device.volume_size or 0,
        f"{instance.uuid}-blank-vol" if device.source_type == "blank" else "", "",
        snapshot_id=source.get("snapshot"), image_id=source.get("image"),
        volume_type=device.volume_type,
    )

    def write(tx: Transaction) -> None:
        still_open(tx, operation)
        tx.block_devices.change(
            instance.uuid, device.bdm_uuid, volume_id=volume.uuid, made=True
        )

    try:
        core.db.run(write)
    except Overtaken:
        core.volumes.delete(context, volume.uuid)
        raise
    return msgspec.structs.replace(device, volume_id=volume.uuid, made=True)


def _is_ready(core: VolumeHolder, operation: Operation, volume_id: str) -> bool:
    volume = core.volumes.show(internal_context(operation.request_id), volume_id)
    if volume.status.startswith("error") or now() - operation.started_at > PATIENCE:
        raise VolumeFailed(
            f"Volume {volume_id} did not finish being created: its status is {volume.status}."
        )
    # One that is reserved was reserved for this server, and the answer was lost.
    return volume.status in ("available", "reserved")


def _note(
    core: VolumeHolder, operation: Operation, device: BlockDevice, attachment: str
) -> None:
    """Write an attachment down; it is given up where the server went another way meanwhile."""

    def write(tx: Transaction) -> None:
        still_open(tx, operation)
        tx.block_devices.change(
            operation.instance_uuid, device.bdm_uuid, attachment_id=attachment
        )

    try:
        core.db.run(write)
    except Overtaken:
        _drop(core, operation, attachment)
        raise


def _drop(core: VolumeHolder, operation: Operation, attachment: str) -> None:
    """Give an attachment up, unless somebody else has written the same one down."""
    with core.db.read() as tx:
        instance = tx.instances.get(operation.instance_uuid)
    if instance is None or not any(
        attachment in (each.attachment_id, each.next_attachment_id) for each in instance.volumes
    ):
        core.volumes.detach(internal_context(operation.request_id), attachment)


def _place(core: VolumeHolder, tx: Transaction, operation: Operation) -> None:
    found, instance = still_open(tx, operation)
    tx.instances.transition(instance.uuid, {"task_state": SCHEDULING})
    if not core.dispatcher.enter(
        tx, found, msgspec.structs.replace(instance, task_state=SCHEDULING), "place"
    ):
        raise Overtaken


# --- one volume ---------------------------------------------------------------------------------------


def reserve_one(
    core: VolumeHolder, operation: Operation, instance: Instance, caller: RequestContext | None = None
) -> bool:
    """Reserve the volume of an attach or a swap; then the host goes on.

    Without a host (the server is shelved) the volume is in use from here on, though nothing is connected:
    users and clients wait for that.
    """
    context = caller or internal_context(operation.request_id)
    swap = operation.flow == "swap_volume"
    device = device_of(instance, operation.payload["bdm_uuid"])
    if device is None:
        raise Overtaken
    column = "next_attachment_id" if swap else "attachment_id"
    volume_id = operation.payload["new_volume_id"] if swap else device.volume_id
    assert volume_id is not None
    attachment = getattr(device, column)
    if attachment is None:
        attachment = reserve(core, context, instance.uuid, volume_id)
        if instance.host is None and not swap:
            _note(core, operation, device, attachment)
    settled = swap or instance.host is None
    if settled and not swap:
        core.volumes.complete(context, attachment)

    def write(tx: Transaction) -> bool:
        found, fresh = still_open(tx, operation)
        on_host = fresh.host is not None
        if not on_host and not (settled and fresh.task_state is None):
            # It is on its way to a host or from one, where the volume may have been counted already; or
            # it left its host this moment.
            tx.block_devices.change(fresh.uuid, device.bdm_uuid, **{column: attachment})
            return False
        changes = {column: attachment, **({} if on_host else {"state": None})}
        tx.block_devices.change(fresh.uuid, device.bdm_uuid, **changes)
        if not on_host:
            end(tx, found)
        elif not core.dispatcher.enter(
            tx, found, tx.instances.get(fresh.uuid) or fresh, "swap" if swap else "attach"
        ):
            raise Overtaken
        return True

    try:
        return core.db.run(write)
    except Overtaken:
        _drop(core, operation, attachment)
        raise


def release_one(core: VolumeHolder, operation: Operation, instance: Instance) -> bool:
    """Give up the attachment of a disk that the guest has no more; then the disk is gone from the row.

    Where another operation ran beside the host's part it may have given the guest the disk again: the host
    that the server is on then takes it away once more.
    """
    device = device_of(instance, operation.payload["bdm_uuid"])
    if device is not None and device.state != DETACHED:
        return core.db.run(lambda tx: _take_again(core, tx, operation))
    if device is not None:
        for attachment in (device.attachment_id, device.next_attachment_id):
            if attachment and attachment != ASKED_FOR:
                core.volumes.detach(internal_context(operation.request_id), attachment)

    def write(tx: Transaction) -> None:
        found, fresh = still_open(tx, operation)
        tx.block_devices.edit(
            fresh.uuid,
            lambda devices: tuple(
                each for each in devices if each.bdm_uuid != operation.payload["bdm_uuid"]
            ),
        )
        end(tx, found)

    core.db.run(write)
    return True


def _take_again(core: VolumeHolder, tx: Transaction, operation: Operation) -> bool:
    """Let the host of the server take the disk away, once nothing else is under way with the server."""
    found, instance = still_open(tx, operation)
    if instance.task_state is not None:
        return False
    if instance.host is not None:
        if not core.dispatcher.enter(tx, found, instance, "detach", asked_now(tx, found, instance)):
            raise Overtaken
        return True
    tx.block_devices.change(instance.uuid, operation.payload["bdm_uuid"], state=DETACHED)
    return False


# --- all volumes --------------------------------------------------------------------------------------


def release_all(core: VolumeHolder, operation: Operation, instance: Instance) -> None:
    """Give up every attachment of a server that is going, and delete the volumes that go with it."""
    cloud = internal_context(operation.request_id)
    for device in instance.volumes:
        attachments = {device.attachment_id, device.next_attachment_id}
        if device.volume_id:
            try:
                volume = core.volumes.show(cloud, device.volume_id)
            except VolumeNotFound:
                continue
            attachments |= {
                each.uuid for each in volume.attachments if each.instance_uuid == instance.uuid
            }
        for attachment in sorted(filter(None, attachments - {ASKED_FOR})):
            core.volumes.detach(cloud, attachment)
        if device.volume_id and device.delete_on_termination:
            delete_volume(core, cloud, device.volume_id)


def delete_volume(core: VolumeHolder, context: RequestContext, volume_id: str) -> None:
    """Delete a volume; one that is gone, or that another server has still, is left."""
    try:
        core.volumes.delete(context, volume_id)
    except (NotFound, InvalidVolume):
        return


def renew_all(core: VolumeHolder, operation: Operation, instance: Instance) -> None:
    """Close the volumes of a server that left its host: they stay reserved for it."""
    for device in instance.volumes:
        if device.state != DETACHED:
            renew(core, operation, instance, device)


def renew(
    core: VolumeHolder, operation: Operation, instance: Instance, device: BlockDevice
) -> None:
    """Change an attachment that is open to a host for one that is only reserved."""
    cloud = internal_context(operation.request_id)
    stale = None if device.next_attachment_id == ASKED_FOR else device.next_attachment_id
    if device.host is not None and device.volume_id is not None:
        if stale is not None:
            core.volumes.detach(cloud, stale)
        fresh = reserve(core, cloud, instance.uuid, device.volume_id)
        stale = device.attachment_id
        _change(
            core, operation, device, attachment_id=fresh, host=None, next_attachment_id=stale,
            next_host=None,
        )
    if stale is not None:
        core.volumes.detach(cloud, stale)
        _change(core, operation, device, next_attachment_id=None, next_host=None)


def reimage(core: VolumeHolder, operation: Operation, instance: Instance) -> bool:
    """Write the image of a rebuild over the root volume, closed meanwhile."""
    cloud = internal_context(operation.request_id)
    root = instance.root_volume
    assert root is not None
    assert root.volume_id is not None
    if not operation.payload.get("reimaging"):
        renew(core, operation, instance, root)
        if core.volumes.show(cloud, root.volume_id).status != "downloading":
            core.volumes.reimage(cloud, root.volume_id, operation.payload["reimage"])
        payload = {**operation.payload, "reimaging": True}
        core.db.run(lambda tx: tx.operations.set_payload(operation.id, payload))
    volume = core.volumes.show(cloud, root.volume_id)
    if volume.status.startswith("error") or now() - operation.started_at > PATIENCE:
        raise VolumeFailed(
            f"The image was not written over volume {root.volume_id}: its status is {volume.status}."
        )
    return volume.status in ("reserved", "available")


def _change(
    core: VolumeHolder, operation: Operation, device: BlockDevice, **changes: object
) -> None:
    def write(tx: Transaction) -> None:
        still_open(tx, operation)
        tx.block_devices.change(operation.instance_uuid, device.bdm_uuid, **changes)

    core.db.run(write)
