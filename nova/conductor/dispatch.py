# SPDX-License-Identifier: Apache-2.0
"""Starts operations and enters their steps: the row first, the wake-up after the commit."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import msgspec

from nova.compute.lifecycle import Action
from nova.conductor.steps import STEPS
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.errors import Conflict
from nova.objects.context import RequestContext
from nova.objects.instance import Instance
from nova.objects.operation import Operation, StepTask
from nova.rpc.calls import COMPUTE, CONDUCTOR, SCHEDULER
from nova.rpc.transport import Transport

#: Operations named in one wake-up, so that several schedulers share a great many.
_WAKE = 256
#: In an operation's payload: who began it prepares something for its first step, which is not entered yet.
PREPARING = "preparing"


def unprepared(operation: Operation) -> Operation:
    """The operation as one for which nobody prepares anything any more."""
    payload = {name: value for name, value in operation.payload.items() if name != PREPARING}
    return msgspec.structs.replace(operation, payload=payload)


class Dispatcher:
    """``owner`` names this process in leases."""

    def __init__(self, transport: Transport, owner: str, lease_seconds: int) -> None:
        self._transport = transport
        self.owner = owner
        self._lease = datetime.timedelta(seconds=lease_seconds)

    def lease_end(self) -> datetime.datetime:
        """Until when a lease that begins now is good."""
        return now() + self._lease

    def start(
        self,
        tx: Transaction,
        context: RequestContext,
        instance: Instance,
        action: Action,
        step: str,
        payload: Mapping[str, Any],
        *,
        send: bool = True,
    ) -> int:
        """Write a new operation at its first step and wake who does it, once committed.

        Without ``send`` nobody is woken: the caller has something to prepare and then enters the step. Where
        somebody else ends the operation meanwhile, what the caller prepares is given up once it is there.
        """
        host = _target(action.name, step, instance, payload)
        if not send and step != "discard":
            payload = {**payload, PREPARING: True}
        operation_id = tx.operations.create(
            context, instance.uuid, action.public, flow=action.name, step=step, payload=payload,
            host=host, lease=(self.owner, self.lease_end()) if host or not send else None,
        )
        if not send:
            return operation_id
        if host is None:
            self.wake(tx, [operation_id], step)
        else:
            self._send(
                tx,
                StepTask(
                    operation_id=operation_id, request_id=context.request_id, flow=action.name,
                    step=step, host=host, instance=instance, payload=dict(payload),
                    lease_until=self.lease_end(),
                ),
            )
        return operation_id

    def wake(self, tx: Transaction, operation_ids: list[int], step: str = "place") -> None:
        """Tell who does it, once committed, of operations at a step of the control side."""
        tx.after_commit(lambda: self.wake_now(operation_ids, step))

    def wake_now(self, operation_ids: list[int], step: str = "place") -> None:
        """The same, for operations that are committed: schedulers place, conductors do the rest."""
        if step == "place":
            for start in range(0, len(operation_ids), _WAKE):
                self._transport.cast(
                    SCHEDULER, None, "wake", operation_ids[start : start + _WAKE]
                )
        else:
            self._transport.cast(CONDUCTOR, None, step, operation_ids)

    def enter(
        self,
        tx: Transaction,
        operation: Operation,
        instance: Instance,
        step: str,
        payload: Mapping[str, Any] | None = None,
        *,
        attempt: int | None = None,
        resumed: bool = False,
        lease_before: datetime.datetime | None = None,
    ) -> bool:
        """Move an operation to a step; False where it ended in between.

        With ``lease_before`` also where somebody has taken it in between: its lease then ends later.
        """
        facts = dict(operation.payload if payload is None else payload)
        facts.pop(PREPARING, None)
        if step == "discard" and operation.payload.get(PREPARING):
            facts[PREPARING] = True
        assert operation.flow is not None
        host = _target(operation.flow, step, instance, facts)
        entered = tx.operations.advance(
            operation.id, step=step, host=host, lease_owner=self.owner,
            lease_until=self.lease_end(), payload=facts, attempt=attempt,
            from_step=operation.step if resumed else None, lease_before=lease_before,
        )
        if not entered:
            return False
        if host is None:
            self.wake(tx, [operation.id], step)
        else:
            self._send(
                tx,
                StepTask(
                    operation_id=operation.id, request_id=operation.request_id,
                    flow=operation.flow, step=step, host=host, instance=instance, payload=facts,
                    attempt=operation.attempt if attempt is None else attempt, resumed=resumed,
                    lease_until=self.lease_end(),
                ),
            )
        return True

    def send_many(self, tx: Transaction, tasks: list[StepTask]) -> None:
        """Hand steps that were entered already to their hosts, once committed."""
        for task in tasks:
            self._send(tx, task)

    def _send(self, tx: Transaction, task: StepTask) -> None:
        tx.after_commit(lambda: self._transport.cast(COMPUTE, task.host, "run_step", task))


def _target(
    flow: str, step: str, instance: Instance, payload: Mapping[str, Any]
) -> str | None:
    """The host of a step; None for the conductor's own.

    Raises ``Conflict`` where the server is on none: an administrator may set a state that it is not in.
    """
    where = STEPS[flow, step].where
    if where == "conductor":
        return None
    host = instance.host if where == "host" else payload[where]
    if host is None:
        raise Conflict(f"Instance {instance.uuid} is not ready: it is on no host.")
    return str(host)
