# SPDX-License-Identifier: Apache-2.0
"""The table of managers, the installed programs, and what a daemon builds, agree."""

from __future__ import annotations

import importlib
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nova.conf import Config, load
from nova.daemons import process
from nova.db import migrate
from nova.db.engine import Database
from nova.rpc.envelope import CONTROL
from nova.rpc.keys import new_key, write_key
from nova.service import MANAGERS, Service

ROOT = Path(__file__).parents[3]
#: Programs that end by themselves, and the cloud in one process.
_NO_DAEMONS = {"nova-all-in-one", "nova-bootstrap", "nova-dhcpbridge", "nova-manage", "nova-status"}

Build = Callable[[Config, threading.Event], process.Built]


def _scripts() -> dict[str, str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        found: dict[str, str] = tomllib.load(file)["project"]["scripts"]
    return found


def test_every_installed_daemon_is_in_the_table_and_no_other() -> None:
    assert sorted(MANAGERS) == sorted(_scripts().keys() - _NO_DAEMONS)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Of a machine that has a database and its keys, and no broker."""
    directory = tmp_path_factory.mktemp("machine")
    (directory / "hosts").mkdir()
    write_key(directory / "control.key", new_key(CONTROL))
    write_key(directory / "hosts" / "node1.key", new_key("node1"))
    url = f"sqlite:///{directory}/nova.sqlite"
    db = Database(url)
    migrate.prepare(db)
    db.dispose()
    return load(overrides={
        ("DEFAULT", "state_path"): str(directory), ("DEFAULT", "host"): "node1",
        ("DEFAULT", "compute_driver"): "fake.FakeDriver", ("DEFAULT", "fake_network"): True,
        ("database", "connection"): url,
        ("host_identity", "control_key_file"): str(directory / "control.key"),
        ("host_identity", "key_directory"): str(directory / "hosts"),
        ("oslo_messaging_rabbit", "rabbit_hosts"): "127.0.0.1:1",
    })


def _entry(binary: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Build]:
    """The name and the builder that a program hands to what runs daemons."""
    handed: list[tuple[str, Build]] = []

    def run(name: str, _purpose: str, build: Build, _argv: Any = None) -> int:
        handed.append((name, build))
        return 0

    monkeypatch.setattr(process, "run", run)
    module, _, function = _scripts()[binary].partition(":")
    assert getattr(importlib.import_module(module), function)([]) == 0
    (found,) = handed
    return found


@pytest.mark.parametrize("binary", MANAGERS)
def test_a_daemon_is_built_with_the_manager_of_the_table(
    binary: str, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = Service.create(binary=binary).manager
    made: list[object] = []
    begin = manager.__init__

    def note(self: object, *arguments: Any, **options: Any) -> None:
        if type(self) is manager:
            made.append(self)
        begin(self, *arguments, **options)

    monkeypatch.setattr(manager, "__init__", note)
    name, build = _entry(binary, monkeypatch)
    assert name == binary
    built = build(config, threading.Event())
    built.close()
    assert made, f"{binary} is built without a {manager.__name__}"
