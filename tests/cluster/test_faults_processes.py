# SPDX-License-Identifier: Apache-2.0
"""Daemons that die, hang, end and come back under load: nothing that was accepted is lost, and nothing leaks.

``make cluster-test`` does longer rounds than ``make test``: see ``CLUSTER_ROUNDS``.
"""

from __future__ import annotations

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cluster.cluster import Cluster, Daemon
from tests.cluster.load import Load, wait_until
from tests.cluster.rounds import LONG, ROUNDS, SEED
from tests.cluster.settling import settle

#: How long daemons are killed at random.
KILL_SECONDS = float(os.environ.get("CLUSTER_KILL_SECONDS", "600" if LONG else "12"))

pytestmark = [pytest.mark.timeout(1200), pytest.mark.usefixtures("renewed_after_a_failure")]


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
            victims = chance.sample(list(cluster.daemons), chance.choice((1, 1, 2)))
            if names:
                victims, names = names[:1 if LONG else 2], names[1 if LONG else 2:]
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


def test_a_conductor_that_hangs_in_the_middle_loses_nothing(cluster: Cluster) -> None:
    """It holds locks and leases, and goes on later with what it had read before: two work on the same."""
    seconds = 45 if LONG else 5
    for number in range(1, 1 + ROUNDS):
        process = cluster.daemons[f"conductor{1 + number % 2}"].process
        assert process is not None
        with Load(cluster, 4, seed=number) as load:
            load.wait_for(15)
            for _ in range(3):
                process.send_signal(signal.SIGSTOP)
                time.sleep(seconds / 3)
                process.send_signal(signal.SIGCONT)
                time.sleep(0.5)
            ended = time.monotonic()
            load.wait_for(5)
        settle(cluster, load, ended, f"a conductor stood still for {seconds} s in all")


def _groups(cluster: Cluster) -> list[list[Daemon]]:
    """Daemons that are restarted together: one at a time, or, in the short round, one of each kind."""
    daemons = list(cluster.daemons.values())
    if LONG:
        return [[each] for each in daemons]
    firsts = [each for each in daemons if each.name[-1] in "13"]
    return [firsts, [each for each in daemons if each not in firsts]]


def _restart(cluster: Cluster, group: list[Daemon]) -> None:
    """End them as an upgrade does; each is started again as soon as it has ended, as systemd does."""
    ready = {each.name: each.lines(" is ready") for each in group}
    for each in group:
        assert each.process is not None
        each.process.send_signal(signal.SIGTERM)
    ending, deadline = list(group), time.monotonic() + 90
    while ending:
        assert time.monotonic() < deadline, [each.name for each in ending]
        for each in [each for each in ending if not each.is_alive]:
            assert each.process is not None
            assert each.process.returncode == 0, each.log.read_text()[-2000:]
            each.start()
            ending.remove(each)
        time.sleep(0.05)
    for each in group:
        assert wait_until(lambda d=each: d.lines(" is ready") > ready[d.name], 60), cluster.tails()


def test_a_rolling_restart_fails_no_request(cluster: Cluster) -> None:
    for _ in range(ROUNDS):
        with Load(cluster) as load:
            load.wait_for(5)
            for group in _groups(cluster):
                _restart(cluster, group)
            ended = time.monotonic()
            load.wait_for(5)
        cluster.wait_ready()
        settle(cluster, load, ended, "rolling restart of all daemons")
        # Identity and image services are one process each; a refused login is asked for again.
        failed = {
            f"{kind} {how}": count for (kind, how), count in load.answers.items()
            if how in (500, 502, 503, "broken", "failed")
        }
        assert not failed, failed


def test_an_api_that_ends_waits_for_a_host_that_is_coming_back(cluster: Cluster) -> None:
    api, other = cluster.api(), cluster.api(turn=1)
    host, face = cluster.daemons["node1"], cluster.daemons["api1"]
    body = {"server": {"name": "waits", "imageRef": api.image_id(), "flavorRef": "1", "networks": "auto",
                       "availability_zone": "nova:node1"}}
    status, answer = api.ask("POST", "/servers", body)
    assert status == 202, answer
    server = f"/servers/{answer['server']['id']}"
    assert wait_until(lambda: other.get(server)["server"]["status"] == "ACTIVE", 60), cluster.tails()
    assert host.end()
    with ThreadPoolExecutor(1) as pool:
        attached = pool.submit(api.ask, "POST", f"{server}/os-interface", {"interfaceAttachment": {}})
        assert wait_until(lambda: len(other.get(f"{server}/os-interface")["interfaceAttachments"]) == 2, 30)
        assert face.process is not None
        face.process.send_signal(signal.SIGTERM)
        # Longer than an answer is waited for without a broker.
        time.sleep(5.0)
        host.start()
        status, answer = attached.result(120)
    assert status == 200, (answer, cluster.tails())
    assert face.process.wait(60) == 0
    face.start()
    assert other.ask("DELETE", server)[0] == 204
    cluster.wait_ready()


def test_options_of_the_log_are_read_again_under_way(cluster: Cluster) -> None:
    told, detail = "has read its log options", " placed on host "
    daemon = cluster.daemons["scheduler1"]
    conf = cluster.directory / "conf" / "scheduler1.conf"
    text = conf.read_text()
    with Load(cluster) as load:
        load.wait_for(5)
        for written in (text.replace("verbose = True", "verbose = False"), text):
            conf.write_text(written)
            seen = {each.name: each.lines(told) for each in cluster.daemons.values()}
            for each in cluster.daemons.values():
                assert each.process is not None
                each.process.send_signal(signal.SIGHUP)
            for each in cluster.daemons.values():
                assert wait_until(lambda d=each, n=seen[each.name]: d.lines(told) > n, 30), each.name
            load.wait_for(5)
        assert wait_until(lambda: detail in daemon.log.read_text().rpartition(told)[2], 30)
        ended = time.monotonic()
    assert detail not in daemon.log.read_text().split(told)[-2]
    assert all(each.is_alive for each in cluster.daemons.values())
    settle(cluster, load, ended, "SIGHUP to all daemons")
    assert not any(how in (500, 503, "broken", "refused", "failed") for _kind, how in load.answers)
