# SPDX-License-Identifier: Apache-2.0
"""Eight scheduler processes on one nearly full cloud: no host is ever over its limits.

The database is the referee: a constraint refuses every write that passes a limit. ``NOVA_STORM_SERVERS``
sets how many servers each process places (the full storm is 2,000).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from nova.db import migrate
from nova.db.engine import Database
from nova.db.schema.base import now
from nova.db.schema.compute import instances
from nova.db.schema.hosts import claims, compute_nodes
from nova.objects.host import HostReport

PROCESSES = 8
HOSTS = 10
SERVERS = int(os.environ.get("NOVA_STORM_SERVERS", "60"))
#: Seconds that a storm may take.
PATIENCE = 60 + SERVERS // 2
ROOT = Path(__file__).parents[2]

_WITHIN = (
    "{0}vcpus_used <= {0}vcpus * {0}cpu_allocation_ratio - {0}reserved_vcpus"
    " AND {0}memory_mb_used <= {0}memory_mb * {0}ram_allocation_ratio - {0}reserved_memory_mb"
    " AND {0}vcpus_used >= 0 AND {0}memory_mb_used >= 0"
)


def _make_hosts(db: Database) -> None:
    """Ten hosts that together hold about half of what the storm would like to keep."""
    room = max(8, PROCESSES * SERVERS // HOSTS // 2)
    reports = [
        HostReport(
            host=f"h{number}", hypervisor_hostname=f"h{number}", host_ip="10.0.0.1",
            hypervisor_type="fake", hypervisor_version=1, vcpus=room, memory_mb=room * 512,
            local_gb=100000, cpu_allocation_ratio=1.0, ram_allocation_ratio=1.0,
        )
        for number in range(HOSTS)
    ]
    with db.write() as tx:
        tx.nodes.report_many(reports)
        tx.services.report_many(
            [("nova-compute", report.host, "compute") for report in reports], now()
        )


def _set_referee(db: Database) -> None:
    statement = (
        f"CREATE TRIGGER referee AFTER UPDATE ON compute_nodes WHEN NOT ({_WITHIN.format('NEW.')})"
        " BEGIN SELECT RAISE(ABORT, 'over the limit'); END"
        if db.dialect == "sqlite"
        else f"ALTER TABLE compute_nodes ADD CONSTRAINT referee CHECK ({_WITHIN.format('')})"
    )
    with db.engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.timeout(PATIENCE + 60)
def test_eight_schedulers_never_overfill_a_host(new_url: Callable[[], str]) -> None:
    url = new_url()
    db = Database(url)
    migrate.prepare(db)
    _make_hosts(db)
    _set_referee(db)
    running = [
        subprocess.Popen(
            [
                sys.executable, "-m", "tests.services.scheduler_process", url, str(peer),
                str(PROCESSES), str(SERVERS),
            ],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for peer in range(PROCESSES)
    ]
    placed = 0
    for process in running:
        output, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors[-2000:]
        found = re.search(r"placed (\d+) refused (\d+)", output)
        assert found is not None
        placed += int(found.group(1))
    assert placed > PROCESSES * SERVERS // 4
    with db.engine.connect() as connection:
        claimed = connection.execute(
            select(func.count(), func.sum(claims.c.vcpus), func.sum(claims.c.memory_mb))
        ).one()
        living = connection.execute(
            select(
                func.count(), func.sum(instances.c.vcpus), func.sum(instances.c.memory_mb)
            ).where(instances.c.deleted == 0)
        ).one()
        kept = connection.execute(
            select(
                func.sum(compute_nodes.c.instances_used), func.sum(compute_nodes.c.vcpus_used),
                func.sum(compute_nodes.c.memory_mb_used),
            )
        ).one()
    assert tuple(map(int, claimed)) == tuple(map(int, living)) == tuple(map(int, kept))
    with db.write() as tx:
        assert tx.claims.audit(settle_seconds=0).count == 0
    db.dispose()
