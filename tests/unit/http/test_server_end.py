# SPDX-License-Identifier: Apache-2.0
"""An HTTP server that ends: who is accepted, and how long requests under way are waited for."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from nova.http.server import HttpServer


class _Served:
    """A server with one request under way, which is answered when ``go`` is set."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.came, self.go = threading.Event(), threading.Event()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.server = HttpServer("ends", self._app, "127.0.0.1", self.port, threads=2)
        self.server.start()
        self.answer = pool.submit(self._ask)
        assert self.came.wait(30)

    def _app(self, _environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        self.came.set()
        assert self.go.wait(60)
        start_response("200 OK", [("content-length", "2")])
        return [b"ok"]

    def _ask(self) -> int:
        for _ in range(200):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                connection.request("GET", "/")
                return connection.getresponse().status
            except ConnectionRefusedError:
                threading.Event().wait(0.05)
            finally:
                connection.close()
        raise AssertionError("nobody listened")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


def test_requests_that_are_busy_have_their_answer(pool: ThreadPoolExecutor) -> None:
    served = _Served(pool)
    looks = []

    def busy() -> bool:
        looks.append(served.go.is_set())
        if len(looks) == 10:
            served.go.set()
        return not served.go.is_set()

    # Without looking it would have given up long before.
    served.server.stop(0.2, busy)
    assert served.answer.result(30) == 200
    assert len(looks) >= 10


def test_requests_that_are_not_busy_are_waited_for_a_moment(pool: ThreadPoolExecutor) -> None:
    served = _Served(pool)
    served.server.stop(0.2)
    assert not served.answer.done()
    served.go.set()
    assert served.answer.result(30) == 200


def test_nobody_is_accepted_once_the_end_has_begun(pool: ThreadPoolExecutor) -> None:
    served = _Served(pool)
    served.server.end()
    served.server.end()
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", served.port), timeout=5).close()
        except OSError:
            break
        threading.Event().wait(0.05)
    else:
        raise AssertionError("it goes on listening")
    assert not served.answer.done()
    served.go.set()
    served.server.stop(30)
    assert served.answer.result(30) == 200
