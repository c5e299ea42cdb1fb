# SPDX-License-Identifier: Apache-2.0
"""How a new revision is written: column types as SQL types, and no index dropped before its table."""

from __future__ import annotations

from typing import Any, Literal

from alembic.operations import ops
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


def keep_indexes_of_dropped_tables(
    _context: Any, _revision: Any, directives: list[ops.MigrationScript]
) -> None:
    """Alembic's hook: an index goes with its table (MariaDB keeps one that a foreign key needs)."""
    for script in directives:
        for steps in (script.upgrade_ops, script.downgrade_ops):
            if steps is None:
                continue
            dropped = {step.table_name for step in steps.ops if isinstance(step, ops.DropTableOp)}
            steps.ops = [
                step
                for step in steps.ops
                if not (
                    isinstance(step, ops.DropIndexOp | ops.ModifyTableOps)
                    and step.table_name in dropped
                )
            ]
