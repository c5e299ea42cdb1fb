# SPDX-License-Identifier: Apache-2.0
"""A listening socket that takes no new connection up, but keeps those whose handshake has begun.

Closing it resets connections that it has taken up and nobody has read from yet: their clients see a broken
request where one that finds nobody listening may ask elsewhere.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket

#: Linux's asm-generic/socket.h; the socket module has no name for it.
_SO_ATTACH_FILTER = 26


class _Instruction(ctypes.Structure):
    """``sock_filter`` of linux/filter.h."""

    _fields_ = [
        ("code", ctypes.c_ushort), ("jump_true", ctypes.c_ubyte), ("jump_false", ctypes.c_ubyte),
        ("operand", ctypes.c_uint),
    ]


class _Program(ctypes.Structure):
    """``sock_fprog`` of linux/filter.h."""

    _fields_ = [("length", ctypes.c_ushort), ("first", ctypes.POINTER(_Instruction))]


#: Of a TCP segment (RFC 9293, section 3.1) the flags are loaded; where SYN is among them it is dropped.
_NO_SYN = (_Instruction * 4)(
    _Instruction(0x30, 0, 0, 13),
    _Instruction(0x45, 0, 1, 0x02),
    _Instruction(0x06, 0, 0, 0),
    _Instruction(0x06, 0, 0, 0xFFFFFFFF),
)


def take_no_more(descriptor: int) -> None:
    """Let the kernel ignore who asks the listening socket for a connection.

    Its client's kernel asks again after a second, by when the socket is closed or another one listens.
    Where the kernel refuses this nothing changes.
    """
    program = _Program(len(_NO_SYN), _NO_SYN)
    with (
        contextlib.suppress(OSError),
        contextlib.closing(socket.socket(fileno=os.dup(descriptor))) as listener,
    ):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(program))
