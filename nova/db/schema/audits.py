# SPDX-License-Identifier: Apache-2.0
"""Which host's usage was audited for which period."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table

from nova.db.schema.base import Timestamp, metadata

usage_audits = Table(
    "usage_audits",
    metadata,
    Column("period_beginning", Timestamp, primary_key=True),
    Column("period_ending", Timestamp, primary_key=True),
    Column("host", String(255), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("instances", Integer, nullable=False),
    Column("errors", Integer, nullable=False),
    Column("message", String(255), nullable=False),
    Column("created_at", Timestamp, nullable=False),
)
