# SPDX-License-Identifier: Apache-2.0
"""Which compute services are up, as a process that places no servers has to know it.

``nova.conductor.host_table`` adds the table of hosts that are chosen among, and all that NumPy takes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from nova.db.engine import Database
from nova.db.schema.base import now
from nova.objects.host import Claim, HostReport, Service

#: Seconds within which what was just read is not read again for a host that is not known.
JUST_NOW = 1.0


def _nobody() -> None:
    """There are no other processes."""


class HostServices:
    """The compute services, read again when hosts change."""

    def __init__(self, db: Database, service_down_time: int) -> None:
        self._db = db
        self._down_after = service_down_time
        self._lock = threading.Lock()
        self._stale = True
        self._services: dict[str, Service] = {}
        self._rebuilt = float("-inf")
        #: Tells other processes that hosts changed; set by the composition root.
        self.announce: Callable[[], object] = _nobody

    def changed(self) -> None:
        """Services, nodes or aggregates changed: read them before they are asked for."""
        self._stale = True

    def follow(self) -> None:
        """Take what is claimed from the database before the next choice: here none is made."""

    def refresh(self, *, force: bool = False) -> None:
        """Read the services if something changed."""
        if self._stale or force:
            with self._lock:
                self._stale = False
                with self._db.read() as tx:
                    self._take(tx.services.list("nova-compute"))

    def _take(self, services: Iterable[Service]) -> None:
        self._services = {each.host: each for each in services if each.binary == "nova-compute"}
        self._rebuilt = time.monotonic()

    def reported(self, host: str, reports: Sequence[HostReport] = ()) -> None:
        """A host reported: one that is new or was down changes what can be chosen."""
        service = self._services.get(host)
        if service is None or not service.is_up(now(), self._down_after):
            self.changed()
        else:
            self._services[host] = msgspec.structs.replace(service, last_seen_up=now())

    def note_building(self, node_id: int, change: int) -> None:
        """A build on a node began (+1) or ended (-1)."""

    def note_failed_build(self, node_id: int, failed: bool) -> None:
        """A build on a node failed, or went well."""

    def released(self, claims: Sequence[Claim]) -> None:
        """Claims were given back."""

    def is_known_up(self, host: str) -> bool:
        """Whether this process has seen the host up lately; it looks at most once a second."""
        for _ in range(2):
            service = self._services.get(host)
            if service is not None and service.is_up(now(), self._down_after):
                return True
            # Another conductor may have heard of it.
            if time.monotonic() - self._rebuilt < JUST_NOW:
                return False
            self.refresh(force=True)
        return False

    def is_up(self, host: str) -> bool:
        """Whether the compute service of a host reports, and nobody said that it is down."""
        if self._stale:
            self.refresh()
        service = self._services.get(host)
        if service is None:
            self.refresh(force=True)
            service = self._services.get(host)
        if service is None or service.forced_down:
            return False
        if service.is_up(now(), self._down_after):
            return True
        self.refresh(force=True)
        service = self._services.get(host)
        return service is not None and service.is_up(now(), self._down_after)
