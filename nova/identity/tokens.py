# SPDX-License-Identifier: Apache-2.0
"""The token itself: what is in it, encrypted so that only this cloud can read or make one.

A token names a user and a scope, never roles: those are worked out when it is checked, so that a
role taken away is gone at once. There is no table of tokens.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime
import os
from typing import Literal

import msgspec
from cryptography.fernet import InvalidToken, MultiFernet

from nova.decoding import msgpack_decoder

ScopeKind = Literal["", "project", "domain", "system"]

#: The order gives each method its bit and must never change.
METHODS = ("password", "token", "application_credential", "ec2credential")

#: No token is longer; anything longer is refused unread.
LONGEST_TOKEN = 2048

_EPOCH = datetime.datetime(1970, 1, 1)
_MICROSECOND = datetime.timedelta(microseconds=1)


class Scope(msgspec.Struct, frozen=True):
    """What a token is good for; ``kind`` "" is an unscoped token."""

    kind: ScopeKind = ""
    id: str = ""


class TokenPayload(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says. Times are naive UTC."""

    methods: tuple[str, ...]
    user_id: str
    scope: Scope
    issued_at: datetime.datetime
    expires_at: datetime.datetime
    audit_ids: tuple[str, ...]
    application_credential_id: str = ""


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    """The payload as it is encrypted: ids of 32 hexadecimal digits take 17 bytes."""

    version: int
    methods: int
    user_id: bytes
    scope_kind: ScopeKind
    scope_id: bytes
    issued_at: int
    expires_at: int
    audit_ids: tuple[bytes, ...]
    application_credential_id: bytes


_VERSION = 1
_encoder = msgspec.msgpack.Encoder()
_decoder = msgpack_decoder(_Packed)


def new_audit_id() -> str:
    """A fresh audit id: 22 characters."""
    return base64.urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode()


def encode_token(keys: MultiFernet, payload: TokenPayload) -> str:
    """The token text for a payload, safe in a URL and a header."""
    packed = _Packed(
        _VERSION,
        sum(1 << METHODS.index(method) for method in set(payload.methods)),
        _pack(payload.user_id),
        payload.scope.kind,
        _pack(payload.scope.id),
        (payload.issued_at - _EPOCH) // _MICROSECOND,
        (payload.expires_at - _EPOCH) // _MICROSECOND,
        tuple(base64.urlsafe_b64decode(one + "==") for one in payload.audit_ids),
        _pack(payload.application_credential_id),
    )
    return keys.encrypt(_encoder.encode(packed)).rstrip(b"=").decode()


def decode_token(keys: MultiFernet, token: str) -> TokenPayload | None:
    """What ``token`` says, or None where this cloud did not make it. Expiry is not looked at."""
    if len(token) > LONGEST_TOKEN or not token.isascii():
        return None
    try:
        raw = keys.decrypt(token.encode() + b"=" * (-len(token) % 4))
        packed = _decoder.decode(raw)
    except (InvalidToken, msgspec.DecodeError, binascii.Error, ValueError):
        return None
    if packed.version != _VERSION:
        return None
    return TokenPayload(
        methods=tuple(
            method for bit, method in enumerate(METHODS) if packed.methods & (1 << bit)
        ),
        user_id=_unpack(packed.user_id),
        scope=Scope(packed.scope_kind, _unpack(packed.scope_id)),
        issued_at=_EPOCH + packed.issued_at * _MICROSECOND,
        expires_at=_EPOCH + packed.expires_at * _MICROSECOND,
        audit_ids=tuple(
            base64.urlsafe_b64encode(one).rstrip(b"=").decode() for one in packed.audit_ids
        ),
        application_credential_id=_unpack(packed.application_credential_id),
    )


def _pack(identifier: str) -> bytes:
    if len(identifier) == 32:
        with contextlib.suppress(ValueError):
            raw = bytes.fromhex(identifier)
            if raw.hex() == identifier:
                return b"x" + raw
    return b"s" + identifier.encode()


def _unpack(packed: bytes) -> str:
    return packed[1:].hex() if packed[:1] == b"x" else packed[1:].decode()
