# SPDX-License-Identifier: Apache-2.0
"""An enrolled host's key as the database keeps it."""

from __future__ import annotations

import datetime

import msgspec


class HostKey(msgspec.Struct, frozen=True, kw_only=True):
    """``wrapped`` is the secret, encrypted with the control side's key."""

    key_id: str
    host: str
    wrapped: bytes
    created_at: datetime.datetime
    revoked_at: datetime.datetime | None
