# SPDX-License-Identifier: Apache-2.0
"""Reports of many hosts written together: one transaction a second in place of one a report.

A host that is new or was down is written at once, as others wait for it. What is only a sign of life of a
host that lives can wait a second; should this process die meanwhile, the host's next report tells the same.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Sequence

from nova.conductor.core import ConductorCore
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.objects.host import HostReport

LOG = logging.getLogger(__name__)

_PAUSE = 1.0
#: How long the end waits for a database that does not answer.
_LAST_SECONDS = 4.0

#: Host -> what it says of its nodes, and what it is busy with.
_Reports = dict[str, tuple[Sequence[HostReport], Sequence[int]]]


class HostReports:
    """Collects reports and writes them on a thread of its own."""

    def __init__(self, core: ConductorCore) -> None:
        self._core = core
        self._lock = threading.Lock()
        self._waiting: _Reports = {}
        self._news = threading.Event()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """From now on reports are written together."""
        self._thread = threading.Thread(target=self._loop, name="host-reports", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, and end."""
        self._ending.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join(_LAST_SECONDS)

    def take(self, host: str, reports: Sequence[HostReport], running: Sequence[int]) -> None:
        """A host reports; written at once where it is new, was down, or nothing is collected."""
        known = self._core.hosts.is_known_up(host)
        if known and self._thread is not None and not self._ending.is_set():
            with self._lock:
                # A sign of life does not take the place of sizes that are not written yet.
                before = self._waiting.get(host, ((), ()))[0]
                self._waiting[host] = (reports or before, running)
            self._news.set()
            return
        self._core.db.run(lambda tx: self._write(tx, {host: (reports, running)}))
        self._core.hosts.reported(host)

    def _loop(self) -> None:
        while not self._ending.is_set():
            self._news.wait()
            self._ending.wait(_PAUSE)
            self._news.clear()
            with self._lock:
                waiting, self._waiting = self._waiting, {}
            if not waiting:
                continue
            try:
                self._core.db.run(functools.partial(self._write, waiting=waiting))
            except Exception:
                # Each of these hosts reports again.
                LOG.exception("the reports of %d hosts could not be written", len(waiting))
                continue
            for host in waiting:
                self._core.hosts.reported(host)

    def _write(self, tx: Transaction, waiting: _Reports) -> None:
        told = [each for reports, _running in waiting.values() for each in reports]
        if told:
            tx.nodes.report_many(told)
        tx.services.report_many([("nova-compute", host, "compute") for host in sorted(waiting)], now())
        busy = {host: running for host, (_reports, running) in waiting.items() if running}
        if busy:
            tx.operations.renew_many(busy, self._core.dispatcher.lease_end())
