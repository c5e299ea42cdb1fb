# SPDX-License-Identifier: Apache-2.0
"""Ending operations early: what each has taken beyond its instance's row, and how that is given back.

An operation is abandoned when something overtakes it: a delete, an evacuation, a reset by an
administrator, a timeout. Its rows are settled in the transaction of whoever overtakes it; what its host
still makes of it is removed when the host reports (``Conductor.step_done``).
"""

from __future__ import annotations

from typing import Any

import msgspec

from nova.compute.lifecycle import ACTIONS
from nova.conductor.cards import OF_ONE_CARD
from nova.conductor.dispatch import PREPARING
from nova.conductor.ended import note_end
from nova.conductor.release import Holder, release_claims
from nova.conductor.steps import BUILDING_STEPS
from nova.conductor.volume_rows import (
    OF_A_SNAPSHOT,
    OF_ONE_VOLUME,
    GivenUp,
    end_of_snapshot,
    let_go_of_boot,
    settle_attachments,
    undo_of_one,
)
from nova.db.engine import Transaction
from nova.objects.instance import Instance
from nova.objects.operation import Operation
from nova.objects.states import DELETING, RESIZED

_MOVES = {"resize": "error", "migrate": "error", "live_migrate": "cancelled", "evacuate": "error"}
#: What of an instance's system metadata a revert would need.
_OF_A_RESIZE = frozenset(
    {"old_flavor", "old_vm_state", "resize_quota", "old_host", "old_node", "old_topology"}
)
_IMAGE_FLOWS = frozenset({"snapshot", "backup", "shelve"})


class Overtaken(Exception):
    """The operation ended in another transaction; this one must not write."""


def stands(operation: Operation, instance: Instance) -> bool:
    """Whether the instance is in a task state of the operation, as the lifecycle table has it."""
    action = ACTIONS[operation.flow or ""]
    if action.beside:
        return instance.task_state != DELETING
    return instance.task_state == action.running or instance.task_state in action.passes


def end(tx: Transaction, operation: Operation, *, failed: bool = False) -> None:
    """Finish an operation. Raises ``Overtaken`` where it had ended before."""
    if not tx.operations.finish(
        operation.id, failed=failed, message="Error" if failed else None
    ):
        raise Overtaken
    note_end(tx, operation, failed=failed)


def go_on(
    core: Holder,
    tx: Transaction,
    operation: Operation,
    instance: Instance,
    step: str,
    payload: dict[str, Any] | None = None,
) -> None:
    """Enter the next step. Raises ``Overtaken`` where the operation had ended before."""
    if not core.dispatcher.enter(tx, operation, instance, step, payload):
        raise Overtaken


def end_and_discard(
    core: Holder,
    tx: Transaction,
    operation: Operation,
    instance: Instance,
    image_id: str | None,
    *,
    failed: bool = False,
    keep_active: bool = False,
    given_up: GivenUp | None = None,
) -> None:
    """Finish an operation once an image and what else is ``given_up`` is gone; at once where nothing is.

    ``keep_active`` spares an image that has its data.
    """
    if not image_id and not given_up:
        end(tx, operation, failed=failed)
        return
    payload: dict[str, Any] = {"image_id": image_id, "failed": failed, "keep_active": keep_active}
    if given_up:
        payload["given_up"] = msgspec.to_builtins(given_up)
    go_on(core, tx, operation, instance, "discard", payload)


def end_settled(
    core: Holder,
    tx: Transaction,
    operation: Operation,
    instance: Instance,
    host: str | None,
    *,
    failed: bool = False,
    image_id: str | None = None,
) -> None:
    """Finish an operation after which the server is on ``host``, with its volumes open to that one alone.

    ``instance`` is the row as it was read in this transaction.
    """
    end_and_discard(
        core, tx, operation, instance, image_id, failed=failed,
        given_up=settle_attachments(tx, instance, host),
    )


def not_building(core: Holder, tx: Transaction, operation: Operation) -> None:
    """The present step ends for good: its host builds one guest less, once committed."""
    node_id = operation.payload.get("node_id")
    if node_id is not None and operation.step in BUILDING_STEPS:
        tx.after_commit(lambda: core.hosts.note_building(node_id, -1))


def settle(
    tx: Transaction, operation: Operation, instance: Instance, status: str | None = None
) -> None:
    """Give back the quota that an operation took and end its migration.

    ``status`` is the migration's; without it that of a move that was overtaken.
    """
    taken = operation.payload.get("quota")
    if taken:
        tx.quotas.release(instance.project_id, taken)
    migration_id = operation.payload.get("migration_id")
    if migration_id:
        tx.migrations.update(migration_id, status or _MOVES.get(operation.flow or "", "error"))


def abandon(
    core: Holder,
    tx: Transaction,
    operation: Operation,
    instance: Instance,
    *,
    keep_claims: bool = False,
) -> None:
    """End an operation that was overtaken; nothing happens where it has ended by itself.

    ``keep_claims`` leaves what it holds on hosts claimed, for a delete, which removes the guests first.
    The instance's state is the caller's to write.
    """
    if operation.step == "discard" or operation.flow is None:
        return
    flow = operation.flow
    filling = flow in _IMAGE_FLOWS and operation.step != "offload"
    image_id = operation.payload.get("image_id") if filling else None
    given_up = None
    going = keep_claims or instance.task_state == DELETING
    if flow in OF_ONE_VOLUME and (not going or operation.payload.get(PREPARING)):
        # A delete gives volumes up itself, once no guest has them.
        given_up = undo_of_one(tx, operation, instance)
    elif flow in OF_A_SNAPSHOT:
        given_up = end_of_snapshot(operation, failed=True)
    elif flow == "create" and not keep_claims and instance.task_state != DELETING:
        given_up = let_go_of_boot(tx, instance, began=operation.step == "spawn")
    try:
        end_and_discard(
            core, tx, operation, instance, image_id, failed=True, keep_active=flow != "shelve",
            given_up=given_up,
        )
    except Overtaken:
        return
    not_building(core, tx, operation)
    settle(tx, operation, instance, "confirmed" if flow == "confirm_resize" else None)
    if not keep_claims:
        _let_go(core, tx, operation, instance)


def _let_go(core: Holder, tx: Transaction, operation: Operation, instance: Instance) -> None:
    """Give back what an operation claimed on hosts and in networks."""
    if operation.flow in _MOVES:
        release_claims(core, tx, instance, "incoming")
    elif operation.flow == "create":
        undo_create(core, tx, instance)
    elif operation.flow == "unshelve" and instance.vm_state == "shelved_offloaded":
        release_claims(core, tx, instance)
        tx.instances.update(instance.uuid, {"host": None, "node": None, "topology": None})


def undo_create(core: Holder, tx: Transaction, instance: Instance) -> None:
    """Take back the host and the addresses of a boot."""
    release_claims(core, tx, instance)
    core.networks.release(tx, [instance.uuid])
    tx.instances.update(
        instance.uuid, {"network_info": (), "host": None, "node": None, "topology": None}
    )


def abandon_all(
    core: Holder,
    tx: Transaction,
    instance: Instance,
    *,
    keep_claims: bool = True,
    deletes: bool = True,
    volumes: bool = True,
) -> None:
    """Abandon the open operations of an instance; deletes in the true sense only with ``deletes``.

    Without ``volumes`` those about a volume or a card are left to themselves: the guest stays, and its host
    may have done what they ask for already.
    """
    for operation in tx.operations.open_for(instance.uuid):
        if operation.flow in OF_ONE_VOLUME | OF_ONE_CARD and not volumes:
            continue
        if deletes or operation.flow not in ("delete", "force_delete"):
            abandon(core, tx, operation, instance, keep_claims=keep_claims)


def keep_new_size(core: Holder, tx: Transaction, instance: Instance) -> None:
    """A resize can be reverted no more: what the old side held is given back.

    The smaller parts of the new flavor leave the quota now. The caller writes ``without_resize``.
    """
    release_claims(core, tx, instance, "outgoing")
    old = instance.system_metadata.get("old_flavor")
    if old:
        tx.quotas.release(
            instance.project_id,
            {
                "cores": max(0, old["vcpus"] - instance.vcpus),
                "ram": max(0, old["memory_mb"] - instance.memory_mb),
            },
        )


def without_resize(instance: Instance) -> dict[str, Any]:
    """The instance's system metadata without what a revert would need."""
    return {
        key: value for key, value in instance.system_metadata.items()
        if key not in _OF_A_RESIZE
    }

def end_resize(tx: Transaction, instance: Instance) -> None:
    """A resize that waits for confirm or revert counts as confirmed; of others nothing changes."""
    if instance.vm_state != RESIZED:
        return
    migration = tx.migrations.latest(instance.uuid, statuses=["finished"])
    if migration is not None:
        tx.migrations.update(migration.id, "confirmed")
