# SPDX-License-Identifier: Apache-2.0
"""Moves that fail, or that something else crosses: each ends well and gives everything back."""

from __future__ import annotations

import time

import pytest

from nova.objects.instance import Instance
from nova.objects.states import (
    ACTIVE,
    ERROR,
    RESIZED,
    SOFT_DELETED,
    STOPPED,
)
from tests.unit.compute.small_cloud import USER, SmallCloud
from tests.unit.conductor.conftest import Make
from tests.waiting import until


def _resized(cloud: SmallCloud, flavor: str = "2") -> Instance:
    instance = cloud.boot()
    cloud.operations.resize(USER, instance, flavor)
    cloud.settle()
    instance = cloud.show(instance.uuid)
    assert instance.vm_state == RESIZED
    return instance


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
    assert cloud.usage() == (1, 1, 512)
    assert cloud.leaks() == []


def test_a_resize_that_fits_nowhere_leaves_the_server_running(make: Make) -> None:
    cloud = make(fake__memory_mb=2048)
    instance = cloud.boot()
    cloud.operations.resize(USER, instance, "4")
    cloud.settle()
    now = cloud.show(instance.uuid)
    assert (now.vm_state, now.flavorid) == (ACTIVE, "1")
    assert cloud.usage() == (1, 1, 512)
    assert cloud.leaks() == []


@pytest.mark.parametrize("flavor", ["1", "3"])
@pytest.mark.parametrize("end", ["confirm_resize", "revert_resize", "delete"])
def test_quota_after_a_resize_up_or_down(make: Make, flavor: str, end: str) -> None:
    cloud = make()
    instance = cloud.boot(flavor="2")
    assert cloud.usage() == (1, 1, 2048)
    cloud.operations.resize(USER, instance, flavor)
    cloud.settle()
    assert cloud.usage() == ((1, 1, 2048) if flavor == "1" else (1, 2, 4096))
    getattr(cloud.operations, end)(USER, cloud.show(instance.uuid))
    cloud.settle()
    expected = {
        "confirm_resize": (1, 1, 512) if flavor == "1" else (1, 2, 4096),
        "revert_resize": (1, 1, 2048), "delete": (0, 0, 0),
    }
    assert cloud.usage() == expected[end]
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
    until(lambda: cloud.leaks() == [])
    assert cloud.show(instance.uuid).deleted
    assert cloud.usage() == (0, 0, 0)


def _is_clean(cloud: SmallCloud) -> bool:
    """Let all hosts compare their guests with what should be there; then nothing is to be left."""
    for manager in cloud.managers.values():
        manager.sync_guests()
    return cloud.leaks() == []


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
    until(lambda: _is_clean(cloud))
    assert cloud.usage() == (1, 1, left.memory_mb)
    cloud.operations.delete(USER, left)
    cloud.settle()
    assert cloud.show(instance.uuid).deleted
    assert cloud.usage() == (0, 0, 0)
    # The destination may be at work on the move still; it removes what it made when it reports that.
    until(lambda: cloud.leaks() == [])


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
    assert cloud.usage() == (1, 1, 512)
    assert cloud.leaks() == []


def test_a_revert_whose_source_fails_ends_in_error_with_one_claim(make: Make) -> None:
    cloud = make()
    instance = _resized(cloud)
    cloud.faults.set("revert_outgoing", times=1)
    cloud.operations.revert_resize(USER, instance)
    cloud.settle()
    now = cloud.show(instance.uuid)
    assert (now.vm_state, now.flavorid) == (ERROR, "1")
    assert cloud.usage() == (1, 1, 512)
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
    with cloud.steps_go_to(lambda task: None, source):
        cloud.operations.confirm_resize(USER, cloud.show(instance.uuid))
        cloud.kill_host(source)
        cloud.control.conductor.recovery.run(everything=True)
        cloud.settle()
        assert cloud.show(instance.uuid).vm_state == ACTIVE
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
    assert cloud.usage() == (1, 1, 2048)
    assert cloud.leaks() == []


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
    with cloud.steps_go_to(lambda task: None, instance.host):
        cloud.operations.resize(USER, instance, "2")
        until(lambda: cloud.show(instance.uuid).task_state == "resize_migrating")
        cloud.kill_host(instance.host)
        cloud.operations.evacuate(USER, cloud.show(instance.uuid), host=None)
        cloud.settle()
        now = cloud.show(instance.uuid)
        assert (now.vm_state, now.flavorid, now.host != instance.host) == (ACTIVE, "1", True)
    cloud.revive_host(instance.host)
    assert cloud.usage() == (1, 1, 512)
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
    assert cloud.usage() == (1, 1, 2048)
    assert cloud.leaks() == []


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
