# SPDX-License-Identifier: Apache-2.0
"""The daemons over PostgreSQL and brokers that speak TLS: boots, moves and deletes while these are killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, free_offset, running
from tests.cluster.conftest import QUICK
from tests.cluster.load import Load, wait_until
from tests.cluster.rounds import LONG, ROUNDS
from tests.cluster.settling import serves, settle
from tests.services.servers import MissingServer

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def postgresql_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory: Path = tmp_path_factory.mktemp("postgresql")
    try:
        with running(
            directory, offset=free_offset(), engine="postgresql", computes=2, options=QUICK,
            tls_brokers=3 if LONG else 1,
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


def test_daemons_start_before_their_database_and_their_broker(postgresql_cluster: Cluster) -> None:
    cluster = postgresql_cluster
    assert cluster.brokers is not None
    daemons = list(cluster.daemons.values())
    for daemon in daemons:
        daemon.end(signal.SIGKILL)
    cluster.database.kill()
    for broker in cluster.brokers.nodes:
        broker.kill()

    def said(words: str) -> dict[str, int]:
        return {each.name: each.lines(words) for each in daemons}

    def waits() -> bool:
        """Whether each has said what it misses: hosts the broker, all others the database first."""
        database, link = said("waiting for the database"), said("waiting for the broker")
        return all(
            link[name] > links[name] if name in cluster.hosts else database[name] > databases[name]
            for name in cluster.daemons
        )

    databases, links = said("waiting for the database"), said("waiting for the broker")
    ready = said(" is ready")
    cluster.start()
    assert wait_until(waits, 90), cluster.tails()
    assert all(each.is_alive for each in daemons), cluster.tails()
    control = [each.name for each in daemons if each.name not in cluster.hosts]
    assert {name: said(" is ready")[name] for name in control} == {name: ready[name] for name in control}
    cluster.database.start()
    cluster.brokers.start()
    assert wait_until(lambda: all(count > ready[name] for name, count in said(" is ready").items()), 90), (
        cluster.tails()
    )
    serves(cluster)


def test_one_of_several_brokers_that_speak_tls_may_be_away(postgresql_cluster: Cluster) -> None:
    """All of the above went by TLS, past an address where nobody is; here a broker dies under the daemons."""
    cluster = postgresql_cluster
    assert cluster.brokers is not None
    for broker in cluster.brokers.nodes:
        with Load(cluster) as load:
            load.wait_for(10)
            broker.kill()
            if LONG:
                load.wait_for(40)
            broker.start()
            ended = time.monotonic()
            load.wait_for(5)
        cluster.wait_ready()
        settle(cluster, load, ended, "a broker that speaks TLS killed")
    for daemon in cluster.daemons.values():
        # Each has tried the address where nobody is sooner or later, or had luck; all came to a broker.
        known = {f"connected to the broker 127.0.0.1:{each.port}" for each in cluster.brokers.nodes}
        if daemon.name.startswith(("api", "conductor", "scheduler", "node")):
            assert any(daemon.lines(words) for words in known), daemon.name
    connections = cluster.brokers.nodes[0].control("list_connections", "ssl", "peer_port").splitlines()
    assert {line.split()[0] for line in connections if line.split()[0] in ("true", "false")} <= {"true"}
    assert LONG or len(connections) >= len(cluster.hosts)
