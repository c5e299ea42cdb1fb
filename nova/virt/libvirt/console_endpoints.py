# SPDX-License-Identifier: Apache-2.0
"""Where libvirt serves a guest's consoles, read from the running domain; ports of serial consoles."""

from __future__ import annotations

import dataclasses
import errno
import logging
import re
import socket
import threading
import zlib
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import libvirt

from nova.conf import Config
from nova.errors import ConsoleTypeUnavailable, VirtError
from nova.objects.console import NOVNC, SERIAL, SPICE_HTML5, ConsoleEndpoint
from nova.objects.instance import Instance

if TYPE_CHECKING:
    from nova.virt.libvirt.parts import DriverParts

LOG = logging.getLogger(__name__)

_GRAPHICS = {NOVNC: "vnc", SPICE_HTML5: "spice"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConsoleOptions:
    """Which consoles guests of this host get, and at which of its addresses proxies find them.

    ``serial_ports`` is the range of ports for serial consoles; None gives guests none that can be typed into.
    """

    vnc_address: str = "127.0.0.1"
    spice_address: str = "127.0.0.1"
    serial_address: str = "127.0.0.1"
    serial_ports: range | None = None


def console_options(config: Config) -> ConsoleOptions:
    """The options of this host. Raises ``VirtError`` for a range of ports that is none."""
    section = config.serial_console
    return ConsoleOptions(
        vnc_address=config.vnc.server_proxyclient_address,
        spice_address=config.spice.server_proxyclient_address,
        serial_address=section.proxyclient_address,
        serial_ports=port_range(section.port_range) if section.enabled else None,
    )


def port_range(text: str) -> range:
    """``10000:20000`` as ports, both ends included."""
    found = re.fullmatch(r"(\d{1,5}):(\d{1,5})", text.strip())
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 0 < first <= last <= 65535:
        raise VirtError(f"[serial_console] port_range: {text} is no range of ports such as 10000:20000.")
    return range(first, last + 1)


def endpoint(xml: str, console_type: str, options: ConsoleOptions) -> ConsoleEndpoint:
    """Where a running domain serves a console of that type.

    Raises ``ConsoleTypeUnavailable`` where it has none, or none now because it does not run.
    """
    domain = ElementTree.fromstring(xml)  # noqa: S314 - libvirt's own
    if console_type in _GRAPHICS:
        kind = _GRAPHICS[console_type]
        port = _number(domain.find(f"./devices/graphics[@type='{kind}']"), "port")
        address = options.vnc_address if console_type == NOVNC else options.spice_address
    elif console_type == SERIAL:
        port = serial_port(domain)
        address = options.serial_address
    else:
        port, address = None, ""
    if port is None:
        raise ConsoleTypeUnavailable(console_type)
    return ConsoleEndpoint(host=address, port=port)


def serial_port(domain: ElementTree.Element) -> int | None:
    """The TCP port of a domain's serial console; None where it has none."""
    source = domain.find("./devices/serial[@type='tcp']/source[@mode='bind']")
    return _number(source, "service")


def _number(element: ElementTree.Element | None, name: str) -> int | None:
    text = "" if element is None else element.get(name, "")
    return int(text) if text.isdecimal() and int(text) > 0 else None


class SerialPorts:
    """Gives each guest a port of its own, which it keeps for as long as it is defined here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Given out, but perhaps not yet written down in libvirt.
        self._given: dict[int, str] = {}

    def choose(self, uuid: str, options: ConsoleOptions, connection: Any) -> int | None:
        """The port of a guest; None where guests get none. Raises ``VirtError`` where all are taken."""
        if options.serial_ports is None:
            return None
        with self._lock:
            taken = defined_ports(connection)
            for port, owner in taken.items():
                if owner == uuid and port in options.serial_ports:
                    return port
            given = {port: owner for port, owner in self._given.items() if port not in taken}
            ports = options.serial_ports
            # Beginning somewhere else for each guest, so that one which moves here rarely meets another.
            start = zlib.crc32(uuid.encode()) % len(ports)
            for step in range(len(ports)):
                port = ports[(start + step) % len(ports)]
                if port in taken or given.get(port, uuid) != uuid:
                    continue
                if _is_free(options.serial_address, port):
                    self._given = {**given, port: uuid}
                    return port
        raise VirtError("Every port of [serial_console] port_range is taken on this host.")


def defined_ports(connection: Any) -> dict[int, str]:
    """The serial ports of all domains of a host, running or not, and whose they are."""
    taken: dict[int, str] = {}
    for domain in connection.listAllDomains():
        try:
            port = serial_port(ElementTree.fromstring(domain.XMLDesc()))  # noqa: S314
        except libvirt.libvirtError:
            # It went away meanwhile.
            continue
        if port is not None:
            taken[port] = domain.UUIDString()
    return taken


def _is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise VirtError(
                    f"[serial_console] proxyclient_address {address} is no address of this host."
                ) from None
            return False
    return True


class GuestConsoles:
    """The driver's side of consoles."""

    _parts: DriverParts

    def console_endpoint(self, instance: Instance, console_type: str) -> ConsoleEndpoint:
        """Where a guest's console is served now."""
        parts = self._parts
        domain = parts.connection.domain(instance.uuid)
        with parts.connection.translated():
            if not domain.isActive():
                raise ConsoleTypeUnavailable(console_type)
            xml = domain.XMLDesc()
        return endpoint(xml, console_type, parts.consoles)
