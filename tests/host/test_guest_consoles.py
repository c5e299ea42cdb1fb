# SPDX-License-Identifier: Apache-2.0
"""The consoles of a real guest, from the addresses that the API hands out: its screen and its serial line."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import websocket

from tests.host.cloud import GuestCloud
from tests.host.hypervisor import PrivateLibvirt


def _has_spice(hypervisor: PrivateLibvirt) -> bool:
    """Whether QEMU here was built with SPICE; Debian's was, Rocky's was not."""
    return "<value>spice</value>" in hypervisor.virsh("domcapabilities", "--virttype", "qemu").stdout


@pytest.fixture(scope="module")
def consoles(hypervisor: PrivateLibvirt, image: Path) -> Iterator[GuestCloud]:
    """A cloud whose guests have serial consoles that can be typed into, and two kinds of screens."""
    made = GuestCloud(
        hypervisor, image,
        arguments=["--set", "serial_console.enabled=true",
                   "--set", "serial_console.port_range=23100:23163",
                   "--set", f"spice.enabled={str(_has_spice(hypervisor)).lower()}"],
    )
    # Consoles listen on the hypervisor's loopback: its proxies, and those who ask them, are there.
    with hypervisor.network():
        try:
            made.begin()
            yield made
        finally:
            made.end()


@pytest.fixture(scope="module")
def guest(consoles: GuestCloud, hypervisor: PrivateLibvirt) -> Iterator[str]:
    """A running guest, with USB ports for a client of SPICE where there is SPICE."""
    ports = {"hw_redirected_usb_ports": "2"} if _has_spice(hypervisor) else {}
    image = consoles.upload("ports", consoles.image_path.read_bytes(), "qcow2", **ports)
    uuid = consoles.boot("console", image=image)
    consoles.reach(uuid, "ACTIVE")
    yield uuid
    consoles.remove(uuid)


def _url(cloud: GuestCloud, uuid: str, protocol: str, kind: str) -> str:
    answer = cloud.compute(
        "POST", f"/servers/{uuid}/remote-consoles",
        {"remote_console": {"protocol": protocol, "type": kind}}, version="2.6",
    )
    assert answer.status == 200, answer.body
    return str(answer.json["remote_console"]["url"])


def _open(url: str) -> websocket.WebSocket:
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    path = query["path"][0] if "path" in query else f"?{parts.query}"
    return websocket.create_connection(
        f"ws://{parts.netloc}/{path}", timeout=60, subprotocols=["binary"],
        origin=f"http://{parts.netloc}",
    )


def _exactly(client: websocket.WebSocket, count: int, left: bytearray) -> bytes:
    while len(left) < count:
        data = client.recv()
        assert data, "the console ended"
        assert isinstance(data, bytes)
        left += data
    found = bytes(left[:count])
    del left[:count]
    return found


def test_the_screen_of_a_guest(consoles: GuestCloud, guest: str) -> None:
    """Through noVNC's address as far as a picture that QEMU drew."""
    client, left = _open(_url(consoles, guest, "vnc", "novnc")), bytearray()
    assert _exactly(client, 12, left) == b"RFB 003.008\n"
    client.send_binary(b"RFB 003.008\n")
    assert _exactly(client, 2, left) == b"\x01\x01"
    client.send_binary(b"\x01")
    assert _exactly(client, 4, left) == b"\0\0\0\0"
    client.send_binary(b"\x01")
    width, height, bits = struct.unpack("!HHB15x", _exactly(client, 20, left))
    (length,) = struct.unpack("!I", _exactly(client, 4, left))
    assert b"QEMU" in _exactly(client, length, left)
    client.send_binary(b"\x03\x00" + struct.pack("!HHHH", 0, 0, width, height))
    kind, count = struct.unpack("!BxH", _exactly(client, 4, left))
    assert (kind, count >= 1) == (0, True)
    _x, _y, part, rows, _encoding = struct.unpack("!HHHHi", _exactly(client, 12, left))
    assert len(_exactly(client, part * rows * bits // 8, left)) == part * rows * bits // 8
    client.close()


def test_the_screen_of_a_guest_by_spice(
    consoles: GuestCloud, guest: str, hypervisor: PrivateLibvirt
) -> None:
    """As far as SPICE's answer to a link of its main channel (spice-protocol, ``SpiceLinkMess``)."""
    if not _has_spice(hypervisor):
        answer = consoles.compute(
            "POST", f"/servers/{guest}/remote-consoles",
            {"remote_console": {"protocol": "spice", "type": "spice-html5"}}, version="2.6",
        )
        assert answer.status == 400, answer.body
        return
    described = hypervisor.virsh("dumpxml", guest).stdout
    assert described.count("<redirdev bus='usb' type='spicevmc'>") == 2
    client, left = _open(_url(consoles, guest, "spice", "spice-html5")), bytearray()
    message = struct.pack("<IBBIII", 0, 1, 0, 0, 0, 18)
    client.send_binary(b"REDQ" + struct.pack("<III", 2, 2, len(message)) + message)
    magic, major, _minor, size = struct.unpack("<4sIII", _exactly(client, 16, left))
    assert (magic, major) == (b"REDQ", 2)
    (error,) = struct.unpack_from("<I", _exactly(client, size, left))
    assert error == 0
    client.close()


def test_the_serial_line_of_a_guest(consoles: GuestCloud, guest: str) -> None:
    """What is typed is run by the guest's shell, and its console log still has it all."""
    consoles.says(guest, "MARK ready")
    client = _open(_url(consoles, guest, "serial", "serial"))
    seen = b""
    deadline = time.monotonic() + 60
    client.settimeout(3)
    while b"svar 42" not in seen:
        assert time.monotonic() < deadline, seen[-500:]
        client.send_binary(b"echo svar $((6 * 7))\n")
        try:
            while b"svar 42" not in seen:
                data = client.recv()
                assert data, "the console ended"
                assert isinstance(data, bytes)
                seen += data
        except websocket.WebSocketTimeoutException:
            continue
    client.close()
    assert consoles.says(guest, "svar 42")


def test_an_address_opens_one_console(consoles: GuestCloud, guest: str) -> None:
    url = _url(consoles, guest, "serial", "serial")
    _open(url).close()
    with pytest.raises(websocket.WebSocketBadStatusException):
        _open(url)


def test_a_stopped_guest_has_no_console(consoles: GuestCloud, guest: str) -> None:
    url = _url(consoles, guest, "vnc", "novnc")
    consoles.act(guest, "os-stop")
    consoles.reach(guest, "SHUTOFF")
    with pytest.raises(websocket.WebSocketBadStatusException):
        _open(url)
    for protocol, kind in (("vnc", "novnc"), ("serial", "serial")):
        answer = consoles.compute(
            "POST", f"/servers/{guest}/remote-consoles",
            {"remote_console": {"protocol": protocol, "type": kind}}, version="2.6",
        )
        assert answer.status == 400, answer.body
