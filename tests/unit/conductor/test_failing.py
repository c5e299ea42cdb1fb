# SPDX-License-Identifier: Apache-2.0
"""Steps that fail, hosts that die, requests that cross: each ends well and gives everything back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nova.errors import Conflict, QuotaExceeded
from nova.objects.instance import Instance
from nova.objects.operation import StepResult
from nova.objects.states import (
    ACTIVE,
    DELETED,
    ERROR,
    RESIZED,
    SHELVED,
    SHELVED_OFFLOADED,
    SOFT_DELETED,
    STOPPED,
)
from tests.unit.compute.small_cloud import USER, SmallCloud

Make = Callable[..., SmallCloud]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[SmallCloud] = []

    def one(**options: Any) -> SmallCloud:
        made.append(SmallCloud(tmp_path, **options))
        return made[-1]

    yield one
    for cloud in made:
        cloud.stop()


def _until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def _resized(cloud: SmallCloud, flavor: str = "2") -> Instance:
    instance = cloud.boot()
    cloud.operations.resize(USER, instance, flavor)
    cloud.settle()
    instance = cloud.show(instance.uuid)
    assert instance.vm_state == RESIZED
    return instance


def _usage(cloud: SmallCloud) -> tuple[int, int, int]:
    with cloud.db.read() as tx:
        usage = tx.quotas.usage("p")
    return usage.instances, usage.cores, usage.ram


# --- boots ---------------------------------------------------------------------------------------


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
    _until(lambda: all(cloud.show(uuid).task_state == "spawning" for uuid in uuids))
    for uuid in reversed(uuids):
        cloud.operations.delete(USER, cloud.show(uuid))
    cloud.settle()
    _until(lambda: cloud.leaks() == [])
    assert {cloud.show(uuid).vm_state for uuid in uuids} == {DELETED}
    assert _usage(cloud) == (0, 0, 0)


def test_a_guest_that_a_late_spawn_makes_after_the_delete_is_removed(make: Make) -> None:
    """Messages may overtake each other: the host hears of the delete before it hears of the boot."""
    cloud = make(fake__hosts=1)
    manager = next(iter(cloud.managers.values()))
    held: list[Any] = []
    run_step = manager.run_step
    manager.run_step = (  # type: ignore[method-assign]
        lambda task: held.append(task) if task.step == "spawn" else run_step(task)
    )
    uuid = cloud.ask()
    _until(lambda: bool(held))
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

    manager.run_step = twice  # type: ignore[method-assign]
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
    _until(lambda: all(cloud.show(uuid).vm_state == ACTIVE for uuid in others))
    for _ in range(3):
        cloud.control.conductor.recovery.run()
        time.sleep(0.05)
    cloud.settle()
    given_up = cloud.show(poisoned.uuid)
    assert given_up.vm_state == ERROR
    assert given_up.fault is not None
    assert "ZeroDivisionError" in given_up.fault.message
    assert cloud.leaks() == []


# --- quota ---------------------------------------------------------------------------------------


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
    assert _usage(cloud) == (10, 10, 5120)
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
    assert _usage(cloud) == (2, 2, 1024)


# --- resize --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["migrate_out", "migrate_in"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_resize_that_fails_leaves_the_server_as_it_was(
    make: Make, method: str, after: bool, stopped: bool
) -> None:
    cloud = make()
    instance = cloud.boot()
    if stopped:
        cloud.operations.stop(USER, instance)
        cloud.settle()
        instance = cloud.show(instance.uuid)
    cloud.faults.set(method, times=1, after=after)
    cloud.operations.resize(USER, instance, "2")
    cloud.settle()
    now = cloud.show(instance.uuid)
    assert (now.vm_state, now.flavorid, now.host) == (instance.vm_state, "1", instance.host)
    assert now.fault is not None
    assert _usage(cloud) == (1, 1, 512)
    assert cloud.leaks() == []


def test_a_resize_that_fits_nowhere_leaves_the_server_running(make: Make) -> None:
    cloud = make(fake__memory_mb=2048)
    instance = cloud.boot()
    cloud.operations.resize(USER, instance, "4")
    cloud.settle()
    now = cloud.show(instance.uuid)
    assert (now.vm_state, now.flavorid) == (ACTIVE, "1")
    assert _usage(cloud) == (1, 1, 512)
    assert cloud.leaks() == []


@pytest.mark.parametrize("flavor", ["1", "3"])
@pytest.mark.parametrize("end", ["confirm_resize", "revert_resize", "delete"])
def test_quota_after_a_resize_up_or_down(make: Make, flavor: str, end: str) -> None:
    cloud = make()
    instance = cloud.boot(flavor="2")
    assert _usage(cloud) == (1, 1, 2048)
    cloud.operations.resize(USER, instance, flavor)
    cloud.settle()
    assert _usage(cloud) == ((1, 1, 2048) if flavor == "1" else (1, 2, 4096))
    getattr(cloud.operations, end)(USER, cloud.show(instance.uuid))
    cloud.settle()
    expected = {
        "confirm_resize": (1, 1, 512) if flavor == "1" else (1, 2, 4096),
        "revert_resize": (1, 1, 2048), "delete": (0, 0, 0),
    }
    assert _usage(cloud) == expected[end]
    assert cloud.leaks() == []


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.12, 0.2])
def test_a_delete_in_the_middle_of_a_resize_removes_both_guests(
    make: Make, moment: float
) -> None:
    cloud = make(fake__migrate_latency=0.1)
    instance = cloud.boot()
    cloud.operations.resize(USER, instance, "2")
    time.sleep(moment)
    cloud.operations.delete(USER, cloud.show(instance.uuid))
    cloud.settle()
    _until(lambda: cloud.leaks() == [])
    assert cloud.show(instance.uuid).deleted
    assert _usage(cloud) == (0, 0, 0)


@pytest.mark.parametrize("flow", ["resize", "live_migrate"])
@pytest.mark.parametrize("moment", [0.02, 0.12, 0.5])
def test_a_delete_that_overtakes_a_move_and_fails_leaves_the_server_on_one_host(
    make: Make, flow: str, moment: float
) -> None:
    cloud = make(fake__migrate_latency=0.1)
    instance = cloud.boot()
    if flow == "resize":
        cloud.operations.resize(USER, instance, "2")
    else:
        cloud.operations.live_migrate(USER, instance, host=None)
    time.sleep(moment)
    cloud.faults.set("destroy")
    cloud.operations.delete(USER, cloud.show(instance.uuid))
    cloud.settle()
    cloud.faults.clear()
    left = cloud.show(instance.uuid)
    assert left.vm_state == ERROR
    for manager in cloud.managers.values():
        manager.sync_guests()
    assert cloud.leaks() == []
    assert _usage(cloud) == (1, 1, left.memory_mb)
    cloud.operations.delete(USER, left)
    cloud.settle()
    assert cloud.show(instance.uuid).deleted
    assert _usage(cloud) == (0, 0, 0)
    assert cloud.leaks() == []


def test_a_confirm_that_fails_can_be_asked_again(make: Make) -> None:
    cloud = make()
    instance = _resized(cloud)
    cloud.faults.set("forget_outgoing", times=1)
    cloud.operations.confirm_resize(USER, instance)
    cloud.settle()
    instance = cloud.show(instance.uuid)
    assert instance.vm_state == RESIZED
    cloud.operations.confirm_resize(USER, instance)
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == ACTIVE
    assert cloud.leaks() == []


@pytest.mark.parametrize("after", [False, True])
def test_a_revert_that_fails_can_be_asked_again(make: Make, after: bool) -> None:
    cloud = make()
    instance = _resized(cloud)
    cloud.faults.set("destroy", times=1, after=after)
    cloud.operations.revert_resize(USER, instance)
    cloud.settle()
    instance = cloud.show(instance.uuid)
    assert instance.vm_state == RESIZED
    cloud.operations.revert_resize(USER, instance)
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == ACTIVE
    assert _usage(cloud) == (1, 1, 512)
    assert cloud.leaks() == []


def test_a_revert_whose_source_fails_ends_in_error_with_one_claim(make: Make) -> None:
    cloud = make()
    instance = _resized(cloud)
    cloud.faults.set("revert_outgoing", times=1)
    cloud.operations.revert_resize(USER, instance)
    cloud.settle()
    now = cloud.show(instance.uuid)
    assert (now.vm_state, now.flavorid) == (ERROR, "1")
    assert _usage(cloud) == (1, 1, 512)
    cloud.operations.reboot(USER, now, True)
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == ACTIVE
    assert cloud.leaks() == []


def test_a_confirm_whose_source_is_dead_is_done_and_the_guest_goes_when_it_is_back(
    make: Make,
) -> None:
    cloud = make()
    instance = cloud.boot()
    source = instance.host
    assert source is not None
    cloud.operations.resize(USER, instance, "2")
    cloud.settle()
    manager = cloud.managers[source]
    run_step = manager.run_step
    manager.run_step = lambda task: None  # type: ignore[method-assign]
    cloud.operations.confirm_resize(USER, cloud.show(instance.uuid))
    cloud.kill_host(source)
    cloud.control.conductor.recovery.run(everything=True)
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == ACTIVE
    manager.run_step = run_step  # type: ignore[method-assign]
    cloud.revive_host(source)
    assert cloud.leaks() == []


def test_a_reset_of_an_unconfirmed_resize_keeps_its_new_size_and_one_guest(make: Make) -> None:
    cloud = make()
    source = cloud.boot()
    cloud.operations.resize(USER, source, "2")
    cloud.settle()
    cloud.operations.reset_state(USER, cloud.show(source.uuid), "active")
    for manager in cloud.managers.values():
        manager.sync_guests()
    now = cloud.show(source.uuid)
    assert (now.vm_state, now.flavorid) == (ACTIVE, "2")
    assert _usage(cloud) == (1, 1, 2048)
    assert cloud.leaks() == []


# --- live migration and dead hosts ---------------------------------------------------------------


def test_a_live_migration_leaves_no_guest_on_its_source(make: Make) -> None:
    cloud = make()
    instance = cloud.boot()
    cloud.operations.live_migrate(USER, instance, host=None)
    cloud.settle()
    assert cloud.show(instance.uuid).host != instance.host
    assert cloud.leaks() == []


def test_a_live_migration_whose_source_cannot_clean_up_is_done_all_the_same(make: Make) -> None:
    cloud = make()
    instance = cloud.boot()
    cloud.faults.set("forget_outgoing")
    cloud.operations.live_migrate(USER, instance, host=None)
    cloud.settle()
    cloud.faults.clear()
    now = cloud.show(instance.uuid)
    assert (now.vm_state, now.host != instance.host) == (ACTIVE, True)
    for manager in cloud.managers.values():
        manager.sync_guests()
    assert cloud.leaks() == []


def test_an_evacuation_gives_up_what_was_under_way_on_the_dead_host(make: Make) -> None:
    cloud = make()
    instance = cloud.boot()
    assert instance.host is not None
    manager = cloud.managers[instance.host]
    run_step = manager.run_step
    manager.run_step = lambda task: None  # type: ignore[method-assign]
    cloud.operations.resize(USER, instance, "2")
    _until(lambda: cloud.show(instance.uuid).task_state == "resize_migrating")
    cloud.kill_host(instance.host)
    cloud.operations.evacuate(USER, cloud.show(instance.uuid), host=None)
    cloud.settle()
    now = cloud.show(instance.uuid)
    assert (now.vm_state, now.flavorid, now.host != instance.host) == (ACTIVE, "1", True)
    manager.run_step = run_step  # type: ignore[method-assign]
    cloud.revive_host(instance.host)
    assert _usage(cloud) == (1, 1, 512)
    assert cloud.leaks() == []


def test_a_boot_on_a_host_that_dies_goes_to_another(make: Make) -> None:
    cloud = make()
    taken = threading.Event()
    for manager in cloud.managers.values():
        manager.run_step = lambda task: taken.set()  # type: ignore[method-assign]
    uuid = cloud.ask()
    # The row has its host before the host has its step.
    assert taken.wait(60)
    dead = cloud.show(uuid).host
    assert dead is not None
    for manager in cloud.managers.values():
        del manager.run_step
    cloud.kill_host(dead)
    cloud.control.conductor.recovery.run(everything=True)
    cloud.settle()
    now = cloud.show(uuid)
    assert (now.vm_state, now.host != dead) == (ACTIVE, True)
    cloud.revive_host(dead)
    assert cloud.leaks() == []


# --- images --------------------------------------------------------------------------------------


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
    assert cloud.leaks() == []


# --- soft delete ---------------------------------------------------------------------------------


def test_a_server_that_waits_for_its_deletion_is_not_counted_and_comes_back_counted(
    make: Make,
) -> None:
    cloud = make(reclaim_instance_interval=3600)
    instance = cloud.boot()
    cloud.operations.delete(USER, instance)
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == SOFT_DELETED
    assert _usage(cloud) == (0, 0, 0)
    cloud.operations.restore(USER, cloud.show(instance.uuid))
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == ACTIVE
    assert _usage(cloud) == (1, 1, 512)
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
    assert _usage(cloud) == (1, 1, 512)
    assert cloud.leaks() == []


def test_an_unconfirmed_resize_that_is_set_aside_is_confirmed(make: Make) -> None:
    cloud = make(reclaim_instance_interval=3600)
    instance = _resized(cloud)
    cloud.operations.delete(USER, instance)
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == SOFT_DELETED
    assert cloud.leaks() == []
    cloud.operations.restore(USER, cloud.show(instance.uuid))
    cloud.settle()
    assert cloud.show(instance.uuid).flavorid == "2"
    assert _usage(cloud) == (1, 1, 2048)
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
    _until(lambda: cloud.show(instance.uuid).task_state == "spawning")
    cloud.operations.delete(USER, cloud.show(instance.uuid))
    cloud.settle()
    _until(lambda: cloud.leaks() == [])
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
    _until(lambda: cloud.show(instance.uuid).task_state == "shelving_offloading")
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
    manager.run_step = (  # type: ignore[method-assign]
        lambda task: held.append(task) if task.flow == "pause" else run_step(task)
    )
    cloud.operations.pause(USER, instance)
    _until(lambda: bool(held))
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


# --- reports -------------------------------------------------------------------------------------


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
    _until(lambda: broken["left"] == 0)
    assert cloud.ask()
    _until(lambda: not manager._busy)
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


def test_stopped_servers_stay_stopped_through_a_resize_and_its_end(make: Make) -> None:
    cloud = make()
    instance = cloud.boot()
    cloud.operations.stop(USER, instance)
    cloud.settle()
    cloud.operations.resize(USER, cloud.show(instance.uuid), "2")
    cloud.settle()
    cloud.operations.revert_resize(USER, cloud.show(instance.uuid))
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == STOPPED
    assert cloud.leaks() == []
