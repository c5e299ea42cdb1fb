# SPDX-License-Identifier: Apache-2.0
"""Finds what was interrupted and brings it on: after a crash, after a lost message, after a dead host."""

from __future__ import annotations

import datetime
import logging

import msgspec

from nova import metrics
from nova.conductor.beside import asked_now
from nova.conductor.cards import OF_ONE_CARD
from nova.conductor.completion import complete
from nova.conductor.core import ConductorCore
from nova.conductor.discarding import discard_image
from nova.conductor.ended import about_operation, note_end
from nova.conductor.ending import Overtaken, abandon, not_building, stands, undo_create
from nova.conductor.failing import fail
from nova.conductor.strikes import Strikes
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.objects.instance import Fault, Instance
from nova.objects.operation import Operation, StepFailure, StepResult
from nova.objects.states import BUILDING, DELETING, ERROR

LOG = logging.getLogger(__name__)

#: Steps that only remove something from their host: where that host is dead they count as done, and the
#: host removes its guests when it comes back.
_REMOVALS = frozenset(
    {
        ("delete", "destroy"), ("delete", "clean"), ("force_delete", "destroy"),
        ("force_delete", "clean"), ("soft_delete", "run"), ("soft_delete", "clean"),
        ("confirm_resize", "forget"), ("revert_resize", "destroy"), ("live_migrate", "leave"),
        ("live_migrate", "drop"),
    }
)


#: Steps of the control side that are entered again as they are.
_WAITING = frozenset({"allocate", "plugging", "volumes"})


def _is_lost(operation: Operation, step: str, expired_at: datetime.datetime | None) -> bool:
    """Whether an operation is open at that step still, and nobody has taken it up meanwhile."""
    if operation.finished_at is not None or operation.step != step:
        return False
    return expired_at is None or operation.lease_until is None or operation.lease_until < expired_at


class Recovery:
    """Looks for open operations that nobody is busy with."""

    def __init__(self, core: ConductorCore, strikes: Strikes) -> None:
        self._core = core
        self._strikes = strikes
        #: When this process last looked.
        self.last_run = metrics.Age()

    def run(self, *, everything: bool = False) -> int:
        """Bring lost operations on; returns how many.

        ``everything`` takes all open ones, for the start of a process that shares its database with no
        other; else only those whose lease is over.
        """
        moment = None if everything else now()
        with self._core.db.read() as tx:
            lost = tx.operations.unfinished(expired_at=moment)
        placements = [each.id for each in lost if each.step == "place"]
        if placements:
            self._core.dispatcher.wake_now(placements)
        for operation in lost:
            if operation.step == "place":
                continue
            with about_operation(operation):
                try:
                    self._resume(operation, moment)
                except Exception as error:
                    LOG.exception("resuming operation %d failed", operation.id)
                    self._strikes.strike(operation.id, error)
        freed = self._core.db.run(self._free_stranded)
        if lost or freed:
            LOG.info("resumed %d operations, freed %d instances", len(lost), freed)
            metrics.OPERATIONS_RECOVERED.inc(len(lost) + freed)
        metrics.LAST_RECOVERY.set_to_current_time()
        self.last_run.now()
        return len(lost) + freed

    def _resume(self, operation: Operation, expired_at: datetime.datetime | None) -> None:
        assert operation.flow is not None
        assert operation.step is not None
        step = operation.step
        if step == "discard":
            discard_image(self._core, operation.id, alone=expired_at is None)
            return

        def write(tx: Transaction) -> None:
            # It was read without a lock: somebody may have brought it on, as far as to its last step.
            fresh = tx.operations.get(operation.id, lock=True)
            if fresh is None or not _is_lost(fresh, step, expired_at):
                return
            instance = tx.instances.get(fresh.instance_uuid, lock=True)
            if instance is None:
                if tx.operations.finish(fresh.id, failed=True, message="Error"):
                    note_end(tx, fresh, failed=True)
                return
            if not stands(fresh, instance):
                abandon(self._core, tx, fresh, instance)
                return
            host, payload = fresh.host, None
            if fresh.flow in OF_ONE_CARD:
                if instance.task_state is not None:
                    if expired_at is None:
                        # Who carried it out is dead: the next look need not wait for the lease's end.
                        tx.operations.advance(
                            fresh.id, step=step, host=host, lease_owner=self._core.dispatcher.owner,
                            lease_until=now(),
                        )
                    return
                payload = asked_now(tx, fresh, instance)
                fresh = msgspec.structs.replace(fresh, payload=payload)
                if instance.host is None:
                    # It has left its host; whatever has it next gives it the cards of its row.
                    complete(self._core, tx, fresh, instance, StepResult())
                    return
                host = instance.host
            if step in _WAITING or (host is not None and self._core.hosts.is_up(host)):
                self._core.dispatcher.enter(
                    tx, fresh, instance, step, payload, resumed=True, lease_before=expired_at
                )
                return
            self._without_host(tx, fresh, instance)

        try:
            self._core.db.run(write)
        except Overtaken:
            LOG.debug("operation %d went on by itself", operation.id)

    def _without_host(self, tx: Transaction, operation: Operation, instance: Instance) -> None:
        """The step's host is dead: a removal is done, a boot goes elsewhere, the rest fails."""
        if (operation.flow, operation.step) in _REMOVALS:
            not_building(self._core, tx, operation)
            complete(self._core, tx, operation, instance, StepResult())
            return
        fail(
            self._core, tx, operation, instance,
            StepFailure(
                message=f"Host {operation.host} stopped reporting during {operation.step}",
                retriable=operation.flow == "create",
            ),
        )

    def _free_stranded(self, tx: Transaction) -> int:
        stranded = tx.instances.stranded()
        for instance in stranded:
            self._free(tx, instance)
        return len(stranded)

    def _free(self, tx: Transaction, instance: Instance) -> None:
        """An instance with a task that nobody will end: building and deleting ones fail, others go on."""
        changes: dict[str, object] = {"task_state": None}
        if instance.vm_state == BUILDING or instance.task_state == DELETING:
            changes["vm_state"] = ERROR
            changes["fault"] = Fault(500, "The operation was lost", now())
        if tx.instances.transition(
            instance.uuid, changes, task_states={instance.task_state}
        ) and instance.vm_state == BUILDING:
            undo_create(self._core, tx, instance)
