# SPDX-License-Identifier: Apache-2.0
"""What follows when a step fails: give back, retry elsewhere, let the source take the guest back, or end.

A failed move leaves the server as it was, on its source. A confirm or revert that fails before it changed
anything can be asked for again. What cannot be undone ends in ERROR with a fault that says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from nova.compute.lifecycle import ACTIONS
from nova.conductor.beside import left_to_recovery
from nova.conductor.cards import forget_card
from nova.conductor.core import ConductorCore
from nova.conductor.ending import (
    end_and_discard,
    go_on,
    keep_new_size,
    not_building,
    settle,
    undo_create,
    without_resize,
)
from nova.conductor.release import release_claims
from nova.conductor.steps import BEGUN_STEPS
from nova.conductor.volume_rows import (
    ATTACHING,
    DETACHED,
    DETACHING,
    OF_A_SNAPSHOT,
    OF_ONE_VOLUME,
    GivenUp,
    are_open,
    end_of_snapshot,
    let_go_of_boot,
    never_opened,
    settle_attachments,
    undo_of_one,
)
from nova.conductor.volume_steps import owner_of
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.decoding import convert
from nova.objects.flavor import Flavor, flavor_columns
from nova.objects.instance import Fault, Instance, RequestedNetwork
from nova.objects.operation import Operation, StepFailure, StepResult
from nova.objects.states import (
    ACTIVE,
    BUILDING,
    ERROR,
    RESIZED,
    SCHEDULING,
    SHELVED,
    SHELVED_OFFLOADED,
    SOFT_DELETED,
    STOPPED,
)
from nova.objects.topology import GuestTopology

#: In the payload of an operation that gives something up before it ends: why it failed.
FAILURE = "failure"
#: What a failure writes beside the fault; None where the operation goes on instead of ending.
Changes = dict[str, Any] | None


def fail(
    core: ConductorCore,
    tx: Transaction,
    operation: Operation,
    instance: Instance,
    failure: StepFailure,
) -> None:
    """End a failed operation, or take what the flow has instead of an end.

    Raises ``Overtaken`` where it had ended before.
    """
    assert operation.flow is not None
    not_building(core, tx, operation)
    action = ACTIONS[operation.flow]
    if operation.flow == "attach_interface":
        if left_to_recovery(core, tx, operation, instance):
            return
        card, keep = operation.payload["card"], operation.payload.get("keep", True)
        forget_card(core, tx, instance, card, keep=keep)
    if operation.flow in OF_ONE_VOLUME or action.beside:
        _one_volume(core, tx, operation, instance, failure)
        return
    handler = _FAILURES.get(operation.flow)
    changes: Changes = {} if action.failure is None else {"vm_state": action.failure}
    if handler is not None:
        changes = handler(core, tx, operation, instance, failure)
    if changes is None:
        return
    fault = Fault(failure.code, failure.message[:255], now(), failure.details)
    tx.instances.transition(
        instance.uuid, {"task_state": None, "fault": fault, **changes},
        task_states={action.running, *action.passes},
    )
    image_id = None
    if operation.flow in ("snapshot", "backup") or (
        operation.flow == "shelve" and operation.step == "snapshot"
    ):
        image_id = operation.payload.get("image_id")
    if operation.flow == "create":
        given_up = let_go_of_boot(tx, instance, began=operation.step in BEGUN_STEPS)
    elif operation.flow in ("delete", "force_delete"):
        given_up = _end_overtaken(core, tx, operation, instance)
    else:
        given_up = settle_attachments(tx, instance, changes.get("host", instance.host))
    end_and_discard(
        core, tx, operation, instance, image_id, failed=True,
        keep_active=operation.flow != "shelve", given_up=given_up,
    )


def _one_volume(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, failure: StepFailure
) -> None:
    """The server goes on as it was, with a fault that its owner can read in the operation."""
    given_up = None
    if op.flow in OF_ONE_VOLUME:
        given_up = undo_of_one(tx, op, instance)
    elif op.flow in OF_A_SNAPSHOT:
        given_up = end_of_snapshot(op, failed=True)
    end_and_discard(core, tx, op, instance, None, failed=True, given_up=given_up)


def _create(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, failure: StepFailure
) -> Changes:
    if op.step == "spawn" and op.payload.get("node_id") is not None:
        node_id = op.payload["node_id"]
        tx.after_commit(lambda: core.hosts.note_failed_build(node_id, True))
    tried = instance.host
    undo_create(core, tx, instance)
    attempt = op.attempt + 1
    if (
        failure.retriable and tried is not None and instance.vm_state == BUILDING
        and attempt < core.config.conductor.max_attempts
    ):
        changes: dict[str, Any] = {"task_state": SCHEDULING}
        if core.networks.outside is None:
            requested = convert(op.payload.get("networks") or (), tuple[RequestedNetwork, ...])
            changes["network_info"] = core.networks.reserve_ports(tx, instance, requested)
        tx.instances.transition(instance.uuid, changes)
        payload = {
            **op.payload, "tried_hosts": [*op.payload.get("tried_hosts", []), tried],
            "last_failure": failure.message[:255],
        }
        payload.pop("node_id", None)
        core.dispatcher.enter(tx, op, instance, "place", payload, attempt=attempt)
        return None
    return {"vm_state": ERROR}


def _delete(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, failure: StepFailure
) -> Changes:
    if instance.vm_state == SOFT_DELETED:
        # Out of the quota; it stays what it is and can be asked again.
        return {}
    # It is on one host from now on; a guest of a move that the delete overtook goes with the next comparison.
    release_claims(core, tx, instance, "incoming")
    keep_new_size(core, tx, instance)
    return {"vm_state": ERROR, "system_metadata": without_resize(instance)}


def _end_overtaken(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance
) -> GivenUp:
    """Volumes that were on their way when the delete came, which nobody drives any more, are taken away."""
    given_up = settle_attachments(tx, instance, instance.host)
    never_opened(tx, instance, given_up)
    context = owner_of(op, instance)
    fresh = tx.instances.get(instance.uuid) or instance
    for device in fresh.volumes:
        if device.state not in (ATTACHING, DETACHING, DETACHED):
            continue
        if fresh.host is None:
            tx.block_devices.change(fresh.uuid, device.bdm_uuid, state=DETACHED)
        core.dispatcher.start(
            tx, context, fresh, ACTIONS["detach_volume"], "volumes" if fresh.host is None else "detach",
            {"bdm_uuid": device.bdm_uuid, "volume_id": device.volume_id},
        )
    return given_up


def _cold_migrate(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, failure: StepFailure
) -> Changes:
    if op.step in ("migrate_out", "migrate_in"):
        _take_back(core, tx, op, instance, failure)
        return None
    settle(tx, op, instance, "error")
    release_claims(core, tx, instance, "incoming")
    return {"vm_state": ERROR} if op.step == "back" else {}


def _live_migrate(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, failure: StepFailure
) -> Changes:
    if op.step == "leave":
        # The guest runs on its new host; what the old one could not remove, its next report names.
        from nova.conductor.completion import live_migration_done

        live_migration_done(core, tx, op, instance)
        return None
    if op.step in ("live_migrate", "arrive"):
        _take_back(core, tx, op, instance, failure)
        return None
    if op.step == "back" and drop_arrived(core, tx, op, instance, lost=True):
        return None
    settle(tx, op, instance, failed_move_status(op))
    release_claims(core, tx, instance, "incoming")
    if op.step == "drop":
        return failed_move(op, instance)
    return {"progress": 0, **({"vm_state": ERROR} if op.step == "back" else {})}


def drop_arrived(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, *, lost: bool
) -> bool:
    """Let the destination remove what arrived there, now that the source is done with taking it back.

    What was only prepared for a guest to come goes too, but not where the source lost the guest (``lost``):
    it may run there. False where there is nothing to remove, or the destination does not report: it
    removes the guest when it comes back.
    """
    there = op.payload.get("arrived") or (not lost and op.payload.get("expected"))
    if not there or not core.hosts.is_up(op.payload["dest"]):
        return False
    go_on(core, tx, op, instance, "drop", {**op.payload, "lost": lost})
    return True


def failed_move(op: Operation, instance: Instance) -> dict[str, Any]:
    """What a server is after a move that failed: as it was, with a fault; ERROR where it is lost."""
    reason = op.payload["failure"]
    return {
        "vm_state": ERROR if op.payload.get("lost") else instance.vm_state, "progress": 0,
        "fault": Fault(reason["code"], reason["message"], now(), reason["details"]),
    }


def failed_move_status(op: Operation) -> str:
    """The status of a migration that came to nothing."""
    return "cancelled" if op.payload.get("aborted") else "error"


def _take_back(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, failure: StepFailure
) -> None:
    reason = {"code": failure.code, "message": failure.message[:255], "details": failure.details}
    facts = {"arrived": op.step == "arrive", "expected": op.step == "live_migrate"}
    go_on(core, tx, op, instance, "back", {**op.payload, "failure": reason, **facts})


def _evacuate(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, failure: StepFailure
) -> Changes:
    settle(tx, op, instance, "error")
    release_claims(core, tx, instance, "incoming")
    return {"vm_state": ERROR}


def _confirm(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, failure: StepFailure
) -> Changes:
    tx.migrations.update(op.payload["migration_id"], "finished")
    return {"vm_state": RESIZED}


def _revert(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, failure: StepFailure
) -> Changes:
    if op.step == "destroy":
        tx.migrations.update(op.payload["migration_id"], "finished")
        return {"vm_state": RESIZED}
    changes = back_on_source(core, tx, op, instance)
    tx.migrations.update(op.payload["migration_id"], "error")
    return {**changes, "vm_state": ERROR}


def back_on_source(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance
) -> dict[str, Any]:
    """The rows of a reverted resize: the new side and what it added to the quota are given back."""
    core.networks.moved(tx, instance.uuid)
    release_claims(core, tx, instance, "instance")
    tx.claims.move(instance.uuid, "outgoing", "instance")
    grown = instance.system_metadata.get("resize_quota")
    if grown:
        tx.quotas.release(instance.project_id, grown)
    return {
        "host": op.payload["source"], "node": op.payload["source_node"],
        "system_metadata": without_resize(instance),
        "topology": convert(
            instance.system_metadata.get("old_topology"), GuestTopology | None
        ),
        **flavor_columns(convert(op.payload["old_flavor"], Flavor)),
    }


def fail_again(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, _result: StepResult
) -> None:
    """Fail for the reason from before the last step, which had something to give up."""
    fail(core, tx, op, instance, convert(op.payload[FAILURE], StepFailure))


def _unshelve(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, failure: StepFailure
) -> Changes:
    if instance.vm_state != SHELVED_OFFLOADED:
        return {}
    nowhere: dict[str, Any] = {"host": None, "node": None, "topology": None}
    if op.step == "volumes":
        return nowhere
    release_claims(core, tx, instance)
    if not are_open(instance):
        return nowhere
    # They were opened to the host: first they are closed to it, and stay reserved for the server.
    tx.instances.transition(instance.uuid, nowhere)
    go_on(core, tx, op, instance, "volumes", {**op.payload, FAILURE: msgspec.to_builtins(failure)})
    return None


def _shelve(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, failure: StepFailure
) -> Changes:
    if op.step in ("offload", "volumes"):
        # The image is whole once the server is on its way off the host: it is shelved there.
        return {"vm_state": SHELVED}
    # A running guest was started again; what was in memory of another is gone.
    return {} if instance.vm_state == ACTIVE else {"vm_state": STOPPED, "power_state": 4}


_FAILURES: dict[
    str, Callable[[ConductorCore, Transaction, Operation, Instance, StepFailure], Changes]
] = {
    "create": _create,
    "delete": _delete,
    "force_delete": _delete,
    "resize": _cold_migrate,
    "migrate": _cold_migrate,
    "live_migrate": _live_migrate,
    "evacuate": _evacuate,
    "confirm_resize": _confirm,
    "revert_resize": _revert,
    "unshelve": _unshelve,
    "shelve": _shelve,
}
