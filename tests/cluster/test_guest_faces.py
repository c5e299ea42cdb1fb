# SPDX-License-Identifier: Apache-2.0
"""nova-api-metadata and the console proxies as daemons of hosts: over the broker, without a database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import websocket

from tests.cluster.cluster import Cluster
from tests.cluster.faces import CONSOLES, address_of, console_url, metadata, opens
from tests.cluster.load import wait_until

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """A running server on the first host."""
    api = cluster.api()
    status, answer = api.ask("POST", "/servers", {"server": {
        "name": "told", "imageRef": api.image_id(), "flavorRef": "1", "networks": "auto",
        "availability_zone": f"nova:{cluster.hosts[0]}",
    }})
    assert status == 202, answer
    path = f"/servers/{answer['server']['id']}"
    assert wait_until(lambda: api.get(path)["server"]["status"] == "ACTIVE", 60), api.get(path)
    yield api.get(path)["server"]
    assert api.ask("DELETE", path)[0] == 204


def test_the_daemons_of_hosts_know_no_database(cluster: Cluster) -> None:
    for name in ("metadata1", "metadata2", "vnc1", "serial1"):
        assert "connection" not in (cluster.directory / "conf" / f"{name}.conf").read_text()


def test_a_guest_is_told_by_its_own_host_alone(cluster: Cluster, server: dict[str, Any]) -> None:
    own, foreign = cluster.hosts[:2]
    address = address_of(server)
    status, text = metadata(cluster, own, address)
    assert status == 200, cluster.tails()
    assert json.loads(text)["uuid"] == server["id"]
    assert metadata(cluster, foreign, address)[0] == 404
    password = "/openstack/latest/password"
    assert metadata(cluster, own, address, password, b"hemligt") == (200, b"")
    assert metadata(cluster, own, address, password, b"annat")[0] == 409
    assert metadata(cluster, foreign, address, password, b"annat")[0] == 404
    assert cluster.api().get(f"/servers/{server['id']}/os-server-password")["password"] == "hemligt"


@pytest.mark.parametrize("kind", CONSOLES)
def test_a_console_opens_once(cluster: Cluster, server: dict[str, Any], kind: str) -> None:
    url = console_url(cluster.api(), server["id"], kind)
    assert opens(url, kind)
    with pytest.raises(websocket.WebSocketBadStatusException):
        websocket.create_connection(url, timeout=20)
