# SPDX-License-Identifier: Apache-2.0
"""A guest's place on its host as parts of libvirt's domain XML: pins, NUMA nodes, pages, PCI devices.

Pure functions; the elements are those of https://libvirt.org/formatdomain.html.
"""

from __future__ import annotations

import dataclasses
from xml.etree.ElementTree import Element, SubElement, fromstring, register_namespace, tostring

from nova.objects.topology import GuestTopology
from nova.topology.cpus import format_cpus

#: SCHED_FIFO's priority of real-time vCPUs, 1 to 99; any is above all ordinary threads.
REALTIME_PRIORITY = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlaceConfig:
    """What of a guest's place libvirt is told. CPU sets are texts such as 0-3,8; memory is KiB.

    ``cells`` are (vCPUs, memory, host cell), one for each NUMA node of the guest in order; ``pages`` are
    (size, nodes of the guest) where they are not the host's ordinary ones; ``realtime`` are vCPUs.
    """

    pins: tuple[tuple[int, str], ...] = ()
    emulator: str | None = None
    cells: tuple[tuple[str, int, int], ...] = ()
    pages: tuple[tuple[int, str], ...] = ()
    locked: bool = False
    realtime: tuple[int, ...] = ()
    devices: tuple[tuple[str, bool], ...] = ()


def place_config(
    topology: GuestTopology, *, small_page_kb: int = 4, shared: str | None = None,
    locked: bool = False, realtime: tuple[int, ...] = (),
) -> PlaceConfig:
    """From the document that the claim left. ``shared`` are the host's CPUs for unpinned work.

    What is not a real-time vCPU's own work stays off their CPUs: a thread there that never yields would keep
    the emulator from ever running.
    """
    pins: dict[int, str] = {}
    around: set[int] = set()
    for cell in topology.cells:
        pinned = dict(cell.pinning)
        for vcpu in cell.cpus:
            if vcpu in pinned:
                pins[vcpu] = str(pinned[vcpu])
                if vcpu not in realtime:
                    around.add(pinned[vcpu])
            elif cell.float_over:
                pins[vcpu] = format_cpus(cell.float_over)
                around.update(cell.float_over)
    pages: dict[int, list[int]] = {}
    for number, cell in enumerate(topology.cells):
        if cell.page_kb is not None and cell.page_kb != small_page_kb:
            pages.setdefault(cell.page_kb, []).append(number)
    emulator = format_cpus(topology.emulator or around) or None
    if topology.emulator_policy == "share" and shared:
        emulator = shared
    return PlaceConfig(
        pins=tuple(sorted(pins.items())), emulator=emulator,
        cells=tuple(
            (format_cpus(cell.cpus), cell.memory_mb * 1024, cell.host_cell)
            for cell in topology.cells
        ),
        pages=tuple((size, format_cpus(nodes)) for size, nodes in sorted(pages.items())),
        locked=locked or bool(realtime), realtime=realtime,
        devices=tuple((device.address, device.managed) for device in topology.devices),
    )


def memory_backing(place: PlaceConfig) -> Element | None:
    """The ``memoryBacking`` element, None where there is nothing to say."""
    if not place.pages and not place.locked:
        return None
    backing = Element("memoryBacking")
    if place.pages:
        huge = SubElement(backing, "hugepages")
        for size, nodes in place.pages:
            SubElement(huge, "page", size=str(size), unit="KiB", nodeset=nodes)
    if place.locked:
        SubElement(backing, "locked")
    if place.realtime:
        SubElement(backing, "nosharepages")
    return backing


def add_pins(tune: Element, place: PlaceConfig) -> None:
    """Fill a ``cputune`` element."""
    for vcpu, cpus in place.pins:
        SubElement(tune, "vcpupin", vcpu=str(vcpu), cpuset=cpus)
    if place.emulator:
        SubElement(tune, "emulatorpin", cpuset=place.emulator)
    if place.realtime:
        SubElement(
            tune, "vcpusched", vcpus=format_cpus(place.realtime), scheduler="fifo",
            priority=str(REALTIME_PRIORITY),
        )


def numa_tune(place: PlaceConfig) -> Element | None:
    """The ``numatune`` element: whose memory each node of the guest has."""
    if not place.cells:
        return None
    tune = Element("numatune")
    nodes = format_cpus(host for _cpus, _memory, host in place.cells)
    SubElement(tune, "memory", mode="strict", nodeset=nodes)
    for number, (_cpus, _memory, host) in enumerate(place.cells):
        SubElement(tune, "memnode", cellid=str(number), mode="strict", nodeset=str(host))
    return tune


def guest_numa(place: PlaceConfig) -> Element | None:
    """The ``numa`` element of ``cpu``: the nodes as the guest sees them."""
    if not place.cells:
        return None
    numa = Element("numa")
    for number, (cpus, memory, _host) in enumerate(place.cells):
        SubElement(numa, "cell", id=str(number), cpus=cpus, memory=str(memory), unit="KiB")
    return numa


def host_device(address: str, managed: bool) -> Element:
    """One ``hostdev`` element, from an address such as 0000:81:00.0."""
    domain, bus, rest = address.split(":")
    slot, function = rest.split(".")
    element = Element(
        "hostdev", mode="subsystem", type="pci", managed="yes" if managed else "no"
    )
    SubElement(
        SubElement(element, "source"), "address", domain=f"0x{domain}", bus=f"0x{bus}",
        slot=f"0x{slot}", function=f"0x{function}",
    )
    return element


def repinned(domain_xml: str, place: PlaceConfig, *, namespaces: dict[str, str]) -> str:
    """A running guest's own description with another place: what a live migration hands over.

    What the guest sees of its NUMA nodes and pages stays as it is. ``namespaces`` keep their prefixes.
    """
    for prefix, address in namespaces.items():
        register_namespace(prefix, address)
    domain = fromstring(domain_xml)  # noqa: S314 - libvirtd's own text
    tune = domain.find("cputune")
    if tune is None:
        tune = SubElement(domain, "cputune")
    for name in ("vcpupin", "emulatorpin", "vcpusched"):
        for element in tune.findall(name):
            tune.remove(element)
    add_pins(tune, place)
    old = domain.find("numatune")
    if old is not None:
        domain.remove(old)
    new = numa_tune(place)
    if new is not None:
        domain.append(new)
    return tostring(domain, encoding="unicode")
