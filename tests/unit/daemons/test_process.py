# SPDX-License-Identifier: Apache-2.0
"""A daemon's command line, its signals to systemd, its units."""

from __future__ import annotations

import argparse
import re
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nova import __version__
from nova.cmd import all_in_one
from nova.cmd.manage import build_parser as build_manage
from nova.cmd.status import build_parser as build_status
from nova.daemons import process
from nova.daemons.notify import notify, watchdog_seconds
from nova.daemons.process import config_files, parser
from nova.daemons.unit import Units
from nova.http.admin_listener import DEFAULT_PORTS
from nova.service import MANAGERS, PeriodicTask, Service


def test_every_binary_has_its_manager() -> None:
    for binary, (topic, _path) in MANAGERS.items():
        made = Service.create(binary=binary)
        assert (made.binary, made.topic) == (binary, topic)
        assert Service.create(binary=binary, topic="other").topic == "other"
    with pytest.raises(LookupError, match="nova-compute"):
        Service.create(binary="nova-cells")


def test_files_and_directories_are_read_in_their_order(tmp_path: Path) -> None:
    for name in ("b.conf", "a.conf", "c.txt"):
        (tmp_path / name).touch()
    arguments = parser("nova-compute", "").parse_args(
        ["--config-file", "/x.conf", "--config-file", "/y.conf", "--config-dir", str(tmp_path), "-v", "-d"]
    )
    assert config_files(arguments) == [
        "/x.conf", "/y.conf", str(tmp_path / "a.conf"), str(tmp_path / "b.conf")
    ]
    assert arguments.verbose
    assert arguments.debug


def test_a_directory_comes_on_top_of_the_usual_file_and_has_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usual, more = tmp_path / "nova.conf", tmp_path / "more"
    more.mkdir()
    (more / "a.conf").touch()
    monkeypatch.setattr(process, "DEFAULT_FILES", (str(usual),))
    arguments = parser("nova-compute", "").parse_args(["--config-dir", str(more)])
    assert config_files(arguments) == [str(more / "a.conf")]
    usual.touch()
    assert config_files(arguments) == [str(usual), str(more / "a.conf")]
    missing = str(tmp_path / "missing")
    assert process.run("nova-compute", "", lambda *_: pytest.fail("built"), ["--config-dir", missing]) == 1
    assert f"--config-dir {missing}: there is no such directory" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_periodic_work_whose_thread_died_is_told_of() -> None:
    class Unit:
        def __init__(self, *tasks: PeriodicTask) -> None:
            self._tasks = tasks

        def start(self) -> None:
            """Nothing."""

        def tasks(self) -> Sequence[PeriodicTask]:
            return self._tasks

        def stop(self) -> None:
            """Nothing."""

    died = threading.Event()

    def die() -> None:
        died.set()
        raise SystemExit

    # What fails comes again, and what is never to be done has no thread to lose.
    units = Units([Unit(PeriodicTask("never", 0, die), PeriodicTask("fails", 0.01, lambda: 1 / 0))])
    units.start()
    assert units.dead() == []
    units.stop()
    units = Units([Unit(PeriodicTask("dies", 0.01, die))])
    units.start()
    assert died.wait(30)
    for _ in range(600):
        if units.dead():
            break
        threading.Event().wait(0.05)
    assert units.dead() == ["periodic"]
    units.end_tasks()
    assert units.dead() == []


def test_every_daemon_tells_its_figures_at_a_port_of_its_own() -> None:
    assert set(MANAGERS) <= set(DEFAULT_PORTS)
    assert len(set(DEFAULT_PORTS.values())) == len(DEFAULT_PORTS)
    table = (Path(__file__).parents[3] / "docs/operators/monitoring.md").read_text()
    for binary in MANAGERS:
        assert re.search(rf"\| {binary} \| {DEFAULT_PORTS[binary]} ", table), binary


def test_systemd_is_told_where_it_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        assert notify("READY=1")
        assert listener.recv(100) == b"READY=1"
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert watchdog_seconds() == 30.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_seconds() is None


def test_units_end_in_reverse_and_one_that_fails_keeps_no_other() -> None:
    told: list[str] = []

    class Unit:
        def __init__(self, name: str, fails: bool = False) -> None:
            self.name, self.fails = name, fails

        def start(self) -> None:
            told.append(f"+{self.name}")

        def tasks(self) -> Sequence[PeriodicTask]:
            return ()

        def stop(self) -> None:
            told.append(f"-{self.name}")
            if self.fails:
                raise OSError("no")

    units = Units([Unit("a"), Unit("b", fails=True)])
    units.start()
    units.stop()
    assert told == ["+a", "+b", "-b", "-a"]


@pytest.mark.parametrize("command", [
    build_manage, build_status, all_in_one.parser, lambda: parser("nova-compute", ""),
])
def test_every_command_tells_its_version(
    command: Callable[[], argparse.ArgumentParser], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command().parse_args(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == __version__
