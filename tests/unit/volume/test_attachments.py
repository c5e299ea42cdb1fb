# SPDX-License-Identifier: Apache-2.0
"""The life of attachments, as compute and as older clients lead it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nova.errors import BadRequest, Conflict, InvalidVolume, NotFound, VolumeNotFound
from nova.volume.local import LocalBlockStorage
from tests.unit.volume.storage import ADMIN, CONNECTOR, INSTANCE, MEMBER, OTHER, Storage

SECOND = "99999999-2222-4333-8444-555555555555"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    made = Storage(tmp_path)
    yield made
    made.stop()


def test_an_attachment_from_reserve_to_detach_every_step_twice(storage: Storage) -> None:
    block = LocalBlockStorage(storage.service)
    volume_id = storage.volume()
    attachment = block.reserve(MEMBER, volume_id, INSTANCE)
    assert block.reserve(MEMBER, volume_id, INSTANCE) == attachment
    assert block.show(MEMBER, volume_id).status == "reserved"
    first = block.connect(MEMBER, attachment, CONNECTOR, "/dev/vdb")
    assert block.connect(MEMBER, attachment, CONNECTOR, "/dev/vdb") == first
    assert first["driver_volume_type"] == "simulated"
    assert first["data"]["access_mode"] == "rw"
    assert block.show(MEMBER, volume_id).status == "attaching"
    block.complete(MEMBER, attachment)
    block.complete(MEMBER, attachment)
    shown = block.show(MEMBER, volume_id)
    assert shown.status == "in-use"
    (one,) = shown.attachments
    assert (one.instance_uuid, one.host, one.mountpoint, one.status, one.mode) == (
        INSTANCE, "node1", "/dev/vdb", "attached", "rw",
    )
    block.begin_detaching(MEMBER, volume_id)
    assert block.show(MEMBER, volume_id).status == "detaching"
    block.roll_detaching(MEMBER, volume_id)
    block.roll_detaching(MEMBER, volume_id)
    assert block.show(MEMBER, volume_id).status == "in-use"
    block.detach(MEMBER, attachment)
    block.detach(MEMBER, attachment)
    assert block.show(MEMBER, volume_id).status == "available"
    with pytest.raises(NotFound):
        block.show_attachment(MEMBER, attachment)


def test_a_server_that_moves_has_two_attachments_for_a_while(storage: Storage) -> None:
    block = LocalBlockStorage(storage.service)
    volume_id = storage.volume()
    source = block.reserve(MEMBER, volume_id, INSTANCE)
    block.connect(MEMBER, source, CONNECTOR)
    block.complete(MEMBER, source)
    target = block.reserve(MEMBER, volume_id, INSTANCE)
    assert target != source
    assert block.show(MEMBER, volume_id).status == "in-use"
    block.connect(MEMBER, target, {**CONNECTOR, "host": "node2"})
    block.complete(MEMBER, target)
    block.detach(MEMBER, source)
    shown = block.show(MEMBER, volume_id)
    assert (shown.status, [each.host for each in shown.attachments]) == ("in-use", ["node2"])


def test_one_server_has_a_volume_unless_its_type_says_more(storage: Storage) -> None:
    block = LocalBlockStorage(storage.service)
    single = storage.volume()
    block.reserve(MEMBER, single, INSTANCE)
    with pytest.raises(InvalidVolume, match="must be available to reserve"):
        block.reserve(MEMBER, single, SECOND)
    storage.service.types.create("multi", None, extra_specs={"multiattach": "<is> True"})
    shared = storage.volume(volume_type="multi")
    ids = [block.reserve(MEMBER, shared, each) for each in (INSTANCE, SECOND)]
    for each in ids:
        block.connect(MEMBER, each, CONNECTOR)
        block.complete(MEMBER, each)
    block.detach(MEMBER, ids[0])
    assert block.show(MEMBER, shared).status == "in-use"
    block.detach(MEMBER, ids[1])
    assert block.show(MEMBER, shared).status == "available"


def test_others_see_nothing_and_administrators_all(storage: Storage) -> None:
    block = LocalBlockStorage(storage.service)
    volume_id = storage.volume()
    attachment = block.reserve(MEMBER, volume_id, INSTANCE)
    for ask in (
        lambda: block.show(OTHER, volume_id), lambda: block.reserve(OTHER, volume_id, SECOND),
        lambda: block.delete(OTHER, volume_id),
    ):
        with pytest.raises(VolumeNotFound):
            ask()
    with pytest.raises(NotFound):
        block.connect(OTHER, attachment, CONNECTOR)
    assert block.list_volumes(OTHER) == []
    assert block.show(ADMIN, volume_id).uuid == volume_id


def test_a_read_only_volume_is_attached_so(storage: Storage) -> None:
    volume_id = storage.volume()
    storage.service.volumes.change(MEMBER, volume_id, lambda _volume: {"readonly": True})
    attachments = storage.service.attachments
    with pytest.raises(BadRequest, match="Invalid attaching mode 'rw'"):
        attachments.reserve(MEMBER, volume_id, INSTANCE, "rw")
    made = attachments.reserve(MEMBER, volume_id, INSTANCE)
    connected = attachments.connect(MEMBER, made.id, CONNECTOR)
    assert connected.connection_info is not None
    assert connected.connection_info["data"]["access_mode"] == "ro"


def test_steps_out_of_turn_are_refused(storage: Storage) -> None:
    attachments = storage.service.attachments
    volume_id = storage.volume()
    made = attachments.reserve(MEMBER, volume_id, INSTANCE)
    with pytest.raises(NotFound):
        attachments.complete(OTHER, made.id)
    with pytest.raises(BadRequest, match="connector"):
        attachments.connect(MEMBER, made.id, {})
    with pytest.raises(InvalidVolume):
        attachments.begin_detaching(MEMBER, volume_id)
    with pytest.raises(InvalidVolume):
        storage.service.volumes.delete(MEMBER, volume_id)
    with pytest.raises(InvalidVolume):
        storage.service.volumes.delete(ADMIN, volume_id, force=True)


def test_a_reservation_of_a_shelved_server_is_in_use_and_connected_later(storage: Storage) -> None:
    attachments = storage.service.attachments
    volume_id = storage.volume()
    made = attachments.reserve(MEMBER, volume_id, INSTANCE)
    attachments.complete(MEMBER, made.id)
    assert storage.status(volume_id) == "in-use"
    connected = attachments.connect(MEMBER, made.id, CONNECTOR)
    assert (connected.status, connected.attached_host) == ("attached", CONNECTOR["host"])
    attachments.complete(MEMBER, made.id)
    assert attachments.delete(MEMBER, made.id) == []
    assert storage.status(volume_id) == "available"


def test_the_older_way_of_attaching(storage: Storage) -> None:
    attachments = storage.service.attachments
    volume_id = storage.volume()
    attachments.mark(MEMBER, volume_id)
    assert storage.status(volume_id) == "attaching"
    attachments.unmark(MEMBER, volume_id)
    assert storage.status(volume_id) == "available"
    attachments.mark(MEMBER, volume_id)
    assert attachments.connection(MEMBER, volume_id, CONNECTOR)["data"]["volume_id"] == volume_id
    attachments.attach(
        MEMBER, volume_id, instance_uuid=INSTANCE, host=None, mountpoint="/dev/vdc", mode="rw"
    )
    assert storage.status(volume_id) == "in-use"
    attachments.begin_detaching(MEMBER, volume_id)
    attachments.detach(MEMBER, volume_id)
    assert storage.status(volume_id) == "available"
    attachments.attach(
        MEMBER, volume_id, instance_uuid=INSTANCE, host=None, mountpoint="/dev/vdc", mode="rw"
    )
    storage.service.volumes.reset_status(ADMIN, volume_id, "error")
    attachments.detach(ADMIN, volume_id)
    assert storage.status(volume_id) == "available"


def test_a_user_cannot_take_a_disk_from_a_server_that_has_it(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nova.db.stores.block_devices import BlockDeviceStore

    attachments = storage.service.attachments
    volume_id = storage.volume()
    made = attachments.reserve(MEMBER, volume_id, INSTANCE)
    attachments.connect(MEMBER, made.id, CONNECTOR)
    attachments.complete(MEMBER, made.id)
    monkeypatch.setattr(BlockDeviceStore, "servers_of", lambda _store, _volume: [INSTANCE])
    with pytest.raises(Conflict, match="using the Compute API"):
        attachments.delete(MEMBER, made.id, trusted=False)
    with pytest.raises(Conflict):
        attachments.detach(MEMBER, volume_id)
    with pytest.raises(Conflict):
        attachments.disconnect(MEMBER, volume_id, trusted=False)
    assert storage.status(volume_id) == "in-use"
    attachments.delete(MEMBER, made.id)
    assert storage.status(volume_id) == "available"


def test_a_volume_in_use_grows_and_its_server_is_told(storage: Storage) -> None:
    attachments = storage.service.attachments
    volume_id = storage.volume()
    made = attachments.reserve(MEMBER, volume_id, INSTANCE)
    attachments.connect(MEMBER, made.id, CONNECTOR)
    attachments.complete(MEMBER, made.id)
    told: list[str] = []
    storage.service.flows.extended = lambda volume, _request: told.append(volume.id)
    with pytest.raises(InvalidVolume, match="currently in-use"):
        storage.service.volumes.extend(MEMBER, volume_id, 2)
    storage.service.volumes.extend(MEMBER, volume_id, 2, attached=True)
    assert storage.wait(volume_id, "in-use") == "in-use"
    assert storage.service.volumes.get(MEMBER, volume_id).size == 2
    assert told == [volume_id]
