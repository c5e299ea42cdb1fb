# SPDX-License-Identifier: Apache-2.0
"""The main lists of servers are read off an index on database servers too: nothing is sorted."""

from __future__ import annotations

import datetime

import pytest

from nova.db.engine import Database
from nova.db.schema import metadata
from nova.objects.listing import ServerQuery
from tests.unit.api.list_plans import plan_of_list
from tests.unit.api.server_rows import MOMENT, add_servers, server_row

PROJECTS = 40
SERVERS = 2000
MINE = "project-7"


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
        plan = plan_of_list(db, query)
        index = "ix_instances_listing" if query.project_id is None else "ix_instances_project_listing"
        assert index in plan, plan
        for effort in ("filesort", "Sort", "Seq Scan"):
            assert effort not in plan, plan
