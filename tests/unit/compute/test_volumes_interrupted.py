# SPDX-License-Identifier: Apache-2.0
"""Volumes of servers where an answer is lost, a process dies, or an operation before is not yet over."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nova.compute.lifecycle import ACTIONS
from nova.conductor.manager import Conductor
from nova.errors import Conflict, InvalidVolume, NotFound, ServiceUnavailable, VirtError
from nova.objects.context import RequestContext
from nova.objects.instance import BlockDevice
from tests.unit.compute.server_volumes import (
    attach,
    disks,
    from_volume,
    leakless,
    recovered,
    status,
    volume,
)
from tests.unit.compute.small_cloud import USER, SmallCloud
from tests.waiting import until


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    with leakless(tmp_path) as made:
        yield made


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", ["reserve", "complete", "detach"])
def test_a_shelved_servers_volume_survives_lost_answers(
    cloud: SmallCloud, call: str, after: bool
) -> None:
    data = volume(cloud)
    server = cloud.boot()
    cloud.operations.shelve(USER, server)
    cloud.settle()
    cloud.faults.error = ServiceUnavailable
    for step in (
        lambda: cloud.operations.attach_volume(USER, cloud.show(server.uuid), data),
        lambda: cloud.operations.detach_volume(USER, cloud.show(server.uuid), data),
    ):
        _through(cloud, call, after, step)
    for each in cloud.volumes.show(USER, data).attachments:
        assert each.uuid in {device.attachment_id for device in cloud.show(server.uuid).volumes}


def test_a_reset_server_has_no_volume_on_its_way(cloud: SmallCloud) -> None:
    server = cloud.boot()
    data = volume(cloud)
    cloud.faults.error = KeyError
    cloud.faults.set("connect", host="volumes", times=1)
    attach(cloud, server, data)
    cloud.operations.reset_state(USER, cloud.show(server.uuid), "active")
    cloud.settle()
    assert status(cloud, data) == "available"


CALLS = ["show", "create", "reserve", "begin_detaching", "connect", "complete", "detach", "delete"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", CALLS)
def test_a_life_interrupted_at_any_call_goes_on(
    cloud: SmallCloud, call: str, after: bool
) -> None:
    """Each answer of the service is lost once, and the work is found again by recovery."""
    data = volume(cloud)
    cloud.faults.error = ServiceUnavailable
    server = _through(cloud, call, after, lambda: cloud.boot(
        image_ref="", block_devices=from_volume(uuid=cloud.image, delete_on_termination=True)
    ))
    for step in (
        lambda: cloud.operations.attach_volume(USER, cloud.show(server.uuid), data),
        lambda: cloud.operations.detach_volume(USER, cloud.show(server.uuid), data),
        lambda: cloud.operations.attach_volume(USER, cloud.show(server.uuid), data),
        lambda: cloud.operations.migrate(USER, cloud.show(server.uuid), host=None),
        lambda: cloud.operations.delete(USER, cloud.show(server.uuid)),
    ):
        _through(cloud, call, after, step)
    assert cloud.show(server.uuid).deleted
    assert status(cloud, data) == "available"


def _through(cloud: SmallCloud, call: str, after: bool, step: Callable[[], Any]) -> Any:
    cloud.faults.set(call, host="volumes", times=1, after=after)
    answer = None
    try:
        answer = step()
    except (ServiceUnavailable, InvalidVolume, NotFound):
        cloud.faults.clear()
    recovered(cloud)
    cloud.faults.clear()
    return answer


def test_an_attach_that_is_resumed_after_a_move_leaves_one_attachment(cloud: SmallCloud) -> None:
    server = cloud.boot()
    data = volume(cloud)
    first = cloud.volumes.reserve(USER, data, server.uuid)
    cloud.volumes.connect(USER, first, {"host": "fake-elsewhere"})
    # As a process leaves it that died on the first host, before it could tell of the disk.
    device = BlockDevice(
        source_type="volume", destination_type="volume", uuid=data, volume_id=data, bdm_uuid="b",
        device_name="/dev/vdb", volume_size=1, state="attaching", host="fake-elsewhere",
        attachment_id=first,
    )
    with cloud.db.write() as tx:
        tx.block_devices.edit(server.uuid, lambda devices: (*devices, device))
    with cloud.db.write() as tx:
        fresh = tx.instances.get(server.uuid)
        assert fresh is not None
        cloud.control.dispatcher.start(
            tx, USER, fresh, ACTIONS["attach_volume"], "attach", {"bdm_uuid": "b"}
        )
    cloud.settle()
    (found,) = cloud.show(server.uuid).volumes
    assert (found.host, found.next_attachment_id, found.state) == (server.host, None, None)
    assert len(cloud.volumes.show(USER, data).attachments) == 1


def test_nothing_is_reserved_that_an_operation_before_is_about_to_give_up(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = cloud.boot()
    data = volume(cloud)
    attach(cloud, server, data)
    waiting: list[list[int]] = []
    discard = cloud.control.conductor.discard
    monkeypatch.setattr(Conductor, "discard", lambda _self, ids: waiting.append(ids))
    cloud.faults.error = VirtError
    cloud.faults.set("connect", times=1)
    cloud.operations.live_migrate(USER, cloud.show(server.uuid), host=None)
    until(lambda: waiting and cloud.show(server.uuid).task_state is None)
    assert len(cloud.volumes.show(USER, data).attachments) == 2
    cloud.operations.shelve(USER, cloud.show(server.uuid))
    until(lambda: cloud.show(server.uuid).vm_state == "shelved_offloaded")
    for each in waiting:
        discard(each)
    cloud.settle()
    (held,) = cloud.volumes.show(USER, data).attachments
    assert [each.attachment_id for each in cloud.show(server.uuid).volumes] == [held.uuid]
    assert cloud.leaks() == []


def test_a_detach_that_a_delete_outran_leaves_a_shared_volume_in_use(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.storage.types.create("multi", None, extra_specs={"multiattach": "<is> True"})
    data = volume(cloud, volume_type="multi")
    server, other = cloud.boot(), cloud.boot()
    for each in (server, other):
        attach(cloud, each, data)
    begin_detaching = cloud.volumes.begin_detaching

    def slow(context: RequestContext, volume_id: str) -> None:
        cloud.operations.delete(USER, cloud.show(server.uuid))
        recovered(cloud)
        begin_detaching(context, volume_id)

    monkeypatch.setattr(cloud.volumes, "begin_detaching", slow, raising=False)
    cloud.operations.detach_volume(USER, cloud.show(server.uuid), data)
    assert cloud.show(server.uuid).deleted
    found = cloud.volumes.show(USER, data)
    assert (found.status, [each.instance_uuid for each in found.attachments]) == ("in-use", [other.uuid])


@pytest.mark.parametrize(("call", "stays"), [
    ("reserve", False), ("connect", False), ("complete", False), ("begin_detaching", True), ("detach", False),
])
def test_what_a_delete_overtook_is_brought_to_an_end_where_the_delete_fails(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch, call: str, stays: bool
) -> None:
    server = cloud.boot()
    data = volume(cloud)
    detaches = call in ("begin_detaching", "detach")
    if detaches:
        attach(cloud, server, data)
    works = getattr(cloud.volumes, call)
    overtaken: list[Any] = []

    def overtaken_by_a_delete(*args: Any, **options: Any) -> Any:
        answer = works(*args, **options)
        if not overtaken:
            overtaken.append(call)
            cloud.faults.set("destroy", times=1)
            cloud.operations.delete(USER, cloud.show(server.uuid))
        return answer

    monkeypatch.setattr(cloud.volumes, call, overtaken_by_a_delete, raising=False)
    act = cloud.operations.detach_volume if detaches else cloud.operations.attach_volume
    with contextlib.suppress(Conflict):
        act(USER, cloud.show(server.uuid), data)
    recovered(cloud)
    assert overtaken
    assert cloud.show(server.uuid).vm_state == "error"
    assert [each.state for each in cloud.show(server.uuid).volumes] == [None] * stays
    assert status(cloud, data) == ("in-use" if stays else "available")
    assert disks(cloud, server) == 1 + stays
    cloud.operations.delete(USER, cloud.show(server.uuid))
