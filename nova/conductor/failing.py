# SPDX-License-Identifier: Apache-2.0
"""What follows when a step fails: give back, retry elsewhere, or tell the user."""

from __future__ import annotations

from typing import Any

from nova.compute.lifecycle import ACTIONS
from nova.conductor.core import ConductorCore
from nova.conductor.release import release_claims
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.objects.instance import Fault, Instance
from nova.objects.operation import Operation, StepFailure
from nova.objects.states import BUILDING, SCHEDULING


def fail(
    core: ConductorCore,
    tx: Transaction,
    operation: Operation,
    instance: Instance,
    failure: StepFailure,
) -> None:
    """End a failed operation, or send a boot to another host."""
    assert operation.flow is not None
    if operation.flow == "create" and failure.retriable and _try_elsewhere(
        core, tx, operation, instance, failure
    ):
        return
    undo = _UNDO.get(operation.flow)
    if undo is not None:
        undo(core, tx, operation, instance)
    action = ACTIONS[operation.flow]
    changes: dict[str, Any] = {
        "task_state": None,
        "fault": Fault(failure.code, failure.message[:255], now(), failure.details),
    }
    if action.failure is not None:
        changes["vm_state"] = action.failure
    if operation.flow == "rebuild" and operation.payload.get("old_columns"):
        changes["system_metadata"] = {**instance.system_metadata, "rebuild_failed": True}
    expected = None if action.task_states is None else {action.running, *action.passes}
    tx.instances.transition(instance.uuid, changes, task_states=expected)
    tx.operations.finish(operation.id, failed=True, message="Error")


def _try_elsewhere(
    core: ConductorCore,
    tx: Transaction,
    operation: Operation,
    instance: Instance,
    failure: StepFailure,
) -> bool:
    """Give the host back and place the boot again without it; False after the last attempt."""
    attempt = operation.attempt + 1
    _undo_create(core, tx, operation, instance)
    if attempt >= core.config.conductor.max_attempts or instance.host is None:
        return False
    tried = [*operation.payload.get("tried_hosts", []), instance.host]
    sent_back = tx.instances.transition(
        instance.uuid,
        {"host": None, "node": None, "task_state": SCHEDULING, "network_info": ()},
        vm_states={BUILDING},
        task_states={*ACTIONS["create"].passes, SCHEDULING, None},
    )
    if not sent_back:
        return False
    payload = {
        **operation.payload, "tried_hosts": tried, "last_failure": failure.message[:255]
    }
    return core.dispatcher.enter(tx, operation, instance, "place", payload, attempt=attempt)


def _undo_create(
    core: ConductorCore, tx: Transaction, operation: Operation, instance: Instance
) -> None:
    release_claims(core, tx, instance)
    core.networks.release(tx, [instance.uuid])
    tx.instances.update(instance.uuid, {"network_info": ()})


def _undo_unshelve(
    core: ConductorCore, tx: Transaction, operation: Operation, instance: Instance
) -> None:
    if instance.vm_state == "shelved_offloaded":
        release_claims(core, tx, instance)
        tx.instances.update(instance.uuid, {"host": None, "node": None})


def _undo_resize(
    core: ConductorCore, tx: Transaction, operation: Operation, instance: Instance
) -> None:
    release_claims(core, tx, instance, "incoming")
    delta = operation.payload.get("quota")
    if delta:
        tx.quotas.release(instance.project_id, delta)
    migration = operation.payload.get("migration_id")
    if migration:
        tx.migrations.update(migration, "error")


def _undo_live_migrate(
    core: ConductorCore, tx: Transaction, operation: Operation, instance: Instance
) -> None:
    release_claims(core, tx, instance, "incoming")
    migration = operation.payload.get("migration_id")
    if migration:
        aborted = operation.payload.get("aborted")
        tx.migrations.update(migration, "cancelled" if aborted else "error")


def _undo_snapshot(
    core: ConductorCore, tx: Transaction, operation: Operation, instance: Instance
) -> None:
    image_id = operation.payload.get("image_id")
    if image_id:
        tx.after_commit(lambda: _delete_image(core, image_id))


def _delete_image(core: ConductorCore, image_id: str) -> None:
    from nova.errors import NovaError
    from nova.objects.context import internal_context

    try:
        core.images.delete(internal_context(), image_id)
    except NovaError:
        return


_UNDO = {
    "create": _undo_create,
    "unshelve": _undo_unshelve,
    "resize": _undo_resize,
    "migrate": _undo_resize,
    "live_migrate": _undo_live_migrate,
    "evacuate": _undo_live_migrate,
    "snapshot": _undo_snapshot,
    "backup": _undo_snapshot,
    "shelve": _undo_snapshot,
}

