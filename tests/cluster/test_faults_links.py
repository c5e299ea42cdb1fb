# SPDX-License-Identifier: Apache-2.0
"""The broker and the database under load: killed, slow, silent. Nothing that was accepted is lost."""

from __future__ import annotations

import time

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.load import Load
from tests.cluster.rounds import LONG, ROUNDS
from tests.cluster.settling import settle

pytestmark = [pytest.mark.timeout(1200), pytest.mark.usefixtures("renewed_after_a_failure")]


def test_a_killed_broker_loses_nothing(cluster: Cluster) -> None:
    seconds = 30 if LONG else 4
    for _ in range(ROUNDS):
        with Load(cluster) as load:
            load.wait_for(10)
            cluster.broker.kill()
            time.sleep(seconds)
            cluster.broker.start()
            ended = time.monotonic()
            load.wait_for(5)
        cluster.wait_ready()
        settle(cluster, load, ended, f"broker killed for {seconds} s")


def test_connections_to_the_broker_that_are_cut_without_a_word_lose_nothing(cluster: Cluster) -> None:
    for _ in range(ROUNDS):
        with Load(cluster) as load:
            load.wait_for(10)
            # What is under way over them is lost, and no end hears of it. New connections work.
            cluster.broker_link.tell("forget")
            ended = time.monotonic()
            load.wait_for(15)
        settle(cluster, load, ended, "connections to the broker forgotten")


def test_a_network_to_the_broker_that_carries_nothing_for_a_while_loses_nothing(cluster: Cluster) -> None:
    seconds = 45 if LONG else 3
    for _ in range(ROUNDS):
        with Load(cluster) as load:
            load.wait_for(10)
            cluster.broker_link.tell("hold")
            time.sleep(seconds)
            cluster.broker_link.tell("pass")
            ended = time.monotonic()
            load.wait_for(5)
        settle(cluster, load, ended, f"network to the broker silent for {seconds} s")


def test_a_killed_database_loses_nothing(cluster: Cluster) -> None:
    seconds = 30 if LONG else 4
    for _ in range(ROUNDS):
        with Load(cluster) as load:
            load.wait_for(10)
            cluster.database.kill()
            time.sleep(seconds)
            cluster.database.start()
            ended = time.monotonic()
            load.wait_for(5)
        cluster.wait_ready()
        settle(cluster, load, ended, f"database killed for {seconds} s")


def test_a_slow_database_loses_nothing(cluster: Cluster) -> None:
    seconds, milliseconds = (60, 100) if LONG else (5, 30)
    for _ in range(ROUNDS):
        with Load(cluster) as load:
            load.wait_for(5)
            # Each statement and each answer is that much later: a boot asks a dozen.
            cluster.database_link.tell(f"delay {milliseconds}")
            time.sleep(seconds)
            load.wait_for(3)
            cluster.database_link.tell("delay 0")
            ended = time.monotonic()
        settle(cluster, load, ended, f"each way to the database takes {milliseconds} ms more for {seconds} s")


@pytest.mark.skipif(not LONG, reason="takes a minute: make cluster-test")
@pytest.mark.parametrize("fault", ["hold", "forget", "refuse"])
def test_a_network_to_the_database_that_fails_loses_nothing(cluster: Cluster, fault: str) -> None:
    with Load(cluster) as load:
        load.wait_for(10)
        cluster.database_link.tell(fault)
        ended = time.monotonic()
        if fault != "forget":
            time.sleep(20)
            cluster.database_link.tell("pass")
            ended = time.monotonic()
        load.wait_for(10)
    cluster.wait_ready()
    settle(cluster, load, ended, f"network to the database: {fault}")
