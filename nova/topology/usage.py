# SPDX-License-Identifier: Apache-2.0
"""Adds up what guests hold of a host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from nova.objects.topology import GuestCell, GuestTopology, HostUsage


def floating(cell: GuestCell) -> int:
    """The vCPUs of a guest's node that are not pinned."""
    return len(cell.cpus) - len(cell.pinning)


def usage_of(guests: Iterable[GuestTopology]) -> HostUsage:
    """What guests hold together."""
    pinned: set[int] = set()
    devices: set[str] = set()
    shared: Counter[int] = Counter()
    memory: Counter[tuple[int, int]] = Counter()
    for guest in guests:
        pinned.update(guest.pinned)
        devices.update(device.address for device in guest.devices)
        for cell in guest.cells:
            shared[cell.host_cell] += floating(cell)
            memory[cell.host_cell, cell.pool_kb] += cell.memory_mb
    return _usage(pinned, shared, memory, devices)


def with_guest(usage: HostUsage, guest: GuestTopology) -> HostUsage:
    """The usage with one guest more."""
    return _changed(usage, guest, 1)


def without_guest(usage: HostUsage, guest: GuestTopology) -> HostUsage:
    """The usage with one guest less."""
    return _changed(usage, guest, -1)


def _changed(usage: HostUsage, guest: GuestTopology, sign: int) -> HostUsage:
    pinned, devices = set(usage.pinned), set(usage.devices)
    addresses = {device.address for device in guest.devices}
    if sign > 0:
        pinned.update(guest.pinned)
        devices.update(addresses)
    else:
        pinned.difference_update(guest.pinned)
        devices.difference_update(addresses)
    shared: Counter[int] = Counter(dict(usage.shared))
    memory: Counter[tuple[int, int]] = Counter({(c, size): mb for c, size, mb in usage.memory})
    for cell in guest.cells:
        shared[cell.host_cell] += sign * floating(cell)
        memory[cell.host_cell, cell.pool_kb] += sign * cell.memory_mb
    return _usage(pinned, shared, memory, devices)


def _usage(
    pinned: set[int],
    shared: Counter[int],
    memory: Counter[tuple[int, int]],
    devices: set[str],
) -> HostUsage:
    return HostUsage(
        pinned=tuple(sorted(pinned)),
        shared=tuple(sorted((cell, count) for cell, count in shared.items() if count > 0)),
        memory=tuple(
            sorted((cell, size, mb) for (cell, size), mb in memory.items() if mb > 0)
        ),
        devices=tuple(sorted(devices)),
    )
