# SPDX-License-Identifier: Apache-2.0
"""Moving guests between hosts: resize and cold migration, their confirm and revert, live migration."""

from __future__ import annotations

import contextlib
import logging
import time

import msgspec

from nova.compute.flows.host import FlowHost, guest_spec, placed
from nova.compute.undo import Undo
from nova.decoding import convert
from nova.errors import GuestNotFound, NovaError
from nova.objects.flavor import Flavor
from nova.objects.instance import Instance
from nova.objects.migration import Arrival, MigrationProgress
from nova.objects.operation import StepResult, StepTask

LOG = logging.getLogger(__name__)


def in_size(instance: Instance, flavor: Flavor) -> Instance:
    """The instance as it is with another flavor."""
    return msgspec.structs.replace(
        instance, flavor=flavor, flavorid=flavor.flavorid, vcpus=flavor.vcpus,
        memory_mb=flavor.memory_mb, root_gb=flavor.root_gb, ephemeral_gb=flavor.ephemeral_gb,
    )


def _flavor(task: StepTask, key: str) -> Flavor:
    return convert(task.payload[key], Flavor)


def migrate_out(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """On the source: stop the guest and keep it."""
    host.driver.migrate_out(task.instance, task.payload["dest"])
    return StepResult(power_state=4)


def migrate_in(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """On the destination: make the guest in its new size."""
    if task.payload["source"] != host.name:
        undo.add(host.driver.destroy, task.instance.uuid)
    host.prepare_network(task.instance)
    spec = guest_spec(host, task, instance=in_size(placed(task), _flavor(task, "new_flavor")))
    state = host.driver.migrate_in(spec, task.payload["source"])
    host.volumes_done(task)
    return StepResult(power_state=state)


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
        host.driver.destroy(task.instance.uuid)
    return StepResult()


def _stand_still(host: FlowHost, instance: Instance) -> None:
    with contextlib.suppress(GuestNotFound):
        host.driver.power_off(instance)


def drop(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """On the destination of a live migration that failed, the source having the guest again: remove it."""
    host.driver.destroy(task.instance.uuid)
    return StepResult()


def revert(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """On the source, reverted: bring the kept guest back."""
    before = in_size(placed(task, "old_topology"), _flavor(task, "old_flavor"))
    spec = guest_spec(host, task, instance=before)
    state = host.driver.revert_outgoing(spec)
    host.volumes_done(task)
    return StepResult(power_state=state)


def connect(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """On the destination of a live migration: have networks and volumes ready before the guest comes, and say
    how it is to come.
    """
    host.prepare_network(task.instance)
    if volumes := host.open_volumes(task):
        host.driver.connect_volumes(task.instance, volumes)
    arrival = host.driver.arrival(placed(task))
    return StepResult(data={"arrival": msgspec.to_builtins(arrival)})


def live_migrate(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """On the source: copy the running guest; stops early when asked to."""
    try:
        host.driver.live_migrate(
            placed(task), task.payload["dest"], ProgressWatch(host, task).note,
            convert(task.payload.get("arrival") or {}, Arrival),
        )
    finally:
        host.aborts.discard(task.operation_id)
    return StepResult()


class ProgressWatch:
    """Tells the conductor how far a live migration is, at most once in ``EVERY`` seconds."""

    EVERY = 1.0

    def __init__(self, host: FlowHost, task: StepTask) -> None:
        self._host = host
        self._task = task
        self._due = 0.0

    def note(self, progress: MigrationProgress) -> bool:
        """Whether the migration is to go on."""
        task = self._task
        if task.operation_id in self._host.aborts or task.payload.get("aborted"):
            return False
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + self.EVERY
            try:
                self._host.conductor.migration_progress(task.operation_id, progress)
            except NovaError as error:
                LOG.info("%s: the progress of a live migration is not told: %s",
                         task.request_id, error.message)
        return True


def arrive(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """On the destination: take the guest over.

    Where that fails it stands still here, whole, until the source has taken it back (``back``), and
    is removed only then (``drop``).
    """
    undo.add(_stand_still, host, task.instance)
    host.prepare_network(task.instance)
    spec = guest_spec(host, task, instance=placed(task))
    state = host.driver.live_migrated_in(spec)
    host.volumes_done(task)
    return StepResult(power_state=state)
