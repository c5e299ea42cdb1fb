# SPDX-License-Identifier: Apache-2.0
"""What an external network service has still to be told; only with one."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table

from nova.db.schema.base import Document, Timestamp, metadata

network_tasks = Table(
    "network_tasks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("instance_uuid", String(36), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("facts", Document),
    Column("attempts", Integer, nullable=False, default=0),
    Column("due_at", Timestamp, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Index("ix_network_tasks_due", "due_at"),
)
