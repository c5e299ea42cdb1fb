# SPDX-License-Identifier: Apache-2.0
"""``nova-manage db purge``: what is kept of deleted servers goes, and nothing else."""

from __future__ import annotations

import datetime
import io
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from nova.cmd.manage import main
from nova.db import migrate
from nova.db.engine import Database
from nova.db.schema.base import now
from nova.objects.context import RequestContext
from tests.unit.db.instance_rows import instance_row

LONG_AGO = datetime.datetime(2020, 1, 1)
CALLER = RequestContext(user_id="u", project_id="p")
KEPT = ("instances", "instance_metadata", "operations", "operation_events")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/nova.sqlite")
    migrate.prepare(database)
    yield database
    database.dispose()


def server(db: Database, deleted_at: datetime.datetime | None = None, *, busy: bool = False) -> str:
    name = str(uuid.uuid4())
    with db.write() as tx:
        # What is deleted has its row's id there.
        number = int(tx.connection.execute(text("SELECT count(*) FROM instances")).scalar_one()) + 1
        tx.instances.create([{
            **instance_row(name, metadata={"größe": "ü"}), "revision": 1, "deleted_at": deleted_at,
            "deleted": 0 if deleted_at is None else number,
        }])
        operation = tx.operations.create(CALLER, name, "delete", flow=None, step=None, payload={})
        tx.operations.add_events([{
            "operation_id": operation, "event": "delete", "started_at": now(), "finished_at": now(),
            "result": "Success", "host": "h", "details": None, "traceback": None,
        }])
        if busy:
            tx.operations.create(CALLER, name, "delete", flow="delete", step="destroy", payload={})
    return name


def counts(db: Database) -> dict[str, int]:
    with db.read() as tx:
        return {
            table: int(tx.connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())
            for table in KEPT
        }


def purge(tmp_path: Path, line: str, status: int = 0) -> str:
    output = io.StringIO()
    assert main(["db", "purge", *line.split(), "--state-path", str(tmp_path)], output) == status
    return output.getvalue()


def test_only_what_was_deleted_before_goes_and_all_of_it(db: Database, tmp_path: Path) -> None:
    kept = {server(db), server(db, now()), server(db, LONG_AGO, busy=True)}
    old = {server(db, LONG_AGO) for _ in range(3)}
    before = counts(db)
    assert "3 of 3 servers" in purge(tmp_path, "--before 2021-01-01 --dry-run")
    assert counts(db) == before
    archive = tmp_path / "old.jsonl"
    said = purge(tmp_path, f"--before 2021-01-01 --archive {archive}")
    assert said.splitlines()[-1] == "purged 3 servers deleted before 2021-01-01: 12 rows"
    assert counts(db) == {name: number - 3 for name, number in before.items()}
    with db.read() as tx:
        left = set(tx.connection.execute(text("SELECT uuid FROM instances")).scalars())
    assert left == kept
    written = [json.loads(each) for each in archive.read_text().splitlines()]
    assert {each["row"]["uuid"] for each in written if each["table"] == "instances"} == old
    assert {each["table"] for each in written} == set(KEPT)
    assert all(each["row"]["metadata"] == {"größe": "ü"} for each in written if "metadata" in each["row"])
    assert archive.stat().st_mode & 0o777 == 0o600
    assert "purged 0 servers" in purge(tmp_path, "--before 2021-01-01")


def test_the_oldest_go_first(db: Database, tmp_path: Path) -> None:
    first, second = server(db, LONG_AGO), server(db, LONG_AGO)
    purge(tmp_path, "--before 2021-01-01 --max-servers 1")
    with db.read() as tx:
        assert list(tx.connection.execute(text("SELECT uuid FROM instances")).scalars()) == [second]
    assert first != second


@pytest.mark.parametrize("line", [
    "--before yesterday", "--before 2999-01-01", "--before 2021-01-01 --archive /nowhere/at/all",
])
def test_refusals_change_nothing(
    db: Database, tmp_path: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server(db, LONG_AGO)
    before = counts(db)
    purge(tmp_path, line, status=1)
    assert line.split()[-1].split("=")[0] in capsys.readouterr().err
    assert counts(db) == before
