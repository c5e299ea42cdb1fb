# SPDX-License-Identifier: Apache-2.0
"""The disks of servers: changed one by one under the row's lock, and found by their volume.

They are a document of the server's row; ``instance_volumes`` says which servers have a volume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from nova.db.schema.base import now
from nova.db.schema.compute import instance_volumes, instances
from nova.objects.instance import BlockDevice

Devices = tuple[BlockDevice, ...]

_READ = (
    select(instances.c.block_devices)
    .where(instances.c.uuid == bindparam("the_uuid"), instances.c.deleted == 0)
    .with_for_update()
)
_WRITE = (
    update(instances)
    .where(instances.c.uuid == bindparam("the_uuid"), instances.c.deleted == 0)
    .values(
        block_devices=bindparam("new_devices"), updated_at=bindparam("moment"),
        revision=instances.c.revision + 1,
    )
)
_BY_VOLUME = (
    select(instance_volumes.c.instance_uuid)
    .where(instance_volumes.c.volume_id == bindparam("the_volume"))
    .order_by(instance_volumes.c.instance_uuid)
)


class BlockDeviceStore:
    """The column ``instances.block_devices`` and the rows of ``instance_volumes``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def edit(self, uuid: str, edit: Callable[[Devices], Devices]) -> Devices | None:
        """Change a live server's disks, nobody else writing meanwhile; None where it is gone.

        ``edit`` gets the disks as they are and answers them as they shall be.
        """
        row = self._connection.execute(_READ, {"the_uuid": uuid}).first()
        if row is None:
            return None
        before: Devices = row.block_devices
        after = edit(before)
        if after != before:
            self._connection.execute(
                _WRITE, {"the_uuid": uuid, "new_devices": after, "moment": now()}
            )
            self._index(uuid, _volumes(before), _volumes(after))
        return after

    def change(self, uuid: str, bdm_uuid: str, /, **changes: object) -> Devices | None:
        """Change fields of one disk; nothing happens where it is not there any more."""
        return self.edit(
            uuid,
            lambda devices: tuple(
                _replace(each, changes) if each.bdm_uuid == bdm_uuid else each for each in devices
            ),
        )

    def note_new(self, rows: Iterable[tuple[str, Devices]]) -> None:
        """Make the volumes of servers that were just inserted known."""
        wanted = [
            {"instance_uuid": uuid, "volume_id": volume}
            for uuid, devices in rows
            for volume in sorted(_volumes(devices))
        ]
        if wanted:
            self._connection.execute(insert(instance_volumes), wanted)

    def servers_of(self, volume_id: str) -> list[str]:
        """The uuids of the servers that have a volume."""
        return list(self._connection.scalars(_BY_VOLUME, {"the_volume": volume_id}))

    def _index(self, uuid: str, before: set[str], after: set[str]) -> None:
        if before - after:
            self._connection.execute(
                delete(instance_volumes).where(
                    instance_volumes.c.instance_uuid == uuid,
                    instance_volumes.c.volume_id.in_(before - after),
                )
            )
        if after - before:
            self._connection.execute(
                insert(instance_volumes),
                [{"instance_uuid": uuid, "volume_id": each} for each in sorted(after - before)],
            )


def _volumes(devices: Devices) -> set[str]:
    return {each.volume_id for each in devices if each.is_volume and each.volume_id}


def _replace(device: BlockDevice, changes: dict[str, object]) -> BlockDevice:
    return msgspec.structs.replace(device, **changes)
