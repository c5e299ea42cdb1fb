# SPDX-License-Identifier: Apache-2.0
"""What a message is wrapped in on the broker: encrypted, authenticated, fresh, and bound to its way.

Everyone who has the broker's password can read and write its queues, so the broker is not trusted. Each
host shares one key with the control side and with nobody else (``nova/rpc/keys.py``); what goes between
them is sealed with it by AES-256-GCM (RFC 5116, ``AEAD_AES_256_GCM``), and the header, which says from whom,
to whom and what for, is authenticated with it. A message read on its way tells nothing, one that is changed
or sent elsewhere does not open, and one that comes twice is refused.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from nova.decoding import msgpack_decoder
from nova.errors import NovaError

#: The control side's name in a header; a host's name is never empty.
CONTROL = ""

#: Seconds that a message may be under way, and that clocks of the control side may differ.
WINDOW = 60.0

_VERSION = 1
_NONCE = 12


class MessageRefused(NovaError):
    """A message was not sealed by whom it names, is not for its receiver, or comes again."""

    status = 403


class MessageStale(MessageRefused):
    """A message is older, or newer, than the window allows; its sender may seal it again."""


class Header(msgspec.Struct, frozen=True, array_like=True):
    """The open part of a message. ``sent_at`` is in seconds since the epoch, by the control side's clock."""

    kind: Literal["call", "cast", "reply"]
    sender: str
    receiver: str
    topic: str
    method: str
    message_id: str
    sent_at: float


_decode_header = msgpack_decoder(Header).decode


class Sealed(msgspec.Struct, frozen=True, array_like=True):
    """What lies on the broker."""

    version: int
    key_id: str
    header: bytes
    nonce: bytes
    sealed: bytes


_decode_sealed = msgpack_decoder(Sealed).decode


def look_at(data: bytes) -> tuple[Sealed, Header]:
    """A message as it stands on the wire, nothing of it proven; raises ``msgspec.DecodeError``."""
    sealed = _decode_sealed(data)
    return sealed, _decode_header(sealed.header)


class Key(msgspec.Struct, frozen=True):
    """A secret of 32 bytes that one host (or the control side with itself) seals with."""

    owner: str
    key_id: str
    secret: bytes


class KeyRing(Protocol):
    """Where a side finds the keys that it may use."""

    def to_seal(self, sender: str, receiver: str) -> Key:
        """The newest key between the two; raises ``MessageRefused`` where there is none."""
        ...

    def to_open(self, sender: str, receiver: str, key_id: str) -> Key:
        """The key that a message names; raises ``MessageRefused`` where it is none between the two."""
        ...


class Sealer(Protocol):
    """Wraps encoded messages for the broker, and unwraps them."""

    def seal(self, header: Header, payload: bytes) -> bytes:
        """A message ready for the broker."""
        ...

    def open(self, data: bytes) -> tuple[Header, bytes]:
        """The header, of which every field is true, and the payload; raises ``MessageRefused``."""
        ...

    def header(
        self, kind: Literal["call", "cast"], sender: str, receiver: str, topic: str, method: str
    ) -> Header:
        """The header of a new message."""
        ...

    def reply_to(self, request: Header) -> Header:
        """The header of the answer to a message."""
        ...

    def learn(self, reply: Header) -> None:
        """Take the time from an answer of the control side."""
        ...

    def now(self) -> float:
        """The control side's time as far as it is known."""
        ...


class Clock:
    """The control side's time as far as this process knows it, in seconds since the epoch.

    A host's own clock may be wrong or jump: it counts from its last answer of the control side on, by the
    monotonic clock, and its wall clock counts only before the first one.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._offset: float | None = None

    def now(self) -> float:
        """The time now."""
        return self._wall() if self._offset is None else time.monotonic() + self._offset

    def learn(self, told: float) -> None:
        """The control side said that it is this time."""
        self._offset = told - time.monotonic()


class Freshness:
    """Which messages this process has had within the window."""

    def __init__(self, clock: Clock, window: float = WINDOW) -> None:
        self._clock = clock
        self._window = window
        self._lock = threading.Lock()
        #: Message ids by the half window in which they came; two halves back nothing is fresh any more.
        self._seen: dict[int, set[str]] = {}

    def admit(self, header: Header) -> None:
        """Take a message once; raises ``MessageStale`` or ``MessageRefused``."""
        now = self._clock.now()
        if abs(now - header.sent_at) > self._window:
            raise MessageStale(
                f"The message {header.method} of {header.sender or 'the control side'} is "
                f"{now - header.sent_at:.0f} s old; at most {self._window:.0f} s are allowed."
            )
        bucket = int(header.sent_at / self._window)
        with self._lock:
            seen = self._seen.setdefault(bucket, set())
            if header.message_id in seen:
                raise MessageRefused(
                    f"The message {header.method} of {header.sender or 'the control side'} came twice."
                )
            seen.add(header.message_id)
            oldest = int((now - self._window) / self._window)
            for old in [each for each in self._seen if each < oldest]:
                del self._seen[old]


class Envelope:
    """The sealer of a process that has keys. ``names`` are the receivers it answers for."""

    def __init__(
        self, keys: KeyRing, names: frozenset[str], clock: Clock, window: float = WINDOW
    ) -> None:
        self._keys = keys
        self._names = names
        self._clock = clock
        self._freshness = Freshness(clock, window)

    def header(
        self, kind: Literal["call", "cast"], sender: str, receiver: str, topic: str, method: str
    ) -> Header:
        """The header of a new message."""
        return Header(
            kind, sender, receiver, topic, method, secrets.token_hex(16), self._clock.now()
        )

    def reply_to(self, request: Header) -> Header:
        """The header of the answer to a message: its way back, under its id."""
        return Header(
            "reply", request.receiver, request.sender, request.topic, request.method,
            request.message_id, self._clock.now(),
        )

    def seal(self, header: Header, payload: bytes) -> bytes:
        """Seal with the newest key between sender and receiver."""
        key = self._keys.to_seal(header.sender, header.receiver)
        encoded = msgspec.msgpack.encode(header)
        nonce = os.urandom(_NONCE)
        sealed = AESGCM(key.secret).encrypt(nonce, payload, encoded)
        return msgspec.msgpack.encode(Sealed(_VERSION, key.key_id, encoded, nonce, sealed))

    def open(self, data: bytes) -> tuple[Header, bytes]:
        """Open a message to one of our names.

        An answer is not looked at for its age: it belongs to a question that waits, or to none.
        """
        try:
            outer, header = look_at(data)
        except msgspec.DecodeError as error:
            raise MessageRefused(f"A message could not be read: {error}") from None
        if outer.version != _VERSION:
            raise MessageRefused(f"A message has the version {outer.version}.")
        if header.receiver not in self._names:
            raise MessageRefused(f"A message is for {header.receiver or 'the control side'}.")
        key = self._keys.to_open(header.sender, header.receiver, outer.key_id)
        try:
            payload = AESGCM(key.secret).decrypt(outer.nonce, outer.sealed, outer.header)
        except (InvalidTag, ValueError):
            raise MessageRefused(
                f"A message that names {header.sender or 'the control side'} as its sender was not "
                "sealed by it."
            ) from None
        if header.kind != "reply":
            self._freshness.admit(header)
        return header, payload

    def now(self) -> float:
        """The control side's time."""
        return self._clock.now()

    def learn(self, reply: Header) -> None:
        """Only the control side tells the time."""
        if reply.kind == "reply" and reply.sender == CONTROL and CONTROL not in self._names:
            self._clock.learn(reply.sent_at)
