# SPDX-License-Identifier: Apache-2.0
"""What follows when a host says that a step is done: the next step, or the end of the operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from nova.compute.lifecycle import ACTIONS
from nova.conductor.core import ConductorCore
from nova.conductor.release import finish_delete, release_claims
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.objects.flavor import Flavor
from nova.objects.instance import Instance
from nova.objects.operation import Operation, StepResult
from nova.objects.states import (
    ACTIVE,
    BUILDING,
    RESIZE_FINISH,
    SHELVED_OFFLOADED,
    SHELVING_OFFLOADING,
    STOPPED,
)

Completion = Callable[[ConductorCore, Transaction, Operation, Instance, StepResult], None]


def complete(
    core: ConductorCore,
    tx: Transaction,
    operation: Operation,
    instance: Instance,
    result: StepResult,
) -> None:
    """Do what the flow says after the operation's present step."""
    assert operation.flow is not None
    assert operation.step is not None
    handler = _COMPLETIONS.get((operation.flow, operation.step), _finish)
    handler(core, tx, operation, instance, result)


def _finish(
    core: ConductorCore,
    tx: Transaction,
    operation: Operation,
    instance: Instance,
    result: StepResult,
    **changes: Any,
) -> bool:
    """The ordinary end: the vm state that the lifecycle table names, no task, the operation done."""
    assert operation.flow is not None
    action = ACTIONS[operation.flow]
    values: dict[str, Any] = {"task_state": None}
    if action.success is not None:
        values["vm_state"] = action.success
    if result.power_state is not None:
        values["power_state"] = result.power_state
    values.update(changes)
    done = tx.instances.transition(
        instance.uuid, values, task_states={action.running, *action.passes}
    )
    tx.operations.finish(operation.id, failed=not done, message=None if done else "Error")
    return done


def _created(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    action = ACTIONS["create"]
    done = tx.instances.transition(
        instance.uuid,
        {"vm_state": ACTIVE, "task_state": None, "power_state": result.power_state or 0,
         "launched_at": now()},
        vm_states={BUILDING}, task_states={action.running, *action.passes, None},
    )
    tx.operations.finish(op.id, failed=not done, message=None if done else "Error")
    core.hosts.table.note_building(op.payload["node_id"], -1)


def _deleted(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    finish_delete(core, tx, instance)
    tx.operations.finish(op.id)


def _soft_deleted(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    _finish(core, tx, op, instance, result, deleted_at=now())


def _restored(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    _finish(core, tx, op, instance, result, deleted_at=None)


def _rebuilt(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    stopped = not op.payload.get("power_on", True)
    _finish(
        core, tx, op, instance, result, vm_state=STOPPED if stopped else ACTIVE,
        launched_at=now(), fault=None,
    )


def _evacuated(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    release_claims(core, tx, instance, "instance")
    tx.claims.move(instance.uuid, "incoming", "instance")
    stopped = not op.payload.get("power_on", True)
    _finish(
        core, tx, op, instance, result, vm_state=STOPPED if stopped else ACTIVE, fault=None,
        launched_at=now(), host=op.payload["dest"], node=op.payload["dest_node"],
    )
    tx.migrations.update(op.payload["migration_id"], "done")


def _shelved(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    facts = {
        **instance.system_metadata, "shelved_image_id": op.payload.get("image_id"),
        "shelved_host": instance.host, "shelved_at": now().isoformat(timespec="microseconds"),
    }
    if not op.payload["offload"]:
        _finish(core, tx, op, instance, result, system_metadata=facts)
        return
    tx.instances.transition(
        instance.uuid,
        {"task_state": SHELVING_OFFLOADING, "power_state": result.power_state or 0,
         "system_metadata": facts},
        task_states={ACTIONS["shelve"].running, *ACTIONS["shelve"].passes},
    )
    core.dispatcher.enter(tx, op, instance, "offload")


def _offloaded(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    release_claims(core, tx, instance)
    _finish(
        core, tx, op, instance, result, vm_state=SHELVED_OFFLOADED, host=None, node=None,
        power_state=4,
    )


def _unshelved(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    facts = {
        key: value for key, value in instance.system_metadata.items()
        if not key.startswith("shelved_")
    }
    image_id = instance.system_metadata.get("shelved_image_id")
    if _finish(
        core, tx, op, instance, result, system_metadata=facts, launched_at=now()
    ) and image_id:
        from nova.conductor.failing import _delete_image

        tx.after_commit(lambda: _delete_image(core, image_id))


def _migrated_out(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    tx.instances.transition(
        instance.uuid, {"task_state": RESIZE_FINISH, "power_state": 4},
        task_states={ACTIONS["resize"].running, *ACTIONS["resize"].passes},
    )
    tx.migrations.update(op.payload["migration_id"], "post-migrating")
    core.dispatcher.enter(tx, op, instance, "migrate_in")


def _migrated_in(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    flavor = msgspec.convert(op.payload["new_flavor"], Flavor)
    tx.claims.move(instance.uuid, "instance", "outgoing")
    tx.claims.move(instance.uuid, "incoming", "instance")
    _finish(
        core, tx, op, instance, result, host=op.payload["dest"], node=op.payload["dest_node"],
        launched_at=now(), system_metadata={
            **instance.system_metadata, "old_flavor": msgspec.to_builtins(instance.flavor),
            "old_vm_state": op.payload["old_vm_state"],
            "resize_quota": op.payload.get("quota"),
        },
        **flavor_columns(flavor),
    )
    tx.migrations.update(op.payload["migration_id"], "finished")


def flavor_columns(flavor: Flavor) -> dict[str, Any]:
    """The columns of an instance that a flavor fills."""
    return {
        "flavor": flavor, "flavorid": flavor.flavorid, "vcpus": flavor.vcpus,
        "memory_mb": flavor.memory_mb, "root_gb": flavor.root_gb,
        "ephemeral_gb": flavor.ephemeral_gb,
    }


def _without_resize(instance: Instance) -> dict[str, Any]:
    return {
        key: value for key, value in instance.system_metadata.items()
        if key not in ("old_flavor", "old_vm_state", "resize_quota")
    }


def _confirmed(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    """Down-sized parts of the quota are given back now, when nobody can revert any more."""
    release_claims(core, tx, instance, "outgoing")
    old = msgspec.convert(op.payload["old_flavor"], Flavor)
    spare = {
        "cores": max(0, old.vcpus - instance.vcpus),
        "ram": max(0, old.memory_mb - instance.memory_mb),
    }
    tx.quotas.release(instance.project_id, spare)
    stopped = op.payload.get("old_vm_state") == STOPPED
    tx.instances.transition(
        instance.uuid,
        {"vm_state": STOPPED if stopped else ACTIVE, "task_state": None,
         "system_metadata": _without_resize(instance)},
    )
    tx.operations.finish(op.id)
    tx.migrations.update(op.payload["migration_id"], "confirmed")


def _reverting(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    core.dispatcher.enter(tx, op, instance, "revert")


def _reverted(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    old = msgspec.convert(op.payload["old_flavor"], Flavor)
    release_claims(core, tx, instance, "instance")
    tx.claims.move(instance.uuid, "outgoing", "instance")
    delta = instance.system_metadata.get("resize_quota")
    if delta:
        tx.quotas.release(instance.project_id, delta)
    stopped = op.payload.get("old_vm_state") == STOPPED
    _finish(
        core, tx, op, instance, result, vm_state=STOPPED if stopped else ACTIVE,
        host=op.payload["source"], node=op.payload["source_node"],
        system_metadata=_without_resize(instance), **flavor_columns(old),
    )
    tx.migrations.update(op.payload["migration_id"], "reverted")


def _live_copied(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    tx.migrations.update(op.payload["migration_id"], "post-migrating")
    core.dispatcher.enter(tx, op, instance, "arrive")


def _live_arrived(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    release_claims(core, tx, instance, "instance")
    tx.claims.move(instance.uuid, "incoming", "instance")
    _finish(
        core, tx, op, instance, result, host=op.payload["dest"], node=op.payload["dest_node"],
        power_state=instance.power_state,
    )
    tx.migrations.update(op.payload["migration_id"], "completed")


_COMPLETIONS: dict[tuple[str, str], Completion] = {
    ("create", "spawn"): _created,
    ("delete", "destroy"): _deleted,
    ("force_delete", "destroy"): _deleted,
    ("soft_delete", "run"): _soft_deleted,
    ("restore", "run"): _restored,
    ("rebuild", "run"): _rebuilt,
    ("shelve", "snapshot"): _shelved,
    ("shelve", "offload"): _offloaded,
    ("shelve_offload", "offload"): _offloaded,
    ("unshelve", "run"): _unshelved,
    ("unshelve", "spawn"): _unshelved,
    ("resize", "migrate_out"): _migrated_out,
    ("resize", "migrate_in"): _migrated_in,
    ("migrate", "migrate_out"): _migrated_out,
    ("migrate", "migrate_in"): _migrated_in,
    ("confirm_resize", "forget"): _confirmed,
    ("revert_resize", "destroy"): _reverting,
    ("revert_resize", "revert"): _reverted,
    ("live_migrate", "live_migrate"): _live_copied,
    ("live_migrate", "arrive"): _live_arrived,
    ("evacuate", "spawn"): _evacuated,
}
