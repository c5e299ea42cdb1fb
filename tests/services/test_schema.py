# SPDX-License-Identifier: Apache-2.0
"""The schema on each database: made in one go, by revisions, and by several daemons at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from nova.db import migrate
from nova.db.engine import Database
from nova.db.schema import metadata

PREPARE = (
    "import sys; from nova.db.engine import Database; from nova.db import migrate;"
    "db = Database(sys.argv[1]); sys.stdin.readline(); migrate.prepare(db); migrate.require_current(db)"
)


def differences(db: Database) -> list[Any]:
    with db.engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))


def test_an_empty_database_is_filled_and_a_second_start_changes_nothing(
    empty_database: Database,
) -> None:
    db = empty_database
    assert migrate.revision(db) is None
    migrate.prepare(db)
    migrate.prepare(db)
    assert migrate.revision(db) == migrate.HEAD
    assert differences(db) == []


def test_the_revisions_lead_to_the_tables_of_the_code(empty_database: Database) -> None:
    with empty_database.write() as tx:
        command.upgrade(migrate.alembic_config(tx.connection), "head")
    assert differences(empty_database) == []
    assert migrate.revision(empty_database) == migrate.HEAD
    with empty_database.write() as tx:
        command.downgrade(migrate.alembic_config(tx.connection), "base")
    assert set(inspect(empty_database.engine).get_table_names()) <= {"alembic_version"}


def test_daemons_that_start_together_prepare_once(
    new_url: Callable[[], str], empty_database: Database
) -> None:
    url = empty_database.url.render_as_string(hide_password=False)
    daemons = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARE, url], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for daemon in daemons:
        assert daemon.stdin is not None
        daemon.stdin.write("\n")
        daemon.stdin.flush()
    for daemon in daemons:
        _, errors = daemon.communicate(timeout=60)
        assert daemon.returncode == 0, errors
    with empty_database.read() as tx:
        assert tx.connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1


def test_daemons_of_this_release_go_on_beside_those_of_the_next(empty_database: Database) -> None:
    """The next one has added a table and a column, and says that it leaves what this one uses."""
    db = empty_database
    migrate.prepare(db)
    with db.write() as tx:
        for statement in (
            "CREATE TABLE of_tomorrow (id INTEGER PRIMARY KEY)",
            "ALTER TABLE flavors ADD COLUMN of_tomorrow INTEGER",
            "UPDATE alembic_version SET version_num = '9999'",
        ):
            tx.connection.execute(text(statement))
    migrate.require_current(db)
    migrate.prepare(db)
    with db.write() as tx:
        tx.flavors.seed_defaults()
    with db.read() as tx:
        assert {each.name for each in tx.flavors.list()} >= {"m1.tiny"}
    with db.write() as tx:
        tx.connection.execute(text("UPDATE schema_compatibility SET oldest_revision = '9999'"))
    with pytest.raises(migrate.SchemaError, match="9999"):
        migrate.require_current(db)


def test_every_table_has_a_primary_key_as_galera_demands(empty_database: Database) -> None:
    migrate.prepare(empty_database)
    inspector = inspect(empty_database.engine)
    tables = inspector.get_table_names()
    assert {"instances", "alembic_version"} <= set(tables)
    without = [
        name for name in tables if not inspector.get_pk_constraint(name)["constrained_columns"]
    ]
    assert without == []


def test_names_that_differ_in_case_or_accents_are_several(empty_database: Database) -> None:
    metadata.create_all(empty_database.engine)
    names = {"Web", "web", "Wéb", "WEB", "Web2"}
    with empty_database.write() as tx:
        for name in names:
            tx.aggregates.create(name, metadata={"größe": "🐘 日本"})
        made = tx.aggregates.list()
    assert {each.name for each in made} == names
    assert all(each.metadata == {"größe": "🐘 日本"} for each in made)
