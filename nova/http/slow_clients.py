# SPDX-License-Identifier: Apache-2.0
"""Slow and silent clients must not keep the others out.

A request holds one of a few slots while it runs, and gives it up while it waits for its body, so that
bodies that never come cost a waiting thread each and nothing else. Who keeps a body back for too long
is cut off: the reading half of the connection is shut down, the read ends, and the refusal is still sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_CHECKS = 10
#: Bytes that a client has to send within its time: a slow upload that goes on is not cut.
_PART = 65536
#: Bytes of a body that a refusal did not read and that are read all the same; more ends the connection.
_DRAINED = 1 << 20
#: Offsets in Linux's ``struct tcp_info`` (linux/tcp.h): ``tcpi_last_data_sent``, milliseconds, and
#: ``tcpi_bytes_received``.
_LAST_SENT = 44
_BYTES_RECEIVED = 128


class SlowClients:
    """A WSGI application around another, for the server that listens on ``port``.

    ``slots`` requests run at a time; a read of a body may take ``patience`` seconds.
    """

    def __init__(self, app: WSGIApp, port: int, slots: int, patience: float) -> None:
        self._app = app
        self._port = port
        self._slots = threading.Semaphore(slots)
        self._patience = patience
        self._reads: dict[object, tuple[float, str]] = {}
        # When each connection last had sent a part, and how much it had sent in all by then.
        self._progress: dict[Any, tuple[float, int]] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="slow-clients", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Run the application in a slot."""
        body = _Input(environ["wsgi.input"], self, environ["REMOTE_ADDR"])
        environ["wsgi.input"] = body
        with self._slots:
            answer = self._app(environ, start_response)
            length = environ.get("CONTENT_LENGTH")
            if length and not body.touched and len(length) < 8 and 0 < int(length) <= _DRAINED:
                # A refusal that leaves the body unread costs the client its connection, at a moment
                # when it may be sending the next request.
                body.read(int(length))
            return answer

    def wait_for(self, read: Callable[..., Any], arguments: tuple[Any, ...], peer: str) -> Any:
        """What ``read`` answers, called outside the slot."""
        mark = object()
        self._slots.release()
        self._reads[mark] = (time.monotonic(), peer)
        try:
            return read(*arguments)
        finally:
            del self._reads[mark]
            self._slots.acquire()

    def _watch(self) -> None:
        while not self._stopped.wait(self._patience / _CHECKS):
            latest = time.monotonic() - self._patience
            reads = list(self._reads.values())
            if reads:
                self._look({peer for began, peer in reads if began < latest})
            else:
                self._progress.clear()

    def _look(self, late: set[str]) -> None:
        """Cut the connections of ``late`` that were long neither sent anything nor sent enough.

        A read does not say which connection it waits for, so all of the server's are looked at; one
        that is idle between two requests may be closed with them.
        """
        seen: dict[Any, tuple[float, int]] = {}
        moment = time.monotonic()
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError, ValueError), _socket_at(int(name)) as connection:
                if not _is_client(connection, self._port):
                    continue
                peer = connection.getpeername()
                since_sent, received = _traffic(connection)
                began, before = self._progress.get(peer, (moment, received))
                if received - before >= _PART or since_sent < self._patience:
                    began, before = moment, received
                seen[peer] = (began, before)
                if peer[0] in late and moment - began >= self._patience:
                    connection.shutdown(socket.SHUT_RD)
        self._progress = seen


class _Input:
    """The body's stream, each read of which is waited for outside the slot."""

    __slots__ = ("_clients", "_peer", "_stream", "touched")

    def __init__(self, stream: Any, clients: SlowClients, peer: str) -> None:
        self._stream = stream
        self._clients = clients
        self._peer = peer
        self.touched = False

    def read(self, *size: int) -> Any:
        """As the stream's."""
        self.touched = True
        if not size or size[0] <= _PART:
            return self._clients.wait_for(self._stream.read, size, self._peer)
        parts = []
        missing = size[0]
        while missing > 0:
            wanted = min(missing, _PART)
            part = self._clients.wait_for(self._stream.read, (wanted,), self._peer)
            parts.append(part)
            missing -= len(part)
            if len(part) < wanted:
                break
        return b"".join(parts)

    def readline(self, *size: int) -> Any:
        """As the stream's."""
        self.touched = True
        return self._clients.wait_for(self._stream.readline, size, self._peer)

    def readlines(self, *hint: int) -> Any:
        """As the stream's."""
        self.touched = True
        return self._clients.wait_for(self._stream.readlines, hint, self._peer)


def _socket_at(descriptor: int) -> socket.socket:
    """The socket of a descriptor, by a duplicate; ``OSError`` where it is none."""
    duplicate = os.dup(descriptor)
    try:
        return socket.socket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        raise


def _is_client(connection: socket.socket, port: int) -> bool:
    return (
        connection.family in (socket.AF_INET, socket.AF_INET6)
        and connection.type == socket.SOCK_STREAM
        and connection.getsockname()[1] == port
    )


def _traffic(connection: socket.socket) -> tuple[float, int]:
    """Seconds since anything was sent to the client, and how many bytes came from it."""
    facts = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED + 8)
    (milliseconds,) = struct.unpack_from("=I", facts, _LAST_SENT)
    (received,) = struct.unpack_from("=Q", facts, _BYTES_RECEIVED)
    return milliseconds / 1000, received
