# SPDX-License-Identifier: Apache-2.0
"""Servers for the tests of this directory, one of each kind a session.

A server that is not installed skips its tests by name; with CI=true it fails them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nova.db.engine import Database
from tests.services import servers
from tests.services.broker import Broker, rabbitmq

ENGINES = ("sqlite", "mariadb", "postgresql")

_numbers = itertools.count(1)


class Servers:
    """Starts a server when it is first asked for."""

    def __init__(self, closing: contextlib.ExitStack) -> None:
        self._closing = closing
        self._running: dict[str, servers.Server | servers.MissingServer] = {}

    def get(self, engine: str) -> servers.Server:
        """The server; skips (fails in CI) where it is not installed."""
        if engine not in self._running:
            start = {"mariadb": servers.mariadb, "postgresql": servers.postgresql}[engine]
            try:
                self._running[engine] = self._closing.enter_context(start())
            except servers.MissingServer as error:
                self._running[engine] = error
        found = self._running[engine]
        if isinstance(found, servers.MissingServer):
            if os.environ.get("CI") == "true":
                pytest.fail(f"{engine}: {found}")
            pytest.skip(f"{engine}: {found}")
        return found


@pytest.fixture(scope="session")
def database_servers() -> Iterator[Servers]:
    with contextlib.ExitStack() as closing:
        yield Servers(closing)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_url(engine: str, database_servers: Servers, tmp_path: Path) -> Callable[[], str]:
    """Makes an empty database and answers its URL."""

    def make() -> str:
        name = f"nova{os.getpid()}_{next(_numbers)}"
        if engine == "sqlite":
            return f"sqlite:///{tmp_path}/{name}.sqlite"
        return database_servers.get(engine).url(name)

    return make


@pytest.fixture
def empty_database(new_url: Callable[[], str]) -> Iterator[Database]:
    """A database without tables."""
    database = Database(new_url(), pool_size=16)
    yield database
    database.dispose()


@pytest.fixture(scope="session")
def rabbit() -> Iterator[Broker]:
    """A private RabbitMQ."""
    with contextlib.ExitStack() as closing:
        try:
            broker = closing.enter_context(rabbitmq())
        except servers.MissingServer as error:
            if os.environ.get("CI") == "true":
                pytest.fail(f"rabbitmq: {error}")
            pytest.skip(f"rabbitmq: {error}")
        yield broker
