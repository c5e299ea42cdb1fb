# SPDX-License-Identifier: Apache-2.0
"""What the conductor knows of its hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nova.conductor.host_table import SchedulerTable
from nova.conductor.topology_claims import TopologyClaims, Wanted
from nova.conf.scheduler import SchedulerSection
from nova.db.engine import Database
from nova.db.schema import metadata
from nova.db.schema.base import now
from nova.objects.host import ClaimRequest, HostReport
from nova.scheduler.scheduler import Scheduler
from nova.scheduler.table import HostTable
from tests.unit.db.service_rows import reported
from tests.unit.topology.hosts import make_host, make_request


def test_a_host_said_to_be_down_counts_as_down_at_once(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/n.sqlite")
    metadata.create_all(db.engine)
    with db.write() as tx:
        reported(tx, "nova-compute", "h1", "compute", now())
        service = tx.services.get_by_host("nova-compute", "h1")
    assert service is not None
    table = HostTable()
    hosts = SchedulerTable(db, table, Scheduler(SchedulerSection(), table), 60)
    assert hosts.is_up("h1")
    for down in (True, False):
        with db.write() as tx:
            tx.services.set_forced_down(service.id, down)
        hosts.changed()
        assert hosts.is_up("h1") is not down


def _report(**facts: Any) -> HostReport:
    named: dict[str, Any] = {
        "host": "h1", "hypervisor_hostname": "h1", "host_ip": "10.0.0.1", "hypervisor_type": "fake",
        "hypervisor_version": 1, "vcpus": 8, "memory_mb": 8192, "local_gb": 100,
    }
    return HostReport(**{**named, **facts})


def _cloud(tmp_path: Path, **options: Any) -> tuple[Database, SchedulerTable]:
    db = Database(f"sqlite:///{tmp_path}/n.sqlite")
    metadata.create_all(db.engine)
    table = HostTable()
    hosts = SchedulerTable(db, table, Scheduler(SchedulerSection(**options), table), 60)
    _tell(db, hosts, _report())
    hosts.refresh()
    return db, hosts


def _tell(db: Database, hosts: SchedulerTable, report: HostReport) -> None:
    with db.write() as tx:
        tx.nodes.report_many([report])
        reported(tx, "nova-compute", "h1", "compute", now())
    hosts.reported("h1", [report])


def test_a_host_that_grew_is_seen_with_its_report_and_one_that_did_not_costs_nothing(
    tmp_path: Path,
) -> None:
    db, hosts = _cloud(tmp_path)
    generation = hosts.table.generation
    _tell(db, hosts, _report(running_vms=3))
    hosts.refresh()
    assert hosts.table.generation == generation
    _tell(db, hosts, _report(memory_mb=16384, topology=make_host()))
    hosts.refresh()
    assert hosts.table.memory_mb.tolist() == [16384]
    assert hosts.table.room_of.tolist() != [0]
    generation = hosts.table.generation
    _tell(db, hosts, _report(memory_mb=16384, topology=make_host()))
    hosts.refresh()
    assert hosts.table.generation == generation


def test_what_hosts_measure_is_followed(tmp_path: Path) -> None:
    db, hosts = _cloud(tmp_path)
    _tell(db, hosts, _report(metrics={"cpu_percent": 70.0}))
    hosts.follow()
    hosts.refresh()
    assert hosts.table.cpu_measured.tolist() == [0.7]


def test_places_that_others_claimed_are_followed(tmp_path: Path) -> None:
    db, hosts = _cloud(tmp_path)
    _tell(db, hosts, _report(topology=make_host()))
    hosts.refresh()
    wanted = ClaimRequest(instance_uuid="a", node_id=1, vcpus=4, memory_mb=512, disk_gb=0)
    elsewhere = TopologyClaims(HostTable(), pack_cells=False)
    with db.write() as tx:
        (granted,) = elsewhere.take(tx, [Wanted(wanted, make_request(vcpus=4))])
    assert granted.ok
    before = hosts.table.rooms.get(int(hosts.table.room_of[0]))
    hosts.follow()
    hosts.refresh()
    after = hosts.table.rooms.get(int(hosts.table.room_of[0]))
    assert before is not None
    assert after is not None
    assert (before.usage.pinned, after.usage.pinned) == ((), (0, 1, 2, 3))
    with db.write() as tx:
        hosts.released(tx.claims.release("a"))
    released = hosts.table.rooms.get(int(hosts.table.room_of[0]))
    assert released is not None
    assert released.usage.pinned == ()
