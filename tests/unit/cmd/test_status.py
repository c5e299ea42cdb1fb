# SPDX-License-Identifier: Apache-2.0
"""``nova-status upgrade check``: exit codes, table and JSON of the original's command."""

from __future__ import annotations

import datetime
import io
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from nova.cmd.status import main
from nova.db import migrate
from nova.db.engine import Database
from nova.db.schema.base import now
from nova.objects.context import RequestContext


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "nova.conf").write_text(f"[DEFAULT]\nstate_path = {tmp_path}\n")
    db = Database(f"sqlite:///{tmp_path}/nova.sqlite")
    migrate.prepare(db)
    db.dispose()
    return tmp_path


def check(state: Path, *more: str) -> tuple[int, str]:
    output = io.StringIO()
    return main(["upgrade", "check", "--state-path", str(state), *more], output), output.getvalue()


def results(state: Path) -> tuple[int, dict[str, Any]]:
    status, output = check(state, "--json")
    document = json.loads(output)
    assert document["name"] == "Upgrade Check Results"
    return status, {each["check"]: (each["result"], each["details"]) for each in document["checks"]}


def test_a_cloud_without_fault_is_0(state: Path) -> None:
    status, found = results(state)
    assert status == 0
    assert set(found.values()) == {(0, None)}
    assert {"Cells v2", "Policy File JSON to YAML Migration", "Database Version"} <= found.keys()


def test_the_table_is_one_block_for_each_check(state: Path) -> None:
    status, output = check(state)
    lines = output.splitlines()
    assert status == 0
    assert len({len(line) for line in lines}) == 1
    assert lines[0] == lines[2] == lines[-1] == "+" + "-" * (len(lines[0]) - 2) + "+"
    assert lines[1].startswith("| Upgrade Check Results ")
    at = next(number for number, line in enumerate(lines) if line.startswith("| Check: Cells v2 "))
    assert lines[at + 1].startswith("| Result: Success ")
    assert lines[at + 2].startswith("| Details: None ")


def test_an_empty_database_is_2_and_says_what_to_do(tmp_path: Path) -> None:
    status, found = results(tmp_path)
    assert status == 2
    assert found["Database Version"] == (
        2, f"The database is empty; this release needs {migrate.HEAD}. Run 'nova-manage db sync'.",
    )
    assert "Services" not in found


def test_a_database_of_another_revision_is_2(state: Path) -> None:
    db = Database(f"sqlite:///{state}/nova.sqlite")
    with db.write() as tx:
        tx.connection.execute(text("UPDATE alembic_version SET version_num = 'of-tomorrow'"))
    db.dispose()
    status, found = results(state)
    assert status == 2
    assert "of-tomorrow" in found["Database Version"][1]


def test_a_policy_file_in_json_is_2(state: Path) -> None:
    (state / "policy.json").write_text("{}")
    with (state / "nova.conf").open("a") as file:
        file.write("[oslo_policy]\npolicy_file = policy.json\n")
    status, found = results(state)
    assert status == 2
    assert "JSON-formatted" in found["Policy File JSON to YAML Migration"][1]


def test_a_policy_file_of_before_that_is_not_read_is_1(state: Path) -> None:
    (state / "policy.json").write_text("{}")
    status, found = results(state)
    assert status == 1
    assert "is not read" in found["Policy File JSON to YAML Migration"][1]


def test_the_policy_file_beside_the_usual_configuration_is_the_one_that_daemons_read(
    state: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = tmp_path_factory.mktemp("etc")
    monkeypatch.setattr("nova.conf.policy.USUAL", usual)
    monkeypatch.setattr("nova.cmd.status.USUAL", usual)

    def found(*flags: str) -> tuple[int, str]:
        output = io.StringIO()
        status = main(["upgrade", "check", *flags, "--json"], output)
        (check,) = [each for each in json.loads(output.getvalue())["checks"] if "Policy" in each["check"]]
        assert check["result"] == status
        return status, check["details"]

    daemons, alone = ("--config-file", str(state / "nova.conf")), ("--state-path", str(state))
    (usual / "policy.json").write_text("{}")
    unread = f"{usual}/policy.json is there and is not read; {state}/policy.yaml would be."
    assert found(*daemons) == (1, unread)
    (usual / "policy.yaml").write_text("- a list\n")
    status, details = found(*daemons)
    assert status == 2
    assert str(usual / "policy.yaml") in details
    # A cloud in one process has all that is its own in its state directory.
    assert found(*alone) == (0, None)


def test_a_policy_file_that_cannot_be_read_is_2(state: Path) -> None:
    (state / "policy.yaml").write_text("- a list\n")
    assert results(state)[0] == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [("my_pi = 1", "Unknown options: [DEFAULT] my_pi"), ("ec2_workers = 4", "1 options have")],
)
def test_options_that_nobody_reads_are_1(state: Path, line: str, said: str) -> None:
    with (state / "nova.conf").open("a") as file:
        file.write(f"{line}\n")
    status, found = results(state)
    assert status == 1
    assert said in found["Configuration"][1]


def test_services_that_are_silent_are_1_unless_disabled(state: Path) -> None:
    db = Database(f"sqlite:///{state}/nova.sqlite")
    long_ago = now() - datetime.timedelta(hours=1)
    with db.write() as tx:
        tx.services.report_many([("nova-compute", "node1", "compute")], long_ago)
    status, found = results(state)
    assert status == 1
    assert found["Services"] == (1, "Services that do not report: nova-compute on node1.")
    with db.write() as tx:
        service = tx.services.get_by_host("nova-compute", "node1")
        assert service is not None
        tx.services.set_disabled(service.id, True, None)
    db.dispose()
    assert results(state)[0] == 0


def test_an_operation_that_does_not_end_is_1(state: Path) -> None:
    db = Database(f"sqlite:///{state}/nova.sqlite")
    with db.write() as tx:
        number = tx.operations.create(
            RequestContext(request_id="req-1", user_id="u", project_id="p"), "the-uuid", "reboot",
            flow="reboot_soft", step="run", payload={},
        )
        tx.connection.execute(
            text("UPDATE operations SET started_at = :then WHERE id = :id"),
            {"then": "2020-01-01 00:00:00.000000", "id": number},
        )
    db.dispose()
    status, found = results(state)
    assert status == 1
    assert found["Operations"][1].startswith("1 operations are under way, the oldest since 2020-01-01")


@pytest.mark.parametrize(
    "line",
    [
        "upgrade check --state-path /nonexistent/state",
        "upgrade check --db sqlite:////nonexistent/nova.sqlite",
        "upgrade",
        "upgrade check --nonsense",
    ],
)
def test_where_it_cannot_look_it_is_255(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split(), io.StringIO()) == 255
    assert "nova-status" in capsys.readouterr().err
