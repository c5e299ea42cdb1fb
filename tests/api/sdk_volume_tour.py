# SPDX-License-Identifier: Apache-2.0
"""Runs in the interpreter of the public clients, not in the test's: openstacksdk's block storage proxy,
against a cloud that was started for it (``test_sdk_volume.py``).

Prints a JSON object: for each part of the tour null or the trace of what went wrong.
"""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

import openstack
from openstack import exceptions

PARTS: list[Any] = []
NOWHERE = "00000000-0000-4000-8000-000000000000"


def part(function: Any) -> Any:
    """Make the function a part of the tour."""
    PARTS.append(function)
    return function


def refused(kind: Any, call: Any, *args: Any, **options: Any) -> Any:
    """The error of a call that has to be refused."""
    try:
        call(*args, **options)
    except kind as error:
        return error
    raise AssertionError(f"{call.__name__} was not refused")


def ready(block: Any, thing: Any) -> Any:
    """A volume or a snapshot as it is once it is available; the proxy trusts a status that it has."""
    fresh = (block.get_snapshot if type(thing).__name__ == "Snapshot" else block.get_volume)(thing.id)
    return block.wait_for_status(fresh, "available", wait=30, interval=0.1)


@part
def volumes(connection: Any) -> None:
    block = connection.block_storage
    before = block.summary(True).total_count
    made = ready(block, block.create_volume(size=1, name="größe", metadata={"a": "b"}))
    assert block.find_volume("größe").id == made.id
    assert [each.id for each in block.volumes(details=True, name="größe")] == [made.id]
    assert block.update_volume(made, description="d").description == "d"
    assert block.set_volume_metadata(made, c="d").metadata["c"] == "d"
    block.delete_volume_metadata(block.get_volume(made), ["a"])
    assert block.get_volume_metadata(made).metadata == {"c": "d"}
    block.extend_volume(made, 2)
    assert ready(block, made).size == 2
    block.set_volume_bootable_status(made, True)
    block.set_volume_readonly(made, True)
    assert block.get_volume(made).is_bootable
    block.set_volume_image_metadata(made, hw_disk_bus="scsi")
    block.delete_volume_image_metadata(made, ["hw_disk_bus"])
    block.reset_volume_status(made, "error", None, None)
    assert block.get_volume(made).status == "error"
    block.delete_volume(made)
    block.wait_for_delete(made, wait=30, interval=0.1)
    refused(exceptions.NotFoundException, block.get_volume, NOWHERE)
    assert block.summary(True).total_count == before


@part
def snapshots(connection: Any) -> None:
    block = connection.block_storage
    origin = ready(block, block.create_volume(size=1, name="o"))
    made = ready(block, block.create_snapshot(volume_id=origin.id, name="s", metadata={"x": "y"}))
    assert block.find_snapshot("s").id == made.id
    assert [each.id for each in block.snapshots(volume_id=origin.id)] == [made.id]
    assert block.update_snapshot(made, name="t").name == "t"
    assert block.set_snapshot_metadata(made, k="v").metadata["k"] == "v"
    copy = ready(block, block.create_volume(size=2, snapshot_id=made.id))
    assert copy.snapshot_id == made.id
    block.revert_volume_to_snapshot(origin, made)
    ready(block, origin)
    refused(exceptions.BadRequestException, block.delete_volume, origin)
    block.delete_snapshot(made)
    block.wait_for_delete(made, wait=30, interval=0.1)
    for each in (origin, copy):
        block.delete_volume(each)


@part
def attachments(connection: Any) -> None:
    block = connection.block_storage
    volume = ready(block, block.create_volume(size=1))
    server = "11111111-2222-4333-8444-555555555555"
    made = block.create_attachment(volume, connector={}, instance=server)
    assert block.get_volume(volume).status == "reserved"
    made = block.update_attachment(made, connector={"host": "h", "mountpoint": "/dev/vdb"})
    block.complete_attachment(made)
    assert block.get_volume(volume).status == "in-use"
    assert [each.id for each in block.attachments()] == [made.id]
    assert block.get_attachment(made).instance == server
    block.delete_attachment(made)
    block.reserve_volume(volume)
    block.unreserve_volume(volume)
    block.attach_volume(volume, "/dev/vdc", server)
    block.begin_volume_detaching(volume)
    block.abort_volume_detaching(volume)
    attached = block.get_volume(volume).attachments[0]
    block.detach_volume(volume, attached["attachment_id"])
    assert ready(block, volume).attachments == []
    block.delete_volume(volume)


@part
def types_and_transfers(connection: Any) -> None:
    block = connection.block_storage
    made = block.create_type(name="sdk", extra_specs={"a": "b"}, is_public=False)
    assert block.find_type("sdk").id == made.id
    assert block.update_type(made, description="e").description == "e"
    assert block.update_type_extra_specs(made, c="d").extra_specs["c"] == "d"
    block.delete_type_extra_specs(made, ["a"])
    block.add_type_access(made, connection.current_project_id)
    assert len(list(block.get_type_access(made))) == 1
    refused(exceptions.NotFoundException, block.show_default_type, connection.current_project_id)
    assert block.set_default_type(connection.current_project_id, made).volume_type_id == made.id
    assert [each.volume_type_id for each in block.default_types()] == [made.id]
    block.unset_default_type(connection.current_project_id)
    block.remove_type_access(made, connection.current_project_id)
    volume = ready(block, block.create_volume(size=1, volume_type="__DEFAULT__"))
    block.retype_volume(volume, "sdk")
    assert block.get_volume(volume).volume_type == "sdk"
    offer = block.create_transfer(volume_id=volume.id, name="t")
    assert block.find_transfer("t").id == offer.id
    assert [each.id for each in block.transfers()] == [offer.id]
    block.accept_transfer(offer.id, offer.auth_key)
    block.delete_volume(volume)
    block.wait_for_delete(volume, wait=30, interval=0.1)
    block.delete_type(made)


@part
def images(connection: Any) -> None:
    block = connection.block_storage
    image = connection.image.find_image("nova-test")
    volume = ready(block, block.create_volume(size=1, image_id=image.id))
    assert volume.is_bootable
    assert volume.volume_image_metadata["image_id"] == image.id
    made = block.upload_volume_to_image(volume, "sdk-bild", disk_format="raw", container_format="bare")
    ready(block, volume)
    assert connection.image.get_image(made["image_id"]).status == "active"
    connection.image.delete_image(made["image_id"])
    block.delete_volume(volume)


@part
def cloud(connection: Any) -> None:
    block = connection.block_storage
    project = connection.current_project_id
    assert block.get_quota_set(project).volumes == 10
    assert block.update_quota_set(project, volumes=11).volumes == 11
    assert block.get_quota_set(project, usage=True).usage["volumes"] >= 0
    block.revert_quota_set(project)
    assert block.get_quota_set_defaults(project).volumes == 10
    assert block.get_quota_class_set("default").gigabytes == 1000
    assert block.get_limits().absolute.max_total_volumes == 10
    assert [each.name for each in block.availability_zones()] == ["nova"]
    assert {each.binary for each in block.services()} == {"cinder-scheduler", "cinder-volume"}
    assert [each.name for each in block.backend_pools()] == ["nova@builtin#builtin"]
    assert block.get_capabilities("nova@builtin").volume_backend_name == "builtin"
    assert {each.resource for each in block.resource_filters()} >= {"volume", "snapshot"}
    assert any(each.alias == "os-volume-transfer" for each in block.extensions())
    for nothing in (block.backups, block.groups, block.group_types, block.messages):
        assert list(nothing()) == []
    refused(exceptions.BadRequestException, block.create_backup, volume_id=NOWHERE)


def main() -> None:
    """Walk all parts."""
    connection = openstack.connect(block_storage_default_microversion="3.70")
    outcome: dict[str, str | None] = {}
    for function in PARTS:
        try:
            function(connection)
            outcome[function.__name__] = None
        except Exception:
            outcome[function.__name__] = traceback.format_exc()
    json.dump(outcome, sys.stdout)


if __name__ == "__main__":
    main()
