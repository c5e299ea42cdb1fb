# SPDX-License-Identifier: Apache-2.0
"""What is counted and logged when an operation ends: once, after its end is committed."""

from __future__ import annotations

import logging

from nova import log, metrics
from nova.db.engine import Database, Transaction
from nova.db.schema.base import now
from nova.objects.operation import Operation


def note_end(tx: Transaction, operation: Operation, *, failed: bool) -> None:
    """Count an operation's end once ``tx`` is committed."""
    tx.after_commit(lambda: count_end(operation, failed=failed))


def count_end(operation: Operation, *, failed: bool) -> None:
    """Count an operation's end, which is committed."""
    kind = operation.flow or operation.action
    seconds = (now() - operation.started_at).total_seconds()
    metrics.operation_ended(kind, failed, seconds)
    if log.OPERATIONS.isEnabledFor(logging.INFO):
        with about_operation(operation):
            log.OPERATIONS.info("%s %s after %.3f s", kind, "failed" if failed else "done", seconds)


def about_operation(operation: Operation) -> log.about:
    """What is logged within belongs to the request that the operation is from."""
    return log.about(
        operation.request_id, operation.instance_uuid, operation.user_id, operation.project_id
    )


def about_operation_id(db: Database, operation_id: int) -> log.about:
    """The same for an operation of which only the id is known; for errors, as it reads the row."""
    try:
        with db.read() as tx:
            operation = tx.operations.get(operation_id)
    except Exception:
        operation = None
    return about_operation(operation) if operation else log.about(f"operation-{operation_id}")
