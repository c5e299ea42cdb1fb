# SPDX-License-Identifier: Apache-2.0
"""What follows when a host says that a step is done: the next step, or the end of the operation."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import msgspec

from nova.compute.lifecycle import ACTIONS
from nova.conductor.beside import is_stale, left_to_recovery
from nova.conductor.cards import forget_card
from nova.conductor.core import ConductorCore
from nova.conductor.deleting import finish_delete, set_aside
from nova.conductor.device_addresses import note_addresses
from nova.conductor.ending import (
    Overtaken,
    end,
    end_and_discard,
    end_settled,
    go_on,
    keep_new_size,
    settle,
    without_resize,
)
from nova.conductor.failing import (
    back_on_source,
    drop_arrived,
    fail,
    fail_again,
    failed_move,
    failed_move_status,
)
from nova.conductor.release import release_claims
from nova.conductor.volume_rows import (
    DETACHED,
    GivenUp,
    are_open,
    device_of,
    end_of_snapshot,
    settle_attachments,
)
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.decoding import convert
from nova.objects.device_addresses import KEY
from nova.objects.flavor import Flavor, flavor_columns
from nova.objects.instance import Instance
from nova.objects.operation import Operation, StepFailure, StepResult
from nova.objects.states import (
    ACTIVE,
    BUILDING,
    POWER_PAUSED,
    REBUILD_BLOCK_DEVICE_MAPPING,
    REBUILD_SPAWNING,
    RESIZE_FINISH,
    SHELVED_OFFLOADED,
    SHELVING_OFFLOADING,
    STOPPED,
)
from nova.objects.topology import GuestTopology

Completion = Callable[[ConductorCore, Transaction, Operation, Instance, StepResult], None]


def complete(
    core: ConductorCore,
    tx: Transaction,
    operation: Operation,
    instance: Instance,
    result: StepResult,
) -> None:
    """Do what the flow says after the operation's present step.

    Raises ``Overtaken``, with nothing to be committed, where it ended in another transaction meanwhile.
    """
    assert operation.flow is not None
    assert operation.step is not None
    handler = _COMPLETIONS.get((operation.flow, operation.step), _finish)
    if KEY in result.data:
        instance = note_addresses(tx, instance, result.data[KEY])
    handler(core, tx, operation, instance, result)


def _finish(
    core: ConductorCore,
    tx: Transaction,
    operation: Operation,
    instance: Instance,
    result: StepResult,
    **changes: Any,
) -> None:
    """The ordinary end: the vm state that the lifecycle table names, no task, the operation done."""
    _settle_row(tx, operation, instance, result, **changes)
    end_settled(core, tx, operation, instance, changes.get("host", instance.host))


def _settle_row(
    tx: Transaction,
    operation: Operation,
    instance: Instance,
    result: StepResult,
    **changes: Any,
) -> None:
    """Write the instance's end state. Raises ``Overtaken`` where it left the operation's states."""
    assert operation.flow is not None
    action = ACTIONS[operation.flow]
    values: dict[str, Any] = {"task_state": None}
    if action.success is not None:
        values["vm_state"] = action.success
    if result.power_state is not None:
        values["power_state"] = result.power_state
    values.update(changes)
    if not tx.instances.transition(
        instance.uuid, values, task_states={action.running, *action.passes}
    ):
        raise Overtaken


def _next(
    core: ConductorCore,
    tx: Transaction,
    operation: Operation,
    instance: Instance,
    step: str,
    **changes: Any,
) -> None:
    """The next step, with the instance's changes in between."""
    assert operation.flow is not None
    action = ACTIONS[operation.flow]
    if not tx.instances.transition(
        instance.uuid, changes, task_states={action.running, *action.passes}
    ):
        raise Overtaken
    go_on(core, tx, operation, msgspec.structs.replace(instance, **changes), step)


def _created(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    action = ACTIONS["create"]
    if op.step == "spawn" and op.payload.get("held") and result.power_state == POWER_PAUSED:
        _hold(core, tx, op, instance)
        return
    if not tx.instances.transition(
        instance.uuid,
        {"vm_state": ACTIVE, "task_state": None, "power_state": result.power_state or 0,
         "launched_at": now()},
        vm_states={BUILDING}, task_states={action.running, *action.passes},
    ):
        raise Overtaken
    end_settled(core, tx, op, instance, instance.host)
    node_id = op.payload["node_id"]
    tx.after_commit(lambda: core.hosts.note_failed_build(node_id, False))


def _hold(core: ConductorCore, tx: Transaction, op: Operation, instance: Instance) -> None:
    """The guest stands still until the network service has plugged its ports."""
    if all(vif.plugged for vif in instance.network_info):
        go_on(core, tx, op, instance, "unpause")
        return
    until = now() + datetime.timedelta(seconds=core.config.network.vif_plugging_timeout)
    go_on(core, tx, op, instance, "plugging", {**op.payload, "plugged_by": until.isoformat()})


def _not_plugged(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    """The host has removed the guest of a boot whose ports were not plugged."""
    fail(core, tx, op, instance, StepFailure(message="Virtual Interface creation failed"))


def _deleted(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    """The next host with a guest of the instance, or the end: its rows, then its shelved image."""
    if op.step != "volumes":
        if _clean_next(core, tx, op, instance):
            return
        if instance.volumes:
            go_on(core, tx, op, instance, "volumes")
            return
    finish_delete(core, tx, instance)
    end_and_discard(core, tx, op, instance, op.payload.get("image_id"))


def _clean_next(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance
) -> bool:
    """Send the operation to the next of its other hosts that reports; False where none is left.

    A host that does not report removes the guest when it comes back.
    """
    others = list(op.payload.get("others") or ())
    while others:
        host = others.pop(0)
        if core.hosts.is_up(host):
            go_on(core, tx, op, instance, "clean", {**op.payload, "other": host, "others": others})
            return True
    return False


def _soft_deleted(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    if _clean_next(core, tx, op, instance):
        return
    if op.payload.get("offloaded") and op.step != "volumes" and are_open(instance):
        go_on(core, tx, op, instance, "volumes")
        return
    set_aside(
        core, tx, instance, offloaded=bool(op.payload.get("offloaded")), power_state=4
    )
    end(tx, op)


def _restored(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    """A server that was shelved before runs now, and needs its image no more."""
    _run_again(core, tx, op, instance, result, deleted_at=None)


def _rescued(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    """``launched_at`` is from when ``rescue_timeout`` counts, as in the original."""
    _finish(core, tx, op, instance, result, launched_at=now())


def _rebuilt(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    core.networks.moved(tx, instance.uuid)
    stopped = not op.payload.get("power_on", True)
    _finish(
        core, tx, op, instance, result, vm_state=STOPPED if stopped else ACTIVE,
        launched_at=now(), fault=None,
    )


def _halted(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    """A guest stands still, so that an image can be written over its root volume."""
    _next(
        core, tx, op, instance, "volumes", task_state=REBUILD_BLOCK_DEVICE_MAPPING,
        power_state=result.power_state or 0,
    )


def _reimaged(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    _next(core, tx, op, instance, "run", task_state=REBUILD_SPAWNING)


def _evacuated(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    release_claims(core, tx, instance, "instance")
    tx.claims.move(instance.uuid, "incoming", "instance")
    stopped = not op.payload.get("power_on", True)
    _finish(
        core, tx, op, instance, result, vm_state=STOPPED if stopped else ACTIVE, fault=None,
        topology=arrived_topology(op), launched_at=now(), host=op.payload["dest"],
        node=op.payload["dest_node"],
    )
    tx.migrations.update(op.payload["migration_id"], "done")


def arrived_topology(op: Operation) -> GuestTopology | None:
    """The place on its new host that a move claimed."""
    return convert(op.payload.get("topology"), GuestTopology | None)


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
    _next(
        core, tx, op, instance, "offload", task_state=SHELVING_OFFLOADING,
        power_state=result.power_state or 0, system_metadata=facts,
    )


def _offloaded(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    if op.step != "volumes" and instance.volumes:
        go_on(core, tx, op, instance, "volumes")
        return
    release_claims(core, tx, instance)
    _finish(
        core, tx, op, instance, result, vm_state=SHELVED_OFFLOADED, host=None, node=None, topology=None,
        power_state=4,
    )


def _unshelved(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    if op.step == "spawn":
        core.networks.moved(tx, instance.uuid)
    _run_again(core, tx, op, instance, result, launched_at=now())


def _run_again(
    core: ConductorCore,
    tx: Transaction,
    op: Operation,
    instance: Instance,
    result: StepResult,
    **changes: Any,
) -> None:
    """The end of an operation after which a server is not shelved any more."""
    facts = {
        key: value for key, value in instance.system_metadata.items()
        if not key.startswith("shelved_")
    }
    _settle_row(tx, op, instance, result, system_metadata=facts, **changes)
    end_settled(
        core, tx, op, instance, instance.host,
        image_id=instance.system_metadata.get("shelved_image_id"),
    )


def _migrated_out(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    tx.migrations.update(op.payload["migration_id"], "post-migrating")
    _next(core, tx, op, instance, "migrate_in", task_state=RESIZE_FINISH, power_state=4)


def _migrated_in(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    flavor = convert(op.payload["new_flavor"], Flavor)
    tx.claims.move(instance.uuid, "instance", "outgoing")
    tx.claims.move(instance.uuid, "incoming", "instance")
    core.networks.moved(tx, instance.uuid)
    _finish(
        core, tx, op, instance, result, host=op.payload["dest"], node=op.payload["dest_node"],
        launched_at=now(), system_metadata={
            **instance.system_metadata, "old_flavor": msgspec.to_builtins(instance.flavor),
            "old_vm_state": op.payload["old_vm_state"],
            "resize_quota": op.payload.get("quota"),
            "old_host": instance.host, "old_node": instance.node,
            "old_topology": msgspec.to_builtins(instance.topology),
        },
        topology=arrived_topology(op),
        **flavor_columns(flavor),
    )
    tx.migrations.update(op.payload["migration_id"], "finished")


def _taken_back(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    """A move failed and the source has the guest again: the server is as it was, with a fault."""
    if not drop_arrived(core, tx, op, instance, lost=False):
        _move_failed(core, tx, op, instance, result)


def _move_failed(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    settle(tx, op, instance, failed_move_status(op))
    release_claims(core, tx, instance, "incoming")
    _settle_row(tx, op, instance, result, **failed_move(op, instance))
    end_settled(core, tx, op, instance, instance.host, failed=True)


def _confirmed(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    """Down-sized parts of the quota are given back now, when nobody can revert any more."""
    keep_new_size(core, tx, instance)
    stopped = op.payload.get("old_vm_state") == STOPPED
    _finish(
        core, tx, op, instance, result, vm_state=STOPPED if stopped else ACTIVE,
        system_metadata=without_resize(instance),
    )
    tx.migrations.update(op.payload["migration_id"], "confirmed")


def _reverting(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    go_on(core, tx, op, instance, "revert")


def _reverted(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    changes = back_on_source(core, tx, op, instance)
    stopped = op.payload.get("old_vm_state") == STOPPED
    _finish(
        core, tx, op, instance, result, vm_state=STOPPED if stopped else ACTIVE, **changes
    )
    tx.migrations.update(op.payload["migration_id"], "reverted")


def _live_connected(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    """The destination expects the guest; the source may begin."""
    tx.migrations.update(op.payload["migration_id"], "running")
    go_on(
        core, tx, op, instance, "live_migrate",
        {**op.payload, "arrival": result.data.get("arrival", {})},
    )


def _attached(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    """The disk is in the guest, where that is now: it may have moved since an earlier try."""
    tx.block_devices.change(instance.uuid, op.payload["bdm_uuid"], state=None)
    given_up = settle_attachments(tx, instance, instance.host, op.payload["bdm_uuid"])
    end_and_discard(core, tx, op, instance, None, given_up=given_up)


def _detached(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    """The guest has let go of the disk, unless another operation may have given it the disk again."""
    if not is_stale(tx, op, instance):
        tx.block_devices.change(instance.uuid, op.payload["bdm_uuid"], state=DETACHED)
    go_on(core, tx, op, instance, "volumes")


def _swapped(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    device = device_of(instance, op.payload["bdm_uuid"])
    given_up = GivenUp()
    if device is not None:
        if device.attachment_id is not None:
            given_up.attachments.append(device.attachment_id)
        volume_id = op.payload["new_volume_id"]
        if op.payload.get("migrates"):
            # The service gives the copy the id of the volume once it hears of this.
            given_up.migrated.append((device.volume_id or "", volume_id, False))
            volume_id = device.volume_id
        tx.block_devices.change(
            instance.uuid, device.bdm_uuid, state=None, volume_id=volume_id,
            uuid=volume_id, attachment_id=device.next_attachment_id,
            host=device.next_host, next_attachment_id=None, next_host=None,
            volume_size=op.payload.get("new_size", device.volume_size),
        )
    end_and_discard(core, tx, op, instance, None, given_up=given_up)


def _plugged(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    end(tx, op)


def _unplugged(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    if left_to_recovery(core, tx, op, instance):
        return
    end(tx, op)
    forget_card(core, tx, instance, op.payload["card"], keep=op.payload["keep"])


def _extended(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    device = device_of(instance, op.payload["bdm_uuid"])
    if device is not None and (device.volume_size or 0) < op.payload["size_gb"]:
        tx.block_devices.change(
            instance.uuid, device.bdm_uuid, volume_size=op.payload["size_gb"]
        )
    end(tx, op)


def _snapshotted(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    end_and_discard(core, tx, op, instance, None, given_up=end_of_snapshot(op, failed=False))


def _live_copied(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    tx.migrations.update(op.payload["migration_id"], "post-migrating")
    go_on(core, tx, op, instance, "arrive")


def _live_arrived(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    """The server is on its new host from now on; the old one has leftovers to remove."""
    core.networks.moved(tx, instance.uuid)
    release_claims(core, tx, instance, "instance")
    tx.claims.move(instance.uuid, "incoming", "instance")
    _next(
        core, tx, op, instance, "leave", host=op.payload["dest"], node=op.payload["dest_node"],
        topology=arrived_topology(op),
    )


def _live_left(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance, result: StepResult
) -> None:
    live_migration_done(core, tx, op, instance)


def live_migration_done(
    core: ConductorCore, tx: Transaction, op: Operation, instance: Instance
) -> None:
    """The end of a live migration, whether or not its source could clean up."""
    _finish(core, tx, op, instance, StepResult(), progress=0)
    tx.migrations.update(op.payload["migration_id"], "completed")


_COMPLETIONS: dict[tuple[str, str], Completion] = {
    ("create", "spawn"): _created,
    ("create", "unpause"): _created,
    ("create", "drop"): _not_plugged,
    ("delete", "destroy"): _deleted,
    ("delete", "clean"): _deleted,
    ("delete", "volumes"): _deleted,
    ("force_delete", "destroy"): _deleted,
    ("force_delete", "clean"): _deleted,
    ("force_delete", "volumes"): _deleted,
    ("soft_delete", "run"): _soft_deleted,
    ("soft_delete", "clean"): _soft_deleted,
    ("soft_delete", "volumes"): _soft_deleted,
    ("rescue", "run"): _rescued,
    ("restore", "run"): _restored,
    ("rebuild", "run"): _rebuilt,
    ("rebuild", "halt"): _halted,
    ("rebuild", "volumes"): _reimaged,
    ("shelve", "snapshot"): _shelved,
    ("shelve", "offload"): _offloaded,
    ("shelve", "volumes"): _offloaded,
    ("shelve_offload", "offload"): _offloaded,
    ("shelve_offload", "volumes"): _offloaded,
    ("unshelve", "run"): _unshelved,
    ("unshelve", "spawn"): _unshelved,
    ("unshelve", "volumes"): fail_again,
    ("resize", "migrate_out"): _migrated_out,
    ("resize", "migrate_in"): _migrated_in,
    ("migrate", "migrate_out"): _migrated_out,
    ("migrate", "migrate_in"): _migrated_in,
    ("resize", "back"): _taken_back,
    ("migrate", "back"): _taken_back,
    ("confirm_resize", "forget"): _confirmed,
    ("revert_resize", "destroy"): _reverting,
    ("revert_resize", "revert"): _reverted,
    ("live_migrate", "connect"): _live_connected,
    ("live_migrate", "live_migrate"): _live_copied,
    ("live_migrate", "arrive"): _live_arrived,
    ("live_migrate", "leave"): _live_left,
    ("live_migrate", "back"): _taken_back,
    ("live_migrate", "drop"): _move_failed,
    ("evacuate", "spawn"): _evacuated,
    ("attach_interface", "plug"): _plugged,
    ("detach_interface", "unplug"): _unplugged,
    ("attach_volume", "attach"): _attached,
    ("detach_volume", "detach"): _detached,
    ("swap_volume", "swap"): _swapped,
    ("extend_volume", "run"): _extended,
    ("snapshot_volume", "run"): _snapshotted,
    ("delete_volume_snapshot", "run"): _snapshotted,
}
