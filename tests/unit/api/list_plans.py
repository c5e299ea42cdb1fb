# SPDX-License-Identifier: Apache-2.0
"""How a database finds the rows of a list of servers, in its own words."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event

from nova.db.engine import Database
from nova.objects.listing import ServerQuery

_WORDS = {"sqlite": "EXPLAIN QUERY PLAN", "mysql": "EXPLAIN FORMAT=JSON", "postgresql": "EXPLAIN"}


def plan_of_list(db: Database, query: ServerQuery) -> str:
    """The plan of the last statement that lists the servers of a query, a line a row."""
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        asked.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", note)
    with db.read() as tx:
        tx.listing.lines(query)
    event.remove(db.engine, "before_cursor_execute", note)
    statement, parameters = asked[-1]
    with db.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"{_WORDS[db.engine.dialect.name]} {statement}", parameters)
        return "\n".join(" ".join(map(str, row)) for row in rows)
