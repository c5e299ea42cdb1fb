# SPDX-License-Identifier: Apache-2.0
"""Makes connection tracking forget an address: what was let in or translated for it ends.

One message of ctnetlink (linux/netfilter/nfnetlink_conntrack.h); the kernel does the search.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct

LOG = logging.getLogger(__name__)

_NETLINK_NETFILTER = 12
_CTNETLINK_DELETE = (1 << 8) | 2
_REQUEST_ACK = 0x1 | 0x4
_NLMSG_ERROR = 2
_NESTED = 0x8000
_TUPLE_ORIG, _TUPLE_REPLY, _FILTER = 1, 2, 25
_TUPLE_IP, _IP_V4_DST, _IP_V6_DST = 1, 2, 4
_FILTER_IP_DST = 1 << 1


def forget(address: str) -> bool:
    """Forget the connections to an address, as it is seen from outside, and those translated to it.

    Returns False where the kernel cannot (before Linux 5.8) or this process may not.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as netlink:
        netlink.bind((0, 0))
        netlink.settimeout(10)
        for number, side in enumerate((_TUPLE_ORIG, _TUPLE_REPLY), 1):
            netlink.send(_message(number, family, packed, side))
            code = _answer(netlink.recv(65536))
            if code not in (0, errno.ENOENT):
                LOG.warning("connections of %s are not forgotten: %s", address, os.strerror(code))
                return False
    return True


def _message(number: int, family: int, packed: bytes, side: int) -> bytes:
    kind = _IP_V6_DST if family == socket.AF_INET6 else _IP_V4_DST
    ip = _attribute(_TUPLE_IP | _NESTED, _attribute(kind, packed))
    flags = _attribute(side, struct.pack("=I", _FILTER_IP_DST))
    body = (
        struct.pack("=BBH", family, 0, 0)
        + _attribute(side | _NESTED, ip)
        + _attribute(_FILTER | _NESTED, flags)
    )
    return struct.pack("=IHHII", 16 + len(body), _CTNETLINK_DELETE, _REQUEST_ACK, number, 0) + body


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _answer(data: bytes) -> int:
    """The errno that the kernel answers, 0 for done."""
    kind, code = struct.unpack_from("=4xH10xi", data)
    return -code if kind == _NLMSG_ERROR else 0
