# SPDX-License-Identifier: Apache-2.0
"""Daemons that die, hang, end and come back under load: nothing that was accepted is lost, and nothing leaks.

``make cluster-test`` does longer rounds than ``make test``: see ``CLUSTER_ROUNDS``.
"""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.load import Load
from tests.cluster.rounds import LONG
from tests.cluster.settling import settle

#: How long daemons are killed at random.
KILL_SECONDS = float(os.environ.get("CLUSTER_KILL_SECONDS", "600" if LONG else "20"))
SEED = int(os.environ.get("CLUSTER_SEED", "7"))

pytestmark = pytest.mark.timeout(1200)


def test_daemons_killed_at_random_lose_nothing(cluster: Cluster) -> None:
    chance = random.Random(SEED)
    names = list(cluster.daemons)
    chance.shuffle(names)
    killed = 0
    with Load(cluster, 4, seed=SEED) as load:
        load.wait_for(5)
        ends = time.monotonic() + KILL_SECONDS
        # Each at least once, in any order; then whom it hits, now and then two at a time.
        while time.monotonic() < ends or names:
            victims = [names.pop()] if names else chance.sample(list(cluster.daemons), chance.choice((1, 1, 2)))
            for name in victims:
                cluster.daemons[name].end(signal.SIGKILL)
                killed += 1
            time.sleep(chance.uniform(0.0, 2.0 if LONG else 0.5))
            for name in victims:
                cluster.daemons[name].start()
            time.sleep(chance.uniform(0.5, 2.0))
        ended = time.monotonic()
    cluster.wait_ready()
    settle(cluster, load, ended, f"{killed} daemons killed within {KILL_SECONDS:.0f} s")
    assert len(load.requests) > 20
