# SPDX-License-Identifier: Apache-2.0
"""What SQLite does for the questions that are asked most: no table is read from end to end.

The main lists of servers, which must not be sorted either, are looked at in ``unit/api/test_server_list``.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from nova.db.engine import Database, Transaction
from nova.db.schema import metadata
from nova.db.schema.base import now
from nova.objects.migration import MigrationFilter

SERVER = "15835b6f-1e14-4cfa-9f66-1abea1a1c0d5"
HOUR = datetime.timedelta(hours=1)

QUESTIONS: dict[str, Callable[[Transaction], Any]] = {
    "server": lambda tx: tx.instances.get(SERVER),
    "servers of a host": lambda tx: tx.instances.on_host("host1"),
    "servers on hosts": lambda tx: tx.usage.hosted(["host1", "host2"]),
    "actions of a server": lambda tx: tx.operations.of_instance(SERVER),
    "open operations of a server": lambda tx: tx.operations.open_for(SERVER),
    "lost operations": lambda tx: tx.operations.unfinished(expired_at=now()),
    "moves of a server": lambda tx: tx.migrations.by_instance(SERVER),
    "moves of a server, filtered":
        lambda tx: tx.migrations.list(MigrationFilter(instance_uuid=SERVER), limit=10),
    "newest moves": lambda tx: tx.migrations.list(limit=10),
    "key pairs of a user": lambda tx: tx.keypairs.list("user"),
    "limits of a project": lambda tx: tx.quotas.limit_record("project", "user"),
    "usage of a project": lambda tx: tx.quotas.usage("project"),
    "server group of a server": lambda tx: tx.server_groups.of_instance(SERVER),
    "security groups of a project": lambda tx: tx.security_groups.of_project("project"),
    "addresses of servers": lambda tx: tx.fixed_ips.of_instances([SERVER]),
    "floating addresses of a project": lambda tx: tx.floating_ips.of_project("project"),
    "ports of a project": lambda tx: tx.ports.count_of("project"),
    "addresses of a project": lambda tx: tx.quotas.addresses("project"),
    "console of a token": lambda tx: tx.console_tokens.authorize("token"),
    "audits of a period": lambda tx: tx.usage_audits.of_period(now() - HOUR, now()),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_it_is_found_by_an_index(tmp_path: Path, name: str) -> None:
    # Never the server that NOVA_TEST_DATABASE names: the question is SQLite's.
    db = Database(f"sqlite:///{tmp_path}/plans.sqlite")
    metadata.create_all(db.engine)
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            asked.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", note)
    with db.read() as tx:
        QUESTIONS[name](tx)
    event.remove(db.engine, "before_cursor_execute", note)
    assert asked
    with db.engine.connect() as connection:
        for statement, parameters in asked:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps = [str(row[-1]) for row in rows]
            whole = [step for step in steps if step.startswith("SCAN") and "INDEX" not in step]
            assert not [step for step in whole if "CONSTANT ROW" not in step], (statement, steps)
    db.dispose()
