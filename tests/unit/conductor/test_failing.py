# SPDX-License-Identifier: Apache-2.0
"""Steps that fail, hosts that die, requests that cross: each ends well and gives everything back."""

from __future__ import annotations

import threading
import time
from typing import Any

import msgspec
import pytest

from nova.errors import Conflict, QuotaExceeded
from nova.objects.operation import StepResult
from nova.objects.states import (
    ACTIVE,
    DELETED,
    ERROR,
    SHELVED,
    SHELVED_OFFLOADED,
    SOFT_DELETED,
)
from tests.unit.compute.small_cloud import USER, SmallCloud
from tests.unit.conductor.conftest import Make
from tests.waiting import until


def test_a_boot_that_fails_on_one_host_goes_to_another(make: Make) -> None:
    cloud = make()
    cloud.faults.set("spawn", times=1, after=True)
    instance = cloud.boot()
    assert instance.vm_state == ACTIVE
    assert cloud.leaks() == []


def test_a_boot_that_fails_everywhere_ends_in_error_with_the_host_s_reason(make: Make) -> None:
    cloud = make()
    cloud.faults.set("spawn")
    instance = cloud.boot()
    assert (instance.vm_state, instance.host) == (ERROR, None)
    assert instance.fault is not None
    assert "Simulated failure of spawn" in instance.fault.message
    assert instance.network_info == ()
    assert cloud.leaks() == []


def test_no_valid_host_names_the_reason_and_holds_nothing(make: Make) -> None:
    cloud = make(fake__memory_mb=1024)
    instance = cloud.boot(flavor="4")
    assert instance.vm_state == ERROR
    assert instance.fault is not None
    assert instance.fault.message.startswith("No valid host was found.")
    assert cloud.leaks() == []


def test_a_stale_host_table_does_not_refuse_a_boot_that_fits(make: Make) -> None:
    cloud = make()
    table = cloud.control.hosts.table
    for node in list(table.nodes):
        table.apply_claim(node.id, 0, 10**9, 0)
    assert cloud.boot().vm_state == ACTIVE


def test_a_delete_overtakes_a_boot_that_waits_for_its_turn_on_the_host(make: Make) -> None:
    cloud = make(fake__spawn_latency=0.15, fake__hosts=1, max_concurrent_builds=1)
    uuids = [cloud.ask() for _ in range(4)]
    until(lambda: all(cloud.show(uuid).task_state == "spawning" for uuid in uuids))
    for uuid in reversed(uuids):
        cloud.operations.delete(USER, cloud.show(uuid))
    cloud.settle()
    until(lambda: cloud.leaks() == [])
    assert {cloud.show(uuid).vm_state for uuid in uuids} == {DELETED}
    assert cloud.usage() == (0, 0, 0)


def test_a_guest_that_a_late_spawn_makes_after_the_delete_is_removed(make: Make) -> None:
    """Messages may overtake each other: the host hears of the delete before it hears of the boot."""
    cloud = make(fake__hosts=1)
    manager = next(iter(cloud.managers.values()))
    held: list[Any] = []
    run_step = manager.run_step
    with cloud.steps_go_to(lambda task: held.append(task) if task.step == "spawn" else run_step(task)):
        uuid = cloud.ask()
        until(lambda: bool(held))
        cloud.operations.delete(USER, cloud.show(uuid))
        cloud.settle()
    run_step(held[0])
    assert cloud.show(uuid).deleted
    assert cloud.leaks() == []


def test_a_step_that_comes_twice_is_done_once(make: Make) -> None:
    cloud = make(fake__hosts=1)
    manager = next(iter(cloud.managers.values()))
    tasks: list[Any] = []
    run_step = manager.run_step

    def twice(task: Any) -> None:
        tasks.append(task)
        run_step(task)

    with cloud.steps_go_to(twice):
        instance = cloud.boot()
        cloud.operations.stop(USER, instance)
        cloud.settle()
        cloud.operations.start(USER, cloud.show(instance.uuid))
        cloud.settle()
    stop = next(task for task in tasks if task.flow == "stop")
    run_step(msgspec.structs.replace(stop, resumed=True))
    assert cloud.show(instance.uuid).vm_state == ACTIVE
    assert cloud.leaks() == []


def test_one_operation_that_breaks_the_placer_does_not_hold_up_the_others(make: Make) -> None:
    cloud = make()
    poisoned = cloud.boot()
    cloud.operations.stop(USER, poisoned)
    cloud.settle()
    select = cloud.control.hosts.scheduler.select

    def breaks(specs: Any) -> Any:
        if any(spec.instance_uuid == poisoned.uuid for spec in specs):
            raise ZeroDivisionError("a plug-in's bug")
        return select(specs)

    cloud.control.hosts.scheduler.select = breaks  # type: ignore[method-assign]
    cloud.operations.migrate(USER, cloud.show(poisoned.uuid), host=None)
    with cloud.db.read() as tx:
        waiting = [each.id for each in tx.operations.unfinished()]
    others = [cloud.ask() for _ in range(3)]
    placer = cloud.control.conductor.placer
    placer.put(waiting)
    until(lambda: all(cloud.show(uuid).vm_state == ACTIVE for uuid in others))
    for _ in range(3):
        cloud.control.conductor.recovery.run()
        time.sleep(0.05)
    cloud.settle()
    given_up = cloud.show(poisoned.uuid)
    assert given_up.vm_state == ERROR
    assert given_up.fault is not None
    assert "ZeroDivisionError" in given_up.fault.message
    assert cloud.leaks() == []


def test_many_boots_at_once_get_exactly_what_the_quota_has(make: Make) -> None:
    cloud = make()
    accepted: list[str] = []
    refused: list[Exception] = []

    def boot() -> None:
        try:
            accepted.append(cloud.ask())
        except QuotaExceeded as error:
            refused.append(error)

    threads = [threading.Thread(target=boot) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cloud.settle()
    assert (len(accepted), len(refused)) == (10, 20)
    assert cloud.usage() == (10, 10, 5120)
    assert cloud.leaks() == []


def test_a_user_s_own_limit_counts_what_the_user_has(make: Make) -> None:
    cloud = make()
    with cloud.db.write() as tx:
        tx.quotas.set("p", {"instances": 2}, user_id="u")
    cloud.boot(count=1)
    with pytest.raises(QuotaExceeded):
        cloud.ask(count=2)
    cloud.boot()
    with pytest.raises(QuotaExceeded):
        cloud.ask()
    assert cloud.usage() == (2, 2, 1024)


def test_a_boot_on_a_host_that_dies_goes_to_another(make: Make) -> None:
    cloud = make()
    taken = threading.Event()
    with cloud.steps_go_to(lambda task: taken.set()):
        uuid = cloud.ask()
        # The row has its host before the host has its step.
        assert taken.wait(60)
        dead = cloud.show(uuid).host
        assert dead is not None
    cloud.kill_host(dead)
    cloud.control.conductor.recovery.run(everything=True)
    cloud.settle()
    now = cloud.show(uuid)
    assert (now.vm_state, now.host != dead) == (ACTIVE, True)
    cloud.revive_host(dead)
    assert cloud.leaks() == []


def _images(cloud: SmallCloud) -> list[str]:
    found = cloud.images.list(USER, filters={}, limit=None, marker=None)
    return [image.name for image in found if image.id != cloud.image]


def test_the_image_of_a_failed_snapshot_is_deleted(make: Make) -> None:
    cloud = make()
    instance = cloud.boot()
    cloud.faults.set("snapshot")
    cloud.operations.snapshot(USER, instance, "s", {})
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == ACTIVE
    assert _images(cloud) == []
    assert cloud.leaks() == []


def test_a_failed_shelve_leaves_a_running_server_and_no_image(make: Make) -> None:
    cloud = make()
    instance = cloud.boot()
    cloud.faults.set("snapshot")
    cloud.operations.shelve(USER, instance)
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == ACTIVE
    assert _images(cloud) == []
    assert cloud.leaks() == []


@pytest.mark.parametrize("offload", [0, -1])
@pytest.mark.parametrize("end", ["unshelve", "delete"])
def test_the_image_of_a_shelved_server_goes_with_its_end(
    make: Make, offload: int, end: str
) -> None:
    cloud = make(shelved_offload_time=offload)
    instance = cloud.boot()
    cloud.operations.shelve(USER, instance)
    cloud.settle()
    instance = cloud.show(instance.uuid)
    assert instance.vm_state == (SHELVED_OFFLOADED if offload == 0 else SHELVED)
    assert _images(cloud) == ["test-shelved"]
    getattr(cloud.operations, end)(USER, instance)
    cloud.settle()
    assert _images(cloud) == []
    assert cloud.leaks() == []


def test_a_snapshot_whose_image_cannot_be_made_leaves_the_server_idle(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make()
    instance = cloud.boot()

    def refuse(*_args: Any, **_options: Any) -> None:
        raise Conflict("no room for images")

    monkeypatch.setattr(cloud.images, "create", refuse)
    with pytest.raises(Conflict):
        cloud.operations.snapshot(USER, instance, "s", {})
    assert cloud.show(instance.uuid).task_state is None
    cloud.settle()
    assert cloud.leaks() == []


def test_a_server_that_waits_for_its_deletion_is_not_counted_and_comes_back_counted(
    make: Make,
) -> None:
    cloud = make(reclaim_instance_interval=3600)
    instance = cloud.boot()
    cloud.operations.delete(USER, instance)
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == SOFT_DELETED
    assert cloud.usage() == (0, 0, 0)
    cloud.operations.restore(USER, cloud.show(instance.uuid))
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == ACTIVE
    assert cloud.usage() == (1, 1, 512)
    assert cloud.leaks() == []


def test_a_restore_beyond_the_quota_is_refused(make: Make) -> None:
    cloud = make(reclaim_instance_interval=3600, quota__instances=1)
    instance = cloud.boot()
    cloud.operations.delete(USER, instance)
    cloud.settle()
    cloud.boot()
    with pytest.raises(QuotaExceeded):
        cloud.operations.restore(USER, cloud.show(instance.uuid))
    assert cloud.show(instance.uuid).task_state is None
    cloud.operations.delete(USER, cloud.show(instance.uuid), force=True)
    cloud.settle()
    assert cloud.usage() == (1, 1, 512)
    assert cloud.leaks() == []


def test_a_second_delete_does_not_turn_a_delete_into_a_soft_one(make: Make) -> None:
    cloud = make(reclaim_instance_interval=3600, fake__destroy_latency=0.2)
    instance = cloud.boot()
    cloud.operations.delete(USER, instance, force=True)
    cloud.operations.delete(USER, cloud.show(instance.uuid))
    assert cloud.show(instance.uuid).task_state == "deleting"
    cloud.settle()
    assert cloud.show(instance.uuid).deleted


def test_a_server_that_left_its_host_is_shelved_again_by_a_restore(make: Make) -> None:
    cloud = make(reclaim_instance_interval=3600, fake__spawn_latency=0.2)
    instance = cloud.boot()
    cloud.operations.shelve(USER, instance)
    cloud.settle()
    cloud.operations.unshelve(USER, cloud.show(instance.uuid))
    until(lambda: cloud.show(instance.uuid).task_state == "spawning")
    cloud.operations.delete(USER, cloud.show(instance.uuid))
    cloud.settle()
    until(lambda: cloud.leaks() == [])
    assert cloud.show(instance.uuid).vm_state == SOFT_DELETED
    cloud.operations.restore(USER, cloud.show(instance.uuid))
    assert cloud.show(instance.uuid).vm_state == SHELVED_OFFLOADED
    cloud.operations.unshelve(USER, cloud.show(instance.uuid))
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == ACTIVE
    assert _images(cloud) == []
    assert cloud.leaks() == []


def test_a_soft_delete_while_a_shelved_server_leaves_its_host_keeps_its_image(make: Make) -> None:
    cloud = make(reclaim_instance_interval=3600, fake__destroy_latency=0.2)
    instance = cloud.boot()
    cloud.operations.shelve(USER, instance)
    until(lambda: cloud.show(instance.uuid).task_state == "shelving_offloading")
    cloud.operations.delete(USER, cloud.show(instance.uuid))
    cloud.settle()
    now = cloud.show(instance.uuid)
    assert (now.vm_state, now.host) == (SOFT_DELETED, None)
    assert cloud.leaks() == []
    cloud.operations.restore(USER, now)
    cloud.operations.unshelve(USER, cloud.show(instance.uuid))
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == ACTIVE
    assert cloud.leaks() == []


def test_a_step_that_a_newer_operation_has_overtaken_is_not_run(make: Make) -> None:
    cloud = make(reclaim_instance_interval=3600, fake__hosts=1)
    instance = cloud.boot()
    manager = next(iter(cloud.managers.values()))
    held: list[Any] = []
    run_step = manager.run_step
    with cloud.steps_go_to(lambda task: held.append(task) if task.flow == "pause" else run_step(task)):
        cloud.operations.pause(USER, instance)
        until(lambda: bool(held))
        cloud.operations.delete(USER, cloud.show(instance.uuid))
        cloud.settle()
    run_step(held[0])
    assert cloud.show(instance.uuid).vm_state == SOFT_DELETED
    assert cloud.leaks() == []


def test_a_shelved_server_that_is_restored_runs_and_needs_its_image_no_more(make: Make) -> None:
    cloud = make(reclaim_instance_interval=3600, shelved_offload_time=-1)
    instance = cloud.boot()
    cloud.operations.shelve(USER, instance)
    cloud.settle()
    cloud.operations.delete(USER, cloud.show(instance.uuid))
    cloud.settle()
    cloud.operations.restore(USER, cloud.show(instance.uuid))
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == ACTIVE
    assert _images(cloud) == []
    assert cloud.leaks() == []


def test_a_host_does_not_lose_a_build_slot_when_a_report_fails(make: Make) -> None:
    cloud = make(fake__hosts=1, max_concurrent_builds=1)
    manager = next(iter(cloud.managers.values()))
    client = manager._host.conductor
    done = client.done
    broken = {"left": 2}

    def flaky(operation_id: int, step: str, result: StepResult) -> bool:
        if broken["left"]:
            broken["left"] -= 1
            raise OSError("the network is away")
        return done(operation_id, step, result)

    client.done = flaky  # type: ignore[method-assign]
    lost = [cloud.ask(), cloud.ask()]
    until(lambda: broken["left"] == 0)
    assert cloud.ask()
    until(lambda: not manager._busy)
    cloud.control.conductor.recovery.run(everything=True)
    cloud.settle()
    assert {cloud.show(uuid).vm_state for uuid in lost} == {ACTIVE}
    assert cloud.leaks() == []


def test_a_guest_seen_before_its_boot_was_done_is_not_taken_for_lost(make: Make) -> None:
    cloud = make(fake__hosts=1)
    instance = cloud.boot()
    assert instance.host is not None
    cloud.control.conductor.guests_seen(instance.host, {})
    assert cloud.show(instance.uuid).vm_state == ACTIVE
