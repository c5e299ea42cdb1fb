# SPDX-License-Identifier: Apache-2.0
"""A database comes to this release's schema from empty and from older ones, and never silently."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from nova.db import migrate
from nova.db.engine import Database
from nova.db.schema import metadata


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/nova.sqlite")
    yield database
    database.dispose()


def differences(db: Database) -> list[Any]:
    with db.engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))


def test_an_empty_database_is_filled_and_marked(db: Database) -> None:
    assert migrate.revision(db) is None
    with pytest.raises(migrate.SchemaError, match=r"is empty.*nova-manage db sync"):
        migrate.require_current(db)
    migrate.prepare(db)
    migrate.prepare(db)
    migrate.require_current(db)
    assert migrate.revision(db) == migrate.HEAD
    assert differences(db) == []


def test_the_head_in_the_code_is_the_newest_revision() -> None:
    assert ScriptDirectory.from_config(migrate.alembic_config()).get_heads() == [migrate.HEAD]


def test_the_revisions_lead_to_the_tables_of_the_code(db: Database, tmp_path: Path) -> None:
    """If this fails, a table was changed without a revision: see tools/new_migration.py."""
    with db.write() as tx:
        command.upgrade(migrate.alembic_config(tx.connection), "head")
    assert differences(db) == []
    made = inspect(db.engine)
    other = Database(f"sqlite:///{tmp_path}/other.sqlite")
    metadata.create_all(other.engine)
    for table in metadata.tables:
        assert {each["name"] for each in made.get_indexes(table)} == {
            each["name"] for each in inspect(other.engine).get_indexes(table)
        }
    migrate.prepare(db)
    assert migrate.revision(db) == migrate.HEAD


def test_the_revisions_can_be_taken_back(db: Database) -> None:
    with db.write() as tx:
        command.upgrade(migrate.alembic_config(tx.connection), "head")
    with db.write() as tx:
        command.downgrade(migrate.alembic_config(tx.connection), "base")
    assert set(inspect(db.engine).get_table_names()) <= {"alembic_version"}
    migrate.prepare(db)
    assert differences(db) == []


def test_a_newer_database_is_refused(db: Database) -> None:
    migrate.prepare(db)
    with db.write() as tx:
        tx.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        tx.connection.execute(text("UPDATE schema_compatibility SET oldest_revision = '9998'"))
    with pytest.raises(migrate.SchemaError, match="9999"):
        migrate.require_current(db)
    with pytest.raises(migrate.SchemaError, match=r"9999.*newer"):
        migrate.prepare(db)


def test_a_newer_database_that_serves_this_release_is_worked_with_and_left_as_it_is(db: Database) -> None:
    migrate.prepare(db)
    with db.write() as tx:
        tx.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        tx.connection.execute(text("ALTER TABLE flavors ADD COLUMN of_tomorrow INTEGER"))
    migrate.require_current(db)
    migrate.prepare(db)
    assert migrate.revision(db) == "9999"
    with db.write() as tx:
        tx.flavors.seed_defaults()


def test_revisions_leave_what_the_release_before_uses(db: Database) -> None:
    """Its daemons go on, and start again, while the tables are new already: see ``migrate.OLDEST``."""
    with db.write() as tx:
        command.upgrade(migrate.alembic_config(tx.connection), migrate.OLDEST)
    old = inspect(db.engine)
    before = {table: {each["name"] for each in old.get_columns(table)} for table in old.get_table_names()}
    with db.write() as tx:
        command.upgrade(migrate.alembic_config(tx.connection), "head")
    new = inspect(db.engine)
    for table, columns in before.items():
        after = {each["name"]: each for each in new.get_columns(table)}
        assert columns <= after.keys()
        to_be_filled = [
            name for name in after.keys() - columns
            if not after[name]["nullable"] and after[name]["default"] is None
        ]
        assert not to_be_filled, f"{table}: {to_be_filled}"


def test_somebody_elses_database_is_refused_and_left_alone(db: Database) -> None:
    with db.write() as tx:
        tx.connection.execute(text("CREATE TABLE instances (id INTEGER)"))
    with pytest.raises(migrate.SchemaError, match="instances"):
        migrate.prepare(db)
    assert inspect(db.engine).get_table_names() == ["instances"]


def test_daemons_that_start_together_prepare_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def start() -> None:
        mine = Database(f"sqlite:///{tmp_path}/nova.sqlite")
        try:
            migrate.prepare(mine)
        except BaseException as error:  # reported below, in the test's own thread
            failures.append(error)
        finally:
            mine.dispose()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_start_does_not_load_alembic(tmp_path: Path) -> None:
    program = (
        "import sys; from nova.db.engine import Database; from nova.db import migrate;"
        f"migrate.prepare(Database('sqlite:///{tmp_path}/n.sqlite'));"
        "sys.exit(any(name.partition('.')[0] == 'alembic' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
