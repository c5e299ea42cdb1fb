# SPDX-License-Identifier: Apache-2.0
"""What the cloud does by itself when the time has come."""

from __future__ import annotations

import datetime
import time

from sqlalchemy import update

from nova.conductor import upkeep
from nova.conductor.manager import SETTLED
from nova.db.schema.base import now
from nova.db.schema.compute import instances
from nova.db.schema.hosts import compute_nodes
from nova.db.schema.operations import migrations
from nova.objects.instance import Instance
from nova.objects.states import (
    ACTIVE,
    ERROR,
    RESCUED,
    SHELVED,
    SHELVED_OFFLOADED,
    SOFT_DELETED,
    STOPPED,
)
from tests.unit.compute.small_cloud import USER, SmallCloud
from tests.unit.conductor.conftest import Make

HOUR = datetime.timedelta(hours=1)


def _age(cloud: SmallCloud, instance: Instance, *columns: str) -> None:
    """Let something have happened an hour ago."""
    with cloud.db.engine.begin() as connection:
        connection.execute(
            update(instances)
            .where(instances.c.uuid == instance.uuid)
            .values(dict.fromkeys(columns, now() - HOUR))
        )


def test_servers_whose_time_to_restore_is_over_are_deleted(make: Make) -> None:
    cloud = make(reclaim_instance_interval=60)
    old, young = cloud.boot(), cloud.boot()
    for each in (old, young):
        cloud.operations.delete(USER, each)
    cloud.settle()
    _age(cloud, old, "deleted_at")
    assert upkeep.reclaim_deleted(cloud.control.core, 60) == 1
    cloud.settle()
    assert cloud.show(old.uuid).deleted
    assert cloud.show(young.uuid).vm_state == SOFT_DELETED
    assert cloud.leaks() == []


def test_resizes_that_nobody_ends_are_confirmed(make: Make) -> None:
    cloud = make()
    instance = cloud.boot()
    cloud.operations.resize(USER, instance, "2")
    cloud.settle()
    assert upkeep.confirm_resizes(cloud.control.core, cloud.operations, 60) == 0
    with cloud.db.engine.begin() as connection:
        connection.execute(update(migrations).values(updated_at=now() - HOUR))
    assert upkeep.confirm_resizes(cloud.control.core, cloud.operations, 60) == 1
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == ACTIVE
    assert cloud.leaks() == []


def test_a_build_that_takes_too_long_ends_in_error_and_its_guest_goes(make: Make) -> None:
    cloud = make(fake__spawn_latency=0.4)
    uuid = cloud.ask()
    while cloud.show(uuid).host is None:
        time.sleep(0.002)
    _age(cloud, cloud.show(uuid), "created_at")
    assert upkeep.fail_long_builds(cloud.control.core, 60) == 1
    instance = cloud.show(uuid)
    assert (instance.vm_state, instance.task_state, instance.host) == (ERROR, None, None)
    assert instance.fault is not None
    assert "within 60 seconds" in instance.fault.message
    time.sleep(0.6)
    assert cloud.leaks() == []


def test_rescues_end_after_their_time(make: Make) -> None:
    cloud = make()
    instance = cloud.boot()
    cloud.operations.rescue(USER, instance, password=None, image_ref=None)
    cloud.settle()
    assert upkeep.end_rescues(cloud.control.core, cloud.operations, 60) == 0
    assert cloud.show(instance.uuid).vm_state == RESCUED
    _age(cloud, instance, "launched_at")
    assert upkeep.end_rescues(cloud.control.core, cloud.operations, 60) == 1
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == ACTIVE


def test_shelved_servers_leave_their_hosts_after_their_time(make: Make) -> None:
    cloud = make(shelved_offload_time=60)
    instance = cloud.boot()
    cloud.operations.shelve(USER, instance)
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == SHELVED
    _age(cloud, instance, "updated_at")
    assert upkeep.offload_shelved(cloud.control.core, cloud.operations, 60) == 1
    cloud.settle()
    assert cloud.show(instance.uuid).vm_state == SHELVED_OFFLOADED
    assert cloud.leaks() == []


def test_the_audit_counts_what_it_puts_right(make: Make) -> None:
    cloud = make()
    cloud.boot()
    audit = upkeep.ClaimsAudit(cloud.control.core)
    assert (audit.run(), audit.repaired) == (0, 0)
    with cloud.db.engine.begin() as connection:
        connection.execute(update(compute_nodes).values(vcpus_used=7))
    assert (audit.run(), audit.repaired) == (3, 3)
    assert cloud.leaks() == []


def test_a_guest_that_stopped_by_itself_is_shown_stopped(make: Make) -> None:
    cloud = make()
    instance = cloud.boot()
    assert instance.host is not None
    _age(cloud, instance, "updated_at")
    driver = cloud.managers[instance.host]._host.driver
    driver.power_off(instance)
    cloud.managers[instance.host].sync_guests()
    assert cloud.show(instance.uuid).vm_state == STOPPED
    assert datetime.timedelta() < SETTLED < HOUR


def test_only_what_is_switched_on_is_looked_for(make: Make) -> None:
    cloud = make(resize_confirm_window=5, rescue_timeout=600)
    tasks = {
        task.name: task.interval
        for task in upkeep.upkeep_tasks(cloud.control.core, cloud.operations)
    }
    assert tasks == {
        "follow-claims": 10, "claims-audit": 600, "confirm": 5, "unrescue": 60,
        "console-tokens": 600, "host-messages": 60,
    }
