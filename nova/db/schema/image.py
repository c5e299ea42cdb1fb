# SPDX-License-Identifier: Apache-2.0
"""Tables of the built-in image service. Nothing else reads or writes them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table

from nova.db.schema.base import Document, LongText, Timestamp, TypedDocument, metadata
from nova.objects.image_record import StagedData

# One row holds all that a view of an image needs; `image_tags` and `image_properties` repeat the
# two documents for searching only. `upload_id` names the upload that may finish the image: a second
# one that was started after a delete and a new create of the same id can't. `staged` keeps what was
# measured of data that waits for its import.
images = Table(
    "images",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(255)),
    Column("status", String(16), nullable=False),
    Column("visibility", String(16), nullable=False),
    Column("owner", String(255)),
    Column("disk_format", String(20)),
    Column("container_format", String(20)),
    Column("size", BigInteger),
    Column("virtual_size", BigInteger),
    Column("checksum", String(32)),
    Column("os_hash_algo", String(64)),
    Column("os_hash_value", String(128)),
    Column("min_disk", Integer, nullable=False),
    Column("min_ram", Integer, nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("os_hidden", Boolean, nullable=False),
    Column("properties", Document, nullable=False),
    Column("tags", Document, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    Column("upload_id", String(36)),
    Column("staged", TypedDocument(StagedData)),
    Index("ix_images_listing", "created_at", "id"),
    Index("ix_images_owner", "owner"),
    Index("ix_images_name", "name"),
)

image_properties = Table(
    "image_properties",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column(
        "image_id", String(36), ForeignKey("images.id", ondelete="CASCADE"), nullable=False
    ),
    Column("name", String(255), nullable=False),
    Column("value", LongText, nullable=False),
    Index("ix_image_properties_image", "image_id", "name"),
)

image_tags = Table(
    "image_tags",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column(
        "image_id", String(36), ForeignKey("images.id", ondelete="CASCADE"), nullable=False
    ),
    Column("tag", String(255), nullable=False),
    Index("ix_image_tags_search", "tag"),
    Index("ix_image_tags_image", "image_id"),
)

image_members = Table(
    "image_members",
    metadata,
    Column("image_id", String(36), ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("member", String(255), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    Index("ix_image_members_member", "member", "status"),
)

# The ids of deleted images are never given out again: servers and volumes still name them, and
# whoever could register an image under such an id would choose what they boot from.
deleted_images = Table(
    "deleted_images",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("deleted_at", Timestamp, nullable=False),
)
