# SPDX-License-Identifier: Apache-2.0
"""Finds what was interrupted and brings it on: after a crash, after a lost message, after a dead host."""

from __future__ import annotations

import logging

from nova.conductor.core import ConductorCore
from nova.conductor.failing import fail
from nova.conductor.placing import Placer
from nova.conductor.release import finish_delete
from nova.conductor.steps import STEPS
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.objects.instance import Fault, Instance
from nova.objects.operation import Operation, StepFailure
from nova.objects.states import BUILDING, DELETING, ERROR

LOG = logging.getLogger(__name__)


class Recovery:
    """Looks for open operations that nobody is busy with."""

    def __init__(self, core: ConductorCore, placer: Placer) -> None:
        self._core = core
        self._placer = placer

    def run(self, *, everything: bool = False) -> int:
        """Bring lost operations on; returns how many.

        ``everything`` takes all open ones, for the start of a process that shares its database with no
        other; else only those whose lease is over.
        """
        with self._core.db.read() as tx:
            lost = tx.operations.unfinished(expired_at=None if everything else now())
        for operation in lost:
            try:
                self._resume(operation)
            except Exception:
                LOG.exception("resuming operation %d failed", operation.id)
        with self._core.db.write() as tx:
            stranded = tx.instances.stranded()
            for instance in stranded:
                self._free(tx, instance)
        if lost or stranded:
            LOG.info("resumed %d operations, freed %d instances", len(lost), len(stranded))
        return len(lost) + len(stranded)

    def _resume(self, operation: Operation) -> None:
        assert operation.flow is not None
        assert operation.step is not None
        if STEPS[operation.flow, operation.step].where == "conductor":
            self._placer.put([operation.id])
            return
        with self._core.db.write() as tx:
            instance = tx.instances.get(operation.instance_uuid)
            if instance is None:
                tx.operations.finish(operation.id, failed=True, message="Error")
                return
            host = operation.host
            if host is not None and self._core.hosts.is_up(host):
                self._core.dispatcher.enter(
                    tx, operation, instance, operation.step, resumed=True
                )
                return
            self._without_host(tx, operation, instance)

    def _without_host(self, tx: Transaction, operation: Operation, instance: Instance) -> None:
        """The step's host is dead: a delete ends here, a boot goes elsewhere, the rest fails."""
        if operation.flow in ("delete", "force_delete"):
            finish_delete(self._core, tx, instance)
            tx.operations.finish(operation.id)
            return
        fail(
            self._core, tx, operation, instance,
            StepFailure(
                message=f"Host {operation.host} stopped reporting during {operation.step}",
                retriable=operation.flow == "create",
            ),
        )

    def _free(self, tx: Transaction, instance: Instance) -> None:
        """An instance with a task that nobody will end: building and deleting ones fail, others go on."""
        changes: dict[str, object] = {"task_state": None}
        if instance.vm_state == BUILDING or instance.task_state == DELETING:
            changes["vm_state"] = ERROR
            changes["fault"] = Fault(500, "The operation was lost", now())
        tx.instances.transition(instance.uuid, changes, task_states={instance.task_state})
