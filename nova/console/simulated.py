# SPDX-License-Identifier: Apache-2.0
"""Consoles of simulated guests: a VNC server with a plain screen and a serial line that echoes.

There is no guest behind them, and both say so. They speak enough RFB (RFC 6143) for any client to show a
picture.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

NAME = "Simulated console: there is no guest behind it"
WIDTH, HEIGHT = 320, 200
#: 32 bits a pixel, 24 of them used, little-endian, true colour, 8 bits each at 16, 8 and 0.
PIXEL_FORMAT = struct.pack("!BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
_BLUE = b"\x90\x40\x10\x00"
#: Lengths of what a client sends, after the type: SetPixelFormat, FramebufferUpdateRequest, KeyEvent,
#: PointerEvent.
_LENGTHS = {0: 19, 3: 9, 4: 7, 5: 5}
#: Seconds after which a console that nobody uses is closed.
_IDLE = 600.0


class _Gone(Exception):
    """The client left."""


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(min(count - len(data), 65536))
        if not more:
            raise _Gone
        data += more
    return data


class _Screen:
    """One client of the simulated screen."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._pixel = _BLUE

    def serve(self) -> None:
        """Shake hands, then answer until the client leaves."""
        with contextlib.suppress(_Gone, OSError):
            self._greet()
            while True:
                self._answer(_exactly(self._client, 1)[0])

    def _greet(self) -> None:
        client = self._client
        client.sendall(b"RFB 003.008\n")
        _exactly(client, 12)
        client.sendall(b"\x01\x01")
        if _exactly(client, 1) != b"\x01":
            raise _Gone
        client.sendall(struct.pack("!I", 0))
        _exactly(client, 1)
        name = NAME.encode()
        client.sendall(
            struct.pack("!HH", WIDTH, HEIGHT) + PIXEL_FORMAT + struct.pack("!I", len(name)) + name
        )

    def _answer(self, kind: int) -> None:
        client = self._client
        if kind == 2:
            _pad, count = struct.unpack("!BH", _exactly(client, 3))
            _exactly(client, 4 * count)
        elif kind == 6:
            (length,) = struct.unpack("!xxxI", _exactly(client, 7))
            if length > 1 << 20:
                raise _Gone
            _exactly(client, length)
        elif kind in _LENGTHS:
            body = _exactly(client, _LENGTHS[kind])
            if kind == 0:
                self._pixel = _BLUE[: max(1, body[3] // 8)]
            elif kind == 3 and not body[0]:
                # A whole picture; for an incremental one nothing has changed, ever.
                client.sendall(
                    struct.pack("!BxH", 0, 1) + struct.pack("!HHHHi", 0, 0, WIDTH, HEIGHT, 0)
                    + self._pixel * (WIDTH * HEIGHT)
                )
        else:
            raise _Gone


def _serve_line(client: socket.socket) -> None:
    """One client of the simulated serial line: say what this is, then echo."""
    with contextlib.suppress(OSError):
        client.sendall(f"{NAME}; what you type is echoed.\r\n".encode())
        while data := client.recv(4096):
            client.sendall(data.replace(b"\r", b"\r\n"))


def _serve_screen(client: socket.socket) -> None:
    _Screen(client).serve()


def _accept(listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    """Serve clients until the listener is shut down."""

    def one(client: socket.socket) -> None:
        client.settimeout(_IDLE)
        with client:
            serve(client)

    while True:
        try:
            client, _peer = listener.accept()
        except OSError:
            return
        threading.Thread(target=one, args=(client,), name="simulated-console", daemon=True).start()


class SimulatedConsoles:
    """The servers behind the endpoints that the fake driver names."""

    def __init__(self, host: str, port: int, serial_port: int) -> None:
        self._host, self._port, self._serial_port = host, port, serial_port
        self._listeners: list[socket.socket] = []

    def start(self) -> None:
        """Listen. Raises ``OSError`` for a taken port."""
        for port, serve in ((self._port, _serve_screen), (self._serial_port, _serve_line)):
            try:
                listener = socket.create_server((self._host, port))
            except OSError as error:
                self.stop()
                raise OSError(
                    error.errno, f"cannot listen on {self._host}:{port}: {error.strerror}"
                ) from None
            self._listeners.append(listener)
            threading.Thread(
                target=_accept, args=(listener, serve), name=f"simulated-console-{port}", daemon=True
            ).start()

    def stop(self) -> None:
        """Stop listening."""
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self._listeners = []
