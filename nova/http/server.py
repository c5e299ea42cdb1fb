# SPDX-License-Identifier: Apache-2.0
"""The HTTP server that runs inside a Nova process: Granian's WSGI worker on a thread of ours.

HTTP is parsed in compiled code outside the interpreter's lock; each request then runs on one of
``threads`` Python slots (``slow_clients``). Bodies stream both ways with back pressure.
Measured against two pure-Python servers in docs/design/0003-http-server.md.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from typing import Any

from granian._granian import ListenerSpec, SocketHolder, WorkerSignal
from granian.server.common import HTTP1Settings, HTTPModes, Loops, RuntimeModes, TaskImpl
from granian.server.mt import MTServer

from nova.http.last_calls import take_no_more
from nova.http.slow_clients import SlowClients, WSGIApp

LOG = logging.getLogger(__name__)

#: Threads at most; those beyond a server's slots wait for bodies, and are made when they are needed.
_THREADS = 256
_BACKLOG = 1024
#: How long a connection that was taken up may take until its request is read, seconds.
_READ_WITHIN = 0.1
#: How often it is looked at the end whether there is still something to wait for, seconds.
_LOOK = 0.1
#: Linux's ip(7); the socket module of Python 3.11 has no name for it.
_IP_FREEBIND = 15


class HttpServer:
    """Serves one WSGI application on one address until ``stop``."""

    def __init__(
        self, name: str, app: WSGIApp, host: str, port: int, *, threads: int = 8,
        patience: float = 20.0, device: str | None = None,
    ) -> None:
        """``threads`` requests run at a time; a client may take ``patience`` seconds for a body's part.

        With ``device`` only what comes on that network interface is heard; the address need not be there.
        """
        self.name = name
        self.host = host
        self.port = port
        self._device = device
        self._app = SlowClients(app, port, threads, patience)
        self._signal = WorkerSignal()
        self._listener: Any = None
        self._ended_at: float | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Bind and serve on a background thread.

        Raises ``OSError`` with the address in its text when the port is taken.
        """
        if self._device is None:
            _refuse_taken_port(self.host, self.port)
            listener = ListenerSpec(self.host, self.port, _BACKLOG).build()
        else:
            listener = _on_device(self._device, self.host, self.port)
        self._listener = listener
        no_tls: tuple[Any, ...] = (False, None, None, None, "tls1.2", None, [], False)
        self._thread = threading.Thread(
            name=f"http-{self.name}",
            target=MTServer._spawn_wsgi_worker,
            args=(
                1, self._signal, self._app, (None, listener), Loops.asyncio, RuntimeModes.st, 1, 1,
                _THREADS, 30, _THREADS, TaskImpl.asyncio, HTTPModes.http1,
                HTTP1Settings(), None, False, None, None, no_tls, {"url_path_prefix": None},
                (None, None),
            ),
            daemon=True,
        )
        self._thread.start()
        self._app.start()

    @property
    def is_alive(self) -> bool:
        """Whether requests are taken and answered, as they should be from ``start`` to ``stop``."""
        return self._thread is None or self._thread.is_alive()

    def end(self) -> float:
        """Accept no more, and close what is idle; answers when that was first asked for, monotonic."""
        if self._ended_at is None:
            self._ended_at = time.monotonic()
            if self._thread is not None and self._thread.is_alive():
                take_no_more(self._listener.get_fd())
                time.sleep(_READ_WITHIN)
            self._signal.set()
        return self._ended_at

    def stop(self, patience: float = 5.0) -> None:
        """Accept no more, and let running requests end: within ``patience`` seconds of the first ``end``.

        A client that neither takes its answer nor sends its body is not waited for so long.
        """
        if self._thread is None:
            return
        until = self.end() + patience
        while self._thread.is_alive() and time.monotonic() < until and not self._app.is_quiet():
            self._thread.join(max(0.0, min(until - time.monotonic(), _LOOK)))
        if self._thread.is_alive() and self._app.running:
            LOG.warning("%s leaves %d requests that did not end", self.name, self._app.running)
        self._app.stop()
        self._thread = None


def _on_device(device: str, host: str, port: int) -> Any:
    """A listener that is reached through one network interface alone, and answers through it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Beside the listener for all interfaces, as whose group the kernel does not count it.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")
        bound.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
        bound.setblocking(False)
        return SocketHolder(bound.detach(), False, _BACKLOG)  # type: ignore[call-arg]
    except OSError as error:
        bound.close()
        raise OSError(
            error.errno, f"cannot listen on {host}:{port} of {device}: {error.strerror}"
        ) from None


def _refuse_taken_port(host: str, port: int) -> None:
    """Granian binds with SO_REUSEPORT, so a second server would silently share the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from None
