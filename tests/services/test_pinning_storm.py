# SPDX-License-Identifier: Apache-2.0
"""Four scheduler processes on nearly full hosts: no physical CPU and no PCI device is ever given twice.

The database is the referee: triggers write every CPU and device that a claim holds into a table whose
primary key refuses the second. ``NOVA_STORM_SERVERS`` sets how many servers each process places.
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
from nova.db.schema.hosts import claims
from nova.objects.host import HostReport
from tests.unit.topology.hosts import make_host

PROCESSES = 4
HOSTS = 3
SERVERS = int(os.environ.get("NOVA_STORM_SERVERS", "60"))
#: Seconds that a storm may take.
PATIENCE = 60 + SERVERS // 2
ROOT = Path(__file__).parents[2]

_TABLE = "CREATE TABLE referee (node_id INTEGER, part VARCHAR(32), PRIMARY KEY (node_id, part))"
_SQLITE = (
    "CREATE TRIGGER taken AFTER INSERT ON claims BEGIN"
    " INSERT INTO referee SELECT NEW.node_id, 'cpu ' || value"
    "  FROM json_each(NEW.topology, '$.pinned');"
    " INSERT INTO referee SELECT NEW.node_id, json_extract(value, '$.address')"
    "  FROM json_each(NEW.topology, '$.devices'); END",
    "CREATE TRIGGER given_back AFTER DELETE ON claims BEGIN"
    " DELETE FROM referee WHERE node_id = OLD.node_id AND part IN"
    "  (SELECT 'cpu ' || value FROM json_each(OLD.topology, '$.pinned') UNION"
    "   SELECT json_extract(value, '$.address') FROM json_each(OLD.topology, '$.devices')); END",
)
_MARIADB_PARTS = (
    "SELECT CONCAT('cpu ', cpu) FROM JSON_TABLE(COALESCE({0}.topology, '{{}}'), '$.pinned[*]'"
    " COLUMNS (cpu INT PATH '$')) AS cpus UNION"
    " SELECT address FROM JSON_TABLE(COALESCE({0}.topology, '{{}}'), '$.devices[*]'"
    " COLUMNS (address VARCHAR(32) PATH '$.address')) AS devices"
)
_MARIADB = (
    "CREATE TRIGGER taken AFTER INSERT ON claims FOR EACH ROW INSERT INTO referee"
    f" SELECT NEW.node_id, parts.* FROM ({_MARIADB_PARTS.format('NEW')}) AS parts",
    "CREATE TRIGGER given_back AFTER DELETE ON claims FOR EACH ROW DELETE FROM referee"
    f" WHERE node_id = OLD.node_id AND part IN ({_MARIADB_PARTS.format('OLD')})",
)
_POSTGRESQL_PARTS = (
    "SELECT 'cpu ' || value FROM jsonb_array_elements_text(COALESCE({0}.topology::jsonb->'pinned', '[]'))"
    " UNION SELECT value->>'address'"
    " FROM jsonb_array_elements(COALESCE({0}.topology::jsonb->'devices', '[]'))"
)
_POSTGRESQL = (
    "CREATE FUNCTION referee() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " IF TG_OP = 'INSERT' THEN INSERT INTO referee SELECT NEW.node_id, parts.* FROM"
    f" ({_POSTGRESQL_PARTS.format('NEW')}) AS parts; RETURN NEW; END IF;"
    " DELETE FROM referee WHERE node_id = OLD.node_id AND part IN"
    f" ({_POSTGRESQL_PARTS.format('OLD')}); RETURN OLD; END $$",
    "CREATE TRIGGER referee AFTER INSERT OR DELETE ON claims FOR EACH ROW EXECUTE FUNCTION referee()",
)


def _set_referee(db: Database) -> None:
    statements = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}.get(db.dialect, _MARIADB)
    with db.engine.begin() as connection:
        for statement in (_TABLE, *statements):
            connection.exec_driver_sql(statement)


def _make_hosts(db: Database) -> None:
    """Hosts of two cells; the last one keeps CPUs for pinned servers apart."""
    reports = []
    for number in range(HOSTS):
        apart = frozenset(range(2, 16)) if number == HOSTS - 1 else None
        reports.append(
            HostReport(
                host=f"h{number}", hypervisor_hostname=f"h{number}", host_ip="10.0.0.1",
                hypervisor_type="fake", hypervisor_version=1, vcpus=2 if apart else 16,
                pcpus=len(apart or ()), memory_mb=100000, local_gb=100000,
                topology=make_host(apart=apart, memory_mb=50000, devices=3),
            )
        )
    with db.write() as tx:
        tx.nodes.report_many(reports)
        tx.services.report_many(
            [("nova-compute", report.host, "compute") for report in reports], now()
        )


@pytest.mark.timeout(PATIENCE + 60)
def test_four_schedulers_never_give_a_cpu_or_a_device_twice(new_url: Callable[[], str]) -> None:
    url = new_url()
    db = Database(url)
    migrate.prepare(db)
    _make_hosts(db)
    _set_referee(db)
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.services.pinning_process", url, str(seed), str(SERVERS)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for seed in range(PROCESSES)
    ]
    placed = refused = 0
    for process in running:
        output, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors[-2000:]
        found = re.search(r"placed (\d+) refused (\d+)", output)
        assert found is not None
        placed += int(found[1])
        refused += int(found[2])
    # Nearly full: many found a place, and many did not.
    assert placed > SERVERS // 2
    assert refused > SERVERS // 4
    with db.engine.connect() as connection:
        held = connection.execute(text("SELECT count(*) FROM referee")).scalar_one()
        assert connection.execute(select(func.count()).select_from(claims)).scalar_one() > 0
    with db.read() as tx:
        used = sum(
            len((node.topology_used or {}).get("pinned", ()))
            + len((node.topology_used or {}).get("devices", ()))
            for node in tx.nodes.list()
        )
    assert held == used > 0
    with db.write() as tx:
        repairs = tx.claims.audit(settle_seconds=0)
        assert repairs.count == 0
    db.dispose()
