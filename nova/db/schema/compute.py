# SPDX-License-Identifier: Apache-2.0
"""Instances and what users attach to them: flavors, key pairs, groups, quotas."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from nova.db.schema.base import (
    Document,
    LongText,
    Timestamp,
    TypedDocument,
    created_updated,
    metadata,
)
from nova.objects.flavor import Flavor
from nova.objects.instance import BlockDevice, Fault, Vif
from nova.objects.topology import GuestTopology

# One row is all that a view of a server needs: metadata, tags, addresses and flavor are kept in the row
# as documents, so that listing is one statement. `instance_metadata` and `instance_tags` repeat two of
# them for searching only. `revision` grows with every write and keys the cache of rendered servers.
# `deleted` is 0 for a live row and the row's id for a deleted one.
instances = Table(
    "instances",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("revision", Integer, nullable=False, default=1),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", String(255)),
    Column("hostname", String(255), nullable=False),
    Column("image_ref", String(255), nullable=False, default=""),
    Column("image_properties", Document),
    Column("kernel_id", String(255), nullable=False, default=""),
    Column("ramdisk_id", String(255), nullable=False, default=""),
    Column("flavor", TypedDocument(Flavor), nullable=False),
    Column("flavorid", String(255), nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mb", Integer, nullable=False),
    Column("root_gb", Integer, nullable=False),
    Column("ephemeral_gb", Integer, nullable=False),
    Column("vm_state", String(32), nullable=False),
    Column("task_state", String(40)),
    Column("power_state", Integer, nullable=False, default=0),
    Column("progress", Integer, nullable=False, default=0),
    Column("host", String(255)),
    Column("node", String(255)),
    Column("availability_zone", String(255)),
    Column("pinned_availability_zone", String(255)),
    Column("reservation_id", String(32), nullable=False),
    Column("launch_index", Integer, nullable=False, default=0),
    Column("key_name", String(255)),
    Column("key_data", Text),
    Column("user_data", LongText),
    Column("config_drive", String(8), nullable=False, default=""),
    Column("access_ipv4", String(39), nullable=False, default=""),
    Column("access_ipv6", String(39), nullable=False, default=""),
    Column("locked_by", String(8)),
    Column("locked_reason", String(255)),
    Column("disk_config", String(8), nullable=False, default="MANUAL"),
    Column("root_device_name", String(32)),
    Column("metadata", Document, nullable=False),
    Column("system_metadata", Document, nullable=False),
    Column("tags", Document, nullable=False),
    Column("network_info", TypedDocument(tuple[Vif, ...]), nullable=False),
    Column("security_groups", Document, nullable=False),
    Column("block_devices", TypedDocument(tuple[BlockDevice, ...]), nullable=False),
    Column("scheduler_hints", Document),
    Column("trusted_image_certificates", Document),
    Column("fault", TypedDocument(Fault)),
    Column("server_group", String(36)),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    Column("launched_at", Timestamp),
    Column("terminated_at", Timestamp),
    Column("deleted_at", Timestamp),
    Column("deleted", Integer, nullable=False, default=0),
    Column("topology", TypedDocument(GuestTopology)),
    Index("ix_instances_project_listing", "project_id", "deleted", "created_at", "id"),
    Index("ix_instances_listing", "deleted", "created_at", "id"),
    Index("ix_instances_host", "host", "deleted"),
    Index("ix_instances_updated", "updated_at"),
    Index("ix_instances_reservation", "reservation_id"),
)

instance_metadata = Table(
    "instance_metadata",
    metadata,
    Column("instance_uuid", String(36), ForeignKey("instances.uuid"), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("value", String(255), nullable=False),
    Index("ix_instance_metadata_search", "key", "value"),
)

instance_tags = Table(
    "instance_tags",
    metadata,
    Column("instance_uuid", String(36), ForeignKey("instances.uuid"), primary_key=True),
    Column("tag", String(60), primary_key=True),
    Index("ix_instance_tags_search", "tag"),
)

# Which servers have a volume: what is told of a volume finds its servers. The mapping itself, with all it
# says, is a document of the server's row, so that showing servers costs no further statement.
instance_volumes = Table(
    "instance_volumes",
    metadata,
    Column("instance_uuid", String(36), ForeignKey("instances.uuid"), primary_key=True),
    Column("volume_id", String(36), primary_key=True),
    Index("ix_instance_volumes_volume", "volume_id"),
)

flavors = Table(
    "flavors",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("flavorid", String(255), nullable=False, unique=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", Text),
    Column("memory_mb", Integer, nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("root_gb", Integer, nullable=False),
    Column("ephemeral_gb", Integer, nullable=False, default=0),
    Column("swap", Integer, nullable=False, default=0),
    Column("rxtx_factor", Float, nullable=False, default=1.0),
    Column("is_public", Boolean, nullable=False, default=True),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("extra_specs", Document, nullable=False),
    *created_updated(),
)

flavor_access = Table(
    "flavor_access",
    metadata,
    Column("flavor_id", Integer, ForeignKey("flavors.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", String(255), primary_key=True),
)

keypairs = Table(
    "keypairs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("type", String(8), nullable=False, default="ssh"),
    Column("fingerprint", String(255), nullable=False),
    Column("public_key", LongText, nullable=False),
    *created_updated(),
    UniqueConstraint("user_id", "name"),
)

server_groups = Table(
    "server_groups",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("project_id", String(64), nullable=False, index=True),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("policy", String(32), nullable=False),
    Column("rules", Document, nullable=False),
    *created_updated(),
)

server_group_members = Table(
    "server_group_members",
    metadata,
    Column(
        "group_id", Integer, ForeignKey("server_groups.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("instance_uuid", String(36), primary_key=True),
    Index("ix_server_group_members_instance", "instance_uuid"),
)

# A limit set for a project (user_id '') or for one user in it.
quotas = Table(
    "quotas",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("user_id", String(64), primary_key=True, default=""),
    Column("resource", String(64), primary_key=True),
    Column("hard_limit", Integer, nullable=False),
)

quota_classes = Table(
    "quota_classes",
    metadata,
    Column("class_name", String(64), primary_key=True),
    Column("resource", String(64), primary_key=True),
    Column("hard_limit", Integer, nullable=False),
)

# What a project uses now. One conditional UPDATE of this row counts a boot against its quota, so that
# parallel requests can never exceed it and a boot costs the same with one server as with ten thousand.
project_usages = Table(
    "project_usages",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("instances", Integer, nullable=False, default=0),
    Column("cores", Integer, nullable=False, default=0),
    Column("ram", BigInteger, nullable=False, default=0),
    Column("floating_ips", Integer, nullable=False, default=0),
    Column("security_groups", Integer, nullable=False, default=0),
    Column("server_groups", Integer, nullable=False, default=0),
)

# What was filled with its first content once (the default flavors), so that what an operator deletes
# stays deleted.
seeds = Table(
    "seeds",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("created_at", Timestamp, nullable=False),
)
