# SPDX-License-Identifier: Apache-2.0
"""A running cloud, and the public clients that drive it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.api.cloud_process import CloudProcess
from tests.api.public_clients import Commands, servers_of

FAST = ("--set", "identity.bcrypt_rounds=4")


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    """One all-in-one cloud with four simulated hosts, for all tests that leave it as it was."""
    yield from _running(tmp_path_factory, FAST)


@pytest.fixture(scope="session")
def older_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    """The same without a network endpoint: nova-network as older clients know it."""
    yield from _running(tmp_path_factory, [*FAST, "--no-network-endpoint"])


def _running(
    directories: pytest.TempPathFactory, arguments: Sequence[str]
) -> Iterator[CloudProcess]:
    running = CloudProcess(directories.mktemp("cloud") / "state", arguments=arguments)
    yield running.start()
    assert running.stop() == 0, running.log
    assert "Traceback" not in running.log


@pytest.fixture(scope="session")
def demo(cloud: CloudProcess) -> Iterator[Commands]:
    """``openstack`` as a plain member."""
    with Commands(cloud, "demo") as commands:
        yield commands


@pytest.fixture(scope="session")
def admin(cloud: CloudProcess) -> Iterator[Commands]:
    """``openstack`` as the administrator."""
    with Commands(cloud, "admin") as commands:
        yield commands


@pytest.fixture(scope="session")
def older_demo(older_cloud: CloudProcess) -> Iterator[Commands]:
    """``openstack`` as a plain member where there is no network endpoint."""
    with Commands(older_cloud, "demo") as commands:
        yield commands


@pytest.fixture
def boot(demo: Commands) -> Iterator[Callable[..., str]]:
    """Makes an active server of the member and returns its id; all are deleted after the test."""
    with servers_of(demo) as create:
        yield create


@pytest.fixture
def older_boot(older_demo: Commands) -> Iterator[Callable[..., str]]:
    """The same where there is no network endpoint."""
    with servers_of(older_demo) as create:
        yield create
