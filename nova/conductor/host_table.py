# SPDX-License-Identifier: Apache-2.0
"""The conductor's scheduler with its table of hosts, kept in step with the database."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from nova import metrics
from nova.db.engine import Database
from nova.db.schema.base import now
from nova.objects.host import Claim, HostReport, Service
from nova.scheduler.scheduler import Scheduler
from nova.scheduler.table import HostTable

LOG = logging.getLogger(__name__)

#: Steps during which a host builds a guest.
BUILDING_STEPS = frozenset({"spawn", "migrate_in", "arrive"})

#: Seconds within which a table that was rebuilt is not rebuilt for a server that finds no host.
_JUST_NOW = 1.0


def _nobody() -> None:
    """There are no other processes."""


class SchedulerTable:
    """A ``Scheduler`` whose table is rebuilt when hosts change, and follows claims in between."""

    def __init__(
        self, db: Database, table: HostTable, scheduler: Scheduler, service_down_time: int
    ) -> None:
        self.scheduler = scheduler
        self.table = table
        self._db = db
        self._down_after = service_down_time
        self._lock = threading.Lock()
        self._stale = True
        self._behind = False
        self._services: dict[str, Service] = {}
        self._compared = metrics.Age()
        self._rebuilt = float("-inf")
        #: Tells other processes that hosts changed; set by the composition root.
        self.announce: Callable[[], object] = _nobody
        metrics.watch(metrics.TABLE_HOSTS, lambda: len(table))
        metrics.watch(metrics.TABLE_AGE, self._compared.seconds)

    def changed(self) -> None:
        """Services, nodes or aggregates changed: rebuild before the next choice."""
        self._stale = True

    def follow(self) -> None:
        """Take what is claimed from the database before the next choice.

        The table follows claims and releases of its own process by itself; what it missed (a release
        during a rebuild, other processes' claims) it learns so.
        """
        self._behind = True

    def refresh(self, *, force: bool = False) -> None:
        """Rebuild the table if something changed."""
        if not (self._stale or force):
            if self._behind:
                self._follow()
            return
        with self._lock:
            self._stale = False
            with self._db.read() as tx:
                nodes = tx.nodes.list()
                services = tx.services.list()
                aggregates = tx.aggregates.list()
                building = tx.operations.building(BUILDING_STEPS)
            self._services = {s.host: s for s in services if s.binary == "nova-compute"}
            self.table.rebuild(nodes, services, aggregates, now(), self._down_after)
            self._rebuilt = time.monotonic()
            self.table.set_building(building)
            self._compared.now()

    def look_again(self) -> None:
        """Rebuild the table unless that was done just now: what it does not know may have come."""
        if self._stale or time.monotonic() - self._rebuilt > _JUST_NOW / 10:
            self.refresh(force=True)

    def is_known_up(self, host: str) -> bool:
        """Whether this process has seen the host up lately; it looks at most once a second."""
        for _ in range(2):
            service = self._services.get(host)
            if service is not None and service.is_up(now(), self._down_after):
                return True
            if not self._stale or time.monotonic() - self._rebuilt < _JUST_NOW:
                return False
            self.refresh()
        return False

    def _follow(self) -> None:
        with self._lock:
            self._behind = False
            with self._db.read() as tx:
                usage = tx.nodes.usage(measured=self.scheduler.measures)
                building = tx.operations.building(BUILDING_STEPS)
                changed = self.table.refresh(usage)
                if changed:
                    self.table.update_topologies(tx.nodes.get_many(changed))
            self.table.set_building(building)
            self._compared.now()

    def reported(self, host: str, reports: Sequence[HostReport] = ()) -> None:
        """A host reported: one that is new, was down or has other sizes changes what can be chosen."""
        service = self._services.get(host)
        if (
            service is None
            or not service.is_up(now(), self._down_after)
            or any(self.table.differs(report) for report in reports)
        ):
            self.changed()
        else:
            self._services[host] = msgspec.structs.replace(service, last_seen_up=now())

    def released(self, claims: Sequence[Claim]) -> None:
        """Claims were given back."""
        for claim in claims:
            self.table.apply_release(
                claim.node_id, claim.vcpus, claim.memory_mb, claim.disk_gb, claim.pcpus
            )
            if claim.topology is not None:
                self.table.release_topology(claim.node_id, claim.topology)

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
