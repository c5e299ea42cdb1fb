# SPDX-License-Identifier: Apache-2.0
"""nova-api-metadata and the console proxies as daemons of hosts: over the broker, without a database."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import websocket

from nova.console.simulated import SimulatedConsoles
from tests.cluster.cluster import Cluster, Daemon, running
from tests.services.servers import free_port


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    """Ports of what is started here."""
    return {name: free_port() for name in ("metadata1", "metadata2", "vnc", "serial", "screen")}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Iterator[Cluster]:
    """A cluster of two hosts, on each a metadata service, on the first the proxies."""
    directory = tmp_path_factory.mktemp("faces")
    options = [
        f"vnc.novncproxy_base_url = http://127.0.0.1:{ports['vnc']}/vnc.html",
        f"serial_console.base_url = ws://127.0.0.1:{ports['serial']}/",
        f"fake.console_port = {ports['screen']}",
    ]
    with running(directory, offset=19000, computes=2, options=options) as made:
        daemons = [
            _face(made, "node1", "api_metadata", f"metadata_listen_port = {ports['metadata1']}"),
            _face(made, "node2", "api_metadata", f"metadata_listen_port = {ports['metadata2']}"),
            _face(made, "node1", "novncproxy", f"novncproxy_port = {ports['vnc']}"),
            _face(made, "node1", "serialproxy",
                  f"[serial_console]\nserialproxy_port = {ports['serial']}"),
        ]
        for daemon in daemons:
            daemon.start()
        screens = SimulatedConsoles("127.0.0.1", ports["screen"], ports["screen"] + 2)
        screens.start()
        try:
            for name in ("metadata1", "metadata2", "vnc", "serial"):
                _until(lambda port=ports[name]: _answers(port), made.tails)  # type: ignore[misc]
            yield made
        finally:
            screens.stop()
            for daemon in daemons:
                daemon.end()


def _face(cluster: Cluster, host: str, command: str, options: str) -> Daemon:
    """A daemon with the options and the key of a host."""
    name = f"{host}-{command}"
    file = cluster.directory / "conf" / f"{name}.conf"
    own = (cluster.directory / "conf" / f"{host}.conf").read_text()
    assert "connection =" not in own
    file.write_text(
        f"{own}\n[DEFAULT]\nmetadata_listen = 127.0.0.1\nuse_forwarded_for = true\n"
        f"metadata_by_bridge = false\nnovncproxy_host = 127.0.0.1\n{options}\n"
    )
    return Daemon(
        name, [sys.executable, "-m", f"nova.cmd.{command}", "--config-file", str(file)],
        cluster.directory / f"{name}.log",
    )


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _until(reached: Callable[[], bool], complaint: Callable[[], str], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> dict[str, object]:
    """A running server; schedulers may not know the new hosts at the first try."""
    api, found = cluster.api(), {}

    def boots() -> bool:
        status, answer = api.ask("POST", "/servers", {"server": {
            "name": "told", "imageRef": api.image_id(), "flavorRef": "1", "networks": "auto",
        }})
        assert status == 202, answer
        path = f"/servers/{answer['server']['id']}"
        _until(
            lambda: api.get(path)["server"]["status"] in ("ACTIVE", "ERROR"),
            lambda: str(api.get(path)),
        )
        found.update(api.get(path)["server"])
        return bool(found["status"] == "ACTIVE")

    _until(boots, cluster.tails, 120.0)
    return found


def _metadata(
    port: int, address: str, method: str, path: str, body: bytes | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body, {"X-Forwarded-For": address})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_a_guest_is_told_by_its_own_host_alone(
    cluster: Cluster, server: dict[str, object], ports: dict[str, int]
) -> None:
    first = server["OS-EXT-SRV-ATTR:host"] == "node1"
    own, foreign = (ports["metadata1"], ports["metadata2"])[:: 1 if first else -1]
    address = str(server["addresses"]["private"][0]["addr"])  # type: ignore[index]
    path = "/openstack/latest/meta_data.json"
    status, text = _metadata(own, address, "GET", path)
    assert status == 200, cluster.tails()
    assert json.loads(text)["uuid"] == server["id"]
    assert _metadata(foreign, address, "GET", path)[0] == 404
    password = "/openstack/latest/password"
    assert _metadata(own, address, "POST", password, b"hemligt") == (200, b"")
    assert _metadata(own, address, "POST", password, b"annat")[0] == 409
    assert _metadata(foreign, address, "POST", password, b"annat")[0] == 404
    assert cluster.api().get(f"/servers/{server['id']}/os-server-password")["password"] == "hemligt"


@pytest.mark.parametrize("protocol, kind, first", [
    ("vnc", "novnc", b"RFB 003.008\n"), ("serial", "serial", b"Simulated console"),
])
def test_a_console_opens_once(
    cluster: Cluster, server: dict[str, object], protocol: str, kind: str, first: bytes
) -> None:
    status, answer = cluster.api().ask(
        "POST", f"/servers/{server['id']}/remote-consoles",
        {"remote_console": {"protocol": protocol, "type": kind}},
    )
    assert status == 200, answer
    parts = urlsplit(answer["remote_console"]["url"])
    query = parse_qs(parts.query)
    path = query["path"][0] if "path" in query else f"?{parts.query}"
    url = f"ws://{parts.netloc}/{path}"
    client = websocket.create_connection(url, timeout=20)
    assert client.recv().startswith(first)
    client.close()
    with pytest.raises(websocket.WebSocketBadStatusException):
        websocket.create_connection(url, timeout=20)
