# SPDX-License-Identifier: Apache-2.0
"""Hashes of passwords and secrets: bcrypt."""

from __future__ import annotations

import base64
import hashlib

import bcrypt

#: bcrypt looks at this many bytes only; longer passwords are hashed before.
BCRYPT_LIMIT = 72

#: Any well-formed salt and hash: checking against it costs what a real check costs.
_NOBODY = "abcdefghijklmnopqrstuu" + "0123456789abcdefghijklmnopqrstu"


def hash_password(password: str, rounds: int) -> str:
    """The bcrypt hash of ``password``, of any length and alphabet, at cost ``rounds``."""
    return bcrypt.hashpw(_material(password), bcrypt.gensalt(rounds)).decode()


def check_password(password: str, hashed: str | None, rounds: int) -> bool:
    """Whether ``password`` has that hash.

    Without a hash the answer is no, after as much work as a real check at cost ``rounds``, so that
    the time does not tell whether a user exists.
    """
    if hashed is None:
        bcrypt.checkpw(_material(password), f"$2b${rounds:02d}${_NOBODY}".encode())
        return False
    return bcrypt.checkpw(_material(password), hashed.encode())


def _material(password: str) -> bytes:
    raw = password.encode()
    if len(raw) <= BCRYPT_LIMIT:
        return raw
    # base64, as bcrypt would stop at a NUL byte of a raw digest.
    return base64.b64encode(hashlib.sha384(raw).digest())
