# SPDX-License-Identifier: Apache-2.0
"""How connections to a database server are kept honest: none waits for ever, and none holds rows for ever.

A connection that a network has forgotten looks open from both ends. Ours notices by TCP keepalive; the
server ends a transaction that stands still, so that the rows it has locked come free though its process
hangs, or is behind a network that drops everything. Whoever waits for a row gives up before that and asks
again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import socket
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event

#: Within so many seconds a server says that it is there. Processes that wait for one another each find out by
#: themselves that a network has forgotten their connections, so that these times add up.
_PING = 5


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long what is waited for, in seconds.

    ``silence``: the other end's kernel. ``standstill``: the next statement of a transaction. ``lock``: a
    row that another has locked. ``answer``: that of a statement, where something between us and a MariaDB
    keeps the connection up but carries nothing; 0 for ever, as changes of a schema take.
    """

    silence: int = 25
    standstill: int = 20
    lock: int = 10
    answer: int = 0

    def connect_arguments(self, driver: str) -> dict[str, Any]:
        """What the driver has to be told when it connects."""
        if driver != "pymysql" or not self.answer:
            return {}
        return {"read_timeout": self.answer, "write_timeout": self.answer}


def watch_connections(engine: Engine, patience: Patience) -> None:
    """Prepare every connection that ``engine`` makes, to MariaDB, MySQL or PostgreSQL."""
    postgresql = engine.dialect.name == "postgresql"
    if engine.dialect.driver == "pymysql":
        connect = _pymysql_connect()

        @event.listens_for(engine, "do_connect")
        def on_dial(_dialect: object, _record: object, arguments: Any, named: dict[str, Any]) -> Any:
            return connect(*arguments, **named)

    @event.listens_for(engine, "connect")
    def on_connect(raw: Any, _record: object) -> None:
        notice_silence(raw.fileno() if postgresql else raw._sock.fileno(), patience.silence)
        cursor = raw.cursor()
        if postgresql:
            cursor.execute(
                f"SET idle_in_transaction_session_timeout = '{patience.standstill}s'; "
                f"SET lock_timeout = '{patience.lock}s'"
            )
            raw.commit()
        else:
            # MySQL has no name for the first; its locks are waited for as briefly all the same.
            standstill = (
                f"idle_transaction_timeout = {patience.standstill}, "
                if "MariaDB" in raw.get_server_info() else ""
            )
            cursor.execute(f"SET SESSION {standstill}innodb_lock_wait_timeout = {patience.lock}")
        cursor.close()


@functools.cache
def _pymysql_connect() -> Callable[..., Any]:
    """``pymysql.connect``, but connections that were told nothing of TLS have one context for it together.

    The driver speaks TLS to a server that offers it. By itself it reads the system's authorities (0.6 MB)
    for each connection, though it asks none of them then.
    """
    import ssl

    from pymysql.connections import Connection

    shared: list[ssl.SSLContext] = []

    class OurConnection(Connection):  # type: ignore[misc]
        _read_timeout: float | None

        def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:
            if sslp:
                context: ssl.SSLContext = super()._create_ssl_ctx(sslp)
                return context
            if not shared:
                made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                made.check_hostname = False
                made.verify_mode = ssl.CERT_NONE
                shared.append(made)
            return shared[0]

        def ping(self, reconnect: bool = False) -> None:
            """Asked by the pool before each use: a network that has forgotten one has forgotten all."""
            patience = self._read_timeout
            self._read_timeout = min(patience or _PING, _PING)
            try:
                super().ping(reconnect)
            finally:
                self._read_timeout = patience

    return OurConnection


def notice_silence(descriptor: int, seconds: int) -> None:
    """Let the kernel end a TCP connection whose other end has not been heard of for so long (tcp(7))."""
    with contextlib.closing(socket.socket(fileno=os.dup(descriptor))) as connection:
        if connection.family not in (socket.AF_INET, socket.AF_INET6):
            return
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in tcp_options(seconds).items():
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def tcp_options(seconds: int) -> dict[str, int]:
    """TCP's options by which a silent other end is noticed after about so many seconds."""
    return {
        "TCP_KEEPIDLE": max(1, seconds * 2 // 5), "TCP_KEEPINTVL": max(1, seconds // 5), "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 1000 * seconds,
    }
