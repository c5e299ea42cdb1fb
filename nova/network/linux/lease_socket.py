# SPDX-License-Identifier: Apache-2.0
"""Where nova-dhcpbridge tells what dnsmasq says of leases: a Unix socket that only this user may use.

A request is one line of words as dnsmasq gives them (``add MAC ADDRESS [NAME]``, ``old …``, ``del …``,
``init [DEVICE]``); ``init`` is answered with leases in the form of dnsmasq's lease file.
"""

from __future__ import annotations

import contextlib
import logging
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path

from nova.objects.host_network import LeaseEvent

LOG = logging.getLogger(__name__)

_KINDS = frozenset({"add", "old", "del"})
_LONGEST = 4096


class LeaseSocket:
    """Listens on one socket."""

    def __init__(
        self, path: Path, seen: Callable[[LeaseEvent], None], leases: Callable[[str | None], str]
    ) -> None:
        self._path = path
        self._seen = seen
        self._leases = leases
        self._server: socketserver.BaseServer | None = None

    def start(self) -> None:
        """Begin to listen; a socket that an earlier process left is replaced."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            """One event."""

            timeout = 10

            def handle(self) -> None:
                """Read the line, answer, done."""
                with contextlib.suppress(OSError):
                    words = self.rfile.readline(_LONGEST).decode(errors="replace").split()
                    self.wfile.write(outer.answer(words).encode())

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            """A thread for each event, so that one that hangs holds up no other."""

            daemon_threads = True
            request_queue_size = 128

        server = Server(str(self._path), Handler)
        self._path.chmod(0o600)
        self._server = server
        threading.Thread(target=server.serve_forever, name="lease-events", daemon=True).start()

    def stop(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    def answer(self, words: list[str]) -> str:
        """What one request is answered with; what is no request is answered with nothing."""
        if words[:1] == ["init"]:
            return self._leases(words[1] if len(words) > 1 else None)
        if len(words) < 3 or words[0] not in _KINDS:
            LOG.debug("no lease event: %r", words[:4])
            return ""
        kind, mac, address = words[:3]
        self._seen(LeaseEvent(kind, mac.lower(), address, words[3] if len(words) > 3 else None))
        return ""
