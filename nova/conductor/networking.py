# SPDX-License-Identifier: Apache-2.0
"""Talks to an external network service for the conductor: ports of boots, and what it has still to be told.

    place -> [allocate: ports made and bound, outside any transaction] -> spawn
          -> [plugging: until the service says that it carries the ports' traffic] -> unpause, or drop

Everything is a row before it is a request: an operation at its step ``allocate``, or a network task. A crash
in between is found by recovery or by the next look at the due tasks, and the requests may be repeated: ports
are found again by the server that they are for.
"""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec

from nova.conductor.core import ConductorCore
from nova.conductor.ending import Overtaken, abandon, go_on, stands
from nova.conductor.failing import fail
from nova.conductor.strikes import Strikes
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.decoding import convert
from nova.errors import NovaError, ServiceUnavailable
from nova.network.external import PLUGGED_EARLY, kept_ports
from nova.network.outside import OutsideNetworks, OutsidePlan
from nova.objects.instance import Instance, Vif
from nova.objects.network_task import ATTACH, BIND, DETACH, RELEASE, NetworkTask
from nova.objects.operation import Operation, StepFailure

LOG = logging.getLogger(__name__)

_THREADS = 8
#: How often a boot asks a service that does not answer, and the first pause in seconds, doubled each time.
_TRIES = 4
_PAUSE = 1.0
#: How often, in seconds, a boot that waits for its ports is looked at without being told of them.
_PLUG_LOOK = 15.0
#: How long one process has a task for itself, and the longest pause until it is tried again.
_HELD = datetime.timedelta(seconds=120)
_LONGEST = 300
#: How often tasks are looked for whose time has come, in seconds.
_LOOK = 2


class Networking:
    """Threads of their own: the network service may take its time."""

    def __init__(self, core: ConductorCore, strikes: Strikes) -> None:
        self._core = core
        self._strikes = strikes
        self._lock = threading.Lock()
        self._busy: set[tuple[str, int]] = set()
        self._once_more: set[tuple[str, int]] = set()
        self._timers: set[threading.Timer] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin; nothing happens where the network service is built in."""
        if self._core.networks.outside is not None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="networking")
            threading.Thread(target=self._look, name="network-tasks", daemon=True).start()

    def _look(self) -> None:
        while not self._ended.wait(_LOOK):
            try:
                self.tell_due()
            except Exception:
                LOG.exception("looking for network tasks failed; again in %d s", _LOOK)

    def stop(self) -> None:
        """Finish what is under way; what waits is a row."""
        self._ended.set()
        pool, self._pool = self._pool, None
        with self._lock:
            for timer in self._timers:
                timer.cancel()
        if pool is not None:
            pool.shutdown(cancel_futures=True)

    def allocate(self, operation_ids: Sequence[int]) -> None:
        """These operations are at their step ``allocate``."""
        for operation_id in operation_ids:
            self._submit("operation", operation_id, self._allocate)

    def plugging(self, operation_ids: Sequence[int]) -> None:
        """These operations are at their step ``plugging``: look whether they need not wait any more."""
        for operation_id in operation_ids:
            self._submit("operation", operation_id, self._plug, again=True)

    def tell(self, task_ids: Sequence[int]) -> None:
        """These tasks are due."""
        for task_id in task_ids:
            self._submit("task", task_id, self._run_task)

    def tell_due(self) -> int:
        """Look for tasks whose time has come; returns how many."""
        with self._core.db.read() as tx:
            due = tx.network_tasks.due(now())
        self.tell([task.id for task in due])
        return len(due)

    def _submit(
        self, kind: str, identifier: int, work: Callable[[int], None], *, again: bool = False
    ) -> None:
        """Do it on a thread, unless it is being done; ``again`` says that then it is to be done once more.

        What is being done may have read before what it is asked to look at now was written.
        """
        pool = self._pool
        with self._lock:
            if pool is None:
                return
            if (kind, identifier) in self._busy:
                if again:
                    self._once_more.add((kind, identifier))
                return
            self._busy.add((kind, identifier))

        def run() -> None:
            try:
                work(identifier)
            except Overtaken:
                LOG.debug("%s %d went on by itself", kind, identifier)
            except Exception as error:
                LOG.exception("network %s %d failed", kind, identifier)
                if kind == "operation":
                    self._strikes.strike(identifier, error)
            finally:
                with self._lock:
                    self._busy.discard((kind, identifier))
                    once_more = (kind, identifier) in self._once_more
                    self._once_more.discard((kind, identifier))
                if once_more:
                    self._submit(kind, identifier, self._plug, again=True)

        try:
            pool.submit(run)
        except RuntimeError:
            LOG.debug("%s %d is left to the next start", kind, identifier)

    def _later(self, seconds: float, work: Callable[[], None]) -> None:
        def run() -> None:
            with self._lock:
                self._timers.discard(timer)
            work()

        timer = threading.Timer(seconds, run)
        timer.daemon = True
        with self._lock:
            self._timers.add(timer)
        timer.start()

    # -- boots -------------------------------------------------------------------------------------

    def _allocate(self, operation_id: int) -> None:
        begun = self._core.db.run(lambda tx: self._begin(tx, operation_id))
        if begun is None:
            return
        operation, instance = begun
        plan = convert(operation.payload["network_plan"], OutsidePlan)
        try:
            vifs = self._outside.allocate(instance, plan)
        except ServiceUnavailable as error:
            tries = operation.payload.get("network_tries", 0) + 1
            if tries < _TRIES:
                LOG.warning("ports of %s have to wait: %s", instance.uuid, error.message)
                payload = {**operation.payload, "network_tries": tries}
                self._core.db.run(lambda tx: tx.operations.set_payload(operation_id, payload))
                self._later(_PAUSE * 2 ** (tries - 1), lambda: self.allocate([operation_id]))
                return
            self._core.db.run(partial(self._fail, operation_id=operation_id, error=error))
        except NovaError as error:
            self._core.db.run(partial(self._fail, operation_id=operation_id, error=error))
        else:
            surplus = self._core.db.run(lambda tx: self._give(tx, operation_id, vifs))
            for port_id in surplus:
                self._outside.detach(
                    instance.uuid, port_id, keep=port_id in plan.ports
                )

    def _standing(
        self, tx: Transaction, operation: Operation | None, step: str
    ) -> tuple[Operation, Instance] | None:
        """An operation that is at a step, and its instance; one that was overtaken is ended."""
        if operation is None or operation.finished_at is not None or operation.step != step:
            return None
        instance = tx.instances.get(operation.instance_uuid, lock=True)
        if instance is None:
            return None
        if not stands(operation, instance):
            abandon(self._core, tx, operation, instance)
            return None
        return operation, instance

    def _begin(self, tx: Transaction, operation_id: int) -> tuple[Operation, Instance] | None:
        found = self._standing(tx, tx.operations.get(operation_id), "allocate")
        if found is None:
            return None
        operation, instance = found
        for task in tx.network_tasks.of_instance(instance.uuid):
            if task.kind != RELEASE:
                continue
            if task.attempts and task.due_at > now():
                # Somebody is giving up the ports of an earlier try just now.
                self._later(_PAUSE, lambda: self.allocate([operation_id]))
                return None
            tx.network_tasks.remove(task.id)
        if PLUGGED_EARLY in instance.system_metadata:
            # It was said of ports on the host of an earlier try.
            rest = {
                name: value for name, value in instance.system_metadata.items() if name != PLUGGED_EARLY
            }
            tx.instances.update(instance.uuid, {"system_metadata": rest})
            instance = msgspec.structs.replace(instance, system_metadata=rest)
        return operation, instance

    def _give(
        self, tx: Transaction, operation_id: int, vifs: tuple[Vif, ...]
    ) -> list[str]:
        """Write the cards and go on; answers the ports that nobody needs where it was overtaken."""
        operation = tx.operations.get(operation_id, lock=True)
        instance = None
        if operation is not None:
            instance = tx.instances.get(operation.instance_uuid, lock=True)
        if (
            operation is None or instance is None or operation.finished_at is not None
            or operation.step != "allocate" or not stands(operation, instance)
        ):
            present = {vif.id for vif in instance.network_info} if instance is not None else set()
            return [vif.id for vif in vifs if vif.id not in present]
        said = instance.system_metadata.get(PLUGGED_EARLY) or {}
        vifs = tuple(
            msgspec.structs.replace(vif, plugged=True) if said.get(vif.id) else vif for vif in vifs
        )
        tx.instances.update(instance.uuid, {"network_info": vifs})
        placed = msgspec.structs.replace(instance, network_info=vifs)
        held = self._core.config.network.vif_plugging_timeout > 0 and not all(
            vif.plugged for vif in vifs
        )
        payload = {**operation.payload, "held": held}
        if not self._core.dispatcher.enter(tx, operation, placed, "spawn", payload):
            raise Overtaken
        node_id = operation.payload["node_id"]
        tx.after_commit(lambda: self._core.hosts.note_building(node_id, 1))
        return []

    def _fail(self, tx: Transaction, operation_id: int, error: NovaError) -> None:
        operation = tx.operations.get(operation_id, lock=True)
        if operation is None or operation.finished_at is not None or operation.step != "allocate":
            return
        instance = tx.instances.get(operation.instance_uuid, lock=True)
        if instance is None or not stands(operation, instance):
            return
        text = f"Failed to allocate the network(s): {error.message}"
        fail(self._core, tx, operation, instance, StepFailure(message=text, code=error.status))

    def _plug(self, operation_id: int) -> None:
        """End the wait of a boot whose ports are plugged, cannot be, or were not in time."""
        left = self._core.db.run(lambda tx: self._waited(tx, operation_id))
        if left is not None:
            self._later(min(left, _PLUG_LOOK), lambda: self.plugging([operation_id]))

    def _waited(self, tx: Transaction, operation_id: int) -> float | None:
        """How many seconds there are left to wait; None where it has gone on or ended."""
        found = self._standing(tx, tx.operations.get(operation_id, lock=True), "plugging")
        if found is None:
            return None
        operation, instance = found
        missing = [vif.id for vif in instance.network_info if not vif.plugged]
        if not missing:
            go_on(self._core, tx, operation, instance, "unpause")
            return None
        said = instance.system_metadata.get(PLUGGED_EARLY) or {}
        refused = [port for port in missing if said.get(port) is False]
        until = datetime.datetime.fromisoformat(operation.payload["plugged_by"])
        left = (until - now()).total_seconds()
        if refused or left <= 0:
            fatal = self._core.config.network.vif_plugging_is_fatal
            LOG.warning(
                "the network service has not plugged %s of %s%s", ", ".join(refused or missing),
                instance.uuid, "" if fatal else "; the guest runs without",
            )
            go_on(self._core, tx, operation, instance, "drop" if fatal else "unpause")
            return None
        dispatcher = self._core.dispatcher
        tx.operations.advance(
            operation_id, step="plugging", host=None, lease_owner=dispatcher.owner,
            lease_until=dispatcher.lease_end(), from_step="plugging",
        )
        return left

    # -- what the service has to be told -----------------------------------------------------------

    @property
    def _outside(self) -> OutsideNetworks:
        found = self._core.networks.outside
        assert found is not None
        return found

    def _run_task(self, task_id: int) -> None:
        task = self._core.db.run(lambda tx: self._take(tx, task_id))
        if task is None:
            return
        try:
            done = self._told(task)
        except NovaError as error:
            pause = min(2 ** min(task.attempts, 10), _LONGEST)
            LOG.warning(
                "the network service could not be told (%s of %s), again in %d s: %s",
                task.kind, task.instance_uuid, pause, error.message,
            )
            until = now() + datetime.timedelta(seconds=pause)
            self._core.db.run(lambda tx: tx.network_tasks.postpone(task_id, until))
            return
        if done:
            self._core.db.run(lambda tx: tx.network_tasks.remove(task_id))
        else:
            until = now() + _HELD
            self._core.db.run(lambda tx: tx.network_tasks.postpone(task_id, until))

    def _take(self, tx: Transaction, task_id: int) -> NetworkTask | None:
        moment = now()
        if not tx.network_tasks.take(task_id, moment, moment + _HELD):
            return None
        return tx.network_tasks.find(task_id)

    def _told(self, task: NetworkTask) -> bool:
        """Carry a task out; false where it has to wait."""
        facts = task.facts or {}
        uuid = task.instance_uuid
        if task.kind == RELEASE:
            self._outside.release(uuid, facts.get("kept", ()))
        elif task.kind == DETACH:
            self._outside.detach(uuid, facts["port"], keep=bool(facts.get("keep")))
        elif task.kind == BIND:
            with self._core.db.read() as tx:
                instance = tx.instances.get(uuid)
            if instance is not None:
                self._outside.bind(uuid, instance.host)
        elif task.kind == ATTACH:
            return self._sweep(task)
        return True

    def _sweep(self, task: NetworkTask) -> bool:
        """An attach that nobody ended: give up the ports that the server does not know of."""
        present = self._outside.port_ids(task.instance_uuid)
        with self._core.db.read() as tx:
            instance = tx.instances.get(task.instance_uuid, deleted=True)
            others = [
                each for each in tx.network_tasks.of_instance(task.instance_uuid)
                if each.kind == ATTACH and each.id != task.id and not each.attempts
            ]
        if others:
            # Their ports may be there already, and are not known either until they are done.
            return False
        known = set()
        if instance is not None and not instance.deleted:
            known = {vif.id for vif in instance.network_info}
        kept = kept_ports(instance) if instance is not None else []
        for port_id in sorted(present - known):
            self._outside.detach(task.instance_uuid, port_id, keep=port_id in kept)
        return True
