# SPDX-License-Identifier: Apache-2.0
"""One cluster for the tests of this directory: 2 of each control daemon, 4 compute hosts, behind proxies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, free_offset, running
from tests.cluster.rounds import LONG
from tests.services.servers import MissingServer

#: Leases and reports short enough for a fault round of a minute; the rest is as in operation.
QUICK = (
    "quota.instances = -1", "quota.cores = -1", "quota.ram = -1", "conductor.lease_seconds = 15",
    "conductor.recovery_interval = 3", "report_interval = 3", "service_down_time = 30",
    "verbose = True", *(() if LONG else ("oslo_messaging_rabbit.heartbeat_timeout_threshold = 4",)),
    "sync_power_state_interval = 5", "rpc_response_timeout = 15", "graceful_shutdown_timeout = 10",
)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory: Path = tmp_path_factory.mktemp("cluster")
    try:
        with running(
            directory, offset=free_offset(), proxied=True, computes=4, apis=2, conductors=2, schedulers=2,
            options=QUICK,
        ) as made:
            yield made
    except MissingServer as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
