# SPDX-License-Identifier: Apache-2.0
"""Durable operations and moves. `os-instance-actions` shows these rows to users."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table

from nova.db.schema.base import (
    Document,
    LongText,
    Timestamp,
    TypedDocument,
    created_updated,
    metadata,
)
from nova.objects.flavor import Flavor
from nova.objects.migration import MigrationProgress

# state: queued (waits for a conductor), running (step is being done on `host`, or by a conductor
# where host is NULL), done, failed. The lease says until when its holder may be left alone.
operations = Table(
    "operations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("instance_uuid", String(36), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("flow", String(32)),
    Column("step", String(32)),
    Column("state", String(16), nullable=False),
    Column("host", String(255)),
    Column("payload", Document, nullable=False),
    Column("attempt", Integer, nullable=False, default=0),
    Column("lease_owner", String(64)),
    Column("lease_until", Timestamp),
    Column("message", String(255)),
    Column("started_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    Column("finished_at", Timestamp),
    Index("ix_operations_instance", "instance_uuid", "started_at"),
    Index("ix_operations_state", "state", "lease_until"),
)

operation_events = Table(
    "operation_events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column(
        "operation_id", Integer, ForeignKey("operations.id", ondelete="CASCADE"), nullable=False
    ),
    Column("event", String(64), nullable=False),
    Column("started_at", Timestamp, nullable=False),
    Column("finished_at", Timestamp),
    Column("result", String(16)),
    Column("host", String(255)),
    Column("details", String(255)),
    Column("traceback", LongText),
    Index("ix_operation_events_operation", "operation_id"),
)

migrations = Table(
    "migrations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("instance_uuid", String(36), nullable=False),
    Column("operation_id", Integer),
    Column("migration_type", String(16), nullable=False),
    Column("status", String(32), nullable=False),
    Column("source_compute", String(255)),
    Column("source_node", String(255)),
    Column("dest_compute", String(255)),
    Column("dest_node", String(255)),
    Column("dest_host", String(255)),
    Column("old_flavor", TypedDocument(Flavor)),
    Column("new_flavor", TypedDocument(Flavor)),
    Column("old_flavor_id", Integer),
    Column("new_flavor_id", Integer),
    Column("old_vm_state", String(32)),
    Column("user_id", String(64)),
    Column("project_id", String(64)),
    Column("progress", TypedDocument(MigrationProgress)),
    *created_updated(),
    Index("ix_migrations_instance", "instance_uuid"),
    Index("ix_migrations_listing", "created_at", "id"),
)
