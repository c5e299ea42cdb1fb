# SPDX-License-Identifier: Apache-2.0
"""The scheduler with its table of hosts, kept in step with the database."""

from __future__ import annotations

import time
from collections.abc import Sequence

from nova import metrics
from nova.conductor.host_services import JUST_NOW, HostServices
from nova.conductor.steps import BUILDING_STEPS
from nova.db.engine import Database
from nova.db.schema.base import now
from nova.objects.host import Claim, HostReport
from nova.scheduler.scheduler import Scheduler
from nova.scheduler.table import HostTable


class SchedulerTable(HostServices):
    """A ``Scheduler`` whose table is rebuilt when hosts change, and follows claims in between."""

    def __init__(
        self, db: Database, table: HostTable, scheduler: Scheduler, service_down_time: int
    ) -> None:
        super().__init__(db, service_down_time)
        self.scheduler = scheduler
        self.table = table
        self._behind = False
        self._compared = metrics.Age()
        metrics.watch(metrics.TABLE_HOSTS, lambda: len(table))
        metrics.watch(metrics.TABLE_AGE, self._compared.seconds)

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
            self.table.rebuild(nodes, services, aggregates, now(), self._down_after)
            self._take(services)
            self.table.set_building(building)
            self._compared.now()

    def look_again(self) -> None:
        """Rebuild the table unless that was done just now: what it does not know may have come."""
        if self._stale or time.monotonic() - self._rebuilt > JUST_NOW / 10:
            self.refresh(force=True)

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
        if any(self.table.differs(report) for report in reports):
            self.changed()
        else:
            super().reported(host)

    def note_building(self, node_id: int, change: int) -> None:
        """A build on a node began (+1) or ended (-1)."""
        self.table.note_building(node_id, change)

    def note_failed_build(self, node_id: int, failed: bool) -> None:
        """A build on a node failed, or went well."""
        self.table.note_failed_build(node_id, failed)

    def released(self, claims: Sequence[Claim]) -> None:
        """Claims were given back."""
        for claim in claims:
            self.table.apply_release(
                claim.node_id, claim.vcpus, claim.memory_mb, claim.disk_gb, claim.pcpus
            )
            if claim.topology is not None:
                self.table.release_topology(claim.node_id, claim.topology)
