# SPDX-License-Identifier: Apache-2.0
"""What becomes of a connection when work on its thread fails."""

from __future__ import annotations

from collections.abc import Callable

import pika

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
