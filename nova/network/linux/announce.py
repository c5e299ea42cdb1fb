# SPDX-License-Identifier: Apache-2.0
"""Gratuitous ARP: tells a segment who has an address now (RFC 5227, section 3)."""

from __future__ import annotations

import errno
import socket
import struct

from nova.errors import NetworkNotReady

_ETH_P_ARP = 0x0806
_EVERYBODY = b"\xff" * 6


def announcement(mac: str, address: str) -> bytes:
    """The frame: an ARP request for the sender's own address, to everybody."""
    sender, ip = bytes.fromhex(mac.replace(":", "")), socket.inet_aton(address)
    header = _EVERYBODY + sender + struct.pack("!H", _ETH_P_ARP)
    return header + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + sender + ip + bytes(6) + ip


def announce(device: str, mac: str, address: str, count: int) -> None:
    """Send ``count`` announcements on a device; raises ``NetworkNotReady`` without CAP_NET_RAW."""
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ARP)) as raw:
            raw.bind((device, _ETH_P_ARP))
            for _ in range(count):
                raw.send(announcement(mac, address))
    except OSError as error:
        why = "CAP_NET_RAW is missing" if error.errno == errno.EPERM else error.strerror
        raise NetworkNotReady(f"{address} could not be announced on {device}: {why}.") from error
