# SPDX-License-Identifier: Apache-2.0
"""A rebuild that waits for its image on the root volume; the event ``volume-reimaged`` ends the wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nova.conductor import volume_work
from nova.errors import Conflict
from nova.objects.boot import RebuildRequest
from nova.objects.instance import BlockDevice, Instance
from nova.volume.local import LocalBlockStorage
from tests.unit.compute.small_cloud import USER, SmallCloud
from tests.waiting import until


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallCloud]:
    """A cloud whose block storage begins to write an image, and is at it until it is told to be done."""

    def reimage(service: LocalBlockStorage, _context: Any, volume_id: str, _image_id: str) -> None:
        with made.db.write() as tx:
            tx.volumes.update(volume_id, {"status": "downloading"})

    monkeypatch.setattr(LocalBlockStorage, "reimage", reimage)
    # Nobody looks by themselves while a test runs.
    monkeypatch.setattr(volume_work, "_PAUSE", 3600.0)
    monkeypatch.setattr(volume_work, "_LONGEST", 3600.0)
    made = SmallCloud(tmp_path)
    try:
        yield made
        made.settle()
        assert made.leaks() == []
    finally:
        made.stop()


def waiting(cloud: SmallCloud) -> Instance:
    """A server whose rebuild waits for the image."""
    server = cloud.boot(image_ref="", block_devices=(
        BlockDevice(
            source_type="image", destination_type="volume", boot_index=0, uuid=cloud.image,
            volume_size=1, delete_on_termination=True,
        ),
    ))
    other = cloud.images.create(
        USER, name="other", properties={}, disk_format="raw", container_format="bare"
    )
    cloud.images.upload(USER, other.id, [b"x" * 512])
    cloud.operations.rebuild(USER, server, RebuildRequest(image_ref=other.id))
    until(lambda: volume_status(cloud, server) == "downloading")
    until(lambda: reimaging(cloud, server))
    return cloud.show(server.uuid)


def reimaging(cloud: SmallCloud, server: Instance) -> bool:
    with cloud.db.read() as tx:
        return any(each.payload.get("reimaging") for each in tx.operations.open_for(server.uuid))


def volume_status(cloud: SmallCloud, server: Instance) -> str:
    volume_id = cloud.show(server.uuid).volumes[0].volume_id
    return str(cloud.volumes.show(USER, volume_id).status)


def written(cloud: SmallCloud, server: Instance, status: str) -> None:
    """The service is done."""
    with cloud.db.write() as tx:
        tx.volumes.update(server.volumes[0].volume_id or "", {"status": status})


def test_the_event_ends_the_wait(cloud: SmallCloud) -> None:
    idle = cloud.boot()
    server = waiting(cloud)
    # Too early, and about a server that waits for nothing: neither changes anything.
    cloud.operations.volume_reimaged(server)
    cloud.operations.volume_reimaged(idle)
    assert reimaging(cloud, server)
    assert cloud.show(server.uuid).task_state == "rebuild_block_device_mapping"
    written(cloud, server, "reserved")
    cloud.operations.volume_reimaged(server)
    cloud.settle()
    assert (cloud.show(server.uuid).vm_state, volume_status(cloud, server)) == ("active", "in-use")
    cloud.operations.volume_reimaged(cloud.show(server.uuid))


def test_an_image_that_could_not_be_written_fails_the_rebuild(cloud: SmallCloud) -> None:
    server = waiting(cloud)
    written(cloud, server, "error")
    cloud.operations.volume_reimaged(server)
    cloud.settle()
    failed = cloud.show(server.uuid)
    assert (failed.vm_state, failed.task_state) == ("error", None)
    assert failed.fault is not None
    assert "not written" in failed.fault.message
    cloud.operations.delete(USER, failed)


def test_what_would_meet_the_rebuild_is_refused_meanwhile(cloud: SmallCloud) -> None:
    server = waiting(cloud)
    data = cloud.volumes.create(USER, 1, "data", "").uuid
    for refused in (
        lambda: cloud.operations.rebuild(USER, server, RebuildRequest(image_ref=cloud.image)),
        lambda: cloud.operations.reboot(USER, server, hard=True),
        lambda: cloud.operations.attach_volume(USER, server, data),
        lambda: cloud.operations.shelve(USER, server),
    ):
        with pytest.raises(Conflict):
            refused()
    written(cloud, server, "reserved")
    cloud.operations.delete(USER, server)
