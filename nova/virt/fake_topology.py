# SPDX-License-Identifier: Apache-2.0
"""What simulated hosts have: NUMA cells, cores, huge pages and PCI devices, as the [fake] options say."""

from __future__ import annotations

from collections.abc import Iterable

from nova.conf.fake import FakeSection
from nova.errors import VirtError
from nova.objects.topology import GuestTopology, HostCell, HostTopology, PagePool, PciDevice
from nova.topology.cpus import parse_cpus


def simulated_topology(section: FakeSection) -> HostTopology | None:
    """The topology of a simulated host, None where the options ask for none.

    Raises ``VirtError`` naming the option that cannot be read.
    """
    if not section.numa_cells and not section.pci_devices:
        return None
    dedicated = _dedicated(section)
    cells = tuple(_cell(section, number, dedicated) for number in range(section.numa_cells))
    return HostTopology(cells=cells, devices=tuple(_devices(section)))


def cpu_counts(section: FakeSection) -> tuple[int, int]:
    """(CPUs that unpinned guests share, CPUs kept apart for pinned ones) of a simulated host."""
    apart = len(_dedicated(section) or ())
    return section.vcpus - apart, apart


def _dedicated(section: FakeSection) -> frozenset[int] | None:
    if section.dedicated_cpus is None or not section.numa_cells:
        return None
    try:
        chosen = parse_cpus(section.dedicated_cpus)
    except ValueError as error:
        raise VirtError(f"[fake] dedicated_cpus: {error}.") from None
    there = range(section.vcpus)
    unknown = sorted(cpu for cpu in chosen if cpu not in there)
    if unknown:
        raise VirtError(f"[fake] dedicated_cpus: a host has no CPU {unknown[0]}.")
    return chosen


def _cell(section: FakeSection, number: int, dedicated: frozenset[int] | None) -> HostCell:
    count = section.numa_cells
    cpus = range(number * section.vcpus // count, (number + 1) * section.vcpus // count)
    cores = tuple(
        tuple(range(start, min(start + section.threads_per_core, cpus.stop)))
        for start in range(cpus.start, cpus.stop, section.threads_per_core)
    )
    huge = [PagePool(*_numbers("huge_pages", text, 2)) for text in section.huge_pages]
    left = section.memory_mb // count - sum(pool.memory_mb for pool in huge)
    if left < 0:
        raise VirtError("[fake] huge_pages: a cell has not that much memory.")
    return HostCell(
        id=number, cores=cores, socket=number, pages=(PagePool(4, left * 256), *huge),
        shared=tuple(cpu for cpu in cpus if dedicated is None or cpu not in dedicated),
        dedicated=tuple(cpu for cpu in cpus if dedicated is None or cpu in dedicated),
    )


def _devices(section: FakeSection) -> Iterable[PciDevice]:
    slot = 0
    for text in section.pci_devices:
        vendor, product, count, *kind = text.split(":")
        (number,) = _numbers("pci_devices", count, 1)
        for _ in range(number):
            cell = slot % section.numa_cells if section.numa_cells else None
            yield PciDevice(
                address=f"0000:{0x80 + slot // 32:02x}:{slot % 32:02x}.0", vendor_id=vendor,
                product_id=product, device_type=kind[0] if kind else "type-PCI", cell=cell,
            )
            slot += 1


def _numbers(option: str, text: str, count: int) -> list[int]:
    parts = text.split(":")
    if len(parts) != count or not all(part.strip().isdigit() for part in parts):
        raise VirtError(f"[fake] {option}: {text} cannot be read.")
    return [int(part) for part in parts]


def refuse_overlap(guest: GuestTopology | None, others: Iterable[GuestTopology | None]) -> None:
    """A simulated host refuses what a real one would let fight: two guests on one CPU or device."""
    if guest is None:
        return
    devices = {device.address for device in guest.devices}
    for other in others:
        if other is None:
            continue
        twice = set(guest.pinned).intersection(other.pinned)
        if twice:
            raise VirtError(f"CPU {min(twice)} is pinned to another guest already.")
        taken = devices.intersection(device.address for device in other.devices)
        if taken:
            raise VirtError(f"PCI device {min(taken)} belongs to another guest already.")
