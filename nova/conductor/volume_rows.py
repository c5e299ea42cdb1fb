# SPDX-License-Identifier: Apache-2.0
"""What becomes of the volumes in a server's row when an operation ends: no service is asked here.

Each function answers what is to be given up afterwards, which the step ``discard`` does.
"""

from __future__ import annotations

import msgspec

from nova.db.engine import Transaction
from nova.objects.instance import BlockDevice, Instance
from nova.objects.operation import Operation

ATTACHING = "attaching"
DETACHING = "detaching"
#: The guest has let go of the disk: it belongs to the operation that detaches it, and to no other.
DETACHED = "detached"
SWAPPING = "swapping"

#: Stands for a second attachment that was asked for and may be there.
ASKED_FOR = "asked for"

#: Flows that are about one volume of a server.
OF_ONE_VOLUME = frozenset({"attach_volume", "detach_volume", "swap_volume"})

#: Flows that are a host's part in a snapshot of the block storage service -> what that is told of the end,
#: good and bad (Cinder's ``os-update_snapshot_status``).
OF_A_SNAPSHOT = {
    "snapshot_volume": ("creating", "error"), "delete_volume_snapshot": ("deleting", "error_deleting"),
}


class GivenUp(msgspec.Struct):
    """Attachments, volumes and snapshots that nobody needs; volumes that are not detached after all.

    ``unsure`` are volumes that may have an attachment of which no row tells, as the answer was lost. ``told``
    are snapshots and the status that the service is to be told of them. ``migrated`` are volumes that the
    service moves, their copies, and whether the guest could not be made to use the copy.
    """

    attachments: list[str] = []
    volumes: list[str] = []
    snapshots: list[str] = []
    rolled: list[str] = []
    unsure: list[str] = []
    told: list[tuple[str, str]] = []
    migrated: list[tuple[str, str, bool]] = []

    def __bool__(self) -> bool:
        return bool(
            self.attachments or self.volumes or self.snapshots or self.rolled or self.unsure or self.told
            or self.migrated
        )


def device_of(instance: Instance, bdm_uuid: str) -> BlockDevice | None:
    """A disk by its id."""
    return next((each for each in instance.block_devices if each.bdm_uuid == bdm_uuid), None)


def are_open(instance: Instance) -> bool:
    """Whether volumes of a server are open to a host, or were and may be so still."""
    return any(each.host or each.next_attachment_id for each in instance.volumes)


def settle_attachments(
    tx: Transaction, instance: Instance, host: str | None, only: str | None = None
) -> GivenUp:
    """The server is on ``host`` for good: attachments open to it count, those of another side are given up.

    ``instance`` is the row as the transaction has it; ``only`` names the one disk that is meant. Nothing is
    read or written where nothing moved. A disk that is being attached is left to the operation that does so.
    """
    given_up = GivenUp()
    if not any(each.next_attachment_id for each in instance.block_devices):
        return given_up

    def edit(devices: tuple[BlockDevice, ...]) -> tuple[BlockDevice, ...]:
        return tuple(
            _settled(each, host, given_up)
            if each.bdm_uuid == only or (only is None and each.state not in (ATTACHING, SWAPPING))
            else each
            for each in devices
        )

    tx.block_devices.edit(instance.uuid, edit)
    return given_up


def _settled(device: BlockDevice, host: str | None, given_up: GivenUp) -> BlockDevice:
    other = device.next_attachment_id
    if other is None:
        return device
    arrived = device.next_host is not None and device.next_host == host
    if other == ASKED_FOR:
        given_up.unsure.append(device.volume_id or "")
    elif arrived:
        if device.attachment_id is not None:
            given_up.attachments.append(device.attachment_id)
        device = msgspec.structs.replace(device, attachment_id=other, host=device.next_host)
    else:
        given_up.attachments.append(other)
    return msgspec.structs.replace(device, next_attachment_id=None, next_host=None)


def never_opened(tx: Transaction, instance: Instance, given_up: GivenUp) -> None:
    """Drop the disks that were being attached and that no host has opened; adds to what is given up."""
    dropped = [
        each for each in instance.volumes
        if each.state == ATTACHING and each.host is None and each.next_attachment_id is None
    ]
    if not dropped:
        return
    gone = {each.bdm_uuid for each in dropped}
    tx.block_devices.edit(
        instance.uuid, lambda devices: tuple(each for each in devices if each.bdm_uuid not in gone)
    )
    for each in dropped:
        _let_go(each, given_up)


def let_go_of_boot(tx: Transaction, instance: Instance, *, began: bool) -> GivenUp:
    """A boot came to nothing: its volumes are free again, those made for it gone.

    Where the guest had ``begun`` one that was to outlive the server stays, as it may hold data.
    """
    given_up = GivenUp()
    if not instance.volumes:
        return given_up

    def edit(devices: tuple[BlockDevice, ...]) -> tuple[BlockDevice, ...]:
        kept = []
        for each in devices:
            if each.is_volume:
                _let_go(each, given_up)
                gone = each.made and (each.delete_on_termination or not began)
                if gone and each.volume_id:
                    given_up.volumes.append(each.volume_id)
                each = msgspec.structs.replace(
                    each, attachment_id=None, host=None, next_attachment_id=None, next_host=None,
                    volume_id=None if gone else each.volume_id,
                )
            kept.append(each)
        return tuple(kept)

    tx.block_devices.edit(instance.uuid, edit)
    return given_up


def _let_go(device: BlockDevice, given_up: GivenUp) -> None:
    """Give up whatever a volume is attached by."""
    if device.volume_id and (
        device.attachment_id is None or device.next_attachment_id == ASKED_FOR
    ):
        given_up.unsure.append(device.volume_id)
    given_up.attachments += [
        text for text in (device.attachment_id, device.next_attachment_id)
        if text and text != ASKED_FOR
    ]


def end_of_snapshot(operation: Operation, *, failed: bool) -> GivenUp:
    """What the block storage service waits for: how the host's part in its snapshot ended."""
    status = OF_A_SNAPSHOT[operation.flow or ""][failed]
    return GivenUp(told=[(operation.payload["snapshot_id"], status)])


def undo_of_one(tx: Transaction, operation: Operation, instance: Instance) -> GivenUp:
    """An attach, a detach or a swap came to nothing: the row as before."""
    given_up = GivenUp()
    bdm_uuid = operation.payload.get("bdm_uuid")

    def edit(devices: tuple[BlockDevice, ...]) -> tuple[BlockDevice, ...]:
        kept = []
        for each in devices:
            if each.bdm_uuid != bdm_uuid:
                kept.append(each)
            elif operation.flow == "attach_volume":
                _let_go(each, given_up)
            else:
                if operation.payload.get("migrates"):
                    given_up.migrated.append(
                        (each.volume_id or "", operation.payload["new_volume_id"], True)
                    )
                if operation.flow == "detach_volume":
                    given_up.rolled.append(each.volume_id or "")
                elif each.next_attachment_id:
                    given_up.attachments.append(each.next_attachment_id)
                else:
                    given_up.unsure.append(operation.payload["new_volume_id"])
                kept.append(
                    msgspec.structs.replace(each, state=None, next_attachment_id=None, next_host=None)
                )
        return tuple(kept)

    tx.block_devices.edit(instance.uuid, edit)
    return given_up
