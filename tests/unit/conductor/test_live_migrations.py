# SPDX-License-Identifier: Apache-2.0
"""Live migrations: their progress, and what becomes of a guest that could not arrive."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nova.objects.instance import Instance
from nova.objects.migration import Arrival, MigrationProgress
from nova.objects.states import ACTIVE, ERROR
from nova.virt.driver import GuestSpec
from tests.unit.compute.small_cloud import USER, SmallCloud
from tests.waiting import until


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    made = SmallCloud(tmp_path)
    yield made
    made.stop()


def _moved_calls(cloud: SmallCloud, *methods: str) -> list[tuple[str, str]]:
    """Note the calls of driver methods as (host, method), in their order."""
    calls: list[tuple[str, str]] = []

    def watch(host: str, driver: Any, name: str) -> None:
        works = getattr(driver, name)

        def method(*args: Any, **options: Any) -> Any:
            calls.append((host, name))
            return works(*args, **options)

        setattr(driver, name, method)

    for host, manager in cloud.managers.items():
        for name in methods:
            watch(host, manager._host.driver, name)
    return calls


def test_a_guest_that_could_not_arrive_is_destroyed_only_when_its_source_has_it_again(
    cloud: SmallCloud,
) -> None:
    instance = cloud.boot()
    calls = _moved_calls(cloud, "revert_outgoing", "destroy", "live_migrated_in")
    cloud.faults.set("live_migrated_in", times=1, after=True)
    cloud.operations.live_migrate(USER, instance, host=None)
    cloud.settle()
    source, dest = instance.host, calls[0][0]
    assert calls == [
        (dest, "live_migrated_in"), (source, "revert_outgoing"), (dest, "destroy")
    ]
    now = cloud.show(instance.uuid)
    assert (now.vm_state, now.host, now.power_state) == (ACTIVE, source, 1)
    assert now.fault is not None
    assert cloud.leaks() == []


@pytest.mark.parametrize("broken", ["revert_outgoing", "destroy"])
def test_a_live_migration_that_fails_twice_leaves_one_guest_at_most(
    cloud: SmallCloud, broken: str
) -> None:
    instance = cloud.boot()
    cloud.faults.set("live_migrated_in", times=1, after=True)
    cloud.faults.times[None, broken] = 1
    cloud.operations.live_migrate(USER, instance, host=None)
    cloud.settle()
    now = cloud.show(instance.uuid)
    assert now.vm_state == (ERROR if broken == "revert_outgoing" else ACTIVE)
    assert (now.host, now.task_state) == (instance.host, None)
    for manager in cloud.managers.values():
        manager.sync_guests()
    if now.vm_state == ERROR:
        cloud.operations.reboot(USER, now, True)
        cloud.settle()
    assert cloud.leaks() == []


def test_what_arrived_on_a_host_that_died_is_removed_when_it_is_back(cloud: SmallCloud) -> None:
    instance = cloud.boot()
    dest = next(name for name in cloud.managers if name != instance.host)
    manager = cloud.managers[dest]
    run_step = manager.run_step
    with cloud.steps_go_to(lambda task: run_step(task) if task.step == "connect" else None, dest):
        cloud.operations.live_migrate(USER, instance, host=dest)
        until(lambda: _step_of(cloud, instance.uuid) == "arrive")
        manager._host.driver.live_migrated_in(GuestSpec(instance=instance, vifs=()))
        cloud.kill_host(dest)
        cloud.control.conductor.recovery.run(everything=True)
        cloud.settle()
        assert cloud.show(instance.uuid).vm_state == ACTIVE
    cloud.revive_host(dest)
    assert cloud.leaks() == []


def _step_of(cloud: SmallCloud, uuid: str) -> str | None:
    with cloud.db.read() as tx:
        return next((each.step for each in tx.operations.open_for(uuid)), None)


def test_the_progress_of_a_live_migration_is_kept_and_ends_with_it(cloud: SmallCloud) -> None:
    instance = cloud.boot(flavor="2")
    cloud.operations.live_migrate(USER, instance, host=None)
    cloud.settle()
    with cloud.db.read() as tx:
        (migration,) = tx.migrations.by_instance(instance.uuid)
    progress = migration.progress
    assert progress is not None
    assert progress.memory_total == 2048 << 20
    assert progress.memory_processed + progress.memory_remaining == progress.memory_total
    assert progress.disk_total == 20 << 30
    assert cloud.show(instance.uuid).progress == 0


def test_only_the_source_tells_the_progress_of_a_live_migration(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = cloud.boot()
    told: list[int] = []
    driver = cloud.managers[instance.host or ""]._host.driver
    works = driver.live_migrate

    def watched(guest: Instance, destination: str, progress: Any, arrival: Arrival) -> None:
        works(guest, destination, progress, arrival)
        with cloud.db.read() as tx:
            (operation,) = tx.operations.open_for(guest.uuid)
        ten = MigrationProgress(memory_total=10, memory_remaining=10)
        cloud.control.conductor.migration_progress(destination, operation.id, ten)
        with cloud.db.read() as tx:
            found = tx.migrations.by_instance(guest.uuid)[0].progress
            told.append(0 if found is None else found.memory_total)

    monkeypatch.setattr(driver, "live_migrate", watched)
    cloud.operations.live_migrate(USER, instance, host=None)
    cloud.settle()
    assert told == [512 << 20]


def test_the_destination_is_prepared_before_a_guest_comes(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not: a host without the server's network refused the guest."""
    instance = cloud.boot()
    dest = next(name for name in cloud.managers if name != instance.host)
    events: list[object] = []
    told = Arrival(serial_listen="10.0.0.2", serial_port=10007)

    class Networking:
        def prepare(self, vifs: object) -> None:
            events.append("network")

    target = cloud.managers[dest]
    monkeypatch.setattr(target, "_host", dataclasses.replace(target._host, network=Networking()))
    monkeypatch.setattr(target._host.driver, "arrival", lambda _guest: told)
    source = cloud.managers[instance.host or ""]._host.driver
    works = source.live_migrate

    def watched(guest: Instance, destination: str, progress: Any, arrival: Arrival) -> None:
        with cloud.db.read() as tx:
            events.append((arrival, tx.migrations.by_instance(guest.uuid)[0].status))
        works(guest, destination, progress, arrival)

    monkeypatch.setattr(source, "live_migrate", watched)
    cloud.operations.live_migrate(USER, instance, host=dest)
    cloud.settle()
    assert events[:2] == ["network", (told, "running")]
    assert cloud.show(instance.uuid).host == dest


def test_what_was_prepared_for_a_guest_that_did_not_come_is_removed(cloud: SmallCloud) -> None:
    instance = cloud.boot()
    calls = _moved_calls(cloud, "arrival", "destroy", "revert_outgoing")
    cloud.faults.set("live_migrate", times=1)
    cloud.operations.live_migrate(USER, instance, host=None)
    cloud.settle()
    dest = calls[0][0]
    assert calls == [(dest, "arrival"), (instance.host, "revert_outgoing"), (dest, "destroy")]
    assert cloud.show(instance.uuid).host == instance.host
