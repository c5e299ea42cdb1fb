# SPDX-License-Identifier: Apache-2.0
"""From the address that the API hands out to a console, with a WebSocket client of the field."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import websocket

from tests.api.cloud_process import CloudProcess, wait_for


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    """A cloud of simulated hosts, as it is started by everybody."""
    made = CloudProcess(tmp_path_factory.mktemp("consoles") / "state")
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def server(cloud: CloudProcess) -> str:
    """A running server."""
    image = cloud.call("image", "GET", "/v2/images").json["images"][0]["id"]
    answer = cloud.compute(
        "POST", "/servers",
        {"server": {"name": "console", "flavorRef": "1", "imageRef": image, "networks": "auto"}},
    )
    assert answer.status == 202, answer.body
    uuid = str(answer.json["server"]["id"])
    wait_for(lambda: cloud.server(uuid)["status"] == "ACTIVE", lambda: str(cloud.server(uuid)))
    return uuid


def _url(cloud: CloudProcess, server: str, protocol: str, kind: str) -> str:
    answer = cloud.compute(
        "POST", f"/servers/{server}/remote-consoles",
        {"remote_console": {"protocol": protocol, "type": kind}},
    )
    assert answer.status == 200, answer.body
    return str(answer.json["remote_console"]["url"])


def _socket(url: str) -> str:
    """The WebSocket that noVNC's page opens for its address, or the address of a serial console itself."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    return f"ws://{parts.netloc}/{query['path'][0]}" if "path" in query else url


def _connect(url: str) -> websocket.WebSocket:
    return websocket.create_connection(
        _socket(url), timeout=20, origin=f"http://{urlsplit(url).netloc}"
    )


def test_a_screen_answers_the_rfb_handshake(cloud: CloudProcess, server: str) -> None:
    url = _url(cloud, server, "vnc", "novnc")
    assert urlsplit(url).port == 6080 + cloud.offset
    client = _connect(url)
    assert client.recv() == b"RFB 003.008\n"
    client.send_binary(b"RFB 003.008\n")
    assert client.recv() == b"\x01\x01"
    client.send_binary(b"\x01")
    assert client.recv() == b"\0\0\0\0"
    client.send_binary(b"\x01")
    assert b"Simulated console" in client.recv()
    client.close()
    with pytest.raises(websocket.WebSocketBadStatusException):
        _connect(url)


def test_a_serial_line_answers(cloud: CloudProcess, server: str) -> None:
    client = _connect(_url(cloud, server, "serial", "serial"))
    assert b"Simulated console" in client.recv()
    client.send("hej\r")
    assert client.recv() == b"hej\r\n"
    client.close()


def test_the_older_action_leads_to_the_same(cloud: CloudProcess, server: str) -> None:
    answer = cloud.compute(
        "POST", f"/servers/{server}/action", {"os-getVNCConsole": {"type": "novnc"}}, version="2.1"
    )
    client = _connect(answer.json["console"]["url"])
    assert client.recv() == b"RFB 003.008\n"
    client.close()


def test_the_page_of_the_address_is_there_or_says_what_is_missing(
    cloud: CloudProcess, server: str
) -> None:
    parts = urlsplit(_url(cloud, server, "vnc", "novnc"))
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    connection.request("GET", f"{parts.path}?{parts.query}")
    answer = connection.getresponse()
    text = answer.read()
    assert (answer.status == 200 and b"<html" in text.lower()) or b"install noVNC" in text
    connection.close()


def test_a_token_of_a_deleted_server_is_refused(cloud: CloudProcess) -> None:
    image = cloud.call("image", "GET", "/v2/images").json["images"][0]["id"]
    answer = cloud.compute(
        "POST", "/servers",
        {"server": {"name": "gone", "flavorRef": "1", "imageRef": image, "networks": "none"}},
    )
    uuid = str(answer.json["server"]["id"])
    wait_for(lambda: cloud.server(uuid)["status"] == "ACTIVE", lambda: str(cloud.server(uuid)))
    url = _url(cloud, uuid, "serial", "serial")
    assert cloud.compute("DELETE", f"/servers/{uuid}").status == 204
    cloud.until_gone(uuid)
    with pytest.raises(websocket.WebSocketBadStatusException):
        _connect(url)
