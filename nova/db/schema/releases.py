# SPDX-License-Identifier: Apache-2.0
"""Which releases can work with the tables as they are."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table

from nova.db.schema.base import metadata

#: One row, written by whoever brings the tables to a revision: the newest revision of the oldest release
#: whose daemons can go on beside those of the present one.
schema_compatibility = Table(
    "schema_compatibility",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("oldest_revision", String(32), nullable=False),
)
