# SPDX-License-Identifier: Apache-2.0
"""A running guest's description as its next host expects it: where its consoles are served there."""

from __future__ import annotations

from xml.etree.ElementTree import Element, fromstring, register_namespace, tostring

from nova.objects.migration import Arrival


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


def _listen(graphics: Element, address: str) -> None:
    if graphics.get("listen"):
        graphics.set("listen", address)
    for listen in graphics.iterfind("listen[@type='address']"):
        listen.set("address", address)
