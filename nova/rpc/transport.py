# SPDX-License-Identifier: Apache-2.0
"""The transport that services are written against, and the in-process one.

A target is a topic and, for hosts, the host's name. The in-process transport hands the same frozen values
over that a broker would carry encoded; a call runs in the caller's thread, a cast on the transport's pool.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from nova.errors import ServiceUnavailable
from nova.rpc.calls import CALLS

LOG = logging.getLogger(__name__)


class Transport(Protocol):
    """Carries calls and casts between services."""

    def serve(self, topic: str, host: str | None, endpoint: object) -> None:
        """Let ``endpoint``'s methods be called under ``topic`` (at ``host``)."""
        ...

    def call(self, topic: str, host: str | None, method: str, /, *args: Any) -> Any:
        """Call and wait; raises what the method raises, ``ServiceUnavailable`` if nobody serves."""
        ...

    def cast(self, topic: str, host: str | None, method: str, /, *args: Any) -> None:
        """Wake somebody up; returns at once."""
        ...

    def now(self) -> float:
        """The control side's time as far as it is known here, in seconds since the epoch."""
        ...


class InProcessTransport:
    """For services that share a process."""

    def __init__(self, threads: int = 64) -> None:
        self._endpoints: dict[tuple[str, str | None], object] = {}
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="cast")
        self._closed = threading.Event()

    def serve(self, topic: str, host: str | None, endpoint: object) -> None:
        """Register an endpoint."""
        self._endpoints[topic, host] = endpoint

    def call(self, topic: str, host: str | None, method: str, /, *args: Any) -> Any:
        """Call in the caller's thread."""
        return self._method(topic, host, method)(*args)

    def cast(self, topic: str, host: str | None, method: str, /, *args: Any) -> None:
        """Run on the pool; an exception is logged, the row's lease brings the work back."""
        if self._closed.is_set():
            return
        try:
            self._pool.submit(self._run, topic, host, method, args)
        except RuntimeError:
            LOG.debug("cast %s.%s dropped: the transport is closing", topic, method)

    def now(self) -> float:
        """This process's time."""
        return time.time()

    def close(self) -> None:
        """Take no more casts and wait for those running."""
        self._closed.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, topic: str, host: str | None, method: str, args: tuple[Any, ...]) -> None:
        try:
            self._method(topic, host, method)(*args)
        except Exception:
            LOG.exception("cast %s.%s to %s failed", topic, method, host or "any")

    def _method(self, topic: str, host: str | None, method: str) -> Callable[..., Any]:
        if (topic, method) not in CALLS:
            raise LookupError(f"{topic}.{method} is not in the table of remote calls")
        endpoint = self._endpoints.get((topic, host))
        if endpoint is None and CALLS[topic, method].every:
            return _nobody
        if endpoint is None:
            raise ServiceUnavailable(f"Nobody serves {topic} on host {host}.")
        found: Callable[..., Any] = getattr(endpoint, method)
        return found


def _nobody(*_args: Any) -> None:
    """Nobody keeps anything of this topic in memory."""
