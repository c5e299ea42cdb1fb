# SPDX-License-Identifier: Apache-2.0
"""How a delete begins, whoever asks for it: a user, or the cloud itself when the time to restore is over.

A delete overtakes everything: open operations of the instance are abandoned in its transaction, and every
host that may have a guest of it (each has a claim there) is told to remove it, one step each.
"""

from __future__ import annotations

from typing import Any

from nova.compute.lifecycle import ACTIONS
from nova.conductor.ending import abandon_all, end_resize, without_resize
from nova.conductor.release import Holder, release_claims, release_quota
from nova.conductor.volume_rows import are_open
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.objects.context import RequestContext
from nova.objects.instance import Instance
from nova.objects.states import (
    DELETING,
    ERROR,
    RESIZED,
    SHELVED_OFFLOADED,
    SHELVING_OFFLOADING,
    SOFT_DELETED,
    SOFT_DELETING,
)

#: Task states in which a guest may be on two hosts.
_MOVING = frozenset(
    {
        "resize_prep", "resize_migrating", "resize_migrated", "resize_finish", "resize_reverting",
        "migrating", "rebuild_spawning",
    }
)


def start_delete(
    core: Holder,
    tx: Transaction,
    context: RequestContext,
    instance: Instance,
    *,
    force: bool = False,
) -> None:
    """Delete an instance; the row was read with a lock. One that is being deleted stays as it is.

    It is gone with this transaction where no host that reports has a guest of it.
    """
    if instance.task_state == DELETING:
        return
    action = ACTIONS["force_delete" if force else "delete"]
    if instance.task_state is not None or instance.vm_state == RESIZED or instance.volumes:
        abandon_all(core, tx, instance)
    end_resize(tx, instance)
    image_id = instance.system_metadata.get("shelved_image_id")
    payload: dict[str, Any] = {"image_id": image_id} if image_id else {}
    others = [host for host in other_hosts(tx, instance) if core.hosts.is_up(host)]
    if instance.host is not None and core.hosts.is_up(instance.host):
        step = "destroy"
    elif others:
        step = "clean"
        payload["other"] = others.pop(0)
    elif instance.volumes:
        step = "volumes"
    else:
        if image_id:
            core.dispatcher.start(tx, context, instance, action, "discard", payload)
        else:
            tx.operations.create(
                context, instance.uuid, action.public, flow=None, step=None, payload={}
            )
        finish_delete(core, tx, instance)
        return
    if others:
        payload["others"] = others
    tx.instances.transition(instance.uuid, {"task_state": action.running})
    core.dispatcher.start(tx, context, instance, action, step, payload)


def start_soft_delete(
    core: Holder, tx: Transaction, context: RequestContext, instance: Instance
) -> None:
    """Set an instance aside, to be restored or deleted later; the row was read with a lock.

    One in the middle of a move is deleted for good: there is no whole guest to restore. An unconfirmed
    resize is confirmed by it.
    """
    if instance.task_state in (DELETING, SOFT_DELETING):
        return
    if instance.task_state in _MOVING:
        start_delete(core, tx, context, instance)
        return
    action = ACTIONS["soft_delete"]
    if instance.task_state is not None or instance.vm_state == RESIZED:
        # A server on its way back from its image gives its new host up: the image is all it has.
        abandon_all(
            core, tx, instance, keep_claims=instance.vm_state != SHELVED_OFFLOADED, volumes=False
        )
        instance = tx.instances.get(instance.uuid) or instance
    end_resize(tx, instance)
    leaving = instance.task_state == SHELVING_OFFLOADING
    if instance.host is None or not core.hosts.is_up(instance.host):
        if (leaving or instance.host is None) and are_open(instance):
            # They were open to the host that it left: they are closed first.
            tx.instances.transition(instance.uuid, {"task_state": action.running})
            core.dispatcher.start(tx, context, instance, action, "volumes", {"offloaded": True})
            return
        tx.operations.create(
            context, instance.uuid, action.public, flow=None, step=None, payload={}
        )
        set_aside(core, tx, instance, offloaded=leaving)
        return
    others = [host for host in other_hosts(tx, instance) if core.hosts.is_up(host)]
    payload: dict[str, Any] = {"others": others} if others else {}
    step = "run"
    if leaving:
        # Its guest may be gone already: it waits for its deletion as the image that it was shelved to.
        step, payload = "clean", {"other": instance.host, "offloaded": True}
    tx.instances.transition(instance.uuid, {"task_state": action.running})
    core.dispatcher.start(tx, context, instance, action, step, payload)


def set_aside(
    core: Holder,
    tx: Transaction,
    instance: Instance,
    *,
    offloaded: bool = False,
    **changes: Any,
) -> None:
    """The instance waits for its deletion from now on, and counts in its project no more.

    ``offloaded`` takes it off its host.
    """
    if instance.vm_state != SOFT_DELETED:
        release_quota(tx, instance)
    release_claims(core, tx, instance, None if offloaded else "outgoing")
    if offloaded:
        changes |= {"host": None, "node": None}
    tx.instances.transition(
        instance.uuid,
        {"vm_state": SOFT_DELETED, "task_state": None, "deleted_at": now(),
         "system_metadata": without_resize(instance), **changes},
    )


def finish_delete(core: Holder, tx: Transaction, instance: Instance) -> bool:
    """The last act of a delete: everything given back, the row marked, its other operations ended.

    ``instance`` is the row as the transaction has it. False where it was deleted before.
    """
    if instance.block_devices:
        tx.block_devices.edit(instance.uuid, lambda _devices: ())
    if not tx.instances.mark_deleted(instance.uuid, now()):
        return False
    if instance.host is not None and core.networks.refreshes is not None:
        # The row no longer says where it was.
        core.networks.refreshes.of_guest_on(tx, instance.uuid, instance.host)
    release_claims(core, tx, instance)
    if instance.network_info or instance.host is not None:
        core.networks.release(tx, [instance.uuid])
    if instance.security_groups:
        tx.security_groups.remove_instances([instance.uuid])
    if instance.server_group:
        tx.server_groups.remove_members([instance.uuid])
    if instance.vm_state != SOFT_DELETED:
        # One that waited for its deletion was counted out when it was set aside.
        release_quota(tx, instance)
    abandon_all(core, tx, instance, deletes=False)
    return True


def other_hosts(tx: Transaction, instance: Instance) -> list[str]:
    """Hosts beside the instance's own that hold a claim for it."""
    if instance.task_state not in _MOVING and instance.vm_state not in (RESIZED, ERROR):
        return []
    hosts = [tx.nodes.get(claim.node_id).host for claim in tx.claims.by_instance(instance.uuid)]
    return sorted({host for host in hosts if host != instance.host})
