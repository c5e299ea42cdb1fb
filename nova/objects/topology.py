# SPDX-License-Identifier: Apache-2.0
"""NUMA cells, CPUs, pages and PCI devices: what a host has, what is taken, what a guest asks for and gets.

Memory is MiB, page sizes are KiB. All values are tuples, so that equal hosts and requests can be keys.
"""

from __future__ import annotations

import msgspec

#: hw:cpu_policy
SHARED = "shared"
DEDICATED = "dedicated"
MIXED = "mixed"


class PagePool(msgspec.Struct, frozen=True):
    """Pages of one size in a cell that guests may have; the smallest size is ordinary memory."""

    size_kb: int
    total: int

    @property
    def memory_mb(self) -> int:
        """All of them, MiB."""
        return self.total * self.size_kb // 1024


class HostCell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One NUMA cell of a host.

    ``shared`` are the CPUs that unpinned vCPUs float over, ``dedicated`` those that can be pinned; a host
    that does not tell them apart has the same in both. ``cores`` are the sets of thread siblings.
    """

    id: int
    shared: tuple[int, ...]
    dedicated: tuple[int, ...]
    cores: tuple[tuple[int, ...], ...]
    pages: tuple[PagePool, ...]
    socket: int | None = None

    @property
    def memory_mb(self) -> int:
        """Memory of all page sizes."""
        return sum(pool.memory_mb for pool in self.pages)


class PciDevice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A PCI device that guests may have. ``cell`` is its NUMA cell where known.

    ``device_type`` is type-PCI, type-PF or type-VF; ``parent`` the physical function of a virtual one.
    """

    address: str
    vendor_id: str
    product_id: str
    device_type: str = "type-PCI"
    cell: int | None = None
    parent: str | None = None
    managed: bool = True
    live_migratable: bool = False


class HostTopology(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a host has. Without cells it has PCI devices only."""

    cells: tuple[HostCell, ...] = ()
    devices: tuple[PciDevice, ...] = ()


class HostUsage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What guests with a topology hold of a host: the sum of its claims' documents.

    ``pinned`` are host CPUs that nobody else may have, ``shared`` (cell, vCPUs that float there),
    ``memory`` (cell, page size, MiB), ``devices`` PCI addresses. All are sorted.
    """

    pinned: tuple[int, ...] = ()
    shared: tuple[tuple[int, int], ...] = ()
    memory: tuple[tuple[int, int, int], ...] = ()
    devices: tuple[str, ...] = ()


class CellRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One NUMA node of a guest that is to be placed: its vCPUs, those to be pinned, its memory."""

    cpus: tuple[int, ...]
    dedicated: tuple[int, ...]
    memory_mb: int


class DeviceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """PCI devices asked for by an alias; any of ``specs`` fits, each as sorted (key, value) pairs."""

    alias: str
    count: int
    specs: tuple[tuple[tuple[str, str], ...], ...]
    policy: str = "legacy"


class TopologyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a flavor and an image ask of the host's topology.

    ``page`` is small, large, any, a size in KiB, or None where nothing is said. ``threads`` is the number
    of threads that a core of the guest has.
    """

    cells: tuple[CellRequest, ...] = ()
    policy: str | None = None
    thread_policy: str | None = None
    page: str | int | None = None
    emulator: str | None = None
    devices: tuple[DeviceRequest, ...] = ()
    threads: int = 1

    @property
    def dedicated(self) -> int:
        """Host CPUs that the guest alone will have, its emulator's included."""
        count = sum(len(cell.dedicated) for cell in self.cells)
        return count + 1 if self.emulator == "isolate" and count else count

    @property
    def shared(self) -> int:
        """vCPUs that are not pinned."""
        return sum(len(cell.cpus) - len(cell.dedicated) for cell in self.cells)

    @property
    def device_count(self) -> int:
        """PCI devices asked for."""
        return sum(request.count for request in self.devices)


class GuestCell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One NUMA node of a placed guest.

    ``page_kb`` is the page size that was asked for, None for ordinary memory; ``pool_kb`` is that of the
    host's pages which back it. ``pinning`` are (vCPU, host CPU); vCPUs that are not in it float over the
    host CPUs ``float_over``.
    """

    cpus: tuple[int, ...]
    host_cell: int
    memory_mb: int
    pool_kb: int
    page_kb: int | None = None
    pinning: tuple[tuple[int, int], ...] = ()
    float_over: tuple[int, ...] = ()
    siblings: tuple[tuple[int, ...], ...] = ()


class GuestDevice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A PCI device that a guest holds."""

    address: str
    alias: str
    vendor_id: str
    product_id: str
    managed: bool = True
    live_migratable: bool = False


class GuestTopology(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where on its host a guest is. ``pinned`` are all host CPUs that it alone has: those of its vCPUs,
    its emulator's (``emulator``), and the siblings that an isolated guest keeps idle.
    """

    cells: tuple[GuestCell, ...] = ()
    devices: tuple[GuestDevice, ...] = ()
    policy: str | None = None
    emulator_policy: str | None = None
    emulator: tuple[int, ...] = ()
    pinned: tuple[int, ...] = ()
