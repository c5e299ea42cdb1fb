# SPDX-License-Identifier: Apache-2.0
"""Faults where all leases, intervals and timeouts are what they are without being set (make cluster-test)."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Cluster, free_offset, running
from tests.cluster.conftest import ROOM
from tests.cluster.load import Load
from tests.cluster.rounds import LONG, SEED
from tests.cluster.settling import settle

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not LONG, reason="leases of operation take minutes: make cluster-test"),
]


@pytest.fixture(scope="module")
def as_installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(
        tmp_path_factory.mktemp("defaults"), offset=free_offset(), proxied=True, computes=4, apis=2,
        conductors=2, schedulers=2, options=ROOM, faces=True,
    ) as made:
        yield made


def test_daemons_killed_one_by_one_and_at_once(as_installed: Cluster) -> None:
    cluster, chance = as_installed, random.Random(SEED)
    with Load(cluster, 4, seed=SEED) as load:
        load.wait_for(20)
        for name in chance.sample(list(cluster.daemons), len(cluster.daemons)):
            cluster.daemons[name].end(signal.SIGKILL)
            time.sleep(chance.uniform(0.0, 1.0))
            cluster.daemons[name].start()
            time.sleep(chance.uniform(0.5, 2.0))
        load.wait_for(20)
        for daemon in cluster.daemons.values():
            daemon.end(signal.SIGKILL)
        cluster.start()
        ended = time.monotonic()
    cluster.wait_ready()
    settle(cluster, load, ended, "all killed one by one, then at once; default leases")


@pytest.mark.parametrize("end", ["broker", "database"])
def test_connections_that_are_cut_without_a_word(as_installed: Cluster, end: str) -> None:
    cluster = as_installed
    link = cluster.broker_link if end == "broker" else cluster.database_link
    with Load(cluster, 4, seed=SEED) as load:
        load.wait_for(20)
        link.tell("forget")
        ended = time.monotonic()
        load.wait_for(15)
    settle(cluster, load, ended, f"connections to the {end} forgotten; default leases")


def test_a_host_is_killed_in_the_middle_and_a_conductor_hangs(as_installed: Cluster) -> None:
    cluster = as_installed
    conductor = cluster.daemons["conductor1"].process
    assert conductor is not None
    with Load(cluster, 4, seed=SEED) as load:
        load.wait_for(20)
        conductor.send_signal(signal.SIGSTOP)
        cluster.daemons["node1"].end(signal.SIGKILL)
        time.sleep(20)
        cluster.daemons["node1"].start()
        conductor.send_signal(signal.SIGCONT)
        ended = time.monotonic()
        load.wait_for(5)
    settle(cluster, load, ended, "a host killed and a conductor hung for 20 s; default leases")
