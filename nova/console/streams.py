# SPDX-License-Identifier: Apache-2.0
"""Bytes from either side of a console, in the amounts that a negotiation asks for."""

from __future__ import annotations

import contextlib
import socket
from typing import Protocol

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection

#: Most bytes that are taken of a guest at a time.
_CHUNK = 65536


class Ended(Exception):
    """The other end closed the connection."""


class Stream(Protocol):
    """One end. ``read`` answers some bytes and raises ``Ended`` after the last ones."""

    def read(self) -> bytes:
        """The next bytes, at least one."""
        ...

    def exactly(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        ...

    def write(self, data: bytes) -> None:
        """Send all of it."""
        ...

    def close(self) -> None:
        """End both directions, from any thread."""
        ...

    def abort(self) -> None:
        """Break both directions at once; who reads in another thread meets the end."""
        ...


class _Buffered:
    """What was read but not yet asked for."""

    def __init__(self) -> None:
        self._left = b""

    def _receive(self) -> bytes:
        raise Ended

    def read(self) -> bytes:
        """The next bytes, at least one."""
        if self._left:
            found, self._left = self._left, b""
            return found
        return self._receive()

    def exactly(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        while len(self._left) < count:
            self._left += self._receive()
        found, self._left = self._left[:count], self._left[count:]
        return found


class BrowserStream(_Buffered):
    """The browser's WebSocket; text counts as its UTF-8."""

    def __init__(self, connection: ServerConnection) -> None:
        super().__init__()
        self._connection = connection

    def _receive(self) -> bytes:
        while True:
            try:
                message = self._connection.recv()
            except ConnectionClosed:
                raise Ended from None
            data = message.encode() if isinstance(message, str) else bytes(message)
            if data:
                return data

    def write(self, data: bytes) -> None:
        """Send one binary message."""
        try:
            self._connection.send(data)
        except ConnectionClosed:
            raise Ended from None

    def close(self) -> None:
        """Say goodbye, without waiting long for an answer."""
        with contextlib.suppress(Exception):
            self._connection.close()

    def abort(self) -> None:
        """Break the connection."""
        with contextlib.suppress(OSError):
            self._connection.socket.shutdown(socket.SHUT_RDWR)


class GuestStream(_Buffered):
    """The hypervisor's socket."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self.connection = connection

    def _receive(self) -> bytes:
        try:
            data = self.connection.recv(_CHUNK)
        except OSError:
            raise Ended from None
        if not data:
            raise Ended
        return data

    def write(self, data: bytes) -> None:
        """Send all of it."""
        try:
            self.connection.sendall(data)
        except OSError:
            raise Ended from None

    def close(self) -> None:
        """Close; a read that waits in another thread ends."""
        self.abort()
        self.connection.close()

    def abort(self) -> None:
        """Break the connection."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
