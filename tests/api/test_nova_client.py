# SPDX-License-Identifier: Apache-2.0
"""Every command of python-novaclient's ``nova``, of today and of 2017, once, against a running cloud."""

from __future__ import annotations

import contextlib
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
OLD_TOUR = Path(__file__).with_name("old_nova_client_tour.py")
_NAMES = """
from novaclient.v2 import shell
print(*(name[3:].replace("_", "-") for name in vars(shell) if name.startswith("do_")))
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the tour printed, of a cloud that is its own: it breaks hosts and removes services."""
    with _cloud(
        tmp_path_factory, "fake.hosts=6", "reclaim_instance_interval=600",
        # Long enough that a live migration can be aborted while it runs.
        "fake.migrate_latency=2",
    ) as running:
        networks = running.compute("GET", "/os-networks", by="admin", version="2.1").json
        images = running.call("image", "GET", "/v2/images?name=nova-test", by="admin").json
        projects = running.call("identity", "GET", "/v3/projects?name=service", by="admin").json
        yield _tour(
            running, TOUR, tmp_path_factory, networks["networks"][0]["id"], images["images"][0]["id"],
            projects["projects"][0]["id"],
        )


@pytest.fixture(scope="module")
def old_outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The same of the client of 2017, and of a cloud whose networks have VLANs."""
    old = clients_directory().parent / "novaclient-7"
    if not old.exists():
        pytest.skip(f"no {old}: run `make .clients/.installed`")
    with _cloud(tmp_path_factory, "network_manager=nova.network.manager.VlanManager") as running:
        names = subprocess.run(
            [str(clients_directory() / "python"), "-W", "ignore", "-c", _NAMES], capture_output=True,
            text=True, timeout=60, env=clean_environment(), check=True,
        )
        yield _tour(running, OLD_TOUR, tmp_path_factory, names.stdout, PYTHONPATH=str(old))


@contextlib.contextmanager
def _cloud(tmp_path_factory: pytest.TempPathFactory, *options: str) -> Iterator[CloudProcess]:
    if not (clients_directory() / "nova").exists():
        pytest.skip(f"no python-novaclient in {clients_directory()}: run `make .clients/.installed`")
    given = [word for each in ("identity.bcrypt_rounds=4", *options) for word in ("--set", each)]
    running = CloudProcess(tmp_path_factory.mktemp("nova") / "state", arguments=given).start()
    try:
        yield running
    finally:
        assert running.stop() == 0, running.log
    assert "Traceback" not in running.log


def _tour(
    running: CloudProcess, tour: Path, tmp_path_factory: pytest.TempPathFactory, *arguments: str,
    **environment: str,
) -> dict[str, Any]:
    done = subprocess.run(
        [str(clients_directory() / "python"), "-W", "ignore", str(tour), *arguments],
        env=clean_environment() | running.environment("admin") | environment, capture_output=True,
        text=True, timeout=240, stdin=subprocess.DEVNULL, check=False, cwd=tmp_path_factory.mktemp("key"),
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    return found


def test_every_command_succeeds_or_is_refused_as_it_should_be(outcome: dict[str, Any]) -> None:
    assert outcome["failures"] == []


def test_no_command_is_left_out(outcome: dict[str, Any]) -> None:
    assert outcome["untried"] == []


def test_what_the_newest_client_no_longer_has_works_with_an_old_one(old_outcome: dict[str, Any]) -> None:
    assert old_outcome["failures"] == []
    assert old_outcome["untried"] == []
