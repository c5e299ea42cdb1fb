# SPDX-License-Identifier: Apache-2.0
"""The listener for those who watch over the cloud: ``/metrics`` and ``/healthcheck`` in full.

Asked every few seconds by one monitor, so it is the standard library's server: it costs a thread and
nothing else. It has no login; it listens on the loopback address unless the operator says otherwise.
"""

from __future__ import annotations

import http.server
import logging
import socket
import threading
from typing import Any

from nova import __version__, metrics
from nova.conf.metrics import MetricsSection
from nova.health import Health
from nova.http import health as health_face

LOG = logging.getLogger(__name__)

#: Ports where none is configured: every daemon of a machine has its own.
DEFAULT_PORTS = {
    "nova-all-in-one": 9180,
    "nova-api": 9181,
    "nova-conductor": 9182,
    "nova-scheduler": 9183,
    "nova-compute": 9184,
    "nova-network": 9185,
    "nova-api-metadata": 9186,
    "nova-novncproxy": 9187,
    "nova-identity": 9188,
    "nova-image": 9189,
    "nova-objectstore": 9190,
    "nova-volume": 9191,
    "nova-serialproxy": 9192,
    "nova-spicehtml5proxy": 9193,
}
_TIMEOUT = 10


class AdminListener:
    """Serves a process's metrics and health until ``stop``."""

    def __init__(self, daemon: str, health: Health, host: str, port: int) -> None:
        self._server = _Server((host, port), _handler(health))
        self.host = host
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="admin-listener", daemon=True
        )
        metrics.BUILD_INFO.labels(daemon, __version__).set(1)

    def start(self) -> None:
        """Serve on a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def open_admin_listener(
    section: MetricsSection, daemon: str, health: Health, *, port_offset: int = 0
) -> AdminListener | None:
    """The listener of a daemon, started, as the options say; None where it is off.

    A taken address is logged and does without: a daemon's work does not hang on being watched.
    """
    if not section.enabled:
        return None
    port = section.listen_port
    if port is None:
        port = DEFAULT_PORTS.get(daemon, 0)
    if port:
        port += port_offset
    try:
        listener = AdminListener(daemon, health, section.listen, port)
    except OSError as error:
        LOG.warning(
            "no metrics: cannot listen on %s:%d: %s; set [metrics] listen_port", section.listen, port,
            error.strerror,
        )
        return None
    listener.start()
    return listener


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 16

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind without asking the resolver for the host's name, as the base does."""
        http.server.socketserver.TCPServer.server_bind(self)  # type: ignore[attr-defined]
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """A monitor that hung up is no matter."""
        LOG.debug("a request to the admin listener failed", exc_info=True)


def _handler(health: Health) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        """One request."""

        timeout = _TIMEOUT
        server_version = "nova"
        sys_version = ""

        def do_GET(self) -> None:
            """Answer."""
            status, kind, body = _page(self.path.partition("?")[0], health)
            code, _, reason = status.partition(" ")
            self.send_response(int(code), reason)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the name that the base calls

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Say nothing: one line each few seconds tells nobody anything."""

    return Handler


def _page(path: str, health: Health) -> health_face.Answer:
    if path == "/metrics":
        body, kind = metrics.exposition()
        return "200 OK", kind, body
    if path == health_face.PATH:
        return health_face.details(health.full())
    if path == "/":
        return "200 OK", "text/plain", b"/metrics\n/healthcheck\n"
    return "404 Not Found", "text/plain", b"There are /metrics and /healthcheck.\n"
