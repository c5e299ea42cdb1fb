# SPDX-License-Identifier: Apache-2.0
"""Disks and NICs come and go while their server is moved, restarted or taken away: nothing stays behind.

Both leave the task state alone, so that other operations may begin at any moment of theirs. A delete that can
be taken back overtakes what takes a server off its host, or brings it to one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nova.errors import Conflict, NovaError
from nova.objects.boot import RebuildRequest
from nova.objects.instance import Instance, RequestedNetwork
from tests.unit.compute.small_cloud import USER, SmallCloud
from tests.waiting import until

OTHERS: dict[str, Callable[[SmallCloud, Instance], Any]] = {
    "migrate": lambda c, i: c.operations.migrate(USER, i, host=None),
    "live": lambda c, i: c.operations.live_migrate(USER, i, host=None),
    "reboot": lambda c, i: c.operations.reboot(USER, i, hard=True),
    "rebuild": lambda c, i: c.operations.rebuild(USER, i, RebuildRequest(image_ref=c.image)),
    "shelve": lambda c, i: c.operations.shelve(USER, i),
    "delete": lambda c, i: c.operations.delete(USER, i),
}
#: Calls to the host's driver, and to the block storage service.
_OF_DRIVER = frozenset({"attach_volume", "detach_volume", "plug", "unplug", "spawn", "destroy"})


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    made = SmallCloud(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def server(cloud: SmallCloud) -> Instance:
    return cloud.boot()


@pytest.fixture
def volume_id(cloud: SmallCloud) -> str:
    return str(cloud.volumes.create(USER, 1, "data", "").uuid)


def settle(cloud: SmallCloud) -> None:
    """Wait until nothing is under way; what somebody was left with is found, as a conductor finds it."""
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(AssertionError):
            cloud.settle(0.3)
            return
        assert time.monotonic() < deadline
        cloud.control.conductor.recovery.run()


def begin_at(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch, server: Instance, moment: str, other: str
) -> None:
    """Begin ``other`` before or after the next call of a name, and let it come as far as it comes."""
    when, name = moment.split()
    targets: list[Any] = [cloud.volumes]
    if name in _OF_DRIVER:
        targets = [manager._host.driver for manager in cloud.managers.values()]
    begun: list[str] = []

    def begin() -> None:
        if begun:
            return
        begun.append(other)
        OTHERS[other](cloud, cloud.show(server.uuid))
        deadline = time.monotonic() + 0.25
        while time.monotonic() < deadline:
            with cloud.db.read() as tx:
                open_ones = {each.flow for each in tx.operations.open_for(server.uuid)}
            if all(str(flow).startswith(("attach", "detach")) for flow in open_ones):
                return
            time.sleep(0.005)

    def wrapped(works: Callable[..., Any]) -> Callable[..., Any]:
        def method(*args: Any, **options: Any) -> Any:
            if when == "before":
                begin()
            answer = works(*args, **options)
            begin()
            return answer

        return method

    for target in targets:
        monkeypatch.setattr(target, name, wrapped(getattr(target, name)), raising=False)


def check(cloud: SmallCloud, server: Instance) -> Instance:
    """Nothing leaks, and a move can be taken back."""
    settle(cloud)
    assert cloud.leaks() == []
    if cloud.show(server.uuid).vm_state == "resized":
        cloud.operations.revert_resize(USER, cloud.show(server.uuid))
        settle(cloud)
        assert cloud.show(server.uuid).vm_state == "active"
        assert cloud.leaks() == []
    return cloud.show(server.uuid)


@pytest.mark.parametrize(
    "moment", ["before detach_volume", "after detach_volume", "before detach", "after detach"]
)
@pytest.mark.parametrize("other", sorted(OTHERS))
def test_a_detach_leaves_no_attachment_wherever_the_server_goes(
    cloud: SmallCloud, server: Instance, volume_id: str, monkeypatch: pytest.MonkeyPatch, other: str,
    moment: str,
) -> None:
    cloud.operations.attach_volume(USER, server, volume_id)
    cloud.settle()
    begin_at(cloud, monkeypatch, server, moment, other)
    cloud.operations.detach_volume(USER, cloud.show(server.uuid), volume_id)
    now = check(cloud, server)
    assert cloud.volumes.show(USER, volume_id).status == "available"
    assert now.deleted or now.volumes == ()


@pytest.mark.parametrize(
    "moment", ["before reserve", "after connect", "before attach_volume", "after complete"]
)
@pytest.mark.parametrize("other", ["delete", "live", "rebuild"])
def test_an_attach_ends_where_the_server_is(
    cloud: SmallCloud, server: Instance, volume_id: str, monkeypatch: pytest.MonkeyPatch, other: str,
    moment: str,
) -> None:
    begin_at(cloud, monkeypatch, server, moment, other)
    with contextlib.suppress(NovaError):
        cloud.operations.attach_volume(USER, server, volume_id)
    now = check(cloud, server)
    has = not now.deleted and now.volumes != ()
    assert (cloud.volumes.show(USER, volume_id).status != "available") == has


@pytest.mark.parametrize("moment", ["before unplug", "after unplug"])
@pytest.mark.parametrize("other", ["delete", "live", "migrate", "rebuild"])
def test_a_nic_that_is_taken_away_is_gone_wherever_the_server_goes(
    cloud: SmallCloud, server: Instance, monkeypatch: pytest.MonkeyPatch, other: str, moment: str
) -> None:
    added = cloud.operations.attach_interface(USER, server, RequestedNetwork())
    begin_at(cloud, monkeypatch, server, moment, other)
    with contextlib.suppress(NovaError):
        cloud.operations.detach_interface(USER, cloud.show(server.uuid), added.id)
    now = check(cloud, server)
    assert now.deleted or added.id not in {vif.id for vif in now.network_info}


@pytest.mark.parametrize("moment", ["before plug", "after plug"])
@pytest.mark.parametrize("other", ["delete", "live", "migrate", "rebuild"])
def test_a_nic_that_is_answered_is_the_servers_wherever_it_goes(
    cloud: SmallCloud, server: Instance, monkeypatch: pytest.MonkeyPatch, other: str, moment: str
) -> None:
    begin_at(cloud, monkeypatch, server, moment, other)
    answered = None
    with contextlib.suppress(NovaError):
        answered = cloud.operations.attach_interface(USER, server, RequestedNetwork())
    now = check(cloud, server)
    shown = [vif.id for vif in now.network_info]
    assert now.deleted or len(shown) == 1 + (answered is not None)
    assert now.deleted or answered is None or answered.id in shown


@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
@pytest.mark.parametrize(
    ("flow", "moment"),
    [("shelve", "after destroy"), ("shelve", "before reserve"), ("shelve", "after reserve"),
     ("shelve", "after detach"), ("unshelve", "after connect"), ("unshelve", "after spawn"),
     ("unshelve", "after complete")],
)
def test_a_delete_that_can_be_taken_back_closes_volumes_to_the_host_that_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flow: str, moment: str, down: bool
) -> None:
    cloud = SmallCloud(tmp_path, reclaim_instance_interval=3600)
    try:
        server = cloud.boot()
        volume_id = str(cloud.volumes.create(USER, 1, "data", "").uuid)
        cloud.operations.attach_volume(USER, server, volume_id)
        cloud.settle()
        if flow == "unshelve":
            cloud.operations.shelve(USER, cloud.show(server.uuid))
            cloud.settle()

        def delete(cloud: SmallCloud, instance: Instance) -> None:
            if down and instance.host is not None:
                cloud.kill_host(instance.host)
            cloud.operations.delete(USER, instance)

        monkeypatch.setitem(OTHERS, "delete", delete)
        begin_at(cloud, monkeypatch, server, moment, "delete")
        getattr(cloud.operations, flow)(USER, cloud.show(server.uuid))
        settle(cloud)
        for name in cloud.managers:
            cloud.revive_host(name)
        now = check(cloud, server)
        assert (now.vm_state, now.host) == ("soft-delete", None)
        assert [each.host for each in now.volumes] == [None]
        # It may never have been closed where the delete was faster than the boot that would have opened it.
        assert cloud.volumes.show(USER, volume_id).status in ("reserved", "in-use")
        cloud.operations.restore(USER, now)
        assert check(cloud, server).vm_state == "shelved_offloaded"
    finally:
        cloud.stop()


def test_a_rebuild_that_was_asked_for_before_a_nic_came_gives_the_guest_that_nic(
    cloud: SmallCloud, server: Instance
) -> None:
    cloud.operations.attach_interface(USER, server, RequestedNetwork())
    OTHERS["rebuild"](cloud, server)
    assert len(check(cloud, server).network_info) == 2
    cloud.operations.stop(USER, cloud.show(server.uuid))
    cloud.settle()
    with pytest.raises(Conflict):
        cloud.operations.reboot(USER, server, hard=False)


@pytest.mark.parametrize("what", ["image", "volume"])
def test_what_is_made_for_a_server_that_was_deleted_meanwhile_is_given_up_even_if_nobody_is_left_to_do_so(
    cloud: SmallCloud, server: Instance, volume_id: str, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The delete is faster than the image or the reservation, and then the process dies."""
    target, name = (cloud.images, "create") if what == "image" else (cloud.volumes, "reserve")
    works = getattr(target, name)

    class Dies(BaseException):
        """The end of a process: nothing after it is done."""

    def method(*args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        cloud.operations.delete(USER, cloud.show(server.uuid))
        until(lambda: cloud.show(server.uuid).deleted, 30)
        works(*args, **options)
        # What this process would still write is not written.
        monkeypatch.setattr(cloud.db, "run", lambda _work: (_ for _ in ()).throw(Dies()))
        raise Dies

    monkeypatch.setattr(target, name, method, raising=False)

    def ask() -> None:
        if what == "image":
            cloud.operations.snapshot(USER, server, "picture", {})
        else:
            cloud.operations.attach_volume(USER, server, volume_id)

    with pytest.raises(Dies):
        ask()
    monkeypatch.undo()
    with cloud.db.read() as tx:
        assert tx.operations.unfinished() != []
    cloud.control.conductor.recovery.run(everything=True)
    cloud.settle()
    assert cloud.leaks() == []
    assert cloud.volumes.show(USER, volume_id).status == "available"
