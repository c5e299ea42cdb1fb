# SPDX-License-Identifier: Apache-2.0
"""What the functions of this room share, and how an action begins."""

from __future__ import annotations

import dataclasses
import secrets
import string
from collections.abc import Mapping
from typing import Any

import msgspec

from nova.compute.flavor_cache import FlavorCache
from nova.compute.images import Images
from nova.compute.lifecycle import ACTIONS, Action, allowed
from nova.compute.limit_cache import LimitCache
from nova.conductor.dispatch import Dispatcher, unprepared
from nova.conductor.ended import note_end
from nova.conductor.host_services import HostServices
from nova.conductor.steps import FLOWS
from nova.conf import Config
from nova.db.engine import Database, Transaction
from nova.errors import Conflict, GuestNotFound, InstanceInvalidState, InstanceLocked, InstanceNotFound
from nova.network.allocation import NetworkAllocator
from nova.objects.context import RequestContext
from nova.objects.instance import Instance
from nova.rpc.calls import COMPUTE
from nova.rpc.transport import Transport
from nova.volume.absent import no_volumes
from nova.volume.interface import BlockStorage


@dataclasses.dataclass(frozen=True)
class OperationsCore:
    """The object graph of this room."""

    config: Config
    db: Database
    dispatcher: Dispatcher
    transport: Transport
    images: Images
    networks: NetworkAllocator
    flavors: FlavorCache
    limits: LimitCache
    hosts: HostServices
    volumes: BlockStorage = dataclasses.field(default_factory=no_volumes)


def check_lock(context: RequestContext, instance: Instance) -> None:
    """Raise ``InstanceLocked`` for a locked instance, unless an administrator asks."""
    if instance.locked_by and not context.is_admin:
        raise InstanceLocked(instance.uuid)


def check_state(instance: Instance, action: Action) -> None:
    """Raise the 409 that names the state in the way."""
    found = allowed(instance, action)
    if found is None:
        return
    attribute, value = found
    if attribute == "launched_at":
        raise InstanceInvalidState(action.shown, instance.uuid, "vm_state", instance.vm_state)
    raise InstanceInvalidState(action.shown, instance.uuid, attribute, value)


def prepare(context: RequestContext, instance: Instance, action_name: str) -> Action:
    """The action's row, after the lock and the state were checked."""
    action = ACTIONS[action_name]
    if action.lockable:
        check_lock(context, instance)
    check_state(instance, action)
    if action.needs_host and instance.host is None:
        raise Conflict(f"Instance {instance.uuid} is not on a host.")
    return action


def begin(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    action_name: str,
    payload: Mapping[str, Any] | None = None,
    *,
    step: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> int:
    """Check, then write the running state and the operation in one transaction; returns its id."""
    action = prepare(context, instance, action_name)
    return core.db.run(
        lambda tx: enter(core, tx, context, instance, action, payload, step=step, changes=changes)
    )


def enter(
    core: OperationsCore,
    tx: Transaction,
    context: RequestContext,
    instance: Instance,
    action: Action,
    payload: Mapping[str, Any] | None = None,
    *,
    step: str | None = None,
    changes: Mapping[str, Any] | None = None,
    send: bool = True,
) -> int:
    """The same inside a transaction of the caller's, after ``prepare``; see ``Dispatcher.start``.

    The host is told of the server as it is now: another disk or NIC may have come since it was read.
    """
    values: dict[str, Any] = dict(changes or {})
    if action.running is not None:
        values["task_state"] = action.running
    if not tx.instances.transition(
        instance.uuid, values, vm_states=action.vm_states, task_states=action.task_states,
        revision=instance.revision,
    ):
        changed = tx.instances.get(instance.uuid, lock=True)
        if changed is None or changed.revision == instance.revision:
            raise overtaken(tx, instance, action)
        prepare(context, changed, action.name)
        tx.instances.transition(instance.uuid, values)
        instance = changed
    fresh = msgspec.structs.replace(
        instance, **{key: value for key, value in values.items() if key != "revision"}
    )
    return core.dispatcher.start(
        tx, context, fresh, action, step or FLOWS[action.name][0].name, payload or {}, send=send
    )


def overtaken(tx: Transaction, instance: Instance, action: Action) -> Exception:
    """Somebody was faster: say in which state the instance is now."""
    now = tx.instances.get(instance.uuid)
    if now is None:
        return InstanceNotFound(instance.uuid)
    found = allowed(now, action) or ("task_state", now.task_state)
    return InstanceInvalidState(action.shown, instance.uuid, found[0], found[1])


def record(
    tx: Transaction, context: RequestContext, instance: Instance, action_name: str
) -> None:
    """Note a request that was carried out at once among the instance's actions."""
    tx.operations.create(
        context, instance.uuid, ACTIONS[action_name].public, flow=None, step=None, payload={}
    )


def begin_own(
    core: OperationsCore, tx: Transaction, context: RequestContext, instance: Instance, action_name: str,
    step: str, payload: Mapping[str, Any],
) -> int:
    """Write what this process is about to do itself; nobody is woken, and who finds it lost does it."""
    return core.dispatcher.start(
        tx, context, instance, ACTIONS[action_name], step, payload, send=False
    )


def end_own(tx: Transaction, operation_id: int, *, failed: bool = False) -> bool:
    """It is done, or was refused; False where somebody else has ended it."""
    operation = tx.operations.get(operation_id, lock=True)
    if operation is None or not tx.operations.finish(
        operation_id, failed=failed, message="Error" if failed else None
    ):
        return False
    note_end(tx, operation, failed=failed)
    return True


def prepared(core: OperationsCore, tx: Transaction, operation_id: int) -> bool:
    """This process prepares nothing more for an operation; what somebody has ended meanwhile is given up.

    False where the operation is over, so that this process has to do so itself.
    """
    operation = tx.operations.get(operation_id, lock=True)
    if operation is None or operation.finished_at is not None:
        return False
    tx.operations.set_payload(operation_id, unprepared(operation).payload)
    if operation.step == "discard":
        core.dispatcher.wake(tx, [operation_id], "discard")
    return True


def host_of(instance: Instance) -> str:
    """The host of a server; ``Conflict`` where it has none."""
    if instance.host is None:
        raise Conflict(f"Instance {instance.uuid} is not ready.")
    return instance.host


def ask_guest(core: OperationsCore, host: str, method: str, instance: Instance, *args: Any) -> Any:
    """What a host answers of its guest.

    Raises ``InstanceNotFound`` where it has none: the guest is not made yet, moves or goes away.
    """
    try:
        return core.transport.call(COMPUTE, host, method, instance, *args)
    except GuestNotFound:
        raise InstanceNotFound(instance.uuid) from None


_ALPHABET = "".join(c for c in string.ascii_letters + string.digits if c not in "0O1lI")


def new_password(length: int) -> str:
    """A random password without letters that look alike."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
