# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that does what networks do to connections: goes silent, forgets, cuts, delays.

It runs as a process of its own (``python -m tests.cluster.proxy TARGET-PORT``), so that it costs the test's
threads nothing, and takes one command a line on standard input:

    pass         carry bytes (the beginning); what had to wait goes on
    hold         carry nothing and take no new connection up; both ends see an open connection
    forget       carry nothing more over the connections there are, for ever; new ones work
    cut          close all connections; new ones work
    refuse       close all connections and refuse new ones
    delay N      let every piece wait N milliseconds on its way
"""

from __future__ import annotations

import collections
import contextlib
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_PIECE = 65536
_ROOT = Path(__file__).resolve().parents[2]


class _Way:
    """One direction of a connection."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source, self.sink = source, sink
        self.other: _Way = self
        self.pieces: collections.deque[tuple[float, bytes]] = collections.deque()
        self.ended = False
        self.forgotten = False


class _Proxy:
    """The proxy's process: one thread, one selector."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._selector = selectors.DefaultSelector()
        self._listener = self._listen(0)
        self._commands = b""
        self._mode = "pass"
        self._delay = 0.0
        self._ways: dict[socket.socket, _Way] = {}
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        print(self._listener.getsockname()[1], flush=True)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(256)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)
        return listener

    def run(self) -> None:
        """Until standard input ends."""
        while True:
            for key, _events in self._selector.select(self._pause()):
                if key.fileobj is sys.stdin:
                    line = sys.stdin.readline()
                    if not line:
                        return
                    self._obey(*line.split())
                    print("done", flush=True)
                elif key.fileobj is self._listener:
                    if self._mode == "pass":
                        self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._ways:
                    self._read(self._ways[key.fileobj])
            self._write()

    def _pause(self) -> float | None:
        if self._mode != "pass":
            return None
        due = [way.pieces[0][0] for way in self._ways.values() if way.pieces and not way.forgotten]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _obey(self, command: str, number: str = "0") -> None:
        if command == "delay":
            self._delay = float(number) / 1000
        elif command == "forget":
            for way in self._ways.values():
                way.forgotten = True
        elif command in ("cut", "refuse"):
            for way in list(self._ways.values()):
                self._close(way)
        if command == "refuse":
            port = self._listener.getsockname()[1]
            self._selector.unregister(self._listener)
            self._listener.close()
            self._port = port
            self._mode = "refuse"
        elif command == "hold":
            self._mode = "hold"
            for source in [self._listener, *self._ways]:
                self._selector.unregister(source)
        elif command == "pass":
            if self._mode == "refuse":
                self._listener = self._listen(self._port)
            elif self._mode == "hold":
                for source in [self._listener, *(s for s, way in self._ways.items() if not way.ended)]:
                    self._selector.register(source, selectors.EVENT_READ)
            self._mode = "pass"

    def _accept(self) -> None:
        client, _address = self._listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:
            client.close()
            return
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            each.settimeout(20)
            self._selector.register(each, selectors.EVENT_READ)
        there, back = _Way(client, server), _Way(server, client)
        there.other, back.other = back, there
        self._ways[client], self._ways[server] = there, back

    def _read(self, way: _Way) -> None:
        try:
            piece = way.source.recv(_PIECE)
        except OSError:
            piece = b""
        if way.forgotten:
            # Neither end hears of the other's end either.
            if not piece:
                way.ended = True
                self._selector.unregister(way.source)
                if way.other.ended:
                    self._close(way)
            return
        if not piece:
            self._flush(way, everything=True)
            self._close(way)
            return
        way.pieces.append((time.monotonic() + self._delay, piece))

    def _write(self) -> None:
        if self._mode == "pass":
            for way in list(self._ways.values()):
                if way.pieces and not way.forgotten:
                    self._flush(way)

    def _flush(self, way: _Way, *, everything: bool = False) -> None:
        now = time.monotonic()
        try:
            while way.pieces and (everything or way.pieces[0][0] <= now):
                way.sink.sendall(way.pieces.popleft()[1])
        except OSError:
            self._close(way)

    def _close(self, way: _Way) -> None:
        for each in (way, way.other):
            if self._ways.pop(each.source, None) is None:
                continue
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(each.source)
            each.source.close()


class Proxy:
    """The proxy as its test sees it; ``port`` is where it listens."""

    def __init__(self, target: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.proxy", str(target)], cwd=_ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def tell(self, command: str) -> None:
        """Give a command of this module's list, and wait until it holds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        if self._process.stdout.readline().strip() != "done":
            raise RuntimeError("the proxy ended")

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


@contextlib.contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """A proxy to a port of 127.0.0.1, until the block ends."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.stop()


if __name__ == "__main__":
    _Proxy(int(sys.argv[1])).run()
