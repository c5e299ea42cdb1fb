# SPDX-License-Identifier: Apache-2.0
"""Makes connection tracking forget an address: what was let in or translated for it ends.

Messages of ctnetlink (linux/netfilter/nfnetlink_conntrack.h). Newer kernels search by themselves; others list
the connections, of this address alone since Linux 5.8, and are told which to forget.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
from collections.abc import Iterator

LOG = logging.getLogger(__name__)

_NETLINK_NETFILTER = 12
_GET, _DELETE = (1 << 8) | 1, (1 << 8) | 2
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NESTED, _KIND = 0x8000, 0x3FFF
_TUPLE_ORIG, _TUPLE_REPLY, _ID, _FILTER = 1, 2, 12, 25
_TUPLE_IP, _IP_V4_DST, _IP_V6_DST = 1, 2, 4
_FILTER_IP_DST = 1 << 1


def forget(address: str, *, kernel_searches: bool = True) -> bool:
    """Forget the connections to an address, as it is seen from outside, and those translated to it.

    False where this process may not. With ``kernel_searches`` false the connections are always listed.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as netlink:
        netlink.bind((0, 0))
        netlink.settimeout(10)
        try:
            for side in (_TUPLE_ORIG, _TUPLE_REPLY):
                asked = _asked(family, packed, side)
                code = _tell(netlink, family, asked) if kernel_searches else errno.EINVAL
                if code in (errno.EINVAL, errno.EOPNOTSUPP):
                    for found in list(_listed(netlink, family, asked, packed, side)):
                        _tell(netlink, family, found)
                elif code not in (0, errno.ENOENT):
                    raise OSError(code, os.strerror(code))
        except OSError as error:
            LOG.warning("connections of %s are not forgotten: %s", address, error)
            return False
    return True


def _asked(family: int, packed: bytes, side: int) -> bytes:
    """Attributes for the connections whose one side has this destination."""
    kind = _IP_V6_DST if family == socket.AF_INET6 else _IP_V4_DST
    ip = _attribute(_TUPLE_IP | _NESTED, _attribute(kind, packed))
    flags = _attribute(side, struct.pack("=I", _FILTER_IP_DST))
    return _attribute(side | _NESTED, ip) + _attribute(_FILTER | _NESTED, flags)


def _tell(netlink: socket.socket, family: int, attributes: bytes) -> int:
    """Let the kernel forget what the attributes name; returns its errno, 0 for done."""
    _send(netlink, _DELETE, _REQUEST | _ACK, family, attributes)
    for kind, body in _messages(netlink.recv(65536)):
        if kind == _NLMSG_ERROR:
            return -int(struct.unpack_from("=i", body)[0])
    return 0


def _listed(
    netlink: socket.socket, family: int, asked: bytes, packed: bytes, side: int
) -> Iterator[bytes]:
    """What names each connection: its tuple and its id, as the kernel tells them."""
    _send(netlink, _GET, _REQUEST | _DUMP, family, asked)
    while True:
        for kind, body in _messages(netlink.recv(1 << 18)):
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                code = -int(struct.unpack_from("=i", body)[0])
                raise OSError(code, os.strerror(code))
            parts = dict(_attributes(body[4:]))
            ip = dict(_attributes(dict(_attributes(parts[side]))[_TUPLE_IP]))
            # A kernel that does not know the filter tells all connections.
            if packed in (ip.get(_IP_V4_DST), ip.get(_IP_V6_DST)):
                yield _attribute(_TUPLE_ORIG | _NESTED, parts[_TUPLE_ORIG]) + _attribute(_ID, parts[_ID])


def _send(netlink: socket.socket, kind: int, flags: int, family: int, attributes: bytes) -> None:
    body = struct.pack("=BBH", family, 0, 0) + attributes
    netlink.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        yield kind, data[16:length]
        data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        yield kind & _KIND, data[4:length]
        data = data[(length + 3) & ~3 :]


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)
