# SPDX-License-Identifier: Apache-2.0
"""The main lists of servers are read off an index on database servers too: nothing is sorted."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from sqlalchemy import event

from nova.db.engine import Database
from nova.db.schema import metadata
from nova.objects.listing import ServerQuery
from tests.unit.api.server_rows import MOMENT, add_servers, server_row

PROJECTS = 40
SERVERS = 2000
MINE = "project-7"


def _plan(db: Database, query: ServerQuery) -> str:
    """What the server says of how it finds the rows of a list."""
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        asked.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", note)
    with db.read() as tx:
        tx.listing.lines(query)
    event.remove(db.engine, "before_cursor_execute", note)
    statement, parameters = asked[-1]
    words = "EXPLAIN FORMAT=JSON" if db.engine.dialect.name == "mysql" else "EXPLAIN"
    with db.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"{words} {statement}", parameters)
        return "\n".join(str(row[0]) for row in rows)


@pytest.mark.parametrize("engine", ["mariadb", "postgresql"])
def test_the_main_lists_are_read_off_an_index(empty_database: Database, engine: str) -> None:
    db = empty_database
    metadata.create_all(db.engine)
    rows = [
        server_row(
            project_id=f"project-{number % PROJECTS}",
            created_at=MOMENT + datetime.timedelta(seconds=number),
        )
        for number in range(SERVERS)
    ]
    add_servers(db, *rows)
    with db.engine.connect() as connection:
        words = "ANALYZE TABLE" if engine == "mariadb" else "ANALYZE"
        connection.exec_driver_sql(f"{words} instances")
        connection.commit()
    middle = next(row["uuid"] for row in rows[SERVERS // 2 :] if row["project_id"] == MINE)
    for query in (
        ServerQuery(project_id=MINE, limit=10),
        ServerQuery(project_id=MINE, limit=10, marker=middle),
        ServerQuery(limit=10),
    ):
        plan = _plan(db, query)
        index = "ix_instances_listing" if query.project_id is None else "ix_instances_project_listing"
        assert index in plan, plan
        for effort in ("filesort", "Sort", "Seq Scan"):
            assert effort not in plan, plan
