# SPDX-License-Identifier: Apache-2.0
"""Tokens that open consoles. Only a token's hash is kept."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table

from nova.db.schema.base import Timestamp, metadata

console_tokens = Table(
    "console_tokens",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("instance_uuid", String(36), nullable=False),
    Column("compute_host", String(255), nullable=False),
    Column("console_type", String(32), nullable=False),
    Column("host", String(255), nullable=False),
    Column("port", Integer, nullable=False),
    Column("tls_port", Integer),
    Column("internal_access_path", String(255)),
    Column("access_url_base", String(255), nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Index("ix_console_tokens_expires", "expires_at"),
)
