# SPDX-License-Identifier: Apache-2.0
"""How column types are written into a new revision: as SQL types, never as our own classes."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import Text, TypeDecorator

from nova.db.schema.base import LongText, Timestamp

_LONG_TEXT = "sa.Text().with_variant(mysql.MEDIUMTEXT(), 'mysql', 'mariadb')"
_TIMESTAMP = "sa.DateTime().with_variant(mysql.DATETIME(fsp=6), 'mysql', 'mariadb')"


def render_item(kind: str, item: Any, autogen_context: Any) -> str | Literal[False]:
    """Alembic's hook: the source text of a column type, or False for Alembic's own rendering."""
    if kind != "type":
        return False
    # Every document type of ours is kept as long text.
    document = isinstance(item, TypeDecorator) and isinstance(item.impl_instance, Text)
    if document or item is LongText:
        autogen_context.imports.add("from sqlalchemy.dialects import mysql")
        return _LONG_TEXT
    if item is Timestamp:
        autogen_context.imports.add("from sqlalchemy.dialects import mysql")
        return _TIMESTAMP
    return False
