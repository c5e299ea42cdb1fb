# SPDX-License-Identifier: Apache-2.0
"""The states that hosts' topologies are in, each kept once for all hosts that are in it.

A state is what a host has, what guests hold of it, and its ratios. Empty hosts of one kind share one, and
hosts that took the same guests do, so that a request is fitted to each state once and the answer counts
for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from nova.decoding import convert
from nova.objects.host import ComputeNode
from nova.objects.topology import HostTopology, HostUsage
from nova.scheduler.columns import Integers, Mask
from nova.topology.devices import free_devices
from nova.topology.fitting import Room

#: The number of hosts that do not say what they have.
UNKNOWN = 0
#: States kept beyond twice those that hosts can be in, before those that none is in are dropped.
_SPARE = 4096


#: A state: its host's object, what is used, the ratios.
_Key = tuple[int, HostUsage, float, float]


class Rooms:
    """States by number. ``epoch`` grows when numbers change their meaning."""

    def __init__(self) -> None:
        self.epoch = 0
        self._rooms: list[Room | None] = [None]
        self._numbers: dict[_Key, int] = {}
        self._hosts: dict[HostTopology, HostTopology] = {}
        self._dedicated: dict[int, frozenset[int]] = {}
        self._free = np.zeros((2, 64), dtype=np.int64)

    def __len__(self) -> int:
        return len(self._rooms)

    def get(self, number: int) -> Room | None:
        """The state of that number; None for a host that does not say what it has."""
        return self._rooms[number]

    @property
    def free_pinned(self) -> Integers:
        """Free CPUs for pinning in each state: cheap to look at first."""
        return self._free[0, : len(self._rooms)]

    @property
    def free_devices(self) -> Integers:
        """Free PCI devices of each state."""
        return self._free[1, : len(self._rooms)]

    def host(self, topology: HostTopology) -> HostTopology:
        """The one object that stands for all hosts that have the same; states hold no other."""
        known = self._hosts.setdefault(topology, topology)
        if id(known) not in self._dedicated:
            self._dedicated[id(known)] = frozenset(
                cpu for cell in known.cells for cpu in cell.dedicated
            )
        return known

    def number(self, room: Room) -> int:
        """The number of a state; its host is one that ``host`` answered."""
        key = (id(room.host), room.usage, room.cpu_ratio, room.ram_ratio)
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self._rooms)
            if found >= self._free.shape[1]:
                self._free = np.concatenate((self._free, np.zeros_like(self._free)), axis=1)
            self._rooms.append(room)
            self._free[0, found] = len(
                self._dedicated[id(room.host)].difference(room.usage.pinned)
            )
            self._free[1, found] = free_devices(room.host, room.usage)
        return found

    def changed(self, number: int, usage: HostUsage) -> int:
        """The state of a host that was in one and is used differently now."""
        room = self._rooms[number]
        if room is None:
            return UNKNOWN
        return self.number(msgspec.structs.replace(room, usage=usage))

    def compact(self, columns: tuple[Integers, ...]) -> None:
        """Drop states that no host is in, where there are many; the columns get the new numbers."""
        if len(self._rooms) <= _SPARE + 2 * sum(map(len, columns)):
            return
        kept = np.unique(np.concatenate(columns)).tolist()
        old = self._rooms
        self.__dict__.update(Rooms().__dict__, epoch=self.epoch + 1)
        translation = np.zeros(len(old), dtype=np.int64)
        for number in kept:
            room = old[number]
            if room is not None:
                self.host(room.host)
                translation[number] = self.number(room)
        for column in columns:
            column[:] = translation[column]


class NodeRooms:
    """Reads nodes' documents into states; equal documents of one read are converted once."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._seen: dict[tuple[int, int, float, float], int] = {}
        self._topologies: dict[int, HostTopology] = {}
        # Documents are told apart by identity; they stay alive as long as this does.
        self._alive: list[Any] = []

    def of(self, node: ComputeNode) -> int:
        """The number of a node's state."""
        if node.topology is None:
            return UNKNOWN
        key = (
            id(node.topology), id(node.topology_used), node.cpu_allocation_ratio,
            node.ram_allocation_ratio,
        )
        found = self._seen.get(key)
        if found is None:
            self._alive.append((node.topology, node.topology_used))
            topology = self._topologies.get(id(node.topology))
            if topology is None:
                topology = self._rooms.host(convert(node.topology, HostTopology))
                self._topologies[id(node.topology)] = topology
            found = self._seen[key] = self._rooms.number(
                Room(
                    host=topology, usage=convert(node.topology_used or {}, HostUsage),
                    cpu_ratio=node.cpu_allocation_ratio, ram_ratio=node.ram_allocation_ratio,
                )
            )
        return found


class Verdicts:
    """Which states a request fits, found out once for each state."""

    def __init__(self) -> None:
        self._epoch = -1
        #: 1 fits, 0 does not, -1 is not known.
        self._known = np.zeros(0, dtype=np.int8)

    def known(self, rooms: Rooms, enough: Callable[[int], Mask]) -> NDArray[np.int8]:
        """The verdict on each state. ``enough(first)`` says of the states from the first new one on which
        have as many CPUs and devices as are asked for; the others are judged by that alone.
        """
        if self._epoch != rooms.epoch:
            self._epoch, self._known = rooms.epoch, np.zeros(0, dtype=np.int8)
        first, count = len(self._known), len(rooms)
        if first < count:
            fresh = np.where(enough(first), np.int8(-1), np.int8(0))
            self._known = np.concatenate((self._known, fresh))
        return self._known
