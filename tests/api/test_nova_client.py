# SPDX-License-Identifier: Apache-2.0
"""Every command of python-novaclient's ``nova``, once, against a running cloud."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.api.cloud_process import CloudProcess
from tests.api.public_clients import clean_environment, clients_directory

#: The first test waits for the whole tour.
pytestmark = pytest.mark.timeout(300)

TOUR = Path(__file__).with_name("nova_client_tour.py")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the tour printed, of a cloud that is its own: it breaks hosts and removes services."""
    directory = clients_directory()
    if not (directory / "nova").exists():
        pytest.skip(f"no python-novaclient in {directory}: run `make .clients/.installed`")
    running = CloudProcess(
        tmp_path_factory.mktemp("nova") / "state",
        arguments=[
            "--set", "identity.bcrypt_rounds=4", "--set", "fake.hosts=6",
            # Long enough that a live migration can be aborted while it runs.
            "--set", "fake.migrate_latency=2", "--set", "reclaim_instance_interval=600",
        ],
    ).start()
    try:
        networks = running.compute("GET", "/os-networks", by="admin", version="2.1").json
        images = running.call("image", "GET", "/v2/images?name=nova-test", by="admin").json
        done = subprocess.run(
            [
                str(directory / "python"), "-W", "ignore", str(TOUR),
                networks["networks"][0]["id"], images["images"][0]["id"],
            ],
            env=clean_environment() | running.environment("admin"), capture_output=True,
            text=True, timeout=240, stdin=subprocess.DEVNULL, check=False,
            cwd=tmp_path_factory.mktemp("key"),
        )
        assert done.returncode == 0, done.stderr
        yield msgspec.json.decode(done.stdout)
    finally:
        assert running.stop() == 0, running.log
    assert "Traceback" not in running.log


def test_every_command_succeeds_or_is_refused_as_it_should_be(outcome: dict[str, Any]) -> None:
    assert outcome["failures"] == []


def test_no_command_is_left_out(outcome: dict[str, Any]) -> None:
    assert outcome["untried"] == []
