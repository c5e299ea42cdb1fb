# SPDX-License-Identifier: Apache-2.0
"""Key pairs of users."""

from __future__ import annotations

import datetime

import msgspec


class Keypair(msgspec.Struct, frozen=True):
    """A public key under a name. ``type`` is ``ssh`` or ``x509``.

    The field order is that of the table's columns.
    """

    id: int
    user_id: str
    name: str
    type: str
    fingerprint: str
    public_key: str
    created_at: datetime.datetime
    updated_at: datetime.datetime | None = None
