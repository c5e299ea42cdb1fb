# SPDX-License-Identifier: Apache-2.0
"""The compute service of one host: takes steps, runs them, reports their end.

It holds no flow itself (``nova/compute/flows``) and no data beyond what it is busy with.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import threading
import traceback
from collections.abc import Iterator, Sequence

from nova.compute.flows import STEPS
from nova.compute.flows.host import FlowHost
from nova.compute.undo import Undo
from nova.errors import GuestNotFound, NotImplementedByDriver, NovaError, ServiceUnavailable
from nova.objects.host import HostReport
from nova.objects.instance import Instance, Vif
from nova.objects.operation import StepFailure, StepTask
from nova.virt.driver import Diagnostics

LOG = logging.getLogger(__name__)

_BUILDS = frozenset({"spawn", "migrate_in"})


class ComputeManager:
    """Endpoint of the ``compute`` topic on one host."""

    def __init__(self, host: FlowHost, *, max_concurrent_builds: int) -> None:
        self._host = host
        self._busy: set[int] = set()
        self._lock = threading.Lock()
        self._instance_locks: dict[str, tuple[threading.Lock, int]] = {}
        self._build_limit = max_concurrent_builds
        self._building = 0
        self._waiting: collections.deque[StepTask] = collections.deque()

    @property
    def name(self) -> str:
        """The host's name."""
        return self._host.name

    # --- steps -----------------------------------------------------------------------------------

    def run_step(self, task: StepTask) -> None:
        """Run one step, unless it runs already; builds beyond the limit wait their turn."""
        with self._lock:
            if task.operation_id in self._busy:
                return
            self._busy.add(task.operation_id)
            if task.step in _BUILDS and self._build_limit:
                if self._building >= self._build_limit:
                    self._waiting.append(task)
                    return
                self._building += 1
        self._run(task)
        while task.step in _BUILDS and self._build_limit:
            with self._lock:
                if not self._waiting:
                    self._building -= 1
                    return
                task = self._waiting.popleft()
            self._run(task)

    def _run(self, task: StepTask) -> None:
        try:
            with self._instance_lock(task.instance.uuid):
                failure = None
                try:
                    with Undo() as undo:
                        result = STEPS[task.flow, task.step](self._host, task, undo)
                except Exception as error:
                    failure = _failure(task, error)
        finally:
            with self._lock:
                self._busy.discard(task.operation_id)
        if failure is None:
            self._host.conductor.done(task.operation_id, task.step, result)
        else:
            self._host.conductor.failed(task.operation_id, task.step, failure)

    @contextlib.contextmanager
    def _instance_lock(self, uuid: str) -> Iterator[None]:
        """Steps of one instance run one after another: a delete waits for the build it overtook."""
        with self._lock:
            lock, users = self._instance_locks.get(uuid, (threading.Lock(), 0))
            self._instance_locks[uuid] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, users = self._instance_locks[uuid]
                if users == 1:
                    del self._instance_locks[uuid]
                else:
                    self._instance_locks[uuid] = (lock, users - 1)

    # --- what the control side asks and waits for ---------------------------------------------------

    def console_output(self, instance: Instance) -> bytes:
        """The guest's console."""
        return self._host.driver.console_output(instance)

    def diagnostics(self, instance: Instance) -> Diagnostics:
        """The guest's counters."""
        return self._host.driver.diagnostics(instance)

    def plug_interface(self, instance: Instance, vif: Vif) -> None:
        """Add a NIC; ``NotImplementedByDriver`` where the driver cannot."""
        if not self._host.driver.capabilities.attach_interface:
            raise NotImplementedByDriver
        self._host.driver.plug(instance, vif)

    def unplug_interface(self, instance: Instance, vif: Vif) -> None:
        """Take a NIC away."""
        with contextlib.suppress(GuestNotFound):
            self._host.driver.unplug(instance, vif)

    def uptime(self) -> str:
        """The host's uptime."""
        return self._host.driver.uptime()

    def abort_live_migration(self, operation_id: int) -> None:
        """Let a live migration stop at its next look."""
        self._host.aborts.add(operation_id)

    def force_complete_live_migration(self, instance_uuid: str) -> None:
        """Let a live migration end now."""
        self._host.driver.force_complete_live_migration(instance_uuid)

    # --- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect the driver, tell the conductor what this host is, and drop what is not wanted."""
        self._host.driver.start()
        self.report()
        self.sync_guests()

    def stop(self) -> None:
        """Let go of the hypervisor."""
        self._host.driver.stop()

    def reports(self) -> Sequence[HostReport]:
        """The host's nodes as the driver sees them."""
        return self._host.driver.reports()

    def report(self) -> None:
        """Say that the host lives, its size and what it is busy with."""
        with self._lock:
            busy = list(self._busy)
        self._host.conductor.report(self._host.driver.reports(), busy)

    def sync_guests(self) -> None:
        """Tell which guests are here; remove those that the conductor says were deleted."""
        try:
            unwanted = self._host.conductor.guests(self._host.driver.guests())
        except ServiceUnavailable:
            return
        for instance in unwanted:
            LOG.warning("%s: removing guest %s of a deleted instance", self.name, instance.uuid)
            with self._instance_lock(instance.uuid):
                self._host.driver.destroy(instance)


def _failure(task: StepTask, error: Exception) -> StepFailure:
    """An exception as the report of a failed step; our own bugs show their kind only."""
    details = "".join(traceback.format_exception(error))
    if isinstance(error, NovaError):
        LOG.warning("%s: %s of %s failed: %s", task.request_id, task.step,
                    task.instance.uuid, error.message)
        return StepFailure(
            message=error.message, details=details, code=error.status,
            retriable=task.step == "spawn",
        )
    LOG.exception("%s: %s of %s failed", task.request_id, task.step, task.instance.uuid)
    return StepFailure(
        message=f"Unexpected {type(error).__name__} in {task.step}", details=details, code=500,
        retriable=task.step == "spawn",
    )
