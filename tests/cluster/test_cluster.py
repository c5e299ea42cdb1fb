# SPDX-License-Identifier: Apache-2.0
"""The daemons as processes of their own, over MariaDB and RabbitMQ, through the real API and its faults."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.cluster.cluster import Api, Cluster
from tests.cluster.load import Load, wait_until
from tests.leaks import Snapshot, leaks

pytestmark = pytest.mark.timeout(400)

#: How long what a fault has interrupted may take to come right again.
REPAIR_SECONDS = 90.0
#: Rounds of the faults; ``make cluster-test`` does more.
ROUNDS = int(os.environ.get("CLUSTER_ROUNDS", "1"))


def _boot(api: Api, **more: object) -> str:
    body = {"server": {"name": "größe", "imageRef": api.image_id(), "flavorRef": "1",
                       "networks": "auto", **more}}
    status, answer = api.ask("POST", "/servers", body)
    assert status == 202, answer
    return str(answer["server"]["id"])


def _status(api: Api, uuid: str) -> str:
    status, body = api.ask("GET", f"/servers/{uuid}")
    return str(body["server"]["status"]) if status == 200 else "GONE"


def test_every_daemon_is_listed_as_up(cluster: Cluster) -> None:
    services = cluster.api().get("/os-services")["services"]
    up = {(each["binary"], each["host"]) for each in services if each["state"] == "up"}
    assert {("nova-compute", host) for host in cluster.hosts} <= up
    assert {("nova-conductor", f"controller{n}") for n in (1, 2)} <= up
    assert {("nova-scheduler", f"controller{n}") for n in (1, 2)} <= up


def test_a_server_lives_through_all_that_hosts_do(cluster: Cluster) -> None:
    api = cluster.api()
    uuid = _boot(api)
    assert wait_until(lambda: _status(api, uuid) == "ACTIVE", 30), api.get(f"/servers/{uuid}")
    assert api.ask("POST", f"/servers/{uuid}/action", {"os-getConsoleOutput": {}})[0] == 200
    assert api.ask("GET", f"/servers/{uuid}/diagnostics")[0] == 200
    for action, wanted in (
        ({"os-stop": None}, "SHUTOFF"), ({"os-start": None}, "ACTIVE"),
        ({"resize": {"flavorRef": "2"}}, "VERIFY_RESIZE"), ({"confirmResize": None}, "ACTIVE"),
        ({"os-migrateLive": {"host": None, "block_migration": "auto"}}, "ACTIVE"),
    ):
        status, answer = api.ask("POST", f"/servers/{uuid}/action", action)
        assert status in (202, 204), answer
        assert wait_until(lambda wanted=wanted: _status(api, uuid) == wanted, 30), (
            action, api.get(f"/servers/{uuid}")
        )
    status, answer = api.ask("POST", f"/servers/{uuid}/action", {"createImage": {"name": "snap"}})
    assert status == 202, answer

    def stored() -> bool:
        images = api.ask("GET", "/images?name=snap", base=api.image_base)[1]["images"]
        return bool(images) and images[0]["status"] == "active"

    assert wait_until(stored, 30), cluster.tails()
    assert api.ask("DELETE", f"/servers/{uuid}")[0] == 204
    assert wait_until(lambda: _status(api, uuid) == "GONE", 30)


def test_a_host_reaches_no_database() -> None:
    import subprocess
    import sys

    code = (
        "import sys, nova.daemons.build_host, nova.daemons.process, nova.cmd.compute, nova.virt.fake\n"
        "bad = [m for m in sys.modules if m.startswith(('nova.db', 'sqlalchemy', 'nova.image', 'pymysql'))]\n"
        "sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_one_api_process_changes_the_scheduler_knows(cluster: Cluster) -> None:
    api = cluster.api()
    services = {
        each["host"]: each["id"] for each in api.get("/os-services?binary=nova-compute")["services"]
    }
    for host in cluster.hosts[1:]:
        assert api.ask("PUT", f"/os-services/{services[host]}", {"status": "disabled"})[0] == 200
    try:
        uuids = [_boot(api) for _ in range(6)]
        assert wait_until(lambda: all(_status(api, each) == "ACTIVE" for each in uuids), 30)
        hosts = {
            api.get(f"/servers/{each}")["server"]["OS-EXT-SRV-ATTR:host"] for each in uuids
        }
        assert hosts == {cluster.hosts[0]}
    finally:
        for host in cluster.hosts[1:]:
            api.ask("PUT", f"/os-services/{services[host]}", {"status": "enabled"})
    for each in uuids:
        assert api.ask("DELETE", f"/servers/{each}")[0] == 204


def _settle(cluster: Cluster, load: Load) -> None:
    """Everything accepted comes to its end, and nothing leaks."""
    guests = cluster.directory / "hosts" / "guests"
    began = time.monotonic()
    quiet = wait_until(lambda: Snapshot(cluster.database_url, guests).is_quiet, REPAIR_SECONDS)
    print(f"quiet after {time.monotonic() - began:.1f} s; {len(load.accepted)} servers accepted")
    found: list[str] = []

    def clean() -> bool:
        found[:] = leaks(cluster.database_url, guests)
        return not found

    # Guests that nobody wants any more go with a host's next comparison.
    assert wait_until(clean, 30), f"quiet: {quiet}\n" + "\n".join(found) + "\n" + cluster.tails()
    seen = Snapshot(cluster.database_url, guests)
    lost = load.accepted - load.deleted - seen.instances.keys()
    assert not lost, f"accepted and lost: {lost}"
    assert not load.surprises, load.surprises[:5]


def test_killed_daemons_lose_nothing(cluster: Cluster) -> None:
    with Load(cluster) as load:
        for _ in range(ROUNDS):
            for daemon in cluster.daemons.values():
                daemon.end(signal.SIGKILL)
                time.sleep(0.5)
                daemon.start()
                time.sleep(1.5)
        assert wait_until(lambda: len(load.accepted) > 20, 60)
    cluster.wait_ready()
    _settle(cluster, load)


def test_a_killed_broker_loses_nothing(cluster: Cluster) -> None:
    with Load(cluster) as load:
        for _ in range(ROUNDS):
            assert wait_until(lambda: len(load.accepted) > 5, 60)
            cluster.broker.kill()
            time.sleep(5)
            cluster.broker.start()
            time.sleep(3)
    cluster.wait_ready()
    _settle(cluster, load)


def test_a_killed_database_loses_nothing(cluster: Cluster) -> None:
    with Load(cluster) as load:
        for _ in range(ROUNDS):
            assert wait_until(lambda: len(load.accepted) > 5, 60)
            cluster.database.kill()
            time.sleep(5)
            cluster.database.start()
            time.sleep(5)
    cluster.wait_ready()
    _settle(cluster, load)


def test_daemons_end_cleanly_and_come_back(cluster: Cluster) -> None:
    with Load(cluster) as load:
        for name in ("conductor1", "scheduler1", "node1", "api1"):
            daemon = cluster.daemons[name]
            process = daemon.process
            assert process is not None
            daemon.end(signal.SIGTERM, patience=30)
            assert process.returncode == 0, daemon.log.read_text()[-2000:]
            daemon.start()
            time.sleep(1)
    cluster.wait_ready()
    _settle(cluster, load)
