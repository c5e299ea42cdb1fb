# SPDX-License-Identifier: Apache-2.0
"""What a host has, from libvirt's texts and the operator's options: cells, CPUs, pages, PCI devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from nova.errors import VirtError
from nova.objects.topology import HostCell, HostTopology, PagePool, PciDevice
from nova.topology.cpus import parse_cpus


class HostCpus(NamedTuple):
    """CPUs that unpinned guests share and CPUs that can be pinned; the same ones where a host does not
    keep them apart.
    """

    shared: frozenset[int]
    dedicated: frozenset[int]

    @property
    def apart(self) -> int:
        """How many are kept for pinned guests alone."""
        return 0 if self.shared == self.dedicated else len(self.dedicated)


def host_cpus(
    every: Iterable[int], pin_set: str | None, dedicated_set: str | None, shared_set: str | None
) -> HostCpus:
    """By ``vcpu_pin_set``, ``cpu_dedicated_set`` and ``cpu_shared_set``. ``VirtError`` names what is
    wrong with them.
    """
    there = frozenset(every)
    if not dedicated_set and not shared_set:
        chosen = _chosen("vcpu_pin_set", pin_set, there) if pin_set else there
        return HostCpus(chosen, chosen)
    if pin_set:
        raise VirtError(
            "vcpu_pin_set cannot be combined with cpu_dedicated_set and cpu_shared_set: leave it out."
        )
    dedicated = _chosen("cpu_dedicated_set", dedicated_set, there) if dedicated_set else frozenset()
    shared = _chosen("cpu_shared_set", shared_set, there) if shared_set else frozenset()
    both = dedicated & shared
    if both:
        raise VirtError(f"CPU {min(both)} is in cpu_dedicated_set and in cpu_shared_set.")
    return HostCpus(shared, dedicated)


def _chosen(option: str, text: str, there: frozenset[int]) -> frozenset[int]:
    try:
        chosen = parse_cpus(text)
    except ValueError as error:
        raise VirtError(f"{option}: {error}.") from None
    missing = chosen - there
    if missing:
        raise VirtError(f"{option}: this host has no CPU {min(missing)}.")
    if not chosen:
        raise VirtError(f"{option}: {text} leaves no CPU.")
    return chosen


def cpus_in_cells(capabilities: str) -> frozenset[int]:
    """The CPUs that libvirt knows by cell; empty where it knows none."""
    found = ElementTree.fromstring(capabilities).iterfind("host/topology/cells/cell/cpus/cpu")  # noqa: S314
    return frozenset(int(each.get("id", "0")) for each in found if each.get("siblings"))


def host_cells(
    capabilities: str, cpus: HostCpus, reserved: Mapping[tuple[int | None, int], int]
) -> tuple[HostCell, ...]:
    """The NUMA cells. ``reserved`` are pages by (cell or None for each, size in KiB) for nobody."""
    cells = []
    root = ElementTree.fromstring(capabilities)  # noqa: S314 - libvirtd's own text
    for element in root.iterfind("host/topology/cells/cell"):
        number = int(element.get("id", "0"))
        cores: set[tuple[int, ...]] = set()
        own: set[int] = set()
        socket: int | None = None
        for each in element.iterfind("cpus/cpu"):
            siblings = each.get("siblings")
            if not siblings:
                continue
            own.add(int(each.get("id", "0")))
            cores.add(tuple(sorted(parse_cpus(siblings))))
            socket = int(each.get("socket_id", "0")) if socket is None else socket
        cells.append(
            HostCell(
                id=number, socket=socket, cores=tuple(sorted(cores)),
                shared=tuple(sorted(own & cpus.shared)),
                dedicated=tuple(sorted(own & cpus.dedicated)),
                pages=tuple(_pools(element, number, reserved)),
            )
        )
    return tuple(sorted(cells, key=lambda cell: cell.id))


def _pools(
    cell: ElementTree.Element, number: int, reserved: Mapping[tuple[int | None, int], int]
) -> Iterable[PagePool]:
    found = {
        int(each.get("size", "4")): int(each.text or 0) for each in cell.iterfind("pages")
    }
    if not found:
        found = {4: int(cell.findtext("memory") or 0) // 4}
    for size, total in sorted(found.items()):
        kept = reserved.get((number, size), reserved.get((None, size), 0))
        if total > kept or size == min(found):
            yield PagePool(size, max(0, total - kept))


def reserved_pages(texts: Sequence[str]) -> dict[tuple[int | None, int], int]:
    """``reserved_huge_pages``: node:0,size:2048,count:64. ``VirtError`` for one that cannot be read."""
    found: dict[tuple[int | None, int], int] = {}
    for text in texts:
        values = dict(part.strip().partition(":")[::2] for part in text.split(","))
        try:
            node = int(values["node"]) if "node" in values else None
            found[node, _kib(values["size"])] = int(values["count"])
        except (KeyError, ValueError):
            raise VirtError(
                f"reserved_huge_pages: {text} is not as node:0,size:2048,count:64."
            ) from None
    return found


def _kib(text: str) -> int:
    for unit, factor in (("GB", 1 << 20), ("MB", 1 << 10), ("KB", 1)):
        if text.upper().endswith(unit):
            return int(text[: -len(unit)]) * factor
    return int(text)


def pci_device(node_device: str) -> PciDevice | None:
    """A device from libvirt's description of it; None for what is no PCI device."""
    root = ElementTree.fromstring(node_device)  # noqa: S314 - libvirtd's own text
    capability = root.find("capability[@type='pci']")
    if capability is None:
        return None
    kind, parent = "type-PCI", None
    for each in capability.findall("capability"):
        if each.get("type") == "virt_functions":
            kind = "type-PF"
        elif each.get("type") == "phys_function":
            kind = "type-VF"
            physical = each.find("address")
            if physical is not None:
                parent = _address(
                    *(int(physical.get(part) or "0", 16) for part in ("domain", "bus", "slot", "function"))
                )
    numa = capability.find("numa")
    return PciDevice(
        address=_address(
            *(int(capability.findtext(part) or 0) for part in ("domain", "bus", "slot", "function"))
        ),
        vendor_id=_hexadecimal(capability.find("vendor")),
        product_id=_hexadecimal(capability.find("product")),
        device_type=kind, parent=parent,
        cell=int(numa.get("node", "0")) if numa is not None else None,
    )


def _address(domain: int, bus: int, slot: int, function: int) -> str:
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"


def _hexadecimal(element: ElementTree.Element | None) -> str:
    text = "" if element is None else element.get("id", "")
    return text.removeprefix("0x").lower().rjust(4, "0")


def known_topology(
    cells: tuple[HostCell, ...], devices: tuple[PciDevice, ...]
) -> HostTopology | None:
    """The host's topology, None where nothing of it is known."""
    return HostTopology(cells, devices) if cells or devices else None
