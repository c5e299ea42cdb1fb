# SPDX-License-Identifier: Apache-2.0
"""An HTTP server that ends: who is accepted, and what is waited for."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from nova.http import server, slow_clients
from nova.http.server import HttpServer
from nova.http.slow_clients import SlowClients

PART = b"x" * 500_000
PARTS = 60


class _Served:
    """A server whose answer to ``/`` waits for ``go``; ``/parts`` is long, and a body is counted."""

    def __init__(self, pool: ThreadPoolExecutor, patience: float = 20.0) -> None:
        self.pool = pool
        self.came, self.go = threading.Event(), threading.Event()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.server = HttpServer("ends", self._app, "127.0.0.1", self.port, threads=2, patience=patience)
        self.server.start()

    def _app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            self.came.set()
            answer = str(len(environ["wsgi.input"].read(200_000))).encode()
            start_response("200 OK", [("content-length", str(len(answer)))])
            return [answer]
        if environ["PATH_INFO"] == "/parts":
            start_response("200 OK", [("content-length", str(PARTS * len(PART)))])
            return self._parts()
        self.came.set()
        assert self.go.wait(60)
        start_response("200 OK", [("content-length", "2")])
        return [b"ok"]

    def _parts(self) -> Iterator[bytes]:
        for _ in range(PARTS):
            yield PART
            self.came.set()

    def connect(self) -> socket.socket:
        """A connection, once somebody listens."""
        for _ in range(600):
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=60)
            except ConnectionRefusedError:
                threading.Event().wait(0.05)
        raise AssertionError("nobody listened")

    def send(self, text: str) -> socket.socket:
        """A connection with this on it; the request has come to the application."""
        connection = self.connect()
        connection.sendall(text.encode())
        assert self.came.wait(30)
        return connection

    def get(self) -> socket.socket:
        """A connection whose request waits for ``go``."""
        return self.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    def stop(self, patience: float = 600.0) -> Callable[[float], None]:
        """Stop it on a thread; the answer waits for the end of that."""
        ended = self.pool.submit(self.server.stop, patience)
        return lambda seconds: ended.result(seconds)

    def stop_held(self) -> Callable[[float], None]:
        """The same, where something has to end first and does not yet."""
        ended = self.stop()
        with pytest.raises(TimeoutError):
            ended(0.7)
        return ended


def _answer(connection: socket.socket) -> tuple[int, bytes]:
    with connection:
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, response.read()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


@pytest.fixture
def short_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not waited for at the end goes soon."""
    monkeypatch.setattr(slow_clients, "_REST", 0.2)


@pytest.mark.usefixtures("short_rest")
def test_a_request_that_runs_has_its_answer(pool: ThreadPoolExecutor) -> None:
    served = _Served(pool)
    connection = served.get()
    ended = served.stop_held()
    served.go.set()
    assert _answer(connection) == (200, b"ok")
    ended(30)


@pytest.mark.usefixtures("short_rest")
def test_a_slow_upload_is_waited_for(pool: ThreadPoolExecutor) -> None:
    served = _Served(pool)
    connection = served.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12")
    ended = served.stop_held()
    connection.sendall(b"345")
    assert _answer(connection) == (200, b"5")
    ended(30)


@pytest.mark.usefixtures("short_rest")
def test_a_slow_download_is_waited_for(pool: ThreadPoolExecutor) -> None:
    served = _Served(pool)
    connection = served.send("GET /parts HTTP/1.1\r\nHost: x\r\n\r\n")
    ended = served.stop_held()
    status, body = _answer(connection)
    assert (status, len(body)) == (200, PARTS * len(PART))
    ended(30)


def test_a_client_that_takes_nothing_of_its_answer_is_left(pool: ThreadPoolExecutor) -> None:
    served = _Served(pool, patience=0.5)
    with served.send("GET /parts HTTP/1.1\r\nHost: x\r\n\r\n"):
        served.stop()(60)


def test_a_client_that_keeps_its_body_back_is_cut_off(pool: ThreadPoolExecutor) -> None:
    served = _Served(pool, patience=0.5)
    connection = served.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12")
    ended = served.stop()
    assert _answer(connection) == (200, b"2")
    ended(60)


@pytest.mark.usefixtures("short_rest")
def test_connections_without_a_request_hold_nothing_up(pool: ThreadPoolExecutor) -> None:
    served = _Served(pool)
    served.go.set()
    with served.get() as idle, served.connect() as silent, served.connect() as begun:
        assert idle.recv(1000).endswith(b"ok")
        begun.sendall(b"GET / HT")
        served.stop()(60)
        # One that was not even accepted yet is reset.
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""


def test_a_request_that_does_not_end_is_left_when_its_time_is_over(
    pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    served = _Served(pool)
    connection = served.get()
    served.stop(0.2)(60)
    assert "ends leaves 1 requests" in caplog.text
    served.go.set()
    assert _answer(connection)[0] == 200


def test_a_request_on_its_way_when_the_end_begins_is_answered(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_READ_WITHIN", 1.0)
    served = _Served(pool)
    served.go.set()
    connection = served.connect()
    ended = served.stop()
    # The end has begun where nobody who asks for a connection now hears anything.
    while _is_heard(served.port):
        threading.Event().wait(0.01)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert _answer(connection) == (200, b"ok")
    ended(30)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", served.port), timeout=5)


def _is_heard(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
    except TimeoutError:
        return False
    return True


def test_nobody_is_accepted_once_the_end_has_begun(pool: ThreadPoolExecutor) -> None:
    served = _Served(pool)
    connection = served.get()
    assert served.server.end() == served.server.end()
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", served.port), timeout=5).close()
        except OSError:
            break
        threading.Event().wait(0.05)
    else:
        raise AssertionError("it goes on listening")
    served.go.set()
    assert _answer(connection) == (200, b"ok")
    served.stop()(60)


def test_the_rest_of_an_answer_is_waited_for_as_long_as_the_client_takes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, taken = [100.0], [0]
    monkeypatch.setattr(slow_clients, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(slow_clients, "_clients", lambda _port: [object()])
    monkeypatch.setattr(slow_clients, "_traffic", lambda _connection: (0.0, taken[0], 0))
    clients = SlowClients(lambda _environ, _start: [], 1, 1, patience=20.0)

    def quiet_after(seconds: float, taken_by_then: int) -> bool:
        clock[0] += seconds
        taken[0] += taken_by_then
        return clients.is_quiet()

    assert not quiet_after(0, 0)
    # 64 kB in 20 seconds is what a client has to do, here as in its uploads.
    assert [quiet_after(4, 20_000) for _ in range(5)] == [False] * 5
    assert [quiet_after(4, 1_000) for _ in range(2)] == [False, True]


def test_what_a_client_has_taken_and_sent_is_known() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname(), timeout=30) as client,
    ):
        accepted, _ = listener.accept()
        with accepted:
            client.sendall(b"x" * 300)
            accepted.sendall(b"x" * 2000)
            until = time.monotonic() + 30
            # The kernel may count the connection's own first byte.
            while slow_clients._traffic(accepted)[1] < 2000 and time.monotonic() < until:
                threading.Event().wait(0.02)
            assert slow_clients._traffic(accepted)[1] in (2000, 2001)
            assert slow_clients._traffic(accepted)[2] == 300
