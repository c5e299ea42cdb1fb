# SPDX-License-Identifier: Apache-2.0
"""Services, compute nodes, what is claimed on them, and host aggregates."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from nova.db.schema.base import Document, Timestamp, TypedDocument, created_updated, metadata
from nova.objects.topology import GuestTopology

services = Table(
    "services",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("binary", String(255), nullable=False),
    Column("host", String(255), nullable=False),
    Column("topic", String(255), nullable=False),
    Column("report_count", Integer, nullable=False, default=0),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("disabled_reason", String(255)),
    Column("forced_down", Boolean, nullable=False, default=False),
    Column("last_seen_up", Timestamp),
    *created_updated(),
    UniqueConstraint("host", "binary"),
)

# Ratios are doubles: MariaDB's FLOAT would round 1.1 and let a claim over or under the limit.
# The *_used columns are the sum of the node's claims; only the claim store writes them. pcpus are the CPUs
# kept apart for pinned guests. topology_generation grows with every change of topology (what the host has)
# and topology_used (what guests with a topology hold of it); it stands before them because MariaDB assigns
# from left to right.
compute_nodes = Table(
    "compute_nodes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("host", String(255), nullable=False),
    Column("hypervisor_hostname", String(255), nullable=False),
    Column("host_ip", String(39), nullable=False),
    Column("hypervisor_type", String(64), nullable=False),
    Column("hypervisor_version", Integer, nullable=False),
    Column("cpu_info", Document, nullable=False),
    Column("supported_instances", Document, nullable=False),
    Column("capabilities", Document, nullable=False),
    Column("metrics", Document, nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mb", Integer, nullable=False),
    Column("local_gb", Integer, nullable=False),
    Column("reserved_vcpus", Integer, nullable=False, default=0),
    Column("reserved_memory_mb", Integer, nullable=False, default=0),
    Column("reserved_disk_gb", Integer, nullable=False, default=0),
    Column("cpu_allocation_ratio", Double, nullable=False),
    Column("ram_allocation_ratio", Double, nullable=False),
    Column("disk_allocation_ratio", Double, nullable=False),
    Column("vcpus_used", Integer, nullable=False, default=0),
    Column("memory_mb_used", Integer, nullable=False, default=0),
    Column("local_gb_used", Integer, nullable=False, default=0),
    Column("instances_used", Integer, nullable=False, default=0),
    Column("disk_available_least", Integer),
    Column("running_vms", Integer, nullable=False, default=0),
    Column("uptime", String(255)),
    *created_updated(),
    Column("pcpus", Integer, nullable=False, default=0),
    Column("pcpus_used", Integer, nullable=False, default=0),
    Column("topology_generation", Integer, nullable=False, default=0),
    Column("topology", Document),
    Column("topology_used", Document),
    UniqueConstraint("host", "hypervisor_hostname"),
)

# kind: "instance" for where it runs, "incoming" for where a move is taking it, "outgoing" for the
# side that a resize holds until it is confirmed. topology says which cells, CPUs, pages and PCI devices.
claims = Table(
    "claims",
    metadata,
    Column("instance_uuid", String(36), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("node_id", Integer, ForeignKey("compute_nodes.id"), nullable=False, index=True),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mb", Integer, nullable=False),
    Column("disk_gb", Integer, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("pcpus", Integer, nullable=False, default=0),
    Column("topology", TypedDocument(GuestTopology)),
)

aggregates = Table(
    "aggregates",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("metadata", Document, nullable=False),
    *created_updated(),
)

aggregate_hosts = Table(
    "aggregate_hosts",
    metadata,
    Column(
        "aggregate_id", Integer, ForeignKey("aggregates.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("host", String(255), primary_key=True),
    Index("ix_aggregate_hosts_host", "host"),
)
