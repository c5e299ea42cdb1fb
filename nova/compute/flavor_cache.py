# SPDX-License-Identifier: Apache-2.0
"""Flavors in memory: booting a server must not cost a query for its flavor."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping

from nova.db.engine import Database
from nova.errors import FlavorNotFound
from nova.objects.flavor import Flavor

#: Seconds after which what another process wrote is seen.
KEEP = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Snapshot:
    """All flavors, and the projects that may use those that are not public."""

    generation: int
    until: float
    flavors: Mapping[str, Flavor]
    access: Mapping[int, frozenset[str]]

    def usable(self, flavorid: str, project_id: str, is_admin: bool) -> Flavor | None:
        flavor = self.flavors.get(flavorid)
        if flavor is None or flavor.is_public or is_admin:
            return flavor
        return flavor if project_id in self.access.get(flavor.id, ()) else None


class FlavorCache:
    """Flavors by their public id, for any number of threads.

    Own writes are seen at once (``forget`` after the commit), those of other processes after at
    most ``KEEP`` seconds; what is not found is looked for in the database before it is refused.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._generation = 0
        #: Tells the other processes; set by the composition root.
        self.announce: Callable[[], object] = _nobody
        self._snapshot: _Snapshot | None = None
        self._loading = threading.Lock()

    def get(self, flavorid: str, project_id: str, is_admin: bool) -> Flavor:
        """The flavor, where it is public, the project may use it, or ``is_admin``.

        Raises ``FlavorNotFound`` in all other cases.
        """
        snapshot = self._snapshot
        if (
            snapshot is not None
            and snapshot.generation == self._generation
            and time.monotonic() < snapshot.until
        ):
            flavor = snapshot.usable(flavorid, project_id, is_admin)
            if flavor is not None:
                return flavor
            with self._db.read() as tx:
                flavor = tx.flavors.find(flavorid, project_id=None if is_admin else project_id)
        else:
            flavor = self._current().usable(flavorid, project_id, is_admin)
        if flavor is None:
            raise FlavorNotFound(flavorid)
        return flavor

    def forget(self) -> None:
        """Flavors or access lists changed here: read again at the next question, and tell other processes."""
        self.drop()
        self.announce()

    def drop(self) -> None:
        """Flavors or access lists changed somewhere: read again at the next question."""
        with self._loading:
            self._generation += 1

    def _current(self) -> _Snapshot:
        """The snapshot, read again where it is old; one thread reads, those that need it wait."""
        with self._loading:
            snapshot = self._snapshot
            if (
                snapshot is not None
                and snapshot.generation == self._generation
                and time.monotonic() < snapshot.until
            ):
                return snapshot
            with self._db.read() as tx:
                flavors = tx.flavors.every()
                access = tx.flavors.access_lists()
            snapshot = self._snapshot = _Snapshot(
                self._generation, time.monotonic() + KEEP,
                {flavor.flavorid: flavor for flavor in flavors},
                {key: frozenset(projects) for key, projects in access.items()},
            )
            return snapshot


def _nobody() -> None:
    """There are no other processes."""
