# SPDX-License-Identifier: Apache-2.0
"""Databases for tests: SQLite, or the server that ``NOVA_TEST_DATABASE`` names.

The tests that need a database ask ``new_database`` for one, so that tests/services can run the same
tests on MariaDB and PostgreSQL. On a server a process shares one database; each call empties it.
"""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import Connection, text

from nova.db.engine import Database
from nova.db.schema import metadata

VARIABLE = "NOVA_TEST_DATABASE"

_shared: dict[str, Database] = {}


def new_database(directory: Path, *, name: str = "nova.sqlite") -> Database:
    """A database with all tables and no rows."""
    url = os.environ.get(VARIABLE)
    if not url:
        database = Database(f"sqlite:///{directory}/{name}")
        metadata.create_all(database.engine)
        return database
    shared = _shared.get(url)
    if shared is None:
        shared = _shared[url] = Database(url)
        metadata.create_all(shared.engine)
        return shared
    empty(shared)
    return shared


def empty(database: Database) -> None:
    """Remove all rows; ids begin at 1 again."""
    with database.engine.begin() as connection:
        if database.dialect == "postgresql":
            # Another pool's forgotten connection must not hold the tests up for ever.
            connection.execute(text("SET LOCAL lock_timeout = '20s'"))
            names = ", ".join(f'"{name}"' for name in metadata.tables)
            connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
        else:
            _empty_mariadb(connection)


def _empty_mariadb(connection: Connection) -> None:
    filled = " UNION ALL ".join(
        f"(SELECT '{name}' FROM `{name}` LIMIT 1)" for name in metadata.tables
    )
    counted = (
        "SELECT table_name FROM information_schema.tables "
        "WHERE table_schema = DATABASE() AND auto_increment > 1"
    )
    used = set(connection.execute(text(filled)).scalars())
    used |= set(connection.execute(text(counted)).scalars()) & metadata.tables.keys()
    connection.execute(text("SET SESSION foreign_key_checks = 0"))
    for name in sorted(used):
        connection.execute(text(f"TRUNCATE TABLE `{name}`"))
    connection.execute(text("SET SESSION foreign_key_checks = 1"))
