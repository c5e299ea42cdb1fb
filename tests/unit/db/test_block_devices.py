# SPDX-License-Identifier: Apache-2.0
"""Disks of servers: changed one by one, and found by their volume."""

from __future__ import annotations

from pathlib import Path

import msgspec

from nova.objects.instance import BlockDevice
from tests.databases import new_database
from tests.unit.db.instance_rows import instance_row

DISK = BlockDevice(
    source_type="volume", destination_type="volume", volume_id="v1", bdm_uuid="b1", boot_index=None
)


def test_servers_are_found_by_their_volumes(tmp_path: Path) -> None:
    db = new_database(tmp_path)
    other = msgspec.structs.replace(DISK, volume_id="v2", bdm_uuid="b2")
    local = BlockDevice(source_type="blank", destination_type="local", bdm_uuid="b3")
    with db.write() as tx:
        rows = [instance_row("u1", block_devices=(DISK, local)), instance_row("u2")]
        tx.instances.create(rows)
        tx.block_devices.note_new((row["uuid"], row["block_devices"]) for row in rows)
        first, second = (row["uuid"] for row in rows)
        tx.block_devices.edit(second, lambda devices: (*devices, DISK, other))
    with db.write() as tx:
        assert tx.block_devices.servers_of("v1") == sorted([first, second])
        assert tx.block_devices.servers_of("v2") == [second]
        before = tx.instances.get(second)
        tx.block_devices.change(second, "b2", volume_id="v3", state="attaching")
        assert tx.block_devices.servers_of("v2") == []
        assert tx.block_devices.servers_of("v3") == [second]
        after = tx.instances.get(second)
        assert before is not None
        assert after is not None
        assert after.revision == before.revision + 1
        assert [each.volume_id for each in after.volumes] == ["v1", "v3"]
        tx.block_devices.change(second, "gone", state="attaching")
        assert tx.instances.get(second) == after
        tx.block_devices.edit(first, lambda _devices: ())
        assert tx.block_devices.servers_of("v1") == [second]
        assert tx.block_devices.edit("no such server", lambda devices: devices) is None
    db.dispose()
