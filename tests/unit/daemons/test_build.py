# SPDX-License-Identifier: Apache-2.0
"""How the daemons' parts end together."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from nova.conf import load
from nova.daemons import build
from nova.daemons.process import Built
from nova.db import migrate
from nova.db.engine import Database
from nova.http.server import HttpServer
from nova.rpc.transport import InProcessTransport
from nova.volume.tasks import VolumeTasks


class _Broker(InProcessTransport):
    """A transport that notes what it is told."""

    def __init__(self, told: list[str]) -> None:
        super().__init__(1)
        self.told = told

    def hurry(self, patience: float = 0.0) -> None:
        self.told.append(f"hurry {patience:.0f}")

    def dead(self) -> list[str]:
        return ["broker"]

    def close(self, _timeout: float = 10.0) -> None:
        self.told.append("broker closed")
        super().close()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the parts of a daemon were told, in order."""
    noted: list[str] = []

    def note(where: type[Any], name: str, word: str) -> None:
        original = getattr(where, name)

        def noting(self: Any, *arguments: Any) -> Any:
            noted.append(word)
            return original(self, *arguments)

        monkeypatch.setattr(where, name, noting)

    note(HttpServer, "end", "no more accepted")
    note(VolumeTasks, "stop", "tasks ended")
    note(Database, "dispose", "database closed")
    monkeypatch.setattr(build, "control_transport", lambda *_arguments: _Broker(noted))
    return noted


def _volume(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Built, build._Compute, threading.Event]:
    made: list[build._Compute] = []

    class Kept(build._Compute):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(build, "_Compute", Kept)
    db = Database(f"sqlite:///{directory}/nova.sqlite")
    migrate.prepare(db)
    file = directory / "nova.conf"
    file.write_text(
        f"[DEFAULT]\nstate_path = {directory}\ncompute_driver = fake.FakeDriver\n"
        "graceful_shutdown_timeout = 45\n"
    )
    ending = threading.Event()
    return build.build_volume(load([str(file)]), ending), made[0], ending


def test_block_storage_accepts_no_more_before_it_lets_go_of_the_broker(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    built, compute, _ending = _volume(tmp_path, monkeypatch)
    assert list(built.dead()) == []
    compute.operations()
    assert list(built.dead()) == ["broker"]
    built.hurry()
    built.drain(45.0)
    built.close()
    assert told == ["hurry 45", "no more accepted", "tasks ended", "broker closed", "database closed"]


def test_block_storage_that_first_needs_the_broker_at_its_end_hurries_too(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    built, compute, ending = _volume(tmp_path, monkeypatch)
    ending.set()
    built.hurry()
    assert told == []
    compute.operations()
    assert told == ["hurry 45"]
    built.close()
