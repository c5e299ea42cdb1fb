# SPDX-License-Identifier: Apache-2.0
"""Parallel requests of one project get exactly its quota of each resource, on a database server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any

import pytest

from tests.api.cloud_process import Answer, CloudProcess
from tests.services.conftest import Servers
from tests.services.test_cloud import CLIENTS, by_clients

ROOM = 5
REQUESTS = 3
#: A number for each request of a race.
NUMBERS = {
    f"n{client}-{each}": client * REQUESTS + each for client in range(CLIENTS) for each in range(REQUESTS)
}
NAMED = ("key_pairs", "server_groups", "security_groups", "security_group_rules", "floating_ips")


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def cloud(
    request: pytest.FixtureRequest, database_servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CloudProcess]:
    url = database_servers.get(request.param).url("nova_quota_races")
    settings = {"database.connection": url, "identity.bcrypt_rounds": "4"}
    settings |= {f"quota.{name}": str(ROOM) for name in NAMED}
    arguments = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    running = CloudProcess(tmp_path_factory.mktemp("races") / "state", arguments=arguments)
    yield running.start()
    assert running.stop() == 0, running.log


def race(ask: Callable[[str], Answer]) -> Counter[int]:
    """The statuses of requests that come together; ``ask`` gets a name for each."""
    lock, statuses = Lock(), Counter[int]()

    def work(number: int) -> None:
        for each in range(REQUESTS):
            answer = ask(f"n{number}-{each}")
            with lock:
                statuses[answer.status] += 1

    by_clients(work)
    return statuses


def test_key_pairs(cloud: CloudProcess) -> None:
    def ask(name: str) -> Answer:
        return cloud.compute("POST", "/os-keypairs", {"keypair": {"name": name}}, version="2.1")

    assert race(ask) == {200: ROOM, 403: CLIENTS * REQUESTS - ROOM}
    assert len(cloud.compute("GET", "/os-keypairs").json["keypairs"]) == ROOM


def test_server_groups(cloud: CloudProcess) -> None:
    def ask(name: str) -> Answer:
        return cloud.compute(
            "POST", "/os-server-groups", {"server_group": {"name": name, "policy": "affinity"}}
        )

    assert race(ask) == {200: ROOM, 403: CLIENTS * REQUESTS - ROOM}
    assert len(cloud.compute("GET", "/os-server-groups").json["server_groups"]) == ROOM


def networked(cloud: CloudProcess, kind: str, body: dict[str, Any]) -> Callable[[str], Answer]:
    def ask(name: str) -> Answer:
        return cloud.call("network", "POST", f"/v2.0/{kind}s", {
            kind.replace("-", "_"): {key: value.replace("NAME", name) if isinstance(value, str) else value
                                     for key, value in body.items()},
        })

    return ask


def test_groups_and_their_rules(cloud: CloudProcess) -> None:
    rest = CLIENTS * REQUESTS - ROOM
    made = race(networked(cloud, "security-group", {"name": "NAME"}))
    # The default group is one of them.
    assert made == {201: ROOM - 1, 409: rest + 1}
    group = cloud.call("network", "GET", "/v2.0/security-groups?name=default").json["security_groups"][0]

    def rule(name: str) -> Answer:
        return cloud.call("network", "POST", "/v2.0/security-group-rules", {"security_group_rule": {
            "security_group_id": group["id"], "direction": "ingress", "protocol": "tcp",
            "port_range_min": 1 + NUMBERS[name], "port_range_max": 1 + NUMBERS[name],
        }})

    before = len([each for each in group["security_group_rules"] if each["direction"] == "ingress"])
    statuses = race(rule)
    assert set(statuses) == {201, 409}
    group = cloud.call("network", "GET", f"/v2.0/security-groups/{group['id']}").json["security_group"]
    rules = [each for each in group["security_group_rules"] if each["direction"] == "ingress"]
    assert len(rules) == before + statuses[201] <= ROOM + before


def test_networks_subnets_and_ports(cloud: CloudProcess) -> None:
    project = cloud.login("demo")[1]
    limits = {"network": ROOM, "subnet": ROOM, "port": ROOM}
    answer = cloud.call("network", "PUT", f"/v2.0/quotas/{project}", {"quota": limits}, by="admin")
    assert answer.status == 200, answer.body
    rest = CLIENTS * REQUESTS - ROOM
    assert race(networked(cloud, "network", {"name": "NAME"})) == {201: ROOM, 409: rest}
    networks = cloud.call("network", "GET", f"/v2.0/networks?project_id={project}").json["networks"]
    assert len(networks) == ROOM
    def subnet(name: str) -> Answer:
        return cloud.call("network", "POST", "/v2.0/subnets", {"subnet": {
            "network_id": networks[0]["id"], "ip_version": 4, "cidr": f"10.77.{NUMBERS[name]}.0/24",
        }})

    assert race(subnet) == {201: ROOM, 409: rest}
    assert race(networked(cloud, "port", {"network_id": networks[0]["id"]})) == {201: ROOM, 409: rest}


def test_floating_addresses(cloud: CloudProcess) -> None:
    answer = cloud.call("network", "POST", "/v2.0/networks", {
        "network": {"name": "outside", "router:external": True},
    }, by="admin")
    external = answer.json["network"]
    answer = cloud.call("network", "POST", "/v2.0/subnets", {"subnet": {
        "network_id": external["id"], "cidr": "203.0.113.0/27", "ip_version": 4, "enable_dhcp": False,
    }}, by="admin")
    assert answer.status == 201, answer.body
    made = race(networked(cloud, "floatingip", {"floating_network_id": external["id"]}))
    assert made == {201: ROOM, 409: CLIENTS * REQUESTS - ROOM}
