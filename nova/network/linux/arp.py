# SPDX-License-Identifier: Apache-2.0
"""Asks a segment who has addresses: ARP probes (RFC 5227, section 2.1.1), ICMP echo over routers.

A segment is asked on its bridge, or where this host has none yet, on the NIC that leads to it: with the
VLAN's tag on each frame, so that no device has to be made for a question. A probe is an ARP request with the
sender's address 0.0.0.0, so that it changes nobody's ARP cache. All addresses are asked for at once; those
still silent at half time are asked for again.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import secrets
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence

from nova.errors import NetworkNotReady

LOG = logging.getLogger(__name__)

#: Stands for the MAC of somebody who answered over a router.
ROUTED = "00:00:00:00:00:00"

_ETH_P_ARP = 0x0806
_ETH_P_ALL = 0x0003
_ETH_P_8021Q = 0x8100
_EVERYBODY = b"\xff" * 6
#: linux/if_packet.h, linux/filter.h
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_AUXDATA, _PACKET_MR_PROMISC = 263, 1, 8, 1
_SO_ATTACH_FILTER = 26
_AUXDATA = struct.Struct("=IIIHHHH")
_TP_STATUS_VLAN_VALID = 0x10
#: "Is the frame's type ARP?" as the kernel's filter machine reads it: load, compare, keep, drop.
_ARP_ONLY = ((0x28, 0, 0, 12), (0x15, 0, 1, _ETH_P_ARP), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0))
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ECHO, _ECHO_REPLY = 8, 0
#: Room for the answers of a whole batch.
_BUFFER = 1 << 20


def probe_frame(mac: bytes, address: str, vlan: int | None = None) -> bytes:
    """The frame that asks, without saying who asks, whether somebody has an address; tagged for a VLAN."""
    body = _ARP.pack(1, 0x0800, 6, 4, 1, mac, bytes(4), bytes(6), socket.inet_aton(address))
    tag = b"" if vlan is None else struct.pack("!HH", _ETH_P_8021Q, vlan)
    return _EVERYBODY + mac + tag + struct.pack("!H", _ETH_P_ARP) + body


def speaker(frame: bytes) -> tuple[str, str] | None:
    """Who sent an ARP frame and what address it says it has; None for what is no ARP of IPv4."""
    if len(frame) < 14 + _ARP.size or frame[12:14] != struct.pack("!H", _ETH_P_ARP):
        return None
    hardware, protocol, _length, _width, _kind, mac, address, _target, _asked = _ARP.unpack_from(frame, 14)
    if hardware != 1 or protocol != 0x0800 or address == bytes(4):
        return None
    return socket.inet_ntoa(address), mac.hex(":")


def probe_segment(device: str, addresses: Sequence[str], timeout: float) -> dict[str, str | None]:
    """The MAC that answers for each address on a device's segment within ``timeout`` seconds, or None.

    Raises ``NetworkNotReady`` where the device is missing or down, or CAP_NET_RAW is.
    """
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ARP)) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            raw.bind((device, _ETH_P_ARP))
            mac = raw.getsockname()[4]

            def ask(silent: Iterable[str]) -> None:
                for each in silent:
                    _send(raw, probe_frame(mac, each))

            def hear() -> tuple[str, str] | None:
                data, origin = raw.recvfrom(2048)
                # What this host itself sends comes back as PACKET_OUTGOING.
                return None if origin[2] == socket.PACKET_OUTGOING else speaker(data)

            return _collect(raw, addresses, timeout, ask, hear)
    except OSError as error:
        raise NetworkNotReady(f"{device} could not be asked for addresses: {_why(error)}.") from error


def probe_wire(
    device: str, vlan: int | None, addresses: Sequence[str], timeout: float
) -> dict[str, str | None]:
    """The same for a segment that this host is not on: asked on the NIC that leads to it, tagged.

    Raises ``NetworkNotReady`` as ``probe_segment`` does.
    """
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            _hear_arp_only(raw)
            # All protocols, as a NIC that is in a bridge shows its frames to no others.
            raw.bind((device, _ETH_P_ALL))
            raw.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
            # Else a NIC drops the frames of VLANs that no device of its own is for; ends with the socket.
            wide = struct.pack("iHH8s", socket.if_nametoindex(device), _PACKET_MR_PROMISC, 0, bytes(8))
            raw.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, wide)
            mac = raw.getsockname()[4]

            def ask(silent: Iterable[str]) -> None:
                for each in silent:
                    _send(raw, probe_frame(mac, each, vlan))

            def hear() -> tuple[str, str] | None:
                data, ancillary, _flags, origin = raw.recvmsg(2048, 256)
                if origin[2] == socket.PACKET_OUTGOING or _tag(ancillary) != vlan:
                    return None
                return speaker(data)

            return _collect(raw, addresses, timeout, ask, hear)
    except OSError as error:
        raise NetworkNotReady(f"{device} could not be asked for addresses: {_why(error)}.") from error


def _hear_arp_only(raw: socket.socket) -> None:
    """Let the kernel drop all frames but ARP before they are copied."""
    code = b"".join(struct.pack("=HBBI", *each) for each in _ARP_ONLY)
    buffer = ctypes.create_string_buffer(code)
    raw.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(_ARP_ONLY), ctypes.addressof(buffer))
    )


def _tag(ancillary: Iterable[tuple[int, int, bytes]]) -> int | None:
    """The VLAN that a frame came with, which the kernel takes off and tells beside."""
    for level, kind, data in ancillary:
        if level == _SOL_PACKET and kind == _PACKET_AUXDATA and len(data) >= _AUXDATA.size:
            status, _length, _kept, _mac, _net, tci, _kind = _AUXDATA.unpack_from(data)
            return tci & 0xFFF if status & _TP_STATUS_VLAN_VALID else None
    return None


def probe_routed(addresses: Sequence[str], timeout: float) -> dict[str, str | None]:
    """``ROUTED`` for each address that answers an echo request within ``timeout`` seconds, or None.

    Raises ``NetworkNotReady`` without CAP_NET_RAW.
    """
    identity = secrets.randbits(16)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)

            def ask(silent: Iterable[str]) -> None:
                for number, each in enumerate(silent):
                    try:
                        raw.sendto(_echo(identity, number), (each, 0))
                    except OSError as error:
                        # No route: nobody can have it where we can reach.
                        LOG.debug("%s: %s", each, error)

            def hear() -> tuple[str, str] | None:
                data, origin = raw.recvfrom(2048)
                header = (data[0] & 15) * 4
                kind, _code, _sum, found = struct.unpack_from("!BBHH", data, header)
                return (origin[0], ROUTED) if kind == _ECHO_REPLY and found == identity else None

            return _collect(raw, addresses, timeout, ask, hear)
    except OSError as error:
        raise NetworkNotReady(f"Addresses could not be asked for: {_why(error)}.") from error


def _collect(
    raw: socket.socket,
    addresses: Sequence[str],
    timeout: float,
    ask: Callable[[Iterable[str]], None],
    hear: Callable[[], tuple[str, str] | None],
) -> dict[str, str | None]:
    answers: dict[str, str | None] = dict.fromkeys(addresses)
    silent = len(answers)
    began = time.monotonic()
    for end in (began + timeout / 2, began + timeout):
        ask([each for each, mac in answers.items() if mac is None])
        while silent and (left := end - time.monotonic()) > 0:
            if not select.select([raw], [], [], left)[0]:
                break
            heard = hear()
            if heard is not None and answers.get(heard[0], heard) is None:
                answers[heard[0]] = heard[1]
                silent -= 1
        if not silent:
            break
    return answers


def _send(raw: socket.socket, frame: bytes) -> None:
    try:
        raw.send(frame)
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
        # The device's queue is full for a moment; what is lost is asked for again at half time.
        time.sleep(0.002)


def _echo(identity: int, number: int) -> bytes:
    message = struct.pack("!BBHHH", _ECHO, 0, 0, identity, number & 0xFFFF)
    total = sum(struct.unpack("!4H", message))
    total = (total & 0xFFFF) + (total >> 16)
    return message[:2] + struct.pack("!H", ~total & 0xFFFF) + message[4:]


def _why(error: OSError) -> str:
    return "CAP_NET_RAW is missing" if error.errno == errno.EPERM else os.strerror(error.errno or 0)
