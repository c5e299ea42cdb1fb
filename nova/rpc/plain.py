# SPDX-License-Identifier: Apache-2.0
"""The sealer of processes that trust their broker: messages go as they are. For tests and laboratories."""

from __future__ import annotations

import secrets
import time
from typing import Literal

import msgspec

from nova.decoding import msgpack_decoder
from nova.rpc.envelope import Header, MessageRefused


class _Open(msgspec.Struct, frozen=True, array_like=True):
    header: Header
    payload: bytes


_decode = msgpack_decoder(_Open).decode


class PlainSealer:
    """Wraps nothing and believes everything."""

    def header(
        self, kind: Literal["call", "cast"], sender: str, receiver: str, topic: str, method: str
    ) -> Header:
        """The header of a new message."""
        return Header(kind, sender, receiver, topic, method, secrets.token_hex(16), time.time())

    def reply_to(self, request: Header) -> Header:
        """The header of the answer to a message."""
        return Header(
            "reply", request.receiver, request.sender, request.topic, request.method,
            request.message_id, time.time(),
        )

    def seal(self, header: Header, payload: bytes) -> bytes:
        """The message as it is."""
        return msgspec.msgpack.encode(_Open(header, payload))

    def open(self, data: bytes) -> tuple[Header, bytes]:
        """The message; raises ``MessageRefused`` for what is none."""
        try:
            found = _decode(data)
        except msgspec.DecodeError as error:
            raise MessageRefused(f"A message could not be read: {error}") from None
        return found.header, found.payload

    def now(self) -> float:
        """This process's time."""
        return time.time()

    def learn(self, reply: Header) -> None:
        """There is nothing to learn."""
