# SPDX-License-Identifier: Apache-2.0
"""The whole cloud on a database server: a hundred servers by eight clients, moved, deleted, given back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from nova.db.engine import Database
from tests.api.cloud_process import CloudProcess, wait_for

CLIENTS = 8
SERVERS = 100
#: What is left of nothing, once all servers are deleted.
_GIVEN_BACK = (
    "claims", "virtual_interfaces", "fixed_ips WHERE allocated OR instance_uuid IS NOT NULL",
    "compute_nodes WHERE vcpus_used <> 0 OR memory_mb_used <> 0",
    "project_usages WHERE instances <> 0 OR cores <> 0 OR ram <> 0",
    "operations WHERE state IN ('queued', 'running')", "instances WHERE deleted = 0",
)


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    return new_url()


@pytest.fixture
def cloud(url: str, tmp_path: Path) -> Iterator[CloudProcess]:
    settings = {
        "database.connection": url, "fake.hosts": "4", "identity.bcrypt_rounds": "4",
        "quota.instances": "-1", "quota.cores": "-1", "quota.ram": "-1",
    }
    arguments = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    running = CloudProcess(tmp_path / "state", arguments=arguments)
    yield running.start()
    assert running.stop() == 0, running.log
    assert "Traceback" not in running.log, running.log


def by_clients(work: Callable[[int], None]) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # raised below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def listed(cloud: CloudProcess, query: str = "") -> list[dict[str, Any]]:
    answer = cloud.compute("GET", f"/servers/detail?all_tenants=1{query}", by="admin")
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["servers"]
    return found


@pytest.mark.parametrize("engine", ["mariadb", "postgresql"])
def test_a_cloud_boots_moves_and_deletes_a_hundred_servers(
    cloud: CloudProcess, url: str, engine: str, record_property: Callable[[str, object], None]
) -> None:
    image = cloud.call("compute", "GET", "/v2.1/images").json["images"][0]["id"]
    cloud.login("demo")
    began = time.monotonic()

    def boot(number: int) -> None:
        for index in range(number, SERVERS, CLIENTS):
            answer = cloud.compute("POST", "/servers", {"server": {
                "name": f"größe-{index}", "imageRef": image, "flavorRef": "1", "networks": "auto",
            }})
            assert answer.status == 202, answer.body

    by_clients(boot)
    wait_for(
        lambda: len(listed(cloud, "&status=ACTIVE")) == SERVERS,
        lambda: f"{[each['status'] for each in listed(cloud)]}\n{cloud.log}", timeout=60,
    )
    record_property("boots_per_second", SERVERS / (time.monotonic() - began))
    servers = listed(cloud)
    addresses = [
        each["addr"] for server in servers for cards in server["addresses"].values() for each in cards
    ]
    assert len(addresses) == len(set(addresses)) == SERVERS
    assert {server["name"] for server in servers} == {f"größe-{index}" for index in range(SERVERS)}
    move(cloud, [server["id"] for server in servers[:8]])

    def delete(number: int) -> None:
        for server in servers[number::CLIENTS]:
            answer = cloud.compute("DELETE", f"/servers/{server['id']}")
            assert answer.status == 204, answer.body

    by_clients(delete)
    wait_for(lambda: listed(cloud) == [], lambda: f"{len(listed(cloud))} left\n{cloud.log}", timeout=60)
    check_all_given_back(url)


def move(cloud: CloudProcess, uuids: list[str]) -> None:
    """Cold and live, all at once."""
    hosts = {uuid: cloud.server(uuid)["OS-EXT-SRV-ATTR:host"] for uuid in uuids}

    def start(number: int) -> None:
        body: dict[str, Any] = (
            {"migrate": None} if number % 2
            else {"os-migrateLive": {"host": None, "block_migration": "auto"}}
        )
        answer = cloud.compute("POST", f"/servers/{uuids[number]}/action", body, by="admin")
        assert answer.status == 202, answer.body
        uuid = uuids[number]
        if number % 2:
            cloud.until(uuid, "VERIFY_RESIZE")
            answer = cloud.compute("POST", f"/servers/{uuid}/action", {"confirmResize": None})
            assert answer.status == 204, answer.body
        assert cloud.until(uuid, "ACTIVE")["OS-EXT-SRV-ATTR:host"] != hosts[uuid]

    by_clients(start)


def check_all_given_back(url: str) -> None:
    db = Database(url)

    def held() -> dict[str, int]:
        with db.read() as tx:
            counts = {
                each: int(tx.connection.execute(text(f"SELECT count(*) FROM {each}")).scalar_one())
                for each in _GIVEN_BACK
            }
        return {each: count for each, count in counts.items() if count}

    try:
        # A server is gone from the list when its delete is taken; its host may be at work for it still.
        wait_for(lambda: not held(), lambda: f"{held()}")
    finally:
        db.dispose()
