# SPDX-License-Identifier: Apache-2.0
"""The daemons as processes of their own, over MariaDB and RabbitMQ, through the real API."""

from __future__ import annotations

import pytest

from tests.cluster.cluster import Api, Cluster
from tests.cluster.load import wait_until

pytestmark = pytest.mark.timeout(400)

_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINsrEQ2UJHBsTYQAHFSO9rP5UEu26Wrr0rNhQCAcIMfW someone"


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


def test_what_one_api_process_makes_another_one_knows_at_once(cluster: Cluster) -> None:
    first, second = cluster.api(turn=0), cluster.api(turn=1)
    assert first.base != second.base
    for number in range(5):
        # A token that the first has never seen, of another login, is good at both.
        newer = cluster.api(turn=number % 2)
        name = f"at-once-{number}"
        flavor = {"flavor": {"name": name, "id": name, "ram": 64, "vcpus": 1, "disk": 1}}
        assert first.ask("POST", "/flavors", flavor)[0] == 200
        assert second.ask("GET", f"/flavors/{name}")[0] == 200
        assert name in {each["id"] for each in newer.get("/flavors")["flavors"]}
        pair = {"keypair": {"name": name, "type": "ssh", "public_key": _KEY}}
        assert second.ask("POST", "/os-keypairs", pair)[0] == 201
        assert first.ask("GET", f"/os-keypairs/{name}")[0] == 200
        body = {"server": {"name": name, "imageRef": first.image_id(), "flavorRef": name, "key_name": name,
                           "networks": "auto"}}
        status, answer = second.ask("POST", "/servers", body)
        assert status == 202, answer
        assert first.ask("GET", f"/servers/{answer['server']['id']}")[0] == 200
        assert first.ask("DELETE", f"/servers/{answer['server']['id']}")[0] == 204
        assert first.ask("DELETE", f"/os-keypairs/{name}")[0] == 204
        assert second.ask("GET", f"/os-keypairs/{name}")[0] == 404
        assert second.ask("DELETE", f"/flavors/{name}")[0] == 202
