# SPDX-License-Identifier: Apache-2.0
"""A volume is detached while its server is moved, restarted or taken from its host: nothing stays behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nova.objects.boot import RebuildRequest
from nova.objects.instance import Instance
from tests.unit.compute.small_cloud import USER, SmallCloud

#: What may begin while a volume is detached, as that leaves the task state alone.
OTHERS: dict[str, Callable[[SmallCloud, Instance], Any]] = {
    "migrate": lambda c, i: c.operations.migrate(USER, i, host=None),
    "resize": lambda c, i: c.operations.resize(USER, i, "2"),
    "live": lambda c, i: c.operations.live_migrate(USER, i, host=None),
    "reboot": lambda c, i: c.operations.reboot(USER, i, hard=True),
    "rebuild": lambda c, i: c.operations.rebuild(USER, i, RebuildRequest(image_ref=c.image)),
    "shelve": lambda c, i: c.operations.shelve(USER, i),
    "rescue": lambda c, i: c.operations.rescue(USER, i, password=None, image_ref=None),
    "delete": lambda c, i: c.operations.delete(USER, i),
}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    made = SmallCloud(tmp_path)
    yield made
    try:
        made.settle()
        assert made.leaks() == []
    finally:
        made.stop()


def attached(cloud: SmallCloud) -> tuple[Instance, str]:
    """A server with a volume, and the volume's id."""
    server = cloud.boot()
    volume_id = str(cloud.volumes.create(USER, 1, "data", "").uuid)
    cloud.operations.attach_volume(USER, server, volume_id)
    cloud.settle()
    return cloud.show(server.uuid), volume_id


def once(work: Callable[[], object]) -> Callable[[], None]:
    """``work``, the first time."""
    left = [work]

    def run() -> None:
        if left:
            left.pop()()

    return run


def goes_on(cloud: SmallCloud, server: Instance, flow: str, seconds: float = 0.3) -> None:
    """Let an operation that was accepted end, or come as far as it comes while a detach is held up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with cloud.db.read() as tx:
            if {each.flow for each in tx.operations.open_for(server.uuid)} <= {"detach_volume"}:
                return
        time.sleep(0.005)


@pytest.mark.parametrize("moment", ["guest has it", "guest let go", "before release", "after release"])
@pytest.mark.parametrize("other", sorted(OTHERS))
def test_a_detach_that_something_else_runs_beside_leaves_nothing(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch, other: str, moment: str
) -> None:
    server, volume_id = attached(cloud)

    def begin() -> None:
        OTHERS[other](cloud, cloud.show(server.uuid))
        goes_on(cloud, server, other)

    act = once(begin)
    assert server.host is not None
    target, name = (
        (cloud.managers[server.host]._host.driver, "detach_volume") if moment.startswith("guest")
        else (cloud.volumes, "detach")
    )
    works = getattr(target, name)

    def method(*args: Any, **options: Any) -> Any:
        if moment in ("guest has it", "before release"):
            act()
        answer = works(*args, **options)
        act()
        return answer

    monkeypatch.setattr(target, name, method, raising=False)
    cloud.operations.detach_volume(USER, server, volume_id)
    cloud.settle()
    assert cloud.volumes.show(USER, volume_id).status == "available"
    assert cloud.show(server.uuid).volumes == () or cloud.show(server.uuid).deleted
    assert cloud.leaks() == []
    if cloud.show(server.uuid).vm_state == "resized":
        cloud.operations.revert_resize(USER, cloud.show(server.uuid))
        cloud.settle()
        assert cloud.show(server.uuid).vm_state == "active"
