# SPDX-License-Identifier: Apache-2.0
"""The usage audit: each host once a period, with the servers that it had in it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from nova.compute.audit_periods import last_completed_period
from nova.conductor.upkeep import upkeep_tasks
from nova.conductor.usage_audit import audit_usage
from nova.db.schema.base import now
from tests.unit.compute.small_cloud import USER, SmallCloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    made = SmallCloud(tmp_path, instance_usage_audit=True, instance_usage_audit_period="hour")
    yield made
    made.stop()


def test_each_host_is_audited_once_with_the_servers_it_had(cloud: SmallCloud) -> None:
    servers = [cloud.boot() for _ in range(3)]
    cloud.operations.delete(USER, servers[0])
    cloud.settle()
    later = now() + datetime.timedelta(hours=1)
    core = cloud.control.core
    assert audit_usage(core, later) == 3
    assert audit_usage(core, later) == 0
    with cloud.db.read() as tx:
        audits = tx.usage_audits.of_period(*last_completed_period("hour", later))
    assert [audit.host for audit in audits] == sorted(cloud.managers)
    assert {audit.state for audit in audits} == {"DONE"}
    # The deleted server is on no host any more.
    assert sum(audit.instances for audit in audits) == 2
    assert audit_usage(core, later + datetime.timedelta(hours=1)) == 3


def test_a_host_that_does_not_report_is_left_for_later(cloud: SmallCloud) -> None:
    dead = next(iter(cloud.managers))
    cloud.kill_host(dead)
    assert audit_usage(cloud.control.core) == 2
    cloud.revive_host(dead)
    assert audit_usage(cloud.control.core) == 1


def test_two_processes_record_a_period_once(cloud: SmallCloud) -> None:
    begin, end = last_completed_period("hour", now())
    audit_usage(cloud.control.core)
    with cloud.db.write() as tx:
        audits = tx.usage_audits.of_period(begin, end)
        assert not tx.usage_audits.add(begin, end, audits)


def test_it_is_among_the_periodic_work(cloud: SmallCloud) -> None:
    names = {task.name for task in upkeep_tasks(cloud.control.core, cloud.operations)}
    assert "usage-audit" in names
