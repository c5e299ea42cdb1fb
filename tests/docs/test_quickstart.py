# SPDX-License-Identifier: Apache-2.0
"""The commands that the documents tell people to type are run, in their order, against a cloud."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.cloud_process import CloudProcess
from tests.api.public_clients import clean_environment, clients_directory
from tests.docs.pages import ROOT, marked_blocks, name_of

#: Documents with a shell session; each gets a cloud of its own.
SESSIONS = [ROOT / "README.md", ROOT / "README.zh.md", ROOT / "docs" / "quickstart.md"]
TESTERS = ROOT / "docs" / "testers" / "index.md"


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A directory with what an installed Nova puts beside its interpreter."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name, module in (("nova-all-in-one", "all_in_one"), ("nova-manage", "manage")):
        program = directory / name
        program.write_text(
            f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m nova.cmd.{module} "$@"\n'
        )
        program.chmod(0o755)
    return directory


@pytest.fixture
def environment(commands: Path) -> dict[str, str]:
    """The environment of somebody who has the clients on the path."""
    path = os.pathsep.join([str(commands), str(clients_directory()), os.environ["PATH"]])
    return dict(clean_environment()) | {"PATH": path}


@pytest.fixture
def directory(environment: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    """Where somebody types: a running cloud has its state in ``state`` below it."""
    running = CloudProcess(
        tmp_path / "state", arguments=["--set", "identity.bcrypt_rounds=4"]
    ).start()
    yield tmp_path
    assert running.stop() == 0, running.log
    assert "Traceback" not in running.log


@pytest.mark.timeout(400)
@pytest.mark.parametrize("document", SESSIONS, ids=name_of)
def test_shell_session_runs(
    document: Path, directory: Path, environment: dict[str, str]
) -> None:
    blocks = [text for file, text in marked_blocks(document) if file is None]
    assert blocks, f"{document} has no block that is marked with <!-- run -->"
    script = "set -eux -o pipefail\n" + "\n".join(blocks)
    done = subprocess.run(
        ["bash", "-c", script], cwd=directory, env=environment, capture_output=True, text=True,
        timeout=380, stdin=subprocess.DEVNULL, check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.mark.timeout(200)
def test_example_for_testers_passes(tmp_path: Path, environment: dict[str, str]) -> None:
    files = [(file, text) for file, text in marked_blocks(TESTERS) if file]
    assert files
    for file, text in files:
        (tmp_path / file).write_text(text)
    done = subprocess.run(
        [str(clients_directory() / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180,
        stdin=subprocess.DEVNULL, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
