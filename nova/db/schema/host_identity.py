# SPDX-License-Identifier: Apache-2.0
"""The keys of enrolled hosts, and the messages of theirs that have been acted on."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, String, Table

from nova.db.schema.base import Timestamp, metadata

host_keys = Table(
    "host_keys",
    metadata,
    Column("key_id", String(32), primary_key=True),
    Column("host", String(255), nullable=False),
    # Encrypted with the control side's key: a copy of the database opens no message.
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("revoked_at", Timestamp),
    Index("ix_host_keys_host", "host"),
)

host_messages = Table(
    "host_messages",
    metadata,
    Column("message_id", String(32), primary_key=True),
    Column("acted_at", Timestamp, nullable=False),
    Index("ix_host_messages_acted_at", "acted_at"),
)
