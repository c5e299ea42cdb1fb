# SPDX-License-Identifier: Apache-2.0
"""One connection to a message broker, kept up by a thread of its own.

All of the broker's protocol runs on that thread (pika's connections belong to one thread); others hand it
work by ``post`` and are called back from it. When the connection is lost the next broker is tried, with
growing pauses, for ever; ``opened`` is called each time there is a new one, ``lost`` each time it goes.
"""

from __future__ import annotations

import dataclasses
import logging
import random
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pika
from pika.adapters.select_connection import SelectConnection
from pika.exceptions import AMQPError

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Retry:
    """Pauses between tries, seconds: the first, how much longer each further one is, the longest."""

    first: float = 1.0
    longer: float = 2.0
    longest: float = 10.0


class Link:
    """Keeps one of ``brokers`` connected until ``stop``."""

    def __init__(
        self,
        brokers: Sequence[pika.ConnectionParameters],
        retry: Retry,
        *,
        opened: Callable[[Any], None],
        lost: Callable[[str], None],
    ) -> None:
        self._brokers = list(brokers)
        # Processes that start together do not all sit on the first broker.
        random.shuffle(self._brokers)
        self._retry = retry
        self._opened = opened
        self._lost = lost
        self._connection: Any = None
        self._open = False
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)

    def start(self) -> None:
        """Begin to connect; returns at once."""
        # It logs each failed attempt several times, with traces; what matters is logged here.
        logging.getLogger("pika").setLevel(logging.CRITICAL)
        self._thread.start()

    def stop(self, timeout: float = 2.0) -> None:
        """Close the connection and end the thread; a broker that is silent is left after ``timeout``."""
        self._stopping.set()
        with self._lock:
            connection = self._connection
        if connection is not None:
            connection.ioloop.add_callback_threadsafe(lambda: _close(connection))
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    @property
    def is_open(self) -> bool:
        """Whether there is a connection now."""
        return self._open

    @property
    def is_alive(self) -> bool:
        """Whether its thread lives, as it does from ``start`` to ``stop``."""
        return self._stopping.is_set() or self._thread.is_alive()

    def post(self, work: Callable[[], None]) -> bool:
        """Run ``work`` on the connection's thread; False where there is no connection."""
        with self._lock:
            if not self._open:
                return False
            connection = self._connection

        def guarded() -> None:
            try:
                work()
            except Exception:
                # Closed in good order: else the broker thinks until the heartbeat is missed that what it
                # has sent here is being worked on.
                LOG.exception("work on the broker's connection failed")
                _close(connection)

        connection.ioloop.add_callback_threadsafe(guarded)
        return True

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """Run ``work`` on the connection's thread in a while, if it lives so long. On that thread only."""
        self._connection.ioloop.call_later(seconds, work)

    def reconnect(self, why: str) -> None:
        """Give the present connection up and make a new one. On the connection's thread only."""
        LOG.warning("the connection to the broker is made anew: %s", why)
        _close(self._connection)

    # --- the thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = self._retry.first
        place = 0
        while not self._stopping.is_set():
            broker = self._brokers[place % len(self._brokers)]
            place += 1
            try:
                was_open, reason = self._serve(broker)
            except Exception as error:
                LOG.exception("the connection to the broker failed")
                was_open, reason = self._gone(), repr(error)
            if self._stopping.is_set():
                return
            if was_open:
                LOG.warning("lost the broker %s:%d: %s", broker.host, broker.port, reason)
                pause = self._retry.first
                self._lost(reason)
                if len(self._brokers) > 1:
                    continue
            elif place % len(self._brokers) == 0:
                LOG.warning(
                    "waiting for the broker %s:%d: %s; again in %.0f s", broker.host, broker.port,
                    reason, pause,
                )
            if place % len(self._brokers) == 0:
                # A little apart, so that a thousand hosts do not come back in the same moment.
                if self._stopping.wait(pause * random.uniform(0.75, 1.0)):  # noqa: S311
                    return
                pause = min(self._retry.longest, pause + self._retry.longer)

    def _gone(self) -> bool:
        with self._lock:
            was_open, self._open = self._open, False
        return was_open

    def _serve(self, broker: pika.ConnectionParameters) -> tuple[bool, str]:
        """One connection from its beginning to its end."""
        reasons: list[str] = []

        def on_open(connection: Any) -> None:
            with self._lock:
                self._open = True
            LOG.info("connected to the broker %s:%d", broker.host, broker.port)
            self._opened(connection)

        def on_end(connection: Any, error: Any) -> None:
            reasons.append(_text(error))
            connection.ioloop.stop()

        connection = SelectConnection(
            broker, on_open_callback=on_open, on_open_error_callback=on_end, on_close_callback=on_end
        )
        with self._lock:
            self._connection = connection
        if self._stopping.is_set():
            _close(connection)
        connection.ioloop.start()
        was_open = self._gone()
        connection.ioloop.close()
        return was_open, reasons[0] if reasons else "closed"


def _close(connection: Any) -> None:
    if connection.is_open or not (connection.is_closed or connection.is_closing):
        try:
            connection.close()
        except AMQPError:
            connection.ioloop.stop()


def _text(error: Any) -> str:
    """The innermost words of what pika wraps several times."""
    while getattr(error, "exceptions", None) or (error.args and isinstance(error.args[0], Exception)):
        error = error.exceptions[-1] if getattr(error, "exceptions", None) else error.args[0]
        if isinstance(error, tuple):
            error = error[-1]
    inner = getattr(error, "exception", None)
    return _text(inner) if isinstance(inner, Exception) else (str(error) or repr(error))
