# SPDX-License-Identifier: Apache-2.0
"""What becomes of a connection when work on its thread fails."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pika
import pytest

from nova.rpc.link import Link, Retry


class _Connection:
    """An open connection that does at once what it is given."""

    is_open = True

    def __init__(self) -> None:
        self.ioloop = self
        self.closed = 0

    def add_callback_threadsafe(self, work: Callable[[], None]) -> None:
        work()

    def close(self) -> None:
        self.closed += 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_is_told_of() -> None:
    def lost(_reason: str) -> None:
        raise SystemExit

    link = Link([pika.ConnectionParameters()], Retry(), opened=lambda _: None, lost=lost)
    link._serve = lambda _broker: (True, "gone")  # type: ignore[method-assign]
    link.start()
    for _ in range(600):
        if not link.is_alive:
            break
        threading.Event().wait(0.05)
    assert not link.is_alive
    # After its end it need not live.
    link.stop()
    assert link.is_alive


def test_work_that_fails_closes_the_connection_instead_of_leaving_it_half_open() -> None:
    link = Link([pika.ConnectionParameters()], Retry(), opened=lambda _: None, lost=lambda _: None)
    connection = link._connection = _Connection()
    link._open = True

    def fail() -> None:
        raise ValueError

    assert link.post(lambda: None)
    assert connection.closed == 0
    assert link.post(fail)
    assert connection.closed == 1
