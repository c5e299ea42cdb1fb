# SPDX-License-Identifier: Apache-2.0
"""A running cloud, and the public clients that drive it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.api.cloud_process import CloudProcess
from tests.api.public_clients import Commands


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    """One all-in-one cloud with four simulated hosts, for all tests that leave it as it was."""
    running = CloudProcess(
        tmp_path_factory.mktemp("cloud") / "state", arguments=["--set", "identity.bcrypt_rounds=4"]
    )
    yield running.start()
    assert running.stop() == 0, running.log
    assert "Traceback" not in running.log


@pytest.fixture(scope="session")
def demo(cloud: CloudProcess) -> Iterator[Commands]:
    """``openstack`` as a plain member."""
    commands = Commands(cloud, "demo")
    yield commands
    commands.close()


@pytest.fixture(scope="session")
def admin(cloud: CloudProcess) -> Iterator[Commands]:
    """``openstack`` as the administrator."""
    commands = Commands(cloud, "admin")
    yield commands
    commands.close()


@pytest.fixture()
def boot(cloud: CloudProcess, demo: Commands) -> Iterator[Callable[..., str]]:
    """Makes an active server of the member and returns its id; all are deleted after the test."""
    made: list[str] = []

    def create(name: str, *arguments: str, nic: str = "none") -> str:
        uuid = demo.value(
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
