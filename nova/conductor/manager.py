# SPDX-License-Identifier: Apache-2.0
"""The conductor service: what hosts may ask, and the wake-ups of operations."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from nova.compute.lifecycle import ACTIONS
from nova.conductor.completion import complete
from nova.conductor.core import ConductorCore
from nova.conductor.failing import fail
from nova.conductor.placing import Placer
from nova.conductor.recovery import Recovery
from nova.conductor.steps import STEPS
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.errors import HostRefused
from nova.objects.host import HostReport
from nova.objects.instance import Instance
from nova.objects.operation import Operation, StepFailure, StepResult
from nova.objects.states import ACTIVE, RUNNING, SHUTDOWN, STOPPED

LOG = logging.getLogger(__name__)


class Conductor:
    """Endpoint of the ``conductor`` topic.

    The first argument of what hosts call is the host's name; a host can only end its own steps.
    """

    def __init__(self, core: ConductorCore) -> None:
        self._core = core
        self.placer = Placer(core)
        self.recovery = Recovery(core, self.placer)

    def start(self) -> None:
        """Begin to place."""
        self.placer.start()

    def stop(self) -> None:
        """Finish the present batch."""
        self.placer.stop()

    def wake(self, operation_ids: list[int]) -> None:
        """Operations wait at a conductor's step."""
        self.placer.put(operation_ids)

    # --- steps, reported by hosts -----------------------------------------------------------------

    def step_progress(self, host: str, operation_id: int, task_state: str) -> None:
        """A step came to its next task state; the lifecycle table must know it."""
        with self._core.db.write() as tx:
            operation = self._own(tx, host, operation_id, None)
            if operation is None:
                return
            action = ACTIONS[operation.flow or ""]
            if task_state not in action.passes:
                raise HostRefused(f"{operation.flow} does not pass through {task_state}")
            tx.instances.transition(
                operation.instance_uuid, {"task_state": task_state},
                task_states={action.running, *action.passes}, host=host,
            )

    def step_done(self, host: str, operation_id: int, step: str, result: StepResult) -> None:
        """A host did a step."""
        with self._core.db.write() as tx:
            operation = self._own(tx, host, operation_id, step)
            if operation is None:
                return
            instance = tx.instances.get(operation.instance_uuid)
            self._record(tx, operation, host, "Success", None)
            if instance is None:
                tx.operations.finish(operation_id, failed=True, message="Error")
                return
            complete(self._core, tx, operation, instance, result)

    def step_failed(self, host: str, operation_id: int, step: str, failure: StepFailure) -> None:
        """A host could not do a step and undid what it had begun."""
        with self._core.db.write() as tx:
            operation = self._own(tx, host, operation_id, step)
            if operation is None:
                return
            instance = tx.instances.get(operation.instance_uuid)
            self._record(tx, operation, host, "Error", failure)
            if instance is None:
                tx.operations.finish(operation_id, failed=True, message="Error")
                return
            fail(self._core, tx, operation, instance, failure)

    def _own(
        self, tx: Transaction, host: str, operation_id: int, step: str | None
    ) -> Operation | None:
        """The operation, if this host holds it at this step; None where it ended or went on."""
        operation = tx.operations.get(operation_id)
        if operation is None or operation.state in ("done", "failed"):
            return None
        if operation.host != host:
            LOG.warning("host %s reports operation %d, which is at %s", host, operation_id,
                        operation.host)
            return None
        if step is not None and operation.step != step:
            return None
        return operation

    def _record(
        self,
        tx: Transaction,
        operation: Operation,
        host: str,
        result: str,
        failure: StepFailure | None,
    ) -> None:
        assert operation.flow is not None
        assert operation.step is not None
        tx.operations.add_events(
            [
                {
                    "operation_id": operation.id,
                    "event": STEPS[operation.flow, operation.step].event,
                    "started_at": operation.updated_at, "finished_at": now(), "result": result,
                    "host": host, "details": failure.message[:255] if failure else None,
                    "traceback": failure.details if failure else None,
                }
            ]
        )

    # --- hosts ------------------------------------------------------------------------------------

    def host_report(
        self, host: str, reports: Sequence[HostReport], running: Sequence[int]
    ) -> None:
        """A host lives: its sizes, and the operations it is busy with."""
        if any(report.host != host for report in reports):
            raise HostRefused(f"{host} reports for another host")
        with self._core.db.write() as tx:
            tx.nodes.report_many(reports)
            tx.services.report_many([("nova-compute", host, "compute")], now())
            if running:
                tx.operations.renew(host, running, self._core.dispatcher.lease_end())
        self._core.hosts.reported(host)

    def guests_seen(self, host: str, seen: dict[str, int]) -> list[Instance]:
        """Compare a host's guests with what should be there; answers the deleted ones among them.

        A guest whose power changed behind our back is shown as it is. An instance without a guest goes
        to the power state 0 and, where it should run, to stopped.
        """
        with self._core.db.write() as tx:
            expected = {each.uuid: each for each in tx.instances.on_host(host)}
            for uuid, instance in expected.items():
                self._sync_power(tx, instance, seen.get(uuid, 0))
            unknown = [uuid for uuid in seen if uuid not in expected]
            gone: list[Instance] = []
            for uuid in unknown:
                instance_ = tx.instances.get(uuid, deleted=True)
                if instance_ is not None and self._left_behind(tx, instance_, host):
                    gone.append(instance_)
            return gone

    def _left_behind(self, tx: Transaction, instance: Instance, host: str) -> bool:
        """Deleted, or evacuated to another host; not one side of a move that is under way."""
        if instance.deleted:
            return True
        if instance.task_state is not None or instance.vm_state in ("resized", "building"):
            return False
        return instance.host is not None and instance.host != host

    def _sync_power(self, tx: Transaction, instance: Instance, power_state: int) -> None:
        if instance.task_state is not None or power_state == instance.power_state:
            return
        if instance.vm_state in ("building", "resized", "shelved", "error", "soft-delete"):
            return
        changes: dict[str, Any] = {"power_state": power_state}
        if instance.vm_state == ACTIVE and power_state in (0, SHUTDOWN):
            changes["vm_state"] = STOPPED
        elif instance.vm_state == STOPPED and power_state == RUNNING:
            changes["vm_state"] = ACTIVE
        tx.instances.transition(
            instance.uuid, changes, vm_states={instance.vm_state}, task_states={None}
        )
