# SPDX-License-Identifier: Apache-2.0
"""Filters by NUMA cells, pinned CPUs, huge pages and PCI devices.

They judge each state that hosts are in once (``nova.scheduler.rooms``), first by the number of free CPUs
and devices, then by fitting the guest. As a fit costs tens of microseconds and ten thousand hosts may be
in as many states, only those that would be chosen are fitted. The claim fits it again to the host as it
is then.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from nova.objects.request_spec import RequestSpec
from nova.objects.topology import TopologyRequest
from nova.scheduler.filters.base import Attempt, LateFilter, Surroundings
from nova.scheduler.rooms import Rooms, Verdicts
from nova.scheduler.table import HostTable, Mask
from nova.topology.fitting import fit, most_free

# The verdicts on one kind of request are as many as there are states of hosts.
_MOST_REQUESTS = 64


class _Judged(LateFilter):
    """A filter that judges states of hosts for kinds of requests."""

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._verdicts: dict[TopologyRequest, Verdicts] = {}

    def applies(self, spec: RequestSpec) -> bool:
        """Only to requests that want something of the kind."""
        return self.wanted(spec) is not None

    def wanted(self, spec: RequestSpec) -> TopologyRequest | None:
        """What of the request this filter is about."""
        raise NotImplementedError

    def possible(self, table: HostTable, spec: RequestSpec) -> Mask:
        """Rows that have enough of everything and of which it is not known that they do not fit."""
        request = self.wanted(spec)
        if request is None:
            return np.ones(len(table), dtype=bool)
        mask: Mask = self._known(table.rooms, request)[table.room_of] != 0
        return mask

    def passes(self, table: HostTable, spec: RequestSpec, row: int) -> bool:
        """Whether a row's host can take the guest."""
        request = self.wanted(spec)
        return request is None or self._judge(table.rooms, request, table.room_of.item(row))

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows that can take it, all of them judged."""
        request = self.wanted(spec)
        mask = self.possible(table, spec)
        if request is None:
            return mask
        for number in np.unique(table.room_of[mask]).tolist():
            self._judge(table.rooms, request, number)
        return self.possible(table, spec)

    def _judge(self, rooms: Rooms, request: TopologyRequest, number: int) -> bool:
        known = self._known(rooms, request)
        if known[number] < 0:
            room = rooms.get(number)
            known[number] = room is not None and fit(room, request) is not None
        return bool(known[number])

    def _known(self, rooms: Rooms, request: TopologyRequest) -> NDArray[np.int8]:
        verdicts = self._verdicts.get(request)
        if verdicts is None:
            if len(self._verdicts) >= _MOST_REQUESTS:
                self._verdicts.clear()
            verdicts = self._verdicts[request] = Verdicts()

        def enough(first: int) -> Mask:
            mask: Mask = rooms.free_pinned[first:] >= request.dedicated
            return mask & (rooms.free_devices[first:] >= request.device_count)

        return verdicts.known(rooms, enough)


class NUMATopologyFilter(_Judged):
    """The guest's NUMA nodes, pinned CPUs and pages find a place, near its PCI devices as they ask."""

    def wanted(self, spec: RequestSpec) -> TopologyRequest | None:
        """Everything, where the guest has NUMA nodes."""
        return spec.topology if spec.topology is not None and spec.topology.cells else None

    def reason(self, table: HostTable, spec: RequestSpec, left: Mask) -> str:
        """What was asked for, and the most CPUs that can be pinned in one cell."""
        request = spec.topology
        assert request is not None
        parts = [f"wanted {len(request.cells)} NUMA node{'s' * (len(request.cells) != 1)}"]
        if request.dedicated:
            parts.append(f"{request.dedicated} dedicated CPUs")
        if request.page is not None:
            size = f"{request.page} KiB" if isinstance(request.page, int) else request.page
            parts.append(f"pages of size {size}")
        rooms = [table.rooms.get(number) for number in np.unique(table.room_of[left]).tolist()]
        known = [room for room in rooms if room is not None]
        if not known:
            return f"{', '.join(parts)}; no host tells of its NUMA cells"
        most = max(most_free(room) for room in known)
        return f"{', '.join(parts)}; the most CPUs free to be pinned in one cell are {most}"


class PciPassthroughFilter(_Judged):
    """As many PCI devices of the aliases asked for are free."""

    def wanted(self, spec: RequestSpec) -> TopologyRequest | None:
        """The devices alone."""
        if spec.topology is None or not spec.topology.devices:
            return None
        return msgspec.structs.replace(spec.topology, cells=(), emulator=None)

    def reason(self, table: HostTable, spec: RequestSpec, left: Mask) -> str:
        """The devices asked for."""
        request = spec.topology
        assert request is not None
        wanted = ", ".join(f"{each.count} of {each.alias}" for each in request.devices)
        return f"wanted PCI devices: {wanted}"
