# SPDX-License-Identifier: Apache-2.0
"""Slow and silent clients must not keep the others out.

A request holds one of a few slots while it runs, and gives it up while it waits for its body, so that
bodies that never come cost a waiting thread each and nothing else. Who keeps a body back for too long
is cut off: the reading half of the connection is shut down, the read ends, and the refusal is still sent.
At the server's end requests that run are waited for, and clients that stall are not.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_CHECKS = 10
#: Bytes that a client has to send within its time: a slow upload that goes on is not cut.
_PART = 65536
#: Bytes of a body that a refusal did not read and that are read all the same; more ends the connection.
_DRAINED = 1 << 20
#: How long the end waits for the rest of an answer of which nothing goes out, seconds.
_REST = 5.0
#: Offsets in Linux's ``struct tcp_info`` (linux/tcp.h): ``tcpi_last_data_sent``, milliseconds,
#: ``tcpi_bytes_acked`` and ``tcpi_bytes_received``.
_LAST_SENT = 44
_BYTES_ACKED = 120
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
        # What runs in here now, be it a request or the making of an answer's next part.
        self._running: set[object] = set()
        # Answers of which there may be more to come. The server forgets those that it needs no more.
        self._streams: weakref.WeakSet[_Stream] = weakref.WeakSet()
        # When the clients last had taken or sent enough, and how much that was in all by then.
        self._moved: tuple[float, int] | None = None
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

    @property
    def running(self) -> int:
        """How many requests have not ended, as far as is known here."""
        return len(self._running | set(self._streams))

    def is_quiet(self) -> bool:
        """Whether nothing runs, and for long no client took or sent anything worth waiting for.

        To be asked again and again once no more is accepted.
        """
        moment = time.monotonic()
        if self._running:
            self._moved = None
            return False
        patience = self._patience if self._streams else min(_REST, self._patience)
        moved = sum(sum(_traffic(each)[1:]) for each in _clients(self._port))
        if (
            self._moved is None
            or abs(moved - self._moved[1]) >= _PART * patience / self._patience
        ):
            self._moved = moment, moved
        return moment - self._moved[0] >= patience

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Run the application in a slot."""
        body = _Input(environ["wsgi.input"], self, environ["REMOTE_ADDR"])
        environ["wsgi.input"] = body
        self._running.add(body)
        try:
            with self._slots:
                answer = self._app(environ, start_response)
                length = environ.get("CONTENT_LENGTH")
                if length and not body.touched and len(length) < 8 and 0 < int(length) <= _DRAINED:
                    # A refusal that leaves the body unread costs the client its connection, at a moment
                    # when it may be sending the next request.
                    body.read(int(length))
        finally:
            self._running.discard(body)
        if isinstance(answer, list):
            return answer
        stream = _Stream(answer, self._running)
        self._streams.add(stream)
        return stream

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
        for connection in _clients(self._port):
            with contextlib.suppress(OSError):
                peer = connection.getpeername()
                since_sent, _acked, received = _traffic(connection)
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


class _Stream:
    """An answer in parts, each of which is made when the client has taken those before it."""

    __slots__ = ("__weakref__", "_answer", "_parts", "_running")

    def __init__(self, answer: Iterable[bytes], running: set[object]) -> None:
        self._answer = answer
        self._parts = iter(answer)
        self._running = running

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._running.add(self)
        try:
            return next(self._parts)
        finally:
            self._running.discard(self)

    def close(self) -> None:
        """As the answer's, which need have none."""
        close = getattr(self._answer, "close", None)
        if close is not None:
            close()


def _clients(port: int) -> Iterator[socket.socket]:
    """Each connection of a client to this port, for a moment."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError, ValueError), _socket_at(int(name)) as connection:
            if _is_client(connection, port):
                yield connection


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


def _traffic(connection: socket.socket) -> tuple[float, int, int]:
    """Seconds since anything was sent to the client, how many bytes it has taken, and how many sent."""
    facts = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED + 8)
    (milliseconds,) = struct.unpack_from("=I", facts, _LAST_SENT)
    acked, received = struct.unpack_from("=QQ", facts, _BYTES_ACKED)
    return milliseconds / 1000, acked, received
