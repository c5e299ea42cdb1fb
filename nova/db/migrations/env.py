# SPDX-License-Identifier: Apache-2.0
"""Runs revisions on the connection that ``nova.db.migrate`` hands over."""

from __future__ import annotations

from alembic import context

from nova.db.migrations.rendering import keep_indexes_of_dropped_tables, render_item
from nova.db.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_item=render_item,
    process_revision_directives=keep_indexes_of_dropped_tables,
    # SQLite alters a table by copying it; making tables needs none of that.
    render_as_batch=context.config.attributes.get("alters", False),
)
with context.begin_transaction():
    context.run_migrations()
