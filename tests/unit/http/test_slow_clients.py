# SPDX-License-Identifier: Apache-2.0
"""Clients that keep their bodies back neither stop the others nor stay for ever."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nova.http.server import HttpServer

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n"


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answers how many bytes came."""
    body = environ["wsgi.input"].read(400_000) if environ["REQUEST_METHOD"] == "POST" else b""
    answer = str(len(body)).encode()
    start_response("200 OK", [("content-length", str(len(answer)))])
    return [answer]


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = int(probe.getsockname()[1])
    server = HttpServer("slow", app, "127.0.0.1", number, threads=2, patience=1.0)
    server.start()
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", number), timeout=5).close()
            break
        except OSError:
            time.sleep(0.02)
    yield number
    server.stop()


def ask(port: int) -> float:
    """How long a plain GET takes, seconds."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"0"
    connection.close()
    return time.monotonic() - began


def test_bodies_that_never_come_do_not_keep_others_out(port: int) -> None:
    silent = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(40)]
    for each in silent:
        each.sendall(HEAD + b"abc")
    time.sleep(0.2)
    assert ask(port) < 0.5
    # Each is cut in its turn, and told what came of its request.
    for each in silent:
        assert each.recv(300).endswith(b"\r\n\r\n3")
        each.close()
    assert ask(port) < 0.5


def test_a_dripping_body_is_cut_and_a_slow_one_that_goes_on_is_not(port: int) -> None:
    dripping = socket.create_connection(("127.0.0.1", port), timeout=0.2)
    slow = socket.create_connection(("127.0.0.1", port), timeout=5)
    dripping.sendall(HEAD)
    slow.sendall(HEAD)
    answer = b""
    for _ in range(20):
        slow.sendall(b"x" * 20_000)
        try:
            if not answer:
                dripping.sendall(b"x")
                answer = dripping.recv(300)
        except TimeoutError:
            pass
    assert b"200 OK" in answer
    assert slow.recv(300).endswith(b"\r\n\r\n400000")


def test_a_refusal_before_the_body_keeps_the_connection(port: int) -> None:
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    for _ in range(5):
        connection.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        time.sleep(0.05)
        connection.sendall(b"12345")
        assert connection.recv(300).endswith(b"\r\n\r\n0")
    connection.close()
