# SPDX-License-Identifier: Apache-2.0
"""One cluster for the tests of this directory: 2 of each control daemon, 4 compute hosts, behind proxies.

On the hosts are the metadata services and the proxies of consoles, too. nova-network needs a network of its
own: it is killed and restarted in tests/network/test_daemon.py.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, free_offset, running
from tests.cluster.rounds import LONG
from tests.services.servers import MissingServer

#: Room for every load, and logs and files that tell what became of it. No times: these are as in operation.
ROOM = (
    "quota.instances = -1", "quota.cores = -1", "quota.ram = -1", "volume.backend = files",
    "volume.quota_volumes = -1", "verbose = True",
)
#: Leases and reports short enough for a fault round of a minute; the rest is as in operation.
QUICK = (
    *ROOM, "conductor.lease_seconds = 15", "conductor.recovery_interval = 3", "volume.task_lease = 15",
    "report_interval = 3", "service_down_time = 30",
    *(() if LONG else ("oslo_messaging_rabbit.heartbeat_timeout_threshold = 4",)),
    "sync_power_state_interval = 5", "rpc_response_timeout = 15", "graceful_shutdown_timeout = 30",
)


class _Renewable:
    """The cluster of all tests, which can be made anew: every test keeps the same object."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._closing = contextlib.ExitStack()
        self._made = 0
        self.cluster = self._start()

    def renew(self) -> None:
        """Throw all of it away and start another one, with directories of its own."""
        # What of a broken one does not end in order keeps no new one from coming.
        with contextlib.suppress(Exception):
            self._closing.close()
        fresh = self._start()
        vars(self.cluster).clear()
        vars(self.cluster).update(vars(fresh))

    def close(self) -> None:
        """End it."""
        self._closing.close()

    def _start(self) -> Cluster:
        self._made += 1
        return self._closing.enter_context(running(
            self._directory / f"cluster{self._made}", offset=free_offset(), proxied=True, computes=4, apis=2,
            conductors=2, schedulers=2, options=QUICK, faces=True,
        ))


@pytest.fixture(scope="session")
def renewable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Renewable]:
    try:
        made = _Renewable(tmp_path_factory.mktemp("clusters"))
    except MissingServer as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    yield made
    made.close()


@pytest.fixture(scope="session")
def cluster(renewable: _Renewable) -> Cluster:
    return renewable.cluster


@pytest.fixture
def renewed_after_a_failure(request: pytest.FixtureRequest, renewable: _Renewable) -> Iterator[None]:
    """What a fault lost or broke fails its own test alone: the next one has a fresh cluster."""
    failed = request.session.testsfailed
    yield
    over = request.session.shouldfail or request.session.shouldstop
    if (request.session.testsfailed > failed or not renewable.cluster.is_whole) and not over:
        renewable.renew()
