# SPDX-License-Identifier: Apache-2.0
"""The metadata service of one host: its listeners, one for all and one for each bridge.

Guests of networks with the same range may be on one host, behind different bridges. A socket that is bound
to a bridge (SO_BINDTODEVICE, socket(7)) is only reached through it and only answers through it, so that such
guests are told apart and each gets its own answer. 169.254.169.254 has to be an address of the host, or be
translated to the service's address and port here; both keep the bridge that a request came on.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nova.api.metadata.callers import BRIDGE
from nova.conf import Config
from nova.http.server import HttpServer

LOG = logging.getLogger(__name__)

LINK_LOCAL = "169.254.169.254"
#: Seconds between two looks for bridges that came or went.
_LOOK_SECONDS = 1.0

WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def bridges_of_host() -> set[str]:
    """The Linux bridges that there are now."""
    root = Path("/sys/class/net")
    with contextlib.suppress(FileNotFoundError):
        return {name for name in os.listdir(root) if (root / name / "bridge").is_dir()}
    return set()


class MetadataService:
    """Serves ``app`` until ``stop``."""

    def __init__(
        self,
        config: Config,
        app: WSGIApp,
        *,
        listen: str | None = None,
        port: int | None = None,
        by_bridge: bool | None = None,
        bridges: Callable[[], set[str]] = bridges_of_host,
    ) -> None:
        section = config.metadata_service
        self.listen = listen or section.metadata_listen
        self.port = port or section.metadata_listen_port
        self._app = app
        self._threads = section.metadata_workers
        # Where nova-network translates it, what it is translated to is listened on anyway.
        self._link_local = config.network.metadata_host is None
        self._by_bridge = section.metadata_by_bridge if by_bridge is None else by_bridge
        self._bridges = bridges
        self._server = HttpServer(
            "metadata", app, self.listen, self.port, threads=self._threads
        )
        self._of_bridge: dict[str, list[HttpServer]] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="metadata-bridges", daemon=True)

    def start(self) -> None:
        """Listen. Raises ``OSError`` for a taken port."""
        self._server.start()
        if self._by_bridge and self._look():
            self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(10)
        all_servers = [self._server, *(each for servers in self._of_bridge.values() for each in servers)]
        for server in all_servers:
            server.end()
        for server in all_servers:
            server.stop()

    def _watch(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            try:
                if not self._look():
                    return
            except Exception:
                LOG.exception("the bridges of this host could not be looked at")

    def _look(self) -> bool:
        """Follow the bridges that came and went; False where this process may not listen on them."""
        present = self._bridges()
        for name in sorted(present - set(self._of_bridge)):
            try:
                self._of_bridge[name] = self._listen_on(name)
            except OSError as error:
                if error.errno in (errno.EPERM, errno.EACCES):
                    LOG.warning(
                        "not listening on each bridge by itself, which needs CAP_NET_RAW: guests of "
                        "networks with the same range get no metadata"
                    )
                    return False
                LOG.warning("not listening on bridge %s yet: %s", name, error)
        for name in set(self._of_bridge) - present:
            for server in self._of_bridge.pop(name):
                server.stop()
        return True

    def _listen_on(self, bridge: str) -> list[HttpServer]:
        """The listeners of a bridge."""
        started = [self._start_on(bridge, self.listen, self.port)]
        if self._link_local:
            try:
                started.append(self._start_on(bridge, LINK_LOCAL, 80))
            except OSError as error:
                LOG.debug("%s; a packet filter has to translate it", error)
        LOG.info("answering guests on bridge %s", bridge)
        return started

    def _start_on(self, bridge: str, address: str, port: int) -> HttpServer:
        server = HttpServer(
            f"metadata-{bridge}", self._on(bridge), address, port, threads=self._threads, device=bridge
        )
        server.start()
        return server

    def _on(self, bridge: str) -> WSGIApp:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            environ[BRIDGE] = bridge
            return self._app(environ, start_response)

        return app
