# SPDX-License-Identifier: Apache-2.0
"""Where a domain serves its consoles, and which port a serial console gets."""

from __future__ import annotations

import dataclasses
import socket
from typing import Any

import pytest

pytest.importorskip("libvirt")

from nova.conf import load
from nova.errors import ConsoleTypeUnavailable, VirtError
from nova.objects.console import ConsoleEndpoint
from nova.virt.libvirt.console_endpoints import (
    ConsoleOptions,
    SerialPorts,
    console_options,
    endpoint,
    port_range,
)
from nova.virt.libvirt.domain_xml import domain_xml
from nova.virt.libvirt.guest_config import GuestHost, domain_config
from tests.unit.virt.guests import UUID, instance

OPTIONS = ConsoleOptions(
    vnc_address="192.0.2.1", spice_address="192.0.2.2", serial_address="127.0.0.1",
    serial_ports=range(23200, 23208),
)


def _xml(**values: Any) -> str:
    """A guest's domain as we write it, with the ports that libvirt fills in."""
    host = GuestHost(virt_type="qemu", arch="x86_64", vnc_listen="127.0.0.1", spice_listen="127.0.0.1")
    guest = domain_config(
        instance(), dataclasses.replace(host, **values.pop("host", {})), disks=(), nics=(),
        console_log="/log", **values,
    )
    return domain_xml(guest).replace('type="vnc" port="-1"', 'type="vnc" port="5907"').replace(
        'type="spice" port="-1"', 'type="spice" port="5908"'
    )


def test_consoles_are_read_from_the_running_domain() -> None:
    xml = _xml(serial=("127.0.0.1", 23201))
    assert endpoint(xml, "novnc", OPTIONS) == ConsoleEndpoint(host="192.0.2.1", port=5907)
    assert endpoint(xml, "spice-html5", OPTIONS) == ConsoleEndpoint(host="192.0.2.2", port=5908)
    assert endpoint(xml, "serial", OPTIONS) == ConsoleEndpoint(host="127.0.0.1", port=23201)


@pytest.mark.parametrize("kind, xml", [
    ("novnc", "<domain><devices><graphics type='vnc' port='-1'/></devices></domain>"),
    ("novnc", "<domain><devices/></domain>"),
    ("spice-html5", "<domain><devices><graphics type='vnc' port='5900'/></devices></domain>"),
    ("serial", "<domain><devices><serial type='pty'><source path='/dev/pts/2'/></serial></devices></domain>"),
    ("serial", "<domain><devices><serial type='tcp'><source mode='connect' service='7'/></serial></devices>"
               "</domain>"),
    ("webmks", "<domain><devices><graphics type='vnc' port='5900'/></devices></domain>"),
])
def test_what_a_domain_does_not_have(kind: str, xml: str) -> None:
    with pytest.raises(ConsoleTypeUnavailable):
        endpoint(xml, kind, OPTIONS)


def test_a_serial_console_keeps_its_log() -> None:
    with_port = _xml(serial=("127.0.0.1", 23201))
    assert '<source mode="bind" host="127.0.0.1" service="23201" />' in with_port
    assert '<log file="/log" append="on" />' in with_port
    assert '<serial type="pty">' in _xml()


def test_a_container_has_no_ports() -> None:
    xml = _xml(serial=("127.0.0.1", 23201), host={"virt_type": "lxc"})
    assert "tcp" not in xml
    assert "graphics" not in xml


@pytest.mark.parametrize("text", ["", "x", "1", "20000:10000", "0:5", "1:70000", "1:2:3", "1-2"])
def test_ranges_that_mean_nothing(text: str) -> None:
    with pytest.raises(VirtError, match="port_range"):
        port_range(text)


def test_a_range_has_both_its_ends() -> None:
    assert list(port_range(" 10000:10002 ")) == [10000, 10001, 10002]
    assert console_options(load()).serial_ports is None
    given = console_options(load(overrides={("serial_console", "enabled"): True}))
    assert given.serial_ports == range(10000, 20001)


class Domain:
    def __init__(self, uuid: str, port: int | None) -> None:
        self._uuid = uuid
        self._xml = "<domain><devices/></domain>" if port is None else (
            f"<domain><devices><serial type='tcp'><source mode='bind' service='{port}'/></serial></devices>"
            "</domain>"
        )

    def UUIDString(self) -> str:  # noqa: N802
        return self._uuid

    def XMLDesc(self) -> str:  # noqa: N802
        return self._xml


class Connection:
    """libvirt with some domains."""

    def __init__(self, *domains: Domain) -> None:
        self.domains = list(domains)

    def listAllDomains(self) -> list[Domain]:  # noqa: N802
        return self.domains


def test_each_guest_has_a_port_of_its_own() -> None:
    ports, connection = SerialPorts(), Connection()
    chosen = []
    for number in range(8):
        port = ports.choose(f"guest-{number}", OPTIONS, connection)
        chosen.append(port)
        connection.domains.append(Domain(f"guest-{number}", port))
    assert sorted(port for port in chosen if port) == list(range(23200, 23208))
    assert ports.choose("guest-3", OPTIONS, connection) == chosen[3]
    with pytest.raises(VirtError, match="port_range"):
        ports.choose("one-more", OPTIONS, connection)
    del connection.domains[5]
    assert ports.choose("one-more", OPTIONS, connection) == chosen[5]


def test_guests_defined_at_the_same_time_do_not_share_a_port() -> None:
    ports, connection = SerialPorts(), Connection()
    options = dataclasses.replace(OPTIONS, serial_ports=range(23200, 23202))
    first = ports.choose("a", options, connection)
    assert {first, ports.choose("b", options, connection)} == {23200, 23201}
    assert ports.choose("a", options, connection) == first


def test_a_port_of_somebody_else_is_left_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        options = dataclasses.replace(OPTIONS, serial_ports=range(port, port + 1))
        with pytest.raises(VirtError):
            SerialPorts().choose(UUID, options, Connection())


def test_an_address_that_is_not_here_is_named() -> None:
    options = dataclasses.replace(OPTIONS, serial_address="192.0.2.77")
    with pytest.raises(VirtError, match=r"192\.0\.2\.77"):
        SerialPorts().choose(UUID, options, Connection())
