# SPDX-License-Identifier: Apache-2.0
"""Finds the place of a guest on a host: cells, CPUs, pages, PCI devices.

Each node of the guest gets a cell of its own. Cells with most room come first, and those with PCI devices
first for guests that want some and last for others. The answer depends on its arguments only, so that two
schedulers that see the same host come to the same place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from nova.objects.topology import (
    DEDICATED,
    MIXED,
    CellRequest,
    GuestCell,
    GuestDevice,
    GuestTopology,
    HostCell,
    HostTopology,
    HostUsage,
    TopologyRequest,
)
from nova.topology.devices import choose_devices


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What a host has and how much of it may be used: the ratios count for floating vCPUs and for
    ordinary memory of guests that pin nothing.
    """

    host: HostTopology
    usage: HostUsage = HostUsage()
    cpu_ratio: float = 1.0
    ram_ratio: float = 1.0


class _Cell:
    """A host's cell with what is free in it."""

    __slots__ = ("cell", "free_cores", "free_count", "free_mb", "pools", "shared_used", "threads")

    def __init__(self, cell: HostCell, usage: HostUsage) -> None:
        self.cell = cell
        usable = set(cell.dedicated).difference(usage.pinned)
        self.free_cores = [
            free for core in cell.cores if (free := [cpu for cpu in core if cpu in usable])
        ]
        self.free_count = sum(map(len, self.free_cores))
        self.threads = max(map(len, cell.cores), default=1)
        self.shared_used = next((count for at, count in usage.shared if at == cell.id), 0)
        used = {size: mb for at, size, mb in usage.memory if at == cell.id}
        self.pools = {
            pool.size_kb: (pool.memory_mb, used.get(pool.size_kb, 0)) for pool in cell.pages
        }
        self.free_mb = sum(total - taken for total, taken in self.pools.values())


class _Pins(msgspec.Struct, frozen=True):
    """CPUs chosen in one cell: for vCPUs in order, for the emulator, and kept idle."""

    cpus: tuple[int, ...] = ()
    emulator: tuple[int, ...] = ()
    idle: tuple[int, ...] = ()


def fit(room: Room, request: TopologyRequest, *, pack: bool = False) -> GuestTopology | None:
    """A place for the guest, or None. ``pack`` fills used cells first instead of the emptiest."""
    if not request.cells:
        alone = choose_devices(room.host, room.usage, request.devices, None)
        return None if alone is None else GuestTopology(devices=alone)
    if len(request.cells) > len(room.host.cells):
        return None
    cells = _ordered(room, request, pack)
    for chosen in _assignments(cells, room, request):
        at = [cell.host_cell for cell, _pins in chosen]
        devices: tuple[GuestDevice, ...] | None = ()
        if request.devices:
            devices = choose_devices(room.host, room.usage, request.devices, at)
        if devices is not None:
            return _guest(request, chosen, devices)
    return None


def most_free(room: Room) -> int:
    """The most CPUs that are free to be pinned in one cell, for explanations."""
    return max((_Cell(cell, room.usage).free_count for cell in room.host.cells), default=0)


def _guest(
    request: TopologyRequest,
    chosen: Sequence[tuple[GuestCell, _Pins]],
    devices: tuple[GuestDevice, ...],
) -> GuestTopology:
    pinned = [cpu for _cell, pins in chosen for cpu in (*pins.cpus, *pins.emulator, *pins.idle)]
    return GuestTopology(
        cells=tuple(cell for cell, _pins in chosen), devices=devices, policy=request.policy,
        emulator_policy=request.emulator,
        emulator=tuple(cpu for _cell, pins in chosen for cpu in pins.emulator),
        pinned=tuple(sorted(pinned)),
    )


def _ordered(room: Room, request: TopologyRequest, pack: bool) -> list[_Cell]:
    cells = [_Cell(cell, room.usage) for cell in room.host.cells]
    if len(cells) == len(request.cells):
        return cells
    near: dict[int | None, int] = {}
    for device in room.host.devices:
        if device.address not in room.usage.devices:
            near[device.cell] = near.get(device.cell, 0) + 1
    pinning = request.policy in (DEDICATED, MIXED)

    def key(each: _Cell) -> tuple[int, int, int, int]:
        devices = near.get(each.cell.id, 0)
        cpus = each.free_count if pinning else -each.shared_used
        sign = 1 if pack else -1
        return (-devices if request.devices else devices, sign * cpus, sign * each.free_mb,
                each.cell.id)

    return sorted(cells, key=key)


def _assignments(
    cells: Sequence[_Cell], room: Room, request: TopologyRequest
) -> Iterator[list[tuple[GuestCell, _Pins]]]:
    """Every way to give the guest's nodes a cell each, best first."""
    known: dict[tuple[int, int], tuple[GuestCell, _Pins] | None] = {}

    def place(node: int, cell: int) -> tuple[GuestCell, _Pins] | None:
        if (node, cell) not in known:
            known[node, cell] = _fit_cell(cells[cell], room, request, node)
        return known[node, cell]

    def descend(
        node: int, taken: frozenset[int], chosen: list[tuple[GuestCell, _Pins]]
    ) -> Iterator[list[tuple[GuestCell, _Pins]]]:
        if node == len(request.cells):
            yield chosen
            return
        for cell in range(len(cells)):
            if cell in taken:
                continue
            found = place(node, cell)
            if found is not None:
                yield from descend(node + 1, taken | {cell}, [*chosen, found])

    return descend(0, frozenset(), [])


def _fit_cell(
    each: _Cell, room: Room, request: TopologyRequest, node: int
) -> tuple[GuestCell, _Pins] | None:
    wanted = request.cells[node]
    pool = _pool(each, room, request, wanted)
    if pool is None:
        return None
    floating = len(wanted.cpus) - len(wanted.dedicated)
    if floating:
        size = len(each.cell.shared)
        if floating > size or each.shared_used + floating > size * room.cpu_ratio:
            return None
    pins: _Pins | None = _Pins()
    if wanted.dedicated:
        for_emulator = 1 if request.emulator == "isolate" and node == _first_pinned(request) else 0
        pins = _pin(each, len(wanted.dedicated), for_emulator, request.thread_policy)
        if pins is None:
            return None
    assert pins is not None
    cell = GuestCell(
        cpus=wanted.cpus, host_cell=each.cell.id, memory_mb=wanted.memory_mb, pool_kb=pool,
        page_kb=pool if request.page is not None else None,
        pinning=tuple(zip(wanted.dedicated, pins.cpus, strict=True)),
        float_over=each.cell.shared if floating else (),
        siblings=_siblings(wanted.cpus, request.threads),
    )
    return cell, pins


def _first_pinned(request: TopologyRequest) -> int:
    """The node that the emulator's own CPU is taken with: the first that pins anything."""
    return next(number for number, cell in enumerate(request.cells) if cell.dedicated)


def _siblings(cpus: Sequence[int], threads: int) -> tuple[tuple[int, ...], ...]:
    ordered = sorted(cpus)
    return tuple(
        tuple(ordered[start : start + threads]) for start in range(0, len(ordered), threads)
    )


def _pool(
    each: _Cell, room: Room, request: TopologyRequest, wanted: CellRequest
) -> int | None:
    """The size of the pages that are to back a node's memory, KiB."""
    sizes = sorted(each.pools)
    if not sizes:
        return None
    if request.page is None:
        total, used = each.pools[sizes[0]]
        if wanted.dedicated or request.policy in (DEDICATED, MIXED):
            fits = total - used >= wanted.memory_mb
        else:
            # A guest may not overcommit against itself.
            fits = total >= wanted.memory_mb and used + wanted.memory_mb <= total * room.ram_ratio
        return sizes[0] if fits else None
    choices = {"small": sizes[:1], "large": sizes[:0:-1], "any": sizes[::-1]}.get(
        str(request.page), [int(request.page)] if isinstance(request.page, int) else []
    )
    for size in choices:
        total, used = each.pools.get(size, (0, 0))
        if total - used >= wanted.memory_mb and not wanted.memory_mb * 1024 % size:
            return size
    return None


def _pin(each: _Cell, count: int, for_emulator: int, policy: str | None) -> _Pins | None:
    """Host CPUs for so many vCPUs and the emulator, by ``hw:cpu_thread_policy``."""
    if count + for_emulator > each.free_count:
        return None
    if policy == "isolate":
        return _pin_whole_cores(each, count, for_emulator)
    if policy == "require" and each.threads < 2:
        return None
    chosen: list[int] | None = None
    for together in range(each.threads, 1 if policy == "require" else 0, -1):
        usable = [core[:together] for core in each.free_cores if len(core) >= together]
        if together * len(usable) >= count:
            chosen = [cpu for core in usable for cpu in core][:count]
            break
    if chosen is None and policy != "require":
        chosen = [cpu for core in each.free_cores for cpu in core][:count]
    if chosen is None:
        return None
    rest = [cpu for core in each.free_cores for cpu in core if cpu not in chosen]
    return _Pins(tuple(chosen), tuple(rest[:for_emulator]))


def _pin_whole_cores(each: _Cell, count: int, for_emulator: int) -> _Pins | None:
    """One thread of each core; the others stay idle.

    A host that dedicates CPUs apart from shared ones and has thread siblings is no place for it: as in the
    original its idle siblings would not be counted.
    """
    if each.threads > 1 and each.cell.shared != each.cell.dedicated:
        return None
    whole = [core for core in each.free_cores if len(core) == each.threads]
    if len(whole) < count + for_emulator:
        return None
    taken = whole[: count + for_emulator]
    firsts = [core[0] for core in taken]
    return _Pins(
        tuple(firsts[:count]), tuple(firsts[count:]),
        tuple(cpu for core in taken for cpu in core[1:]),
    )
