# SPDX-License-Identifier: Apache-2.0
"""Deleting, with and without a way back."""

from __future__ import annotations

from nova.compute.lifecycle import ACTIONS
from nova.compute.operations.core import OperationsCore, begin, check_lock, check_state, enter
from nova.conductor.release import finish_delete
from nova.objects.context import RequestContext
from nova.objects.instance import Instance
from nova.objects.states import DELETING, SOFT_DELETED


def delete(
    core: OperationsCore, context: RequestContext, instance: Instance, *, force: bool = False
) -> None:
    """Delete a server: at once, or restorable for ``reclaim_instance_interval`` seconds.

    A server that is on no host, or whose host does not report, is gone when this returns; the host
    removes the guest when it comes back. A second delete of one that is being deleted changes nothing.
    """
    check_lock(context, instance)
    keep = core.config.default.reclaim_instance_interval > 0
    launched = instance.launched_at is not None
    if keep and not force and launched and instance.vm_state != SOFT_DELETED and instance.host:
        begin(core, context, instance, "soft_delete")
        return
    action = ACTIONS["force_delete" if force else "delete"]
    check_state(instance, action)
    if instance.task_state == DELETING:
        return
    with core.db.write() as tx:
        fresh = tx.instances.get_many([instance.uuid], lock=True).get(instance.uuid)
        if fresh is None or fresh.task_state == DELETING:
            return
        if fresh.host is None or not core.hosts.is_up(fresh.host):
            tx.operations.create(
                context, fresh.uuid, action.public, flow=None, step=None, payload={}
            )
            finish_delete(core, tx, fresh)
            return
        enter(core, tx, context, fresh, action)


def restore(core: OperationsCore, context: RequestContext, instance: Instance) -> None:
    """Bring a soft-deleted server back."""
    begin(core, context, instance, "restore")
