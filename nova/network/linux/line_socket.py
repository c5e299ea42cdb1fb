# SPDX-License-Identifier: Apache-2.0
"""A Unix socket that answers one line of words with text; only the user it belongs to may speak to it."""

from __future__ import annotations

import contextlib
import os
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path

_LONGEST = 65536
_PATIENCE = 10.0


class LineSocket:
    """Listens on one path. ``answer`` is called on a thread of its own for each line."""

    def __init__(self, path: Path, answer: Callable[[list[str]], str]) -> None:
        self._path = path
        self._answer = answer
        self._server: socketserver.BaseServer | None = None

    def start(self) -> None:
        """Begin to listen; a socket that an earlier process left is replaced."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        answer = self._answer

        class Handler(socketserver.StreamRequestHandler):
            """One line."""

            timeout = _PATIENCE

            def handle(self) -> None:
                """Read it, answer, done."""
                with contextlib.suppress(OSError):
                    words = self.rfile.readline(_LONGEST).decode(errors="replace").split()
                    self.wfile.write(answer(words).encode())

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            """A thread for each, so that one that hangs holds up no other."""

            daemon_threads = True
            request_queue_size = 128

        # Made under another name, so that there is no moment in which others may connect.
        hidden = self._path.with_name(f".{self._path.name}")
        with contextlib.suppress(FileNotFoundError):
            hidden.unlink()
        server = Server(str(hidden), Handler)
        hidden.chmod(0o600)
        os.rename(hidden, self._path)
        self._server = server
        threading.Thread(
            target=server.serve_forever, name=self._path.stem, daemon=True
        ).start()

    def stop(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
