# SPDX-License-Identifier: Apache-2.0
"""Moving guests between hosts: resize and cold migration, their confirm and revert, live migration."""

from __future__ import annotations

import msgspec

from nova.compute.flows.host import FlowHost, guest_spec
from nova.compute.undo import Undo
from nova.objects.flavor import Flavor
from nova.objects.instance import Instance
from nova.objects.operation import StepResult, StepTask


def in_size(instance: Instance, flavor: Flavor) -> Instance:
    """The instance as it is with another flavor."""
    return msgspec.structs.replace(
        instance, flavor=flavor, flavorid=flavor.flavorid, vcpus=flavor.vcpus,
        memory_mb=flavor.memory_mb, root_gb=flavor.root_gb, ephemeral_gb=flavor.ephemeral_gb,
    )


def _flavor(task: StepTask, key: str) -> Flavor:
    return msgspec.convert(task.payload[key], Flavor)


def migrate_out(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """On the source: stop the guest and keep it."""
    host.driver.migrate_out(task.instance, task.payload["dest"])
    return StepResult(power_state=4)


def migrate_in(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """On the destination: make the guest in its new size."""
    if task.payload["source"] != host.name:
        undo.add(host.driver.destroy, task.instance)
    spec = guest_spec(host, task, instance=in_size(task.instance, _flavor(task, "new_flavor")))
    return StepResult(power_state=host.driver.migrate_in(spec, task.payload["source"]))


def take_back(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """On the source, after a failed move: bring the guest back as it was."""
    return StepResult(power_state=host.driver.revert_outgoing(guest_spec(host, task)))


def forget(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """On the source of a resize that is confirmed or a live migration: drop what was kept."""
    host.driver.forget_outgoing(task.instance)
    return StepResult()


def drop_arrived(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """On the destination, reverted: remove the guest that arrived."""
    if task.payload["source"] != host.name:
        host.driver.destroy(task.instance)
    return StepResult()


def revert(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """On the source, reverted: bring the kept guest back."""
    spec = guest_spec(host, task, instance=in_size(task.instance, _flavor(task, "old_flavor")))
    return StepResult(power_state=host.driver.revert_outgoing(spec))


def live_migrate(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """On the source: copy the running guest; stops early when asked to."""
    try:
        host.driver.live_migrate(
            task.instance, task.payload["dest"],
            lambda _done, _total: not (
                task.operation_id in host.aborts or task.payload.get("aborted")
            ),
        )
    finally:
        host.aborts.discard(task.operation_id)
    return StepResult()


def arrive(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """On the destination: take the guest over; where that fails, the source takes it back (``back``)."""
    undo.add(host.driver.destroy, task.instance)
    return StepResult(power_state=host.driver.live_migrated_in(guest_spec(host, task)))
