# SPDX-License-Identifier: Apache-2.0
"""Asks what guests and their users speak to: the metadata services of hosts, and the proxies of consoles."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import websocket

from tests.cluster.cluster import METADATA, Api, Cluster
from tests.cluster.load import wait_until

#: What the consoles of simulated guests begin with: kind of console -> (protocol, first bytes).
CONSOLES = {"novnc": ("vnc", b"RFB 003.008\n"), "serial": ("serial", b"Simulated console")}
_META_DATA = "/openstack/latest/meta_data.json"


def metadata(
    cluster: Cluster, host: str, address: str, path: str = _META_DATA, body: bytes | None = None
) -> tuple[int, bytes]:
    """What the metadata service of a host answers to the guest at an address; a body is posted."""
    port = METADATA + cluster.offset + 10 * cluster.hosts.index(host)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        method = "GET" if body is None else "POST"
        connection.request(method, path, body, {"X-Forwarded-For": address})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def address_of(server: dict[str, Any]) -> str:
    """The first fixed address of a server."""
    return str(next(iter(server["addresses"].values()))[0]["addr"])


def console_url(api: Api, uuid: str, kind: str) -> str:
    """The address of a new console of a server, for a WebSocket."""
    status, answer = api.ask(
        "POST", f"/servers/{uuid}/remote-consoles",
        {"remote_console": {"protocol": CONSOLES[kind][0], "type": kind}},
    )
    assert status == 200, answer
    parts = urlsplit(answer["remote_console"]["url"])
    query = parse_qs(parts.query)
    path = query["path"][0] if "path" in query else f"?{parts.query}"
    return f"ws://{parts.netloc}/{path}"


def opens(url: str, kind: str) -> bool:
    """Whether a console shows itself there."""
    client = websocket.create_connection(url, timeout=20)
    try:
        return bool(client.recv().startswith(CONSOLES[kind][1]))
    finally:
        client.close()


def look_at_the_faces(cluster: Cluster, api: Api, servers: Sequence[dict[str, Any]]) -> None:
    """Each service of guests answers about one of these servers, where the cluster has such services."""
    if cluster.screens is None:
        return
    for server in servers:
        host = server["OS-EXT-SRV-ATTR:host"]
        if host in cluster.hosts[:2]:
            def told(host: str = host, server: dict[str, Any] = server) -> bool:
                status, text = metadata(cluster, host, address_of(server))
                return status == 200 and json.loads(text)["uuid"] == server["id"]

            assert wait_until(told, 30), (metadata(cluster, host, address_of(server)), cluster.tails())
    for kind in CONSOLES:
        assert wait_until(
            lambda k=kind: opens(console_url(api, servers[0]["id"], k), k), 30
        ), (kind, cluster.tails())
