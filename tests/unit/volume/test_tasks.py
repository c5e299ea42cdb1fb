# SPDX-License-Identifier: Apache-2.0
"""Work outlives its process, is done once, and what cannot be done ends in error."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable
from pathlib import Path

from nova.db.schema.base import now
from nova.objects.volume_record import SnapshotRecord, VolumeRecord
from nova.volume.backend import Interrupted
from nova.volume.simulated import SimulatedBackend
from tests.unit.volume.storage import ADMIN, MEMBER, OTHER, Storage, gone


class SlowBackend(SimulatedBackend):
    """One whose copies wait for the test, and whose next calls fail as the test says."""

    immediate = False

    def __init__(self) -> None:
        self.go, self.started = threading.Event(), threading.Event()
        self.calls: list[str] = []
        self.failures: list[Callable[[], Exception]] = []

    def _work(self, name: str) -> None:
        self.calls.append(name)
        if self.failures:
            raise self.failures.pop(0)()

    def create(self, volume: VolumeRecord) -> None:
        self._work("create")

    def clone(self, volume: VolumeRecord, source: VolumeRecord | SnapshotRecord) -> None:
        self.started.set()
        assert self.go.wait(20)
        self._work("clone")

    def delete(self, volume: VolumeRecord) -> None:
        self._work("delete")

    def delete_snapshot(self, snapshot: SnapshotRecord) -> None:
        self._work("delete_snapshot")

    def extend(self, volume: VolumeRecord, size_gb: int) -> None:
        self._work("extend")


def test_what_a_process_left_is_taken_up_at_the_next_start(tmp_path: Path) -> None:
    first = Storage(tmp_path, backend=SlowBackend(), works=False)
    made = first.service.volumes.create(MEMBER, 1)
    with first.database.write() as tx:
        # A process had it, and died.
        (task_id,) = tx.volumes.tasks.free()
        tx.volumes.tasks.claim(task_id, "dead", now() + datetime.timedelta(hours=1))
    assert first.status(made.id) == "creating"

    second = Storage(tmp_path, backend=SlowBackend(), database=first.database)
    assert second.wait(made.id) == "available"
    second.stop()


def test_a_lease_keeps_other_processes_off(tmp_path: Path) -> None:
    first = Storage(tmp_path, backend=SlowBackend(), works=False)
    made = first.service.volumes.create(MEMBER, 1)
    backend = SlowBackend()
    second = Storage(tmp_path, backend=backend, database=first.database, works=False)
    second.unit = type(second.unit)(second.service, alone=False)
    with first.database.write() as tx:
        (task_id,) = tx.volumes.tasks.free()
        tx.volumes.tasks.claim(task_id, "alive", now() + datetime.timedelta(hours=1))
    second.service.tasks.resume()
    assert backend.calls == []
    with first.database.write() as tx:
        tx.volumes.tasks.renew([task_id], "alive", now() - datetime.timedelta(seconds=1))
        assert tx.volumes.tasks.free() == [task_id]
        assert not tx.volumes.tasks.finish(task_id, "another")
    assert first.status(made.id) == "creating"
    second.stop()


def test_what_fails_ends_in_error_and_can_be_deleted(tmp_path: Path) -> None:
    backend = SlowBackend()
    storage = Storage(tmp_path, backend=backend)
    backend.failures = [lambda: OSError("no")]
    made = storage.service.volumes.create(MEMBER, 1)
    assert storage.wait(made.id, "error") == "error"
    (message,) = storage.service.messages.page(MEMBER)
    assert (message.resource_id, message.text) == (
        made.id, "create volume from backend storage: An unknown error occurred.",
    )
    assert storage.service.messages.page(OTHER) == []
    backend.failures = [lambda: OSError("no")]
    storage.service.volumes.delete(MEMBER, made.id)
    assert storage.wait(made.id, "error_deleting") == "error_deleting"
    storage.service.volumes.delete(MEMBER, made.id)
    gone(lambda: storage.service.volumes.get(MEMBER, made.id))
    grown = storage.volume(1)
    backend.failures = [lambda: OSError("no")]
    storage.service.volumes.extend(MEMBER, grown, 2)
    assert storage.wait(grown, "error_extending") == "error_extending"
    assert storage.service.volumes.get(MEMBER, grown).size == 1
    storage.stop()


def test_work_that_was_broken_off_too_often_is_given_up(tmp_path: Path) -> None:
    first = Storage(tmp_path, backend=SlowBackend(), works=False)
    made = first.service.volumes.create(MEMBER, 1)
    for _attempt in range(3):
        with first.database.write() as tx:
            (task_id,) = tx.volumes.tasks.free()
            tx.volumes.tasks.claim(task_id, "dies", now() - datetime.timedelta(seconds=1))
    second = Storage(tmp_path, backend=SlowBackend(), database=first.database)
    assert second.wait(made.id, "error") == "error"
    second.stop()


def test_an_interrupted_copy_is_done_at_the_next_start(tmp_path: Path) -> None:
    backend = SlowBackend()
    first = Storage(tmp_path, backend=backend)
    backend.failures = [Interrupted] * 50
    made = first.service.volumes.create(MEMBER, 1)
    deadline = time.monotonic() + 20
    while not backend.calls and time.monotonic() < deadline:
        time.sleep(0.01)
    first.service.tasks.stop()
    assert backend.calls == ["create"]
    assert first.status(made.id) == "creating"
    second = Storage(tmp_path, backend=SlowBackend(), database=first.database)
    assert second.wait(made.id) == "available"
    second.stop()


def test_nothing_goes_while_it_is_read(tmp_path: Path) -> None:
    backend = SlowBackend()
    storage = Storage(tmp_path, backend=backend)
    origin = storage.volume(1)
    snapshot = storage.service.snapshots.create(MEMBER, origin)
    storage.wait_snapshot(snapshot.id)
    copy = storage.service.volumes.create(MEMBER, snapshot_id=snapshot.id)
    assert backend.started.wait(20)
    storage.service.snapshots.delete(MEMBER, snapshot.id)
    assert storage.service.snapshots.get(MEMBER, snapshot.id).status == "deleting"
    backend.go.set()
    storage.wait(copy.id)
    gone(lambda: storage.service.snapshots.get(MEMBER, snapshot.id))
    assert backend.calls.index("clone") < backend.calls.index("delete_snapshot")
    storage.stop()


def test_a_volume_that_is_being_made_can_be_forced_away(tmp_path: Path) -> None:
    backend = SlowBackend()
    storage = Storage(tmp_path, backend=backend)
    origin = storage.volume(1)
    copy = storage.service.volumes.create(MEMBER, source_id=origin)
    assert backend.started.wait(20)
    storage.service.volumes.delete(ADMIN, copy.id, force=True)
    backend.go.set()
    gone(lambda: storage.service.volumes.get(ADMIN, copy.id))
    assert backend.calls.index("clone") < backend.calls.index("delete")
    storage.stop()
