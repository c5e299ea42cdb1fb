# SPDX-License-Identifier: Apache-2.0
"""What installers of newer releases call: cells that need no setting up, and checks of files."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from nova.cmd.manage import main
from nova.cmd.manage_cells import CELL0, CELL1
from nova.db import migrate
from nova.db.engine import Database
from nova.db.schema.base import now


@pytest.fixture
def state(tmp_path: Path) -> Path:
    db = Database(f"sqlite:///{tmp_path}/nova.sqlite")
    migrate.prepare(db)
    with db.write() as tx:
        tx.services.report_many([("nova-compute", "node1", "compute")], now())
    db.dispose()
    return tmp_path


def run(state: Path, line: str, status: int = 0) -> str:
    output = io.StringIO()
    assert main([*line.split(), "--state-path", str(state)], output) == status
    return output.getvalue()


def column(text: str, number: int) -> list[str]:
    """A column of a table as scripts take it: by ``awk -F '|'``."""
    return [line.split("|")[number + 1].strip() for line in text.splitlines() if line[0] == "|"]


def test_cells_are_listed_in_the_form_that_scripts_read(state: Path) -> None:
    text = run(state, "cell_v2 list_cells --verbose")
    assert column(text, 0) == ["Name", "cell0", "cell1"]
    assert column(text, 1) == ["UUID", CELL0, CELL1]
    assert column(text, 3)[1:] == [f"sqlite:///{state}/nova.sqlite"] * 2


def test_passwords_of_databases_are_shown_to_those_who_ask_only(state: Path) -> None:
    assert "***" not in run(state, "cell_v2 list_cells")


def test_hosts_are_in_the_one_cell(state: Path) -> None:
    assert column(run(state, "cell_v2 list_hosts"), 2) == ["Hostname", "node1"]
    assert column(run(state, f"cell_v2 list_hosts --cell_uuid {CELL0}"), 2) == ["Hostname"]
    run(state, "cell_v2 list_hosts --cell_uuid nonsense", 1)


@pytest.mark.parametrize(
    "line",
    [
        "cell_v2 simple_cell_setup --transport-url rabbit://a:b@c/",
        "cell_v2 map_cell0",
        "cell_v2 map_cell0 --database_connection mysql+pymysql://n:p@h/nova_cell0",
        "cell_v2 create_cell --name=cell1 --verbose",
        "cell_v2 map_cell_and_hosts --transport-url rabbit://a:b@c/",
        f"cell_v2 map_instances --cell_uuid {CELL1}",
        f"cell_v2 update_cell --cell_uuid {CELL1} --transport-url rabbit://a:b@c/",
        "cell_v2 discover_hosts --verbose",
        "cell_v2 discover_hosts --strict --by-service --verbose",
        "api_db sync",
        "api_db version",
        "db sync --local_cell",
        "db online_data_migrations",
        "db online_data_migrations --max-count 50",
    ],
)
def test_installers_steps_succeed_again_and_again(state: Path, line: str) -> None:
    for _ in range(2):
        assert run(state, line)


def test_what_cannot_be_is_refused(state: Path) -> None:
    run(state, "cell_v2 create_cell --name second", 1)
    run(state, f"cell_v2 map_instances --cell_uuid {CELL0}", 1)
    run(state, "cell_v2 verify_instance --uuid 11111111-2222-3333-4444-555555555555", 1)


def test_discovery_is_strict_where_no_host_reported(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/nova.sqlite")
    migrate.prepare(db)
    db.dispose()
    run(tmp_path, "cell_v2 discover_hosts")
    run(tmp_path, "cell_v2 discover_hosts --strict", 1)


# --- config check --------------------------------------------------------------------------------------


def checked(path: Path, *more: str, status: int = 0) -> str:
    output = io.StringIO()
    assert main(["config", "check", "--config-file", str(path), *more], output) == status
    return output.getvalue()


def test_a_file_of_kilo_checks_clean() -> None:
    text = checked(Path(__file__).parents[1] / "conf" / "kilo-nova.conf")
    assert "firewall_driver: it has no effect: " in text
    assert text.splitlines()[-1].endswith(" 0 unknown, 0 wrong")


def test_a_slip_of_the_pen_is_found_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nova.conf"
    path.write_text("[DEFAULT]\n\nmy_pi = 10.0.0.1\nvlan_start = lots\n")
    text = checked(path, status=1)
    assert f"unknown  {path}:3: [DEFAULT] my_pi: there is no such option; did you mean my_ip" in text
    assert f"wrong    {path}:4: [DEFAULT] vlan_start: " in text
    assert "2 of 2 options are unknown or wrong" in capsys.readouterr().err


def test_options_that_are_read_are_listed_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "nova.conf"
    path.write_text("[DEFAULT]\nmy_ip = 10.0.0.1\n")
    assert "my_ip" not in checked(path)
    assert "[DEFAULT] my_ip: '10.0.0.1': " in checked(path, "--all")


def test_files_of_a_directory_are_read_in_order(tmp_path: Path) -> None:
    for name, text in (("b.conf", "[DEFAULT]\nbad_b = 1\n"), ("a.conf", "[DEFAULT]\nbad_a = 1\n")):
        (tmp_path / name).write_text(text)
    output = io.StringIO()
    assert main(["config", "check", "--config-dir", str(tmp_path)], output) == 1
    assert output.getvalue().index("bad_a") < output.getvalue().index("bad_b")


def test_a_directory_is_read_on_top_of_the_usual_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, more = tmp_path / "nova.conf", tmp_path / "more"
    more.mkdir()
    usual.write_text("[DEFAULT]\nbad_usual = 1\n")
    (more / "a.conf").write_text("[DEFAULT]\nbad_a = 1\n")
    monkeypatch.setattr("nova.cmd.manage_config._DEFAULT_FILE", str(usual))
    output = io.StringIO()
    assert main(["config", "check", "--config-dir", str(more)], output) == 1
    assert output.getvalue().index("bad_usual") < output.getvalue().index("bad_a")


@pytest.mark.parametrize(
    "text", ["no section and no equals\n", "[DEFAULT\nx = 1\n", "\xff\xfe\x00"], ids=repr
)
def test_what_is_no_configuration_is_refused_in_one_line(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nova.conf"
    path.write_bytes(text.encode("latin-1"))
    checked(path, status=1)
    assert "Traceback" not in capsys.readouterr().err


def test_files_that_are_not_there_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checked(tmp_path / "none.conf", status=1)
    assert "none.conf: there is no such file" in capsys.readouterr().err
