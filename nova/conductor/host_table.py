# SPDX-License-Identifier: Apache-2.0
"""The conductor's scheduler with its table of hosts, kept in step with the database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import msgspec

from nova.db.engine import Database
from nova.db.schema.base import now
from nova.objects.host import Claim, Service
from nova.scheduler.scheduler import Scheduler
from nova.scheduler.table import HostTable

LOG = logging.getLogger(__name__)

#: Steps during which a host builds a guest.
BUILDING_STEPS = frozenset({"spawn", "migrate_in", "arrive"})


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
            self.table.set_building(building)

    def _follow(self) -> None:
        with self._lock:
            self._behind = False
            with self._db.read() as tx:
                usage = tx.nodes.usage()
                building = tx.operations.building(BUILDING_STEPS)
            self.table.refresh(usage)
            self.table.set_building(building)

    def reported(self, host: str) -> None:
        """A host reported: only one that is new or was down changes what can be chosen."""
        service = self._services.get(host)
        if service is None or not service.is_up(now(), self._down_after):
            self.changed()
        else:
            self._services[host] = msgspec.structs.replace(service, last_seen_up=now())

    def released(self, claims: Sequence[Claim]) -> None:
        """Claims were given back."""
        for claim in claims:
            self.table.apply_release(
                claim.node_id, claim.vcpus, claim.memory_mb, claim.disk_gb
            )

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
