# SPDX-License-Identifier: Apache-2.0
"""The daemons over PostgreSQL: boots, moves and deletes while daemons and the database are killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, free_offset, running
from tests.cluster.conftest import QUICK
from tests.cluster.load import Load
from tests.cluster.rounds import ROUNDS
from tests.cluster.settling import settle
from tests.services.servers import MissingServer

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def postgresql_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory: Path = tmp_path_factory.mktemp("postgresql")
    try:
        with running(
            directory, offset=free_offset(), engine="postgresql", computes=2, options=QUICK
        ) as made:
            yield made
    except MissingServer as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


def test_nothing_is_lost_over_postgresql(postgresql_cluster: Cluster) -> None:
    cluster = postgresql_cluster
    for _ in range(ROUNDS):
        with Load(cluster) as load:
            load.wait_for(10)
            for name in ("conductor1", "node1", "scheduler1", "api1"):
                cluster.daemons[name].end(signal.SIGKILL)
                cluster.daemons[name].start()
                load.wait_for(2)
            cluster.database.kill()
            time.sleep(2)
            cluster.database.start()
            ended = time.monotonic()
            load.wait_for(5)
        cluster.wait_ready()
        settle(cluster, load, ended, "PostgreSQL and daemons over it killed")
