# SPDX-License-Identifier: Apache-2.0
"""Volumes of servers: attached, detached, exchanged, booted from, carried along; nothing is left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nova.conductor.volume_rows import DETACHING, SWAPPING
from nova.errors import BadRequest, Conflict, InvalidVolume, NotFound, ServiceUnavailable, VirtError
from nova.objects.boot import RebuildRequest
from nova.objects.instance import Instance
from nova.virt.fake import FakeDriver
from nova.volume.local import LocalBlockStorage
from tests.unit.compute.server_volumes import (
    attach,
    boot_from_volume,
    disks,
    from_volume,
    leakless,
    recovered,
    status,
    volume,
)
from tests.unit.compute.small_cloud import USER, SmallCloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    with leakless(tmp_path) as made:
        yield made


def test_an_attached_volume_is_the_servers_next_disk(cloud: SmallCloud) -> None:
    server = cloud.boot()
    first = volume(cloud)
    made = attach(cloud, server, first, tag="data")
    assert (made.device_name, made.tag, status(cloud, first)) == ("/dev/vdb", "data", "in-use")
    assert disks(cloud, server) == 2
    assert attach(cloud, cloud.show(server.uuid), volume(cloud)).device_name == "/dev/vdc"
    cloud.operations.detach_volume(USER, cloud.show(server.uuid), first)
    cloud.settle()
    assert status(cloud, first) == "available"
    assert disks(cloud, server) == 2
    assert attach(cloud, cloud.show(server.uuid), first).device_name == "/dev/vdb"


def test_a_host_tells_where_it_put_a_tagged_disk(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def device_addresses(_driver: FakeDriver, instance: Instance) -> dict[str, list[str]]:
        asked.append(instance.uuid)
        if len(asked) > 1:
            raise VirtError("no guest")
        return {each.bdm_uuid: ["pci", "0000:00:07.0"] for each in instance.volumes}

    monkeypatch.setattr(FakeDriver, "device_addresses", device_addresses)
    server = cloud.boot()
    attach(cloud, server, volume(cloud))
    assert asked == []
    made = attach(cloud, cloud.show(server.uuid), volume(cloud), tag="data")
    known = cloud.show(server.uuid).system_metadata["device_addresses"]
    assert (asked, known[made.bdm_uuid]) == ([server.uuid], ["pci", "0000:00:07.0"])
    other = volume(cloud)
    attach(cloud, cloud.show(server.uuid), other, tag="more")
    assert (len(asked), status(cloud, other)) == (2, "in-use")
    assert cloud.show(server.uuid).system_metadata["device_addresses"] == known


def test_what_cannot_be_attached_changes_nothing(cloud: SmallCloud) -> None:
    server, other = cloud.boot(), cloud.boot()
    taken = volume(cloud)
    attach(cloud, server, taken)
    server = cloud.show(server.uuid)
    with pytest.raises(InvalidVolume):
        cloud.operations.attach_volume(USER, server, taken)
    with pytest.raises(InvalidVolume):
        cloud.operations.attach_volume(USER, other, taken)
    with pytest.raises(NotFound):
        cloud.operations.attach_volume(USER, other, "no-volume")
    with pytest.raises(Exception, match="in use"):
        cloud.operations.attach_volume(USER, server, volume(cloud), device="/dev/vdb")
    cloud.faults.error = BadRequest
    cloud.faults.set("reserve", host="volumes", times=1)
    with pytest.raises(BadRequest):
        cloud.operations.attach_volume(USER, other, volume(cloud))
    assert cloud.show(other.uuid).block_devices == ()


@pytest.mark.parametrize("method", ["attach_volume", "connect", "complete"])
def test_an_attach_that_fails_on_the_host_is_undone(cloud: SmallCloud, method: str) -> None:
    server = cloud.boot()
    data = volume(cloud)
    cloud.faults.error = VirtError
    cloud.faults.set(method, times=1)
    attach(cloud, server, data)
    assert cloud.show(server.uuid).block_devices == ()
    assert status(cloud, data) == "available"
    assert disks(cloud, server) == 1
    attach(cloud, server, data)
    assert status(cloud, data) == "in-use"


def test_a_detach_that_the_guest_refuses_leaves_the_volume_attached(cloud: SmallCloud) -> None:
    server = cloud.boot()
    data = volume(cloud)
    attach(cloud, server, data)
    cloud.faults.set("detach_volume", times=1)
    cloud.operations.detach_volume(USER, cloud.show(server.uuid), data)
    cloud.settle()
    assert status(cloud, data) == "in-use"
    root = boot_from_volume(cloud)
    with pytest.raises(BadRequest, match="root device"):
        cloud.operations.detach_volume(USER, root, root.volumes[0].volume_id or "")


def test_a_volume_is_exchanged_for_another(cloud: SmallCloud) -> None:
    server = cloud.boot()
    old, new = volume(cloud), volume(cloud, 2)
    attach(cloud, server, old)
    small, big = cloud.boot(), volume(cloud, 3)
    attach(cloud, small, big)
    with pytest.raises(Conflict, match="not migrating"):
        cloud.operations.swap_volume(USER, cloud.show(server.uuid), old, new)
    for each in (old, big):
        cloud.storage.volumes.reset_status(USER, each, None, None, "starting")
    with pytest.raises(InvalidVolume, match="same size or larger"):
        cloud.operations.swap_volume(USER, cloud.show(small.uuid), big, new)
    cloud.faults.set("swap_volume", times=1)
    cloud.operations.swap_volume(USER, cloud.show(server.uuid), old, new)
    cloud.settle()
    assert (status(cloud, old), status(cloud, new)) == ("in-use", "available")
    cloud.operations.swap_volume(USER, cloud.show(server.uuid), old, new)
    cloud.settle()
    assert (status(cloud, old), status(cloud, new)) == ("available", "in-use")
    device = cloud.show(server.uuid).volumes[0]
    assert (device.volume_id, device.volume_size) == (new, 2)
    cloud.storage.volumes.reset_status(USER, old, None, None, "none")


def test_a_volume_that_is_being_exchanged_is_left_alone_until_then(cloud: SmallCloud) -> None:
    server = cloud.boot()
    data, other = volume(cloud), volume(cloud)
    device = attach(cloud, server, data)
    cloud.storage.volumes.reset_status(USER, data, None, None, "starting")
    for state in (SWAPPING, DETACHING):
        with cloud.db.write() as tx:
            tx.block_devices.change(server.uuid, device.bdm_uuid, state=state)
        busy = cloud.show(server.uuid)
        with pytest.raises(InvalidVolume, match="must be in-use"):
            cloud.operations.detach_volume(USER, busy, data)
        with pytest.raises(InvalidVolume, match="must be in-use"):
            cloud.operations.swap_volume(USER, busy, data, other)
    with cloud.db.write() as tx:
        tx.block_devices.change(server.uuid, device.bdm_uuid, state=None)
    cloud.operations.detach_volume(USER, cloud.show(server.uuid), data)
    cloud.settle()
    assert (status(cloud, data), status(cloud, other)) == ("available", "available")


@pytest.mark.parametrize("fails", [False, True])
def test_a_volume_that_its_service_moves_keeps_its_id_and_the_service_is_told(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    server = cloud.boot()
    old, copy = volume(cloud), volume(cloud)
    first = attach(cloud, server, old)
    told: list[tuple[str, str, bool]] = []

    def complete_migration(
        _service: Any, _context: Any, volume_id: str, target_id: str, *, failed: bool
    ) -> None:
        told.append((volume_id, target_id, failed))

    monkeypatch.setattr(LocalBlockStorage, "complete_migration", complete_migration)
    with cloud.db.write() as tx:
        tx.volumes.update(old, {"migration_status": "migrating"})
        tx.volumes.update(copy, {"migration_status": f"target:{old}"})
    if fails:
        cloud.faults.set("swap_volume", times=1)
    cloud.operations.swap_volume(USER, cloud.show(server.uuid), old, copy)
    cloud.settle()
    assert told == [(old, copy, fails)]
    (device,) = cloud.show(server.uuid).volumes
    assert (device.volume_id, device.state) == (old, None)
    (held,) = cloud.volumes.show(USER, old if fails else copy).attachments
    assert device.attachment_id == held.uuid
    assert (device.bdm_uuid, disks(cloud, server)) == (first.bdm_uuid, 2)
    with cloud.db.write() as tx:
        # As the service does: the copy is the volume from now on.
        tx.volumes.attachments.update(held.uuid, {"volume_id": old})
        tx.volumes.update(copy, {"status": "available"})


def test_a_server_boots_from_a_volume_made_of_an_image(cloud: SmallCloud) -> None:
    server = boot_from_volume(cloud, delete_on_termination=True)
    root = server.root_volume
    assert (server.vm_state, server.image_ref) == ("active", "")
    assert root is not None
    assert root.volume_id is not None
    assert root.device_name == "/dev/vda"
    assert (status(cloud, root.volume_id), disks(cloud, server)) == ("in-use", 1)
    extra = volume(cloud)
    attach(cloud, server, extra)
    cloud.operations.delete(USER, cloud.show(server.uuid))
    cloud.settle()
    assert cloud.show(server.uuid).deleted
    assert status(cloud, extra) == "available"
    with pytest.raises(NotFound):
        cloud.volumes.show(USER, root.volume_id)


def test_an_image_of_a_volume_backed_server_boots_as_one(cloud: SmallCloud) -> None:
    server = boot_from_volume(cloud)
    image_id = cloud.operations.snapshot(USER, server, "picture", {"of": "it"})
    cloud.settle()
    image = cloud.images.show(USER, image_id)
    assert (image.status, image.size, image.properties["bdm_v2"]) == ("active", 0, "True")
    again = cloud.boot(image_ref=image_id)
    assert (again.vm_state, again.volume_backed) == ("active", True)
    assert again.root_volume is not None
    assert again.root_volume.source_type == "snapshot"
    cloud.faults.set("create_snapshot", host="volumes", times=1)
    before = len(cloud.volumes.list_snapshots(USER))
    with pytest.raises(ServiceUnavailable):
        cloud.operations.snapshot(USER, cloud.show(server.uuid), "none", {})
    cloud.settle()
    assert len(cloud.volumes.list_snapshots(USER)) == before


def test_a_volume_type_that_is_not_there_is_refused_at_once(cloud: SmallCloud) -> None:
    before = len(cloud.volumes.list_volumes(USER))
    with pytest.raises(BadRequest, match="Volume type nothing could not be found"):
        boot_from_volume(cloud, volume_type="nothing")
    assert len(cloud.volumes.list_volumes(USER)) == before
    assert boot_from_volume(cloud, volume_type="__DEFAULT__").vm_state == "active"


def test_a_server_on_a_volume_is_rescued_with_an_image_that_says_how(cloud: SmallCloud) -> None:
    server = boot_from_volume(cloud)
    assert server.root_volume is not None
    root = server.root_volume.volume_id or ""

    def rescue(image: str | None, *, volume_backed: bool = True) -> None:
        cloud.operations.rescue(
            USER, cloud.show(server.uuid), password=None, image_ref=image, volume_backed=volume_backed
        )
        cloud.settle()

    plain, telling = (
        cloud.images.create(
            USER, name="rescue", properties=facts, disk_format="raw", container_format="bare"
        ).id
        for facts in ({}, {"hw_rescue_bus": "virtio", "hw_rescue_device": "disk"})
    )
    for each in (plain, telling):
        cloud.images.upload(USER, each, iter([b"x" * 512]))
    with pytest.raises(BadRequest, match="hw_rescue_bus or hw_rescue_device"):
        rescue(plain)
    with pytest.raises(BadRequest, match="Cannot rescue a volume-backed instance"):
        rescue(telling, volume_backed=False)
    assert cloud.show(server.uuid).vm_state == "active"
    rescue(telling)
    assert (cloud.show(server.uuid).vm_state, status(cloud, root)) == ("rescued", "in-use")
    cloud.operations.unrescue(USER, cloud.show(server.uuid))
    cloud.settle()
    assert (cloud.show(server.uuid).vm_state, status(cloud, root)) == ("active", "in-use")


def test_a_boot_that_finds_no_host_leaves_no_volume(cloud: SmallCloud) -> None:
    kept = volume(cloud, image_id=cloud.image)
    before = len(cloud.volumes.list_volumes(USER))
    made = cloud.boot(flavor="5", image_ref="", force_host="nowhere",
                      block_devices=from_volume(uuid=cloud.image))
    assert made.vm_state == "error"
    given = cloud.boot(image_ref="", force_host="nowhere", block_devices=from_volume(
        source_type="volume", uuid=kept, volume_id=kept, delete_on_termination=True
    ))
    assert given.vm_state == "error"
    assert len(cloud.volumes.list_volumes(USER)) == before
    assert status(cloud, kept) == "available"


def test_a_spawn_that_fails_is_tried_elsewhere_with_the_same_volume(cloud: SmallCloud) -> None:
    cloud.faults.set("spawn", times=1)
    server = boot_from_volume(cloud)
    assert server.vm_state == "active"
    cloud.faults.set("spawn")
    lost = boot_from_volume(cloud, delete_on_termination=True)
    cloud.faults.clear()
    assert lost.vm_state == "error"
    assert len(cloud.volumes.list_volumes(USER)) == 1


MOVES: dict[str, Callable[[SmallCloud, Instance], Any]] = {
    "migrate": lambda c, i: c.operations.migrate(USER, i, host=None),
    "resize": lambda c, i: c.operations.resize(USER, i, "2"),
    "live": lambda c, i: c.operations.live_migrate(USER, i, host=None),
}


@pytest.mark.parametrize("move", sorted(MOVES))
@pytest.mark.parametrize(
    "fault", [None, "migrate_in", "live_migrate", "connect_volumes", "live_migrated_in"]
)
def test_volumes_go_along(cloud: SmallCloud, move: str, fault: str | None) -> None:
    server = boot_from_volume(cloud)
    data = volume(cloud)
    attach(cloud, server, data)
    if fault is not None:
        cloud.faults.set(fault, times=1)
    MOVES[move](cloud, cloud.show(server.uuid))
    cloud.settle()
    cloud.faults.clear()
    moved = cloud.show(server.uuid)
    assert [each.host for each in moved.volumes] == [moved.host, moved.host]
    if moved.vm_state == "resized":
        cloud.operations.revert_resize(USER, moved)
        cloud.settle()
        back = cloud.show(server.uuid)
        assert back.host == server.host
        assert [each.host for each in back.volumes] == [back.host, back.host]


def test_a_shelved_server_keeps_its_volumes_and_can_get_more(cloud: SmallCloud) -> None:
    server = boot_from_volume(cloud)
    root = server.volumes[0].volume_id or ""
    cloud.operations.shelve(USER, server)
    cloud.settle()
    shelved = cloud.show(server.uuid)
    assert (shelved.vm_state, status(cloud, root)) == ("shelved_offloaded", "reserved")
    data = volume(cloud)
    attach(cloud, shelved, data)
    # What clients wait for: nothing is connected, and it is in use all the same.
    (held,) = cloud.volumes.show(USER, data).attachments
    assert (status(cloud, data), held.status, held.host) == ("in-use", "attached", None)
    assert cloud.leaks() == []
    other = volume(cloud)
    attach(cloud, cloud.show(server.uuid), other)
    cloud.operations.detach_volume(USER, cloud.show(server.uuid), other)
    cloud.settle()
    assert status(cloud, other) == "available"
    cloud.operations.unshelve(USER, cloud.show(server.uuid))
    cloud.settle()
    assert cloud.show(server.uuid).vm_state == "active"
    assert (status(cloud, root), status(cloud, data)) == ("in-use", "in-use")
    (held,) = cloud.volumes.show(USER, data).attachments
    assert held.host == cloud.show(server.uuid).host


@pytest.mark.parametrize("fault", ["connect", "spawn", "complete"])
def test_an_unshelve_that_fails_leaves_the_volumes_reserved_and_open_to_no_host(
    cloud: SmallCloud, fault: str
) -> None:
    server = boot_from_volume(cloud)
    data = volume(cloud)
    attach(cloud, server, data)
    cloud.operations.shelve(USER, cloud.show(server.uuid))
    cloud.settle()
    cloud.faults.error = VirtError
    cloud.faults.set(fault, times=1, after=True)
    cloud.operations.unshelve(USER, cloud.show(server.uuid))
    cloud.settle()
    shelved = cloud.show(server.uuid)
    assert (shelved.vm_state, shelved.host, shelved.task_state) == ("shelved_offloaded", None, None)
    assert shelved.fault is not None
    assert "Simulated failure" in shelved.fault.message
    assert [each.host for each in shelved.volumes] == [None, None]
    assert cloud.leaks() == []
    cloud.operations.unshelve(USER, shelved)
    cloud.settle()
    assert (cloud.show(server.uuid).vm_state, status(cloud, data)) == ("active", "in-use")


def test_an_evacuated_server_has_its_volumes(cloud: SmallCloud) -> None:
    server = boot_from_volume(cloud)
    assert server.host is not None
    cloud.kill_host(server.host)
    cloud.operations.evacuate(USER, server, host=None)
    cloud.settle()
    moved = cloud.show(server.uuid)
    assert moved.host != server.host
    assert moved.volumes[0].host == moved.host
    cloud.revive_host(server.host)


def test_a_rebuild_writes_another_image_over_the_root_volume(cloud: SmallCloud) -> None:
    server = boot_from_volume(cloud)
    root = server.volumes[0].volume_id
    other = cloud.images.create(
        USER, name="other", properties={}, disk_format="raw", container_format="bare"
    )
    cloud.images.upload(USER, other.id, [b"x" * 512])
    with pytest.raises(BadRequest, match="different image"):
        cloud.operations.rebuild(USER, server, RebuildRequest(image_ref=other.id, over_volume=False))
    cloud.operations.rebuild(USER, server, RebuildRequest(image_ref=cloud.image))
    cloud.settle()
    cloud.volumes.calls.clear()
    cloud.operations.rebuild(USER, cloud.show(server.uuid), RebuildRequest(image_ref=other.id))
    cloud.settle()
    assert cloud.show(server.uuid).vm_state == "active"
    assert "reimage" in cloud.volumes.calls
    assert cloud.volumes.show(USER, root).image_metadata["image_id"] == other.id


def test_a_volume_that_has_grown_is_made_known(cloud: SmallCloud) -> None:
    server = cloud.boot()
    data = volume(cloud)
    attach(cloud, server, data)
    cloud.storage.volumes.extend(USER, data, 3, attached=True)
    for _ in range(2):
        assert cloud.operations.volume_extended(USER, cloud.show(server.uuid), data)
        cloud.settle()
    assert not cloud.operations.volume_extended(USER, cloud.show(server.uuid), "other")
    with cloud.db.read() as tx:
        told = [each for each in tx.operations.of_instance(server.uuid) or () if each.flow == "extend_volume"]
    assert len(told) == 1
    assert cloud.show(server.uuid).volumes[0].volume_size == 3


def _taken_part(cloud: SmallCloud, data: str, begun: str) -> str:
    """A snapshot whose service waits for a host's part in it."""
    made = cloud.volumes.create_snapshot(USER, data, "s", "", force=True)
    cloud.storage.snapshots.reset_status(USER, made.uuid, begun)
    return str(made.uuid)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_service_is_told_how_a_hosts_part_in_its_snapshot_ended(cloud: SmallCloud, after: bool) -> None:
    server = cloud.boot()
    data = volume(cloud)
    attach(cloud, server, data)
    cloud.faults.error = ServiceUnavailable
    taken, gone = _taken_part(cloud, data, "creating"), _taken_part(cloud, data, "deleting")
    cloud.faults.set("update_snapshot_status", host="volumes", times=2, after=after)
    cloud.operations.snapshot_volume(USER, data, taken, {"new_file": "n"})
    cloud.operations.delete_volume_snapshot(
        USER, data, gone, {"file_to_merge": "n", "merge_target_file": "o"}
    )
    recovered(cloud)
    shown = [cloud.volumes.show_snapshot(USER, each) for each in (taken, gone)]
    assert [(each.status, each.progress) for each in shown] == [("creating", 90), ("deleting", 90)]
    assert cloud.show(server.uuid).vm_state == "active"


def test_a_service_is_told_of_a_snapshot_in_which_a_host_failed(cloud: SmallCloud) -> None:
    server = cloud.boot()
    data = volume(cloud)
    attach(cloud, server, data)
    taken, gone = _taken_part(cloud, data, "creating"), _taken_part(cloud, data, "deleting")
    cloud.faults.set("snapshot_volume", times=1)
    cloud.faults.set("delete_volume_snapshot", times=1)
    cloud.operations.snapshot_volume(USER, data, taken, {"new_file": "n"})
    cloud.operations.delete_volume_snapshot(
        USER, data, gone, {"file_to_merge": None, "merge_target_file": None}
    )
    cloud.settle()
    assert [cloud.volumes.show_snapshot(USER, each).status for each in (taken, gone)] == [
        "error", "error_deleting",
    ]
    assert cloud.show(server.uuid).vm_state == "active"


def test_a_service_is_told_of_a_snapshot_whose_server_goes(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = cloud.boot()
    data = volume(cloud)
    attach(cloud, server, data)
    waiting = _taken_part(cloud, data, "creating")
    begun, over = threading.Event(), threading.Event()

    def slow(*_arguments: object) -> None:
        begun.set()
        over.wait(30)

    driver = cloud.managers[server.host or ""]._host.driver
    monkeypatch.setattr(driver, "snapshot_volume", slow)
    cloud.operations.snapshot_volume(USER, data, waiting, {"new_file": "n"})
    assert begun.wait(30)
    cloud.operations.delete(USER, cloud.show(server.uuid))
    over.set()
    cloud.settle()
    assert cloud.volumes.show_snapshot(USER, waiting).status == "error"
    assert status(cloud, data) == "available"
