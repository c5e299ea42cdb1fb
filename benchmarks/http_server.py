# SPDX-License-Identifier: Apache-2.0
"""Compares HTTP servers that can run inside a Python process, with a trivial Falcon application.

    python benchmarks/http_server.py [requests]

Eight clients with one kept-alive connection each ask for 1.5 kB of JSON; the server is a process of its own
on the same machine. Prints a line ``figure NAME VALUE UNIT`` for each server that is installed: Granian, as
``nova/http/server.py`` embeds it, and cheroot and waitress where ``pip install cheroot waitress`` has
been done.
"""

from __future__ import annotations

import importlib.util
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import falcon
from load import figure, in_parallel

CLIENTS = 8
THREADS = 8
REQUEST = b"GET /x HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: abc\r\nAccept: */*\r\n\r\n"


class Resource:
    """Answers what is ready already."""

    body = b'{"a": "' + b"1" * 1500 + b'"}'

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = "application/json"
        resp.data = self.body


def application() -> Any:
    """The same application for every server."""
    app = falcon.App()
    app.add_route("/x", Resource())
    return app


def serve_granian(port: int) -> None:
    from nova.http.server import HttpServer

    HttpServer("bench", application(), "127.0.0.1", port, threads=THREADS).start()
    threading.Event().wait()


def serve_cheroot(port: int) -> None:
    from cheroot.wsgi import Server

    Server(("127.0.0.1", port), application(), numthreads=THREADS).start()


def serve_waitress(port: int) -> None:
    import waitress

    logging.getLogger("waitress").setLevel(logging.ERROR)
    waitress.serve(application(), host="127.0.0.1", port=port, threads=THREADS, _quiet=True)


SERVERS: dict[str, Callable[[int], None]] = {
    "cheroot": serve_cheroot, "waitress": serve_waitress, "granian": serve_granian,
}


def ask(connection: socket.socket) -> None:
    """One request and its whole answer."""
    connection.sendall(REQUEST)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    missing = len(Resource.body) - len(body)
    assert head.startswith(b"HTTP/1.1 200")
    while missing > 0:
        missing -= len(connection.recv(65536))


def connect(port: int) -> socket.socket:
    """A connection, as soon as somebody listens."""
    deadline = time.monotonic() + 20
    while True:
        try:
            made = socket.create_connection(("127.0.0.1", port), timeout=20)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
            continue
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


def measure(name: str, requests: int) -> float:
    """Requests a second."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, __file__, "--serve", name, str(port)])
    try:
        connections = [connect(port) for _ in range(CLIENTS)]
        for each in connections:
            for _ in range(50):
                ask(each)
        share = requests // CLIENTS

        def work(number: int) -> None:
            for _ in range(share):
                ask(connections[number])

        return share * CLIENTS / in_parallel(CLIENTS, work)
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Serve, or measure every server that is here."""
    if sys.argv[1:2] == ["--serve"]:
        SERVERS[sys.argv[2]](int(sys.argv[3]))
        return
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 16000
    for name in SERVERS:
        if importlib.util.find_spec(name) is None:
            print(f"{name} is not installed", file=sys.stderr)
            continue
        figure(f"http.{name}.rate", measure(name, requests), "requests/s")


if __name__ == "__main__":
    main()
