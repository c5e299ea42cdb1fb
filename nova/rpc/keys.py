# SPDX-License-Identifier: Apache-2.0
"""The keys that messages are sealed with: files on hosts, files and the database on the control side.

A host holds its own key and no other. The control side holds one key for itself, which also wraps the
hosts' keys at rest: a copy of the database opens no message.
"""

from __future__ import annotations

import base64
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from nova.decoding import json_decoder
from nova.errors import NovaError
from nova.rpc.envelope import CONTROL, Key, MessageRefused

_SECRET = 32
_NONCE = 12


class KeyFileInvalid(NovaError):
    """A key file is missing, open to others, or no key file."""


class _File(msgspec.Struct, frozen=True):
    host: str
    key_id: str
    key: str


_decode = json_decoder(_File).decode


def new_key(owner: str) -> Key:
    """A key that nobody has yet."""
    return Key(owner, secrets.token_hex(8), secrets.token_bytes(_SECRET))


def write_key(path: Path, key: Key) -> None:
    """Write a key to a file that only its owner reads; raises ``FileExistsError`` where one is there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(
            _File(key.owner, key.key_id, base64.b64encode(key.secret).decode())
        )) + b"\n")


def read_key(path: Path) -> Key:
    """The key of a file; raises ``KeyFileInvalid`` with the next step."""
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except OSError as error:
        raise KeyFileInvalid(
            f"The key file {path} cannot be read ({error.strerror}). Enrol the host on the control side with "
            "`nova-manage host enrol NAME --output FILE` and copy the file here."
        ) from None
    if mode & 0o077:
        raise KeyFileInvalid(f"The key file {path} is open to others: chmod 600 {path}.")
    try:
        found = _decode(data)
        secret = base64.b64decode(found.key, validate=True)
    except (msgspec.DecodeError, ValueError):
        raise KeyFileInvalid(f"{path} is no key file.") from None
    if len(secret) != _SECRET:
        raise KeyFileInvalid(f"{path} holds a key of {len(secret)} bytes in place of {_SECRET}.")
    return Key(found.host, found.key_id, secret)


def wrap(control: Key, key: Key) -> bytes:
    """A host's key as it lies in the database."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(control.secret).encrypt(nonce, key.secret, _bound(key.owner, key.key_id))


def unwrap(control: Key, owner: str, key_id: str, wrapped: bytes) -> Key:
    """A host's key from the database; raises ``KeyFileInvalid`` where another control key wrapped it."""
    try:
        secret = AESGCM(control.secret).decrypt(
            wrapped[:_NONCE], wrapped[_NONCE:], _bound(owner, key_id)
        )
    except (InvalidTag, ValueError):
        raise KeyFileInvalid(
            f"The key of host {owner} was not wrapped by this control key. Every control daemon needs the "
            "same control_key_file."
        ) from None
    return Key(owner, key_id, secret)


def _bound(owner: str, key_id: str) -> bytes:
    return f"{owner}\n{key_id}".encode()


class HostKeys:
    """The key ring of a host process: only between one of its hosts and the control side."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = {key.owner: key for key in keys}

    @property
    def names(self) -> frozenset[str]:
        """The hosts that it has keys of."""
        return frozenset(self._keys)

    def to_seal(self, sender: str, receiver: str) -> Key:
        """The sender's key."""
        key = self._keys.get(sender)
        if key is None or receiver != CONTROL:
            raise MessageRefused(f"There is no key between {sender or 'the control side'} and "
                                 f"{receiver or 'the control side'} here.")
        return key

    def to_open(self, sender: str, receiver: str, key_id: str) -> Key:
        """The receiver's key, for what the control side sends."""
        key = self._keys.get(receiver)
        if key is None or sender != CONTROL or key.key_id != key_id:
            raise MessageRefused(
                f"A message from {sender or 'the control side'} to {receiver} names the key {key_id}, which "
                "is not that host's."
            )
        return key


class ControlKeys:
    """The key ring of the control side. ``lookup`` answers a host's valid keys, newest first.

    What it answered is remembered for ``keep`` seconds: for so long a key that was revoked is still good.
    """

    def __init__(
        self, control: Key, lookup: Callable[[str], list[Key]], keep: float = 5.0
    ) -> None:
        self._control = control
        self._lookup = lookup
        self._keep = keep
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, list[Key]]] = {}

    def to_seal(self, sender: str, receiver: str) -> Key:
        """The receiver's newest key, or the control side's own."""
        if receiver == CONTROL:
            return self._control
        keys = self._keys_of(receiver)
        if not keys:
            raise MessageRefused(
                f"The host {receiver} is not enrolled: nova-manage host enrol {receiver}."
            )
        return keys[0]

    def to_open(self, sender: str, receiver: str, key_id: str) -> Key:
        """The sender's key of that id."""
        if sender == CONTROL:
            if key_id != self._control.key_id:
                raise MessageRefused(
                    "A message of the control side was sealed with another control_key_file."
                )
            return self._control
        for key in self._keys_of(sender):
            if key.key_id == key_id:
                return key
        raise MessageRefused(
            f"The host {sender} is not enrolled with the key {key_id}: nova-manage host enrol {sender}."
        )

    def _keys_of(self, host: str) -> list[Key]:
        now = time.monotonic()
        with self._lock:
            known = self._known.get(host)
        if known is not None and known[0] > now and known[1]:
            return known[1]
        found = self._lookup(host)
        with self._lock:
            if len(self._known) > 100_000:
                self._known.clear()
            self._known[host] = (now + self._keep, found)
        return found
