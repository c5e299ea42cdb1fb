# SPDX-License-Identifier: Apache-2.0
"""Connections to a database server that hang: nobody waits for them for ever."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy import make_url, text

from nova.db.connections import Patience
from nova.db.engine import Database, Transaction
from nova.errors import DatabaseAway, DatabaseBusy
from tests.cluster.proxy import proxy_to


@pytest.fixture(params=("mariadb", "postgresql"))
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server_url(new_url: Callable[[], str]) -> str:
    return new_url()


def _count(tx: Transaction) -> int:
    tx.connection.execute(text("UPDATE rows_of_all SET value = value + 1 WHERE id = 1"))
    return int(tx.connection.execute(text("SELECT value FROM rows_of_all WHERE id = 1")).scalar_one())


def _prepare(db: Database) -> None:
    with db.write() as tx:
        tx.connection.execute(text("CREATE TABLE rows_of_all (id INT PRIMARY KEY, value INT)"))
        tx.connection.execute(text("INSERT INTO rows_of_all VALUES (1, 0)"))


def test_a_process_that_hangs_within_a_transaction_gives_its_rows_back(server_url: str) -> None:
    hanging = Database(server_url, patience=Patience(standstill=2, lock=1))
    other = Database(server_url, patience=Patience(standstill=60, lock=1))
    _prepare(other)
    has_locked, go_on = threading.Event(), threading.Event()
    ends: list[BaseException] = []

    def hang() -> None:
        try:
            with hanging.write() as tx:
                _count(tx)
                has_locked.set()
                go_on.wait(60)
                _count(tx)
        except BaseException as error:
            ends.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    assert has_locked.wait(10)
    with pytest.raises(DatabaseBusy), other.write() as tx:
        _count(tx)
    # The one that hangs has lost its transaction by then, and nothing of it was written.
    assert other.run(_count) == 1
    go_on.set()
    thread.join(30)
    assert [type(error) for error in ends] == [DatabaseAway]
    assert hanging.run(_count) == 2
    for db in (hanging, other):
        db.dispose()


def test_the_kernel_looks_after_connections_that_are_silent(server_url: str, engine: str) -> None:
    db = Database(server_url, patience=Patience(silence=25))
    with db.engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        descriptor = raw.fileno() if engine == "postgresql" else raw._sock.fileno()
        with socket.socket(fileno=os.dup(descriptor)) as seen:
            assert seen.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            options = [
                seen.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT,
                               socket.TCP_USER_TIMEOUT)
            ]
    assert options == [10, 5, 3, 25000]
    db.dispose()


@pytest.mark.parametrize("engine", ["mariadb"])
def test_a_kept_connection_that_a_network_has_forgotten_is_found_out_in_seconds(server_url: str) -> None:
    """Sooner than a lost answer is: what is forgotten is found by one process after the other."""
    url = make_url(server_url)
    assert url.port is not None
    with proxy_to(url.port) as link:
        through = url.set(port=link.port).render_as_string(hide_password=False)
        db = Database(through, patience=Patience(answer=60))
        _prepare(db)
        assert db.run(_count) == 1
        link.tell("forget")
        began = time.monotonic()
        assert db.run(_count) == 2
        assert time.monotonic() - began < 15
        with db.engine.connect() as connection:
            assert connection.connection.driver_connection._read_timeout == 60, "statements have their time"
        db.dispose()


@pytest.mark.parametrize("engine", ["mariadb"])
def test_connections_to_mariadb_have_one_tls_context_together(server_url: str) -> None:
    """One for each read the system's authorities: 0.6 MB a connection."""
    db = Database(server_url)
    with db.engine.connect() as one, db.engine.connect() as another:
        first, second = (each.connection.driver_connection for each in (one, another))
        assert first is not second
        assert first.ctx is second.ctx
    db.engine.dispose()
