# SPDX-License-Identifier: Apache-2.0
"""Operations that our own code cannot carry on: given up after some tries instead of tried for ever."""

from __future__ import annotations

import logging
import threading
from collections import Counter

from nova import metrics
from nova.compute.lifecycle import ACTIONS
from nova.conductor.core import ConductorCore
from nova.conductor.ended import about_operation_id, note_end
from nova.conductor.ending import Overtaken, abandon
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.errors import DatabaseBusy, ServiceUnavailable
from nova.objects.instance import Fault
from nova.objects.states import ERROR

LOG = logging.getLogger(__name__)

#: Tries after which an operation is given up.
MOST = 3


class Strikes:
    """Counts unexpected exceptions by operation; safe for any number of threads."""

    def __init__(self, core: ConductorCore) -> None:
        self._core = core
        self._count: Counter[int] = Counter()
        self._lock = threading.Lock()

    def strike(self, operation_id: int, error: Exception) -> None:
        """Note a failure; with the last one the server goes to ERROR and the operation ends.

        Where the database is the matter nothing is counted: it comes back.
        """
        if isinstance(error, DatabaseBusy | ServiceUnavailable):
            return
        metrics.OPERATIONS_STRUCK.inc()
        with self._lock:
            self._count[operation_id] += 1
            if self._count[operation_id] < MOST:
                return
            del self._count[operation_id]
        with about_operation_id(self._core.db, operation_id):
            LOG.error("operation %d is given up: %s", operation_id, error)
        text = f"Unexpected {type(error).__name__}; the operation was given up"
        try:
            self._core.db.run(lambda tx: self._give_up(tx, operation_id, text))
        except Overtaken:
            return

    def _give_up(self, tx: Transaction, operation_id: int, text: str) -> None:
        operation = tx.operations.get(operation_id)
        if operation is None or operation.finished_at is not None:
            return
        instance = tx.instances.get(operation.instance_uuid, lock=True)
        if instance is None:
            if tx.operations.finish(operation_id, failed=True, message="Error"):
                note_end(tx, operation, failed=True)
            return
        beside = ACTIONS[operation.flow or ""].beside
        abandon(self._core, tx, operation, instance, keep_claims=not beside)
        if beside:
            return
        tx.instances.transition(
            instance.uuid,
            {"vm_state": ERROR, "task_state": None, "fault": Fault(500, text, now())},
        )
