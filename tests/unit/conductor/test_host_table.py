# SPDX-License-Identifier: Apache-2.0
"""What the conductor knows of its hosts."""

from __future__ import annotations

from pathlib import Path

from nova.conductor.host_table import SchedulerTable
from nova.conf.scheduler import SchedulerSection
from nova.db.engine import Database
from nova.db.schema import metadata
from nova.db.schema.base import now
from nova.scheduler.scheduler import Scheduler
from nova.scheduler.table import HostTable


def test_a_host_said_to_be_down_counts_as_down_at_once(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/n.sqlite")
    metadata.create_all(db.engine)
    with db.write() as tx:
        tx.services.report("nova-compute", "h1", "compute", now())
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
