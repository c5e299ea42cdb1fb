# SPDX-License-Identifier: Apache-2.0
"""The networks as one process remembers them, so that a boot needs no statement to find its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from nova.objects.network import Network

if TYPE_CHECKING:
    from nova.db.engine import Transaction


class NetworkSnapshot:
    """All networks at one moment, by what they are looked up by. Never changed once made."""

    def __init__(self, networks: list[Network], taken_at: float) -> None:
        self.taken_at = taken_at
        self.by_id = {network.id: network for network in networks}
        self.by_uuid = {network.uuid: network for network in networks}
        self.networks = networks
        self._segments: dict[str, list[Network]] = {}
        for network in networks:
            if network.has_range:
                self._segments.setdefault(network.network_uuid, []).append(network)
        # Further subnets of a network are no networks of their own; one without any gives nothing.
        firsts = [
            network for network in networks
            if network.segment_uuid is None and network.uuid in self._segments
        ]
        self.unowned = [network for network in firsts if network.project_id is None]
        self._owned: dict[str, list[Network]] = {}
        for network in firsts:
            if network.project_id is not None:
                self._owned.setdefault(network.project_id, []).append(network)

    def rows_of(self, network: Network) -> list[Network]:
        """The rows with a range that a network's cards may get their address from, its own first.
        """
        if network.segment_uuid is not None:
            return [network]
        rows = self._segments.get(network.uuid, [])
        return rows if len(rows) < 2 else sorted(rows, key=lambda row: (row.uuid != network.uuid, row.id))

    def owned_by(self, project_id: str) -> list[Network]:
        """The project's networks by priority, then by age."""
        return self._owned.get(project_id, [])


class NetworkCatalog:
    """Keeps a snapshot for at most ``lifetime`` seconds."""

    def __init__(
        self, lifetime: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._snapshot: NetworkSnapshot | None = None
        self._generation = 0
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Read the networks anew at the next use."""
        with self._lock:
            self._generation += 1
            self._snapshot = None

    def snapshot(self, tx: Transaction) -> NetworkSnapshot:
        """The networks, read through ``tx`` where what is remembered is too old."""
        known = self._snapshot
        if known is not None and self._clock() - known.taken_at < self._lifetime:
            return known
        return self.refresh(tx)

    def read(self, tx: Transaction) -> NetworkSnapshot:
        """The networks as ``tx`` sees them now, without remembering them."""
        return NetworkSnapshot(tx.networks.every(), self._clock())

    def refresh(self, tx: Transaction) -> NetworkSnapshot:
        """The networks as they are in the database now.

        What was read is remembered unless ``forget`` was called meanwhile: it may be older than
        that.
        """
        generation = self._generation
        fresh = self.read(tx)
        with self._lock:
            if generation == self._generation:
                self._snapshot = fresh
        return fresh
