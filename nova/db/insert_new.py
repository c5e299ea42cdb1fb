# SPDX-License-Identifier: Apache-2.0
"""INSERT statements that pass over rows that are there already, as each kind of database says it.

A dialect is imported where its database is used: each of the others would take 2 MB and 20 ms.
"""

from __future__ import annotations

import functools
from typing import Any

from sqlalchemy import Insert, Table


@functools.cache
def insert_new(table: Table, dialect: str, unchanged: str | None = None) -> Insert:
    """An INSERT into ``table`` for the dialect of that name, made once.

    ``unchanged`` names a column of the key. With it MariaDB updates the row that is there with what it has:
    INSERT IGNORE would leave a shared lock on it, and two of those that then update it are a deadlock.
    """
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table).on_conflict_do_nothing()
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table).on_conflict_do_nothing()
    from sqlalchemy.dialects import mysql

    statement: Any = mysql.insert(table)
    if unchanged is None:
        return statement.prefix_with("IGNORE")  # type: ignore[no-any-return]
    return statement.on_duplicate_key_update(  # type: ignore[no-any-return]
        {unchanged: table.c[unchanged]}
    )
