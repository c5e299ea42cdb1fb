# SPDX-License-Identifier: Apache-2.0
"""The unit tests of the stores, run once more on each server.

They ask tests/databases.py for their database, which follows an environment variable.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import VARIABLE
from tests.services.conftest import Servers

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("tests/unit/db", "tests/unit/network", "tests/unit/api_network")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", ["mariadb", "postgresql"])
def test_the_stores_do_the_same_on_a_server(engine: str, database_servers: Servers) -> None:
    url = database_servers.get(engine).url("units")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *ROOMS],
        cwd=ROOT, env=os.environ | {VARIABLE: url}, capture_output=True, text=True, timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
