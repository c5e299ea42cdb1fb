# SPDX-License-Identifier: Apache-2.0
"""Brings a database to the schema of this release.

An empty database is filled from the tables as the code has them, and marked with the newest
revision. Alembic is loaded only where an older database is upgraded, so that a start pays nothing
for it.

Tables are brought to a new release while the daemons of the one before run, and these may go on, and start
again, until each of them was replaced: the database says which is the oldest release that can work with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, inspect, select, text

from nova.db.engine import Database
from nova.db.schema import metadata
from nova.db.schema.releases import schema_compatibility
from nova.errors import NovaError

if TYPE_CHECKING:
    from alembic.config import Config

#: The newest revision in ``migrations/versions`` (checked by a test).
HEAD = "0001"

#: The newest revision of the oldest release whose daemons work with the tables at ``HEAD``. A revision that
#: takes away or renames what that release uses, or adds what it would have to fill in, raises it.
OLDEST = "0001"

#: The mark of a database whose tables are being made: MariaDB commits each of them for itself, and a
#: start that was interrupted there is finished by the next.
UNFINISHED = "unfinished"

_LOCK_NAME = "nova_schema"
_LOCK_NUMBER = 0x6E6F7661
_LOCK_SECONDS = 120


class SchemaError(NovaError):
    """The database's schema is not one that this release can work with."""


def revision(db: Database) -> str | None:
    """The revision that a database is at; None for an empty one.

    Raises ``SchemaError`` for a database with tables but no revision.
    """
    with db.read() as tx:
        return _revision(tx.connection)


def require_current(db: Database) -> None:
    """Raise ``SchemaError`` unless the database is at this revision, or at a newer one that serves us."""
    found = revision(db)
    if not serves(db, found):
        state = {None: "is empty", UNFINISHED: "is only half made"}.get(
            found, f"is at revision {found}"
        )
        raise SchemaError(
            f"The database {state}, this release needs {HEAD}: run 'nova-manage db sync'."
        )


def serves(db: Database, found: str | None) -> bool:
    """Whether this release can work with a database at the revision ``found``: its own, or a newer one."""
    if found == HEAD:
        return True
    if found is None or not found.isdecimal() or found < HEAD:
        return False
    with db.read() as tx:
        if not inspect(tx.connection).has_table(schema_compatibility.name):
            return False
        oldest = tx.connection.execute(select(schema_compatibility.c.oldest_revision)).scalar()
        return oldest is not None and oldest <= HEAD


def prepare(db: Database) -> None:
    """Bring a database to this release's revision; safe to repeat and to run in parallel.

    One that is newer and serves this release is left as it is. Raises ``SchemaError`` for a database of any
    other newer release, or one that is not ours.
    """
    if _at_head(db):
        return
    with _alone(db), db.write() as tx:
        found = _revision(tx.connection)
        if found is None or found == UNFINISHED:
            _stamp(tx.connection, UNFINISHED)
            metadata.create_all(tx.connection, checkfirst=found is not None)
            _stamp(tx.connection, HEAD)
            _note_oldest(tx.connection)
        elif found != HEAD:
            _upgrade(tx.connection, found)
            _note_oldest(tx.connection)


def alembic_config(connection: Connection | None = None) -> Config:
    """The configuration of Alembic for this package's revisions, to be run on ``connection``."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    return config


def _at_head(db: Database) -> bool:
    """The quick look of every start; what another daemon is just making is judged under the lock."""
    with db.read() as tx:
        if not inspect(tx.connection).has_table("alembic_version"):
            return False
        found = tx.connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return serves(db, found)


def _revision(connection: Connection) -> str | None:
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" in tables:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if found is not None:
            return str(found)
        tables.discard("alembic_version")
    ours = sorted(tables & metadata.tables.keys())
    if ours:
        raise SchemaError(
            f"The database has tables ({ours[0]} ...) but no revision: it was not made by this "
            "program. Use an empty database."
        )
    return None


def _stamp(connection: Connection, revision: str) -> None:
    # As Alembic itself makes it (alembic.runtime.migration, MigrationContext).
    connection.execute(
        text(
            "CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL, "
            "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(text("DELETE FROM alembic_version"))
    connection.execute(
        text("INSERT INTO alembic_version (version_num) VALUES (:revision)"), {"revision": revision}
    )


def _note_oldest(connection: Connection) -> None:
    connection.execute(delete(schema_compatibility))
    connection.execute(insert(schema_compatibility), {"id": 1, "oldest_revision": OLDEST})


def _upgrade(connection: Connection, found: str) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = alembic_config(connection)
    try:
        known = ScriptDirectory.from_config(config).get_revision(found)
    except CommandError:
        known = None
    if known is None:
        raise SchemaError(
            f"The database is at revision {found}, which this release does not know: "
            "it belongs to a newer one."
        )
    command.upgrade(config, "head")


@contextlib.contextmanager
def _alone(db: Database) -> Iterator[None]:
    """Keep other processes from changing the schema meanwhile; SQLite has one writer anyway.

    The lock has a connection of its own, so that it is held until the change is committed.
    """
    if db.dialect == "postgresql":
        with db.engine.begin() as connection:
            # Freed by the end of this transaction.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_NUMBER})
            yield
    elif db.dialect in ("mysql", "mariadb"):
        name = {"name": _LOCK_NAME, "seconds": _LOCK_SECONDS}
        with db.engine.connect() as connection:
            if connection.execute(text("SELECT GET_LOCK(:name, :seconds)"), name).scalar() != 1:
                raise SchemaError(
                    "Another process is changing the schema for too long; try again."
                )
            try:
                yield
            finally:
                connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": _LOCK_NAME})
    else:
        yield
