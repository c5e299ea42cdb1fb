# SPDX-License-Identifier: Apache-2.0
"""Tables of the built-in block storage service.

No row is kept of what is deleted. What a project uses is counted from the rows themselves, behind its
row in ``volume_projects``, which a request locks before it counts.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table

from nova.db.schema.base import Document, LongText, Timestamp, metadata

volume_types = Table(
    "volume_types",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", String(255)),
    Column("is_public", Boolean, nullable=False),
    Column("extra_specs", Document, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp),
)

volume_type_projects = Table(
    "volume_type_projects",
    metadata,
    Column(
        "type_id", String(36), ForeignKey("volume_types.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("project_id", String(64), primary_key=True),
)

#: The types of volumes without one, for projects that have their own.
volume_default_types = Table(
    "volume_default_types",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("type_id", String(36), ForeignKey("volume_types.id", ondelete="CASCADE"), nullable=False),
    Index("ix_volume_default_types_type", "type_id"),
)

volumes = Table(
    "volumes",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255)),
    Column("description", String(255)),
    Column("status", String(32), nullable=False),
    Column("previous_status", String(32)),
    Column("size", Integer, nullable=False),
    Column("growing", Integer, nullable=False),
    Column("migration_status", String(32)),
    Column("type_id", String(36), ForeignKey("volume_types.id"), nullable=False),
    Column("availability_zone", String(255), nullable=False),
    Column("host", String(255), nullable=False),
    Column("bootable", Boolean, nullable=False),
    Column("multiattach", Boolean, nullable=False),
    Column("readonly", Boolean),
    Column("format", String(16), nullable=False),
    Column("snapshot_id", String(36)),
    Column("source_id", String(36)),
    Column("image_metadata", Document, nullable=False),
    Column("metadata", Document, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp),
    Index("ix_volumes_project", "project_id", "created_at", "id"),
    Index("ix_volumes_type", "type_id"),
)

volume_attachments = Table(
    "volume_attachments",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("volume_id", String(36), ForeignKey("volumes.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", String(64), nullable=False),
    Column("instance_uuid", String(36)),
    Column("attached_host", String(255)),
    Column("mountpoint", String(255)),
    Column("status", String(32), nullable=False),
    Column("mode", String(2), nullable=False),
    Column("connector", Document),
    Column("connection_info", Document),
    Column("created_at", Timestamp, nullable=False),
    Column("attached_at", Timestamp),
    Index("ix_volume_attachments_volume", "volume_id"),
    Index("ix_volume_attachments_instance", "instance_uuid"),
    Index("ix_volume_attachments_project", "project_id"),
)

volume_snapshots = Table(
    "volume_snapshots",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("volume_id", String(36), ForeignKey("volumes.id"), nullable=False),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255)),
    Column("description", String(255)),
    Column("status", String(32), nullable=False),
    Column("progress", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("type_id", String(36), nullable=False),
    Column("format", String(16), nullable=False),
    Column("metadata", Document, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp),
    Index("ix_volume_snapshots_volume", "volume_id"),
    Index("ix_volume_snapshots_project", "project_id", "created_at", "id"),
)

volume_transfers = Table(
    "volume_transfers",
    metadata,
    Column("id", String(36), primary_key=True),
    Column(
        "volume_id", String(36), ForeignKey("volumes.id", ondelete="CASCADE"), nullable=False,
        unique=True,
    ),
    Column("project_id", String(64), nullable=False),
    Column("name", String(255)),
    Column("key_hash", String(64), nullable=False),
    Column("no_snapshots", Boolean, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Index("ix_volume_transfers_project", "project_id"),
)

# No foreign keys: the task of a deletion outlives the row that it deletes.
volume_tasks = Table(
    "volume_tasks",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("flow", String(32), nullable=False),
    Column("volume_id", String(36), nullable=False),
    Column("snapshot_id", String(36)),
    Column("source_id", String(36)),
    Column("payload", Document, nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("owner", String(255)),
    Column("leased_until", Timestamp),
    Column("attempts", Integer, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Index("ix_volume_tasks_volume", "volume_id"),
    Index("ix_volume_tasks_source", "source_id"),
    Index("ix_volume_tasks_lease", "leased_until"),
)

volume_messages = Table(
    "volume_messages",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("resource_type", String(32), nullable=False),
    Column("resource_id", String(36), nullable=False),
    Column("event_id", String(64), nullable=False),
    Column("text", LongText, nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Index("ix_volume_messages_project", "project_id", "created_at"),
    Index("ix_volume_messages_expiry", "expires_at"),
)

# ``project_id`` is '' for the default class.
volume_limits = Table(
    "volume_limits",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("resource", String(300), primary_key=True),
    Column("hard_limit", Integer, nullable=False),
)

volume_projects = Table(
    "volume_projects",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("counted", Integer, nullable=False),
)
