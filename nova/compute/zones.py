# SPDX-License-Identifier: Apache-2.0
"""Facts about hosts that views of servers show, each read at most every two seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from nova.db.engine import Database
from nova.db.schema.base import now

#: Seconds that an answer is used without reading again.
KEEP = 2.0


class _HostFacts:
    """A map of host names, read again when it is older than ``KEEP`` seconds.

    One thread at a time reads; meanwhile the others go on with the map that is there.
    """

    def __init__(self, load: Callable[[], Mapping[str, str]]) -> None:
        self._load = load
        self._facts: Mapping[str, str] | None = None
        self._until = 0.0
        self._loading = threading.Lock()

    def current(self) -> Mapping[str, str]:
        """The map."""
        facts = self._facts
        if facts is not None and time.monotonic() < self._until:
            return facts
        if not self._loading.acquire(blocking=facts is None):
            assert facts is not None
            return facts
        try:
            if self._facts is None or time.monotonic() >= self._until:
                self._facts = self._load()
                self._until = time.monotonic() + KEEP
            return self._facts
        finally:
            self._loading.release()

    def forget(self) -> None:
        """Read again at the next question."""
        self._until = 0.0


class ZoneMap:
    """Availability zones of compute hosts: that of their aggregate, else the default zone."""

    def __init__(self, db: Database, default_zone: str) -> None:
        self._db = db
        self._default = default_zone
        self._facts = _HostFacts(self._load)

    def _load(self) -> Mapping[str, str]:
        with self._db.read() as tx:
            return tx.aggregates.zones_of_hosts()

    def zone_of(self, host: str) -> str:
        """The zone that a host is in."""
        return self._facts.current().get(host, self._default)

    def current(self) -> tuple[Mapping[str, str], str]:
        """All hosts that are in a zone of their own, and the zone of the others."""
        return self._facts.current(), self._default

    def forget(self) -> None:
        """Aggregates changed: read again at the next question."""
        self._facts.forget()


class HostStatusMap:
    """``host_status`` of compute hosts (API reference, Servers): UP, UNKNOWN, DOWN, MAINTENANCE."""

    def __init__(self, db: Database, service_down_time: float) -> None:
        self._db = db
        self._down_after = service_down_time
        self._facts = _HostFacts(self._load)

    def _load(self) -> Mapping[str, str]:
        with self._db.read() as tx:
            services = tx.services.list(binary="nova-compute")
        moment = now()
        statuses: dict[str, str] = {}
        for service in services:
            if service.forced_down:
                status = "DOWN"
            elif service.disabled:
                status = "MAINTENANCE"
            else:
                status = "UP" if service.is_up(moment, self._down_after) else "UNKNOWN"
            statuses[service.host] = status
        return statuses

    def current(self) -> Mapping[str, str]:
        """The status of each host that has a compute service; others have the empty status."""
        return self._facts.current()

    def forget(self) -> None:
        """Services changed: read again at the next question."""
        self._facts.forget()
