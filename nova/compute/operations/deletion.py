# SPDX-License-Identifier: Apache-2.0
"""Deleting, with and without a way back."""

from __future__ import annotations

from nova.compute.lifecycle import ACTIONS
from nova.compute.operations.core import (
    OperationsCore,
    check_lock,
    check_state,
    enter,
    overtaken,
    prepare,
    record,
)
from nova.conductor.deleting import start_delete, start_soft_delete
from nova.conductor.release import counted
from nova.db.engine import Transaction
from nova.objects.context import RequestContext
from nova.objects.instance import Instance
from nova.objects.states import SHELVED_OFFLOADED, SOFT_DELETED


def delete(
    core: OperationsCore, context: RequestContext, instance: Instance, *, force: bool = False
) -> None:
    """Delete a server: at once, or restorable for ``reclaim_instance_interval`` seconds.

    What was under way for it is given up. A server without a guest on any host that reports is gone when
    this returns; a host that comes back removes the guest. A second delete of one that is being deleted
    changes nothing.
    """
    check_lock(context, instance)
    keep = core.config.default.reclaim_instance_interval > 0 and not force
    check_state(instance, ACTIONS["force_delete" if force else "delete"])

    def write(tx: Transaction) -> None:
        fresh = tx.instances.get(instance.uuid, lock=True)
        if fresh is None:
            return
        if keep and fresh.launched_at is not None and fresh.vm_state != SOFT_DELETED:
            start_soft_delete(core, tx, context, fresh)
        else:
            start_delete(core, tx, context, fresh, force=force)

    core.db.run(write)


def restore(core: OperationsCore, context: RequestContext, instance: Instance) -> None:
    """Bring a soft-deleted server back. Raises ``QuotaExceeded`` where it has no room any more.

    One that had left its host before is shelved again.
    """
    action = prepare(context, instance, "restore")
    limits = core.limits.all(instance.project_id, instance.user_id)
    wanted = counted(instance)

    def write(tx: Transaction) -> None:
        tx.quotas.reserve_for_user(
            instance.project_id, instance.user_id, wanted, limits.of_project, limits.of_user
        )
        if instance.host is not None:
            enter(core, tx, context, instance, action, {"quota": wanted})
            return
        back = tx.instances.transition(
            instance.uuid, {"vm_state": SHELVED_OFFLOADED, "deleted_at": None},
            vm_states=action.vm_states, task_states=action.task_states,
        )
        if not back:
            raise overtaken(tx, instance, action)
        record(tx, context, instance, "restore")

    core.db.run(write)
