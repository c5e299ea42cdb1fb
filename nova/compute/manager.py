# SPDX-License-Identifier: Apache-2.0
"""The compute service of one host: takes steps, runs them, reports their end.

It holds no flow itself (``nova/compute/flows``) and no data beyond what it is busy with.
"""

from __future__ import annotations

import collections
import contextlib
import datetime
import errno
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from nova import log, metrics
from nova.compute.flows import STEPS
from nova.compute.flows.host import FlowHost
from nova.compute.report_news import is_news
from nova.compute.undo import Undo
from nova.errors import GuestNotFound, NotImplementedByDriver, NovaError, ServiceUnavailable
from nova.objects.console import ConsoleEndpoint
from nova.objects.device_addresses import KEY, DeviceAddresses, has_tags
from nova.objects.host import HostReport
from nova.objects.instance import Instance, Vif
from nova.objects.operation import StepFailure, StepTask
from nova.objects.states import POWER_PAUSED, RUNNING
from nova.virt.driver import Diagnostics

LOG = logging.getLogger(__name__)

_BUILDS = frozenset({"spawn", "migrate_in"})
_REMOVALS = frozenset({"destroy", "clean"})
#: Steps after which the devices of a guest may be elsewhere.
_PLACES = frozenset({
    ("create", "spawn"), ("unshelve", "spawn"), ("unshelve", "run"), ("evacuate", "spawn"),
    ("rebuild", "run"), ("start", "run"), ("reboot_hard", "run"), ("reboot_soft", "run"),
    ("rescue", "run"), ("unrescue", "run"), ("resize", "migrate_in"), ("migrate", "migrate_in"),
    ("revert_resize", "revert"), ("live_migrate", "arrive"), ("attach_volume", "attach"),
    ("attach_interface", "plug"),
})

#: What an operating system says where a disk is full.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

#: Sizes and facts that have not changed are told again after so many seconds; signs of life come between.
_TELL_AGAIN = 50.0

#: By how much a report may be late and still be the one after the last.
_PUNCTUAL = 1.25

#: Of how many instances the newest operation is remembered.
_REMEMBERED = 4096

#: An operation at a step, in one of its attempts.
_Key = tuple[int, str, int]


def _key(task: StepTask) -> _Key:
    return task.operation_id, task.step, task.attempt


class ComputeManager:
    """Endpoint of the ``compute`` topic on one host."""

    def __init__(
        self,
        host: FlowHost,
        *,
        max_concurrent_builds: int,
        resume_guests: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock`` tells the time by which leases end: the control side's, in seconds since the epoch."""
        self._host = host
        self._resume_guests = resume_guests
        self._clock = clock
        #: What it is busy with, or will be: (operation, step, attempt) -> the instance.
        self._busy: dict[_Key, str] = {}
        self._newest: dict[str, int] = {}
        self._lock = threading.Lock()
        self._instance_locks: dict[str, tuple[threading.Lock, int]] = {}
        #: What the conductor was told last of this host's nodes, and when.
        self._told: Sequence[HostReport] | None = None
        self._told_at = 0.0
        #: When it reported last, and for how long nobody misses it after that.
        self._reported_at, self._silence, self._kept_silent = 0.0, 0.0, False
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
            if _key(task) in self._busy:
                return
            self._note_newest(task)
            if task.step in _REMOVALS:
                self._drop_waiting(task.instance.uuid)
            self._busy[_key(task)] = task.instance.uuid
            if task.step in _BUILDS and self._build_limit:
                if self._building >= self._build_limit:
                    self._waiting.append(task)
                    metrics.WAITING_BUILDS.inc()
                    return
                self._building += 1
        self._run(task)
        while task.step in _BUILDS and self._build_limit:
            with self._lock:
                if not self._waiting:
                    self._building -= 1
                    return
                task = self._waiting.popleft()
                metrics.WAITING_BUILDS.dec()
            self._run(task)

    def _drop_waiting(self, uuid: str) -> None:
        """Builds of an instance that is being removed need not begin. The lock is held."""
        dropped = [task for task in self._waiting if task.instance.uuid == uuid]
        for task in dropped:
            self._waiting.remove(task)
            metrics.WAITING_BUILDS.dec()
            self._busy.pop(_key(task), None)

    def _run(self, task: StepTask) -> None:
        """Run a step and report it. It counts as busy until then, so that it is not taken up twice."""
        instance = task.instance
        try:
            with log.about(
                task.request_id, instance.uuid, instance.user_id, instance.project_id
            ), self._instance_lock(instance.uuid):
                if self._late(task) and not self._host.conductor.wanted(
                    task.operation_id, task.step
                ):
                    return
                self._report(task)
        except Exception:
            # The row stays at this step; when its lease is over the step comes again.
            with log.about(task.request_id, instance.uuid, instance.user_id, instance.project_id):
                LOG.exception("%s of %s could not be reported", task.step, instance.uuid)
        finally:
            with self._lock:
                self._busy.pop(_key(task), None)

    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self._clock(), datetime.UTC).replace(tzinfo=None)

    def _note_newest(self, task: StepTask) -> None:
        """Remember the newest operation of an instance. The lock is held."""
        uuid = task.instance.uuid
        self._newest[uuid] = max(task.operation_id, self._newest.pop(uuid, 0))
        if len(self._newest) > _REMEMBERED:
            del self._newest[next(iter(self._newest))]

    def _late(self, task: StepTask) -> bool:
        """Whether the step may have been done already, taken by another host, or overtaken.

        Operations of an instance follow each other, so that one behind a newer one was given up, or is
        one of the few that may be under way beside others; messages may change their order.
        """
        if task.resumed or (task.lease_until is not None and self._now() > task.lease_until):
            return True
        return task.operation_id < self._newest.get(task.instance.uuid, 0)

    def _report(self, task: StepTask) -> None:
        began = time.perf_counter()
        try:
            with Undo() as undo:
                result = STEPS[task.flow, task.step](self._host, task, undo)
                if (task.flow, task.step) in _PLACES and has_tags(task.instance):
                    found = self._addresses(task.instance)
                    if found is not None:
                        result = msgspec.structs.replace(result, data={**result.data, KEY: found})
        except Exception as error:
            self._count(task, began, "failed" if isinstance(error, NovaError) else "bug")
            unwanted = self._host.conductor.failed(
                task.operation_id, task.step, _failure(task, error)
            )
        else:
            self._count(task, began, "success")
            unwanted = self._host.conductor.done(task.operation_id, task.step, result)
        if unwanted:
            LOG.warning("removing guest %s, which is not to be here after %s", task.instance.uuid,
                        task.step)
            self._host.driver.destroy(task.instance.uuid)

    def _count(self, task: StepTask, began: float, result: str) -> None:
        seconds = time.perf_counter() - began
        metrics.step_ended(task.flow, task.step, result, seconds)
        if log.OPERATIONS.isEnabledFor(logging.INFO):
            log.OPERATIONS.info(
                "%s/%s on host %s: %s after %.3f s", task.flow, task.step, self.name, result, seconds
            )

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

    def console_endpoint(self, instance: Instance, console_type: str) -> ConsoleEndpoint:
        """Where the guest's console of that type is served."""
        return self._host.driver.console_endpoint(instance, console_type)

    def diagnostics(self, instance: Instance) -> Diagnostics:
        """The guest's counters."""
        return self._host.driver.diagnostics(instance)

    def plug_interface(self, instance: Instance, vif: Vif) -> DeviceAddresses:
        """Add a NIC, and tell where one with a tag is; ``NotImplementedByDriver`` where the driver cannot."""
        if not self._host.driver.capabilities.attach_interface:
            raise NotImplementedByDriver
        if self._host.network is not None:
            self._host.network.prepare([vif])
        self._host.driver.plug(instance, vif)
        return (self._addresses(instance) if vif.tag else None) or {}

    def _addresses(self, instance: Instance) -> DeviceAddresses | None:
        """Where the guest sees its devices; None where that cannot be told, which undoes nothing."""
        try:
            return self._host.driver.device_addresses(instance)
        except NovaError as error:
            LOG.warning("%s: devices of %s: %s", self.name, instance.uuid, error.message)
            return None

    def unplug_interface(self, instance: Instance, vif: Vif) -> None:
        """Take a NIC away."""
        with contextlib.suppress(GuestNotFound):
            self._host.driver.unplug(instance, vif)

    def cache_images(self, image_ids: Sequence[str]) -> None:
        """Fetch images ahead of need; one that cannot be had keeps no others."""
        for image_id in image_ids:
            try:
                self._host.driver.cache_image(self._host.images.to_cache(image_id))
            except NovaError as error:
                LOG.warning("%s: image %s was not cached: %s", self.name, image_id, error.message)

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

    def find_conductor(self) -> None:
        """Return where a conductor answers; ``ServiceUnavailable`` where none does yet."""
        self._host.conductor.guests_wanted()

    def start(self, serve: Callable[[], object] = lambda: None) -> None:
        """Connect the driver, tell the conductor what this host is, and drop what is not wanted.

        ``serve`` lets steps come: not before the driver knows its guests, nor after the host is known.
        """
        self._host.driver.watch(self._guest_changed)
        self._host.driver.start()
        serve()
        self.report()
        if self._resume_guests:
            self._start_wanted()
        self.sync_guests()

    def give_up(self) -> None:
        """Insist no more on telling a control side that is away what was done here."""
        self._host.conductor.ending.set()

    def stop(self) -> None:
        """Let go of the hypervisor."""
        self.give_up()
        self._host.driver.stop()

    def describe(self) -> str:
        """The hypervisor in a few words."""
        return self._host.driver.describe()

    def reports(self) -> Sequence[HostReport]:
        """The host's nodes as the driver sees them."""
        return self._host.driver.reports()

    def report(self) -> None:
        """Say that the host lives, its size and what it is busy with.

        Comes every ``report_interval``. A host with nothing new and nothing to do leaves out every second
        report, as far as the conductor can do without them; one that was not heard goes out again each time.
        """
        with self._lock:
            busy = sorted({operation_id for operation_id, _step, _attempt in self._busy})
        try:
            reports = self._host.driver.reports()
        except ServiceUnavailable as error:
            # Without a report the service counts as down after a while, which it is.
            LOG.warning("%s: not reporting: %s", self.name, error.message)
            return
        told = time.monotonic()
        same = told - self._told_at < _TELL_AGAIN and not is_news(reports, self._told)
        since = told - self._reported_at
        if same and not busy and not self._kept_silent and since <= self._silence / 2 * _PUNCTUAL:
            self._kept_silent = True
            return
        answer = self._host.conductor.report([] if same else reports, busy)
        if answer.sizes_wanted and same:
            same = False
            answer = self._host.conductor.report(reports, busy)
        self._reported_at, self._silence, self._kept_silent = told, answer.silence, False
        if not same:
            self._told, self._told_at = reports, told

    def _guest_changed(self, uuid: str | None, power_state: int) -> None:
        """A guest changed by itself, or changes may have been missed."""
        if uuid is None:
            self.sync_guests()
        else:
            self._host.conductor.guest_changed(uuid, power_state)

    def _start_wanted(self) -> None:
        """Start the guests that ran when the host went down, four at a time."""
        states = self._host.driver.guests()
        waiting = [
            instance for instance in self._host.conductor.guests_wanted()
            if states.get(instance.uuid, 0) not in (RUNNING, POWER_PAUSED)
        ]
        with ThreadPoolExecutor(max_workers=4, thread_name_prefix="resume") as pool:
            for _ in pool.map(self._start_one, waiting):
                pass

    def _start_one(self, instance: Instance) -> None:
        LOG.info("%s: starting guest %s, which ran before", self.name, instance.uuid)
        try:
            with self._instance_lock(instance.uuid):
                self._host.prepare_network(instance)
                self._host.driver.reboot(instance, hard=True)
        except NovaError as error:
            LOG.warning("%s: guest %s could not be started: %s", self.name, instance.uuid,
                        error.message)

    def sync_guests(self) -> None:
        """Tell which guests are here; remove those that the conductor says are not to be here."""
        try:
            unwanted = self._host.conductor.guests(self._host.driver.guests())
        except ServiceUnavailable:
            return
        for uuid in unwanted:
            with self._instance_lock(uuid):
                with self._lock:
                    coming = uuid in self._busy.values()
                if not coming:
                    LOG.warning("%s: removing guest %s, which is not to be here", self.name, uuid)
                    self._host.driver.destroy(uuid)


def _failure(task: StepTask, error: Exception) -> StepFailure:
    """An exception as the report of a failed step; our own bugs show their kind only."""
    details = "".join(traceback.format_exception(error))
    if isinstance(error, NovaError):
        LOG.warning("%s of %s failed: %s", task.step, task.instance.uuid, error.message)
        return StepFailure(
            message=error.message, details=details, code=error.status,
            # What is wrong with the request itself is no better on another host.
            retriable=task.step == "spawn" and error.status >= 500,
        )
    if isinstance(error, OSError) and error.errno in _FULL:
        LOG.warning("%s of %s failed: %s", task.step, task.instance.uuid, error)
        return StepFailure(
            message=f"Host {task.host} has no space left for {task.step}", details=details, code=500,
            retriable=task.step == "spawn",
        )
    LOG.exception("%s of %s failed", task.step, task.instance.uuid)
    return StepFailure(
        message=f"Unexpected {type(error).__name__} in {task.step}", details=details, code=500,
        retriable=task.step == "spawn",
    )
