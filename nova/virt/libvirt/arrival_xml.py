# SPDX-License-Identifier: Apache-2.0
"""A running guest's description as its next host expects it: its consoles and its volumes there."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element, fromstring, register_namespace, tostring

from nova.objects.migration import Arrival, VolumePlace
from nova.virt.libvirt.domain_xml import RemoteDisk, source_elements


def expects_other_consoles(arrival: Arrival) -> bool:
    """Whether the description has anything to be changed."""
    return any((arrival.vnc_listen, arrival.spice_listen, arrival.serial_port))


def relistened(domain_xml: str, arrival: Arrival, *, namespaces: dict[str, str]) -> str:
    """The description with the destination's addresses and port in place of the source's.

    What a guest has none of it does not get: the devices have to be the same on both sides.
    """
    for prefix, name in namespaces.items():
        register_namespace(prefix, name)
    domain = fromstring(domain_xml)  # noqa: S314 - libvirt's own
    for kind, address in (("vnc", arrival.vnc_listen), ("spice", arrival.spice_listen)):
        for graphics in domain.iterfind(f"devices/graphics[@type='{kind}']"):
            if address:
                _listen(graphics, address)
    if arrival.serial_listen and arrival.serial_port:
        # The console element tells of the first serial line once more.
        for device in ("serial", "console"):
            for source in domain.iterfind(f"devices/{device}[@type='tcp']/source[@mode='bind']"):
                source.set("host", arrival.serial_listen)
                source.set("service", str(arrival.serial_port))
    return tostring(domain, encoding="unicode")


def resourced(
    domain_xml: str, places: Mapping[str, VolumePlace], *, namespaces: dict[str, str]
) -> str:
    """The description with its volumes where the destination has them; ``places`` are by the disks' serials.

    A disk that is opened in the same way there is left as it is, and so is one that is not named.
    """
    for prefix, name in namespaces.items():
        register_namespace(prefix, name)
    domain = fromstring(domain_xml)  # noqa: S314 - libvirt's own
    for disk in domain.iterfind("devices/disk"):
        place = places.get(disk.findtext("serial") or "")
        if place is None or (disk.get("type") == place.kind and _source(disk) == place_of(place)):
            continue
        where = list(disk).index(next(disk.iterfind("source")))
        # What lies below it here is not what lies below it there: the destination looks by itself.
        for name in ("source", "auth", "backingStore"):
            for element in disk.findall(name):
                disk.remove(element)
        disk.set("type", place.kind)
        remote = None if place.protocol is None else RemoteDisk(
            protocol=place.protocol, hosts=place.hosts, secret=place.secret
        )
        for element in reversed(source_elements(place.kind, place.path, remote)):
            disk.insert(min(where, len(disk)), element)
    return tostring(domain, encoding="unicode")


def place_of(place: VolumePlace) -> tuple[str | None, str, tuple[tuple[str, str], ...]]:
    """What tells two places apart: protocol, name, and servers where there is a protocol."""
    return place.protocol, place.path, place.hosts if place.protocol else ()


def _source(disk: Element) -> tuple[str | None, str, tuple[tuple[str, str], ...]] | None:
    """As ``place_of``, of a disk as libvirt describes it; None where it has no source."""
    source = disk.find("source")
    if source is None:
        return None
    name = source.get("file") or source.get("dev") or source.get("name") or ""
    protocol = source.get("protocol")
    hosts = tuple((each.get("name") or "", each.get("port") or "") for each in source.findall("host"))
    return protocol, name, hosts if protocol else ()


def serials_of(
    domain_xml: str, places: Mapping[str, VolumePlace]
) -> dict[str, str]:
    """The serial number that the guest knows each volume's disk by, found by what the disk is opened from.

    ``places`` are by volume, and so is the answer.
    """
    domain = fromstring(domain_xml)  # noqa: S314 - libvirt's own
    known = {
        (disk.get("type"), _source(disk)): disk.findtext("serial")
        for disk in domain.iterfind("devices/disk")
    }
    found = {}
    for volume_id, place in places.items():
        serial = known.get((place.kind, place_of(place)))
        if serial:
            found[volume_id] = serial
    return found


def _listen(graphics: Element, address: str) -> None:
    if graphics.get("listen"):
        graphics.set("listen", address)
    for listen in graphics.iterfind("listen[@type='address']"):
        listen.set("address", address)
