# SPDX-License-Identifier: Apache-2.0
"""Tells a DHCP server that an address is given back, in the place of a guest that is gone (RFC 2131)."""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Iterable

_BOOTREQUEST = 1
_ETHERNET = 1
_COOKIE = b"\x63\x82\x53\x63"
_MESSAGE_TYPE, _SERVER_ID, _END = 53, 54, 255
_DHCPRELEASE = 7
_SERVER_PORT = 67


def release_message(mac: str, address: str, server: str) -> bytes:
    """A DHCPRELEASE of ``address`` by the client with that MAC."""
    hardware = bytes.fromhex(mac.replace(":", ""))
    header = struct.pack(
        "!BBBBIHH4s12x16s192x", _BOOTREQUEST, _ETHERNET, len(hardware), 0, secrets.randbits(32), 0, 0,
        socket.inet_aton(address), hardware,
    )
    options = bytes((_MESSAGE_TYPE, 1, _DHCPRELEASE, _SERVER_ID, 4)) + socket.inet_aton(server)
    return header + _COOKIE + options + bytes((_END,))


def release(server: str, leases: Iterable[tuple[str, str]]) -> None:
    """Give leases (MAC, address) back to the server on this host; raises ``OSError``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outgoing:
        for mac, address in leases:
            outgoing.sendto(release_message(mac, address, server), (server, _SERVER_PORT))
