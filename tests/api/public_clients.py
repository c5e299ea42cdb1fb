# SPDX-License-Identifier: Apache-2.0
"""The unmodified public clients, in an environment of their own (``make`` installs it)."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.api.cloud_process import ROOT, CloudProcess

SESSION = Path(__file__).with_name("openstack_session.py")


def clients_directory() -> Path:
    """The directory of the clients' programs; the test is skipped where there is none."""
    named = os.environ.get("NOVA_CLIENTS_BIN")
    directory = Path(named) if named else ROOT / ".clients" / "bin"
    if not (directory / "openstack").exists():
        pytest.skip(f"no openstack client in {directory}: run `make .clients/.installed`")
    return directory


class Result(NamedTuple):
    """What a command line answered."""

    status: int
    output: str
    errors: str

    @property
    def json(self) -> Any:
        return json.loads(self.output)


class Commands:
    """Command lines as one user of a cloud, with the credentials from the cloud's openrc file."""

    def __init__(self, cloud: CloudProcess, who: str) -> None:
        self._directory = clients_directory()
        self.cloud = cloud
        self._environment = clean_environment() | cloud.environment(who)
        self._session: subprocess.Popen[str] | None = None

    def run(self, *arguments: str) -> Result:
        """``openstack ARGUMENTS``, whatever comes of it.

        The client keeps a login and a version for the commands after it; a command with options of
        such has a process of its own.
        """
        if any(each.startswith("--os-") for each in arguments):
            return self.program("openstack", *arguments)
        session = self._open()
        assert session.stdin is not None
        assert session.stdout is not None
        session.stdin.write(json.dumps(arguments) + "\n")
        session.stdin.flush()
        line = session.stdout.readline()
        assert line, f"openstack {arguments} ended the session"
        return Result(*json.loads(line))

    def __call__(self, *arguments: str) -> str:
        """The output of a command that must succeed."""
        result = self.run(*arguments)
        assert result.status == 0, f"openstack {arguments}: {result.errors}"
        return result.output

    def json(self, *arguments: str) -> Any:
        """What a command that must succeed shows, as data."""
        return json.loads(self(*arguments, "-f", "json"))

    def value(self, *arguments: str, column: str = "id") -> str:
        """One column of what a command that must succeed shows."""
        return self(*arguments, "-f", "value", "-c", column).strip()

    def refused(self, *arguments: str) -> str:
        """What a command that must fail complains about."""
        result = self.run(*arguments)
        assert result.status != 0, f"openstack {arguments} was not refused: {result.output}"
        assert "Traceback" not in result.errors
        return result.errors

    def program(self, name: str, *arguments: str, stdin: str | None = None) -> Result:
        """A program of the clients as a process of its own."""
        done = subprocess.run(
            [str(self._directory / name), *arguments], env=self._environment, input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None, capture_output=True, text=True,
            timeout=90, check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def python(self, script: str, *arguments: str, **environment: str) -> Any:
        """Run a script in the clients' interpreter; it prints JSON."""
        done = subprocess.run(
            [str(self._directory / "python"), "-c", script, *arguments],
            env=self._environment | environment, capture_output=True, text=True, timeout=90,
            stdin=subprocess.DEVNULL, check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def __enter__(self) -> Commands:
        return self

    def __exit__(self, *error: object) -> None:
        """End the session."""
        if self._session is not None:
            assert self._session.stdin is not None
            self._session.stdin.close()
            self._session.wait(20)
            self._session = None

    def _open(self) -> subprocess.Popen[str]:
        if self._session is None:
            self._session = subprocess.Popen(
                [str(self._directory / "python"), "-W", "ignore", str(SESSION)],
                env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                cwd=tempfile.gettempdir(),
            )
        return self._session


@contextlib.contextmanager
def servers_of(commands: Commands) -> Iterator[Callable[..., str]]:
    """Makes active servers by ``server create`` and returns their ids; all are deleted at the end."""
    cloud = commands.cloud
    made: list[str] = []

    def create(name: str, *arguments: str, nic: str = "none") -> str:
        uuid = commands.value(
            "server", "create", "--flavor", "m1.tiny", "--image", "nova-test", "--nic", nic,
            *arguments, name,
        )
        made.append(uuid)
        cloud.until(uuid, "ACTIVE")
        return uuid

    yield create
    for uuid in made:
        cloud.compute("POST", f"/servers/{uuid}/action", {"forceDelete": None}, by="admin")
    for uuid in made:
        cloud.until_gone(uuid)


def clean_environment() -> dict[str, str]:
    """This process's environment without what could lead a client elsewhere."""
    kept = {
        name: value for name, value in os.environ.items()
        if not name.startswith(("OS_", "PYTHON")) and "proxy" not in name.lower()
    }
    return kept | {"PYTHONUTF8": "1", "COLUMNS": "200", "PYTHONWARNINGS": "ignore"}
