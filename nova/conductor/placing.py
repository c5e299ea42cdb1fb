# SPDX-License-Identifier: Apache-2.0
"""Chooses hosts for what waits to be placed, claims them and hands the next step out.

One thread takes all that waits, up to a batch, and places it in one transaction: select, claim, addresses,
rows. A burst of boots thus costs a few statements each instead of a transaction each.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from nova import log, metrics
from nova.conductor.core import ConductorCore
from nova.conductor.ended import about_operation, about_operation_id, note_end
from nova.conductor.ending import abandon, stands
from nova.conductor.failing import fail
from nova.conductor.host_table import SchedulerTable
from nova.conductor.request_specs import specs_for
from nova.conductor.steps import FLOWS
from nova.conductor.strikes import Strikes
from nova.conductor.topology_claims import TopologyClaims, Wanted
from nova.db.engine import Transaction
from nova.decoding import convert
from nova.errors import NovaError, NoValidHost
from nova.network.cards import AllocationRequest
from nova.network.probing import AddressesUnprobed
from nova.objects.host import ClaimRequest
from nova.objects.instance import Instance, RequestedNetwork
from nova.objects.operation import Operation, StepFailure, StepTask
from nova.objects.request_spec import RequestSpec, Selection
from nova.objects.states import MIGRATING, REBUILD_SPAWNING, RESIZE_MIGRATING, SPAWNING
from nova.objects.topology import GuestTopology
from nova.scheduler.scheduler import is_forced
from nova.topology.devices import parse_aliases

LOG = logging.getLogger(__name__)

_STOP = -1


class _Job:
    """One operation on its way through a batch."""

    __slots__ = ("instance", "operation", "selection", "spec", "topology")

    def __init__(self, operation: Operation, instance: Instance, spec: RequestSpec) -> None:
        self.operation = operation
        self.instance = instance
        self.spec = spec
        self.selection: Selection | None = None
        #: The place on the host that the claim took.
        self.topology: GuestTopology | None = None


class Placer:
    """The placing thread of a conductor."""

    def __init__(self, core: ConductorCore, hosts: SchedulerTable, strikes: Strikes) -> None:
        self._core = core
        #: What hosts are chosen from.
        self.hosts = hosts
        self._strikes = strikes
        self._waiting: set[int] = set()
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._batch = core.config.conductor.place_batch
        self._claims = TopologyClaims(
            hosts.table,
            pack_cells=core.config.compute_cpus.packing_host_numa_cells_allocation_strategy,
        )
        self._thread = threading.Thread(target=self._loop, name="placer", daemon=True)

    def start(self) -> None:
        """Begin to place."""
        metrics.watch(metrics.WAITING_PLACEMENTS, self._queue.qsize)
        self._thread.start()

    def stop(self) -> None:
        """Finish the present batch and end."""
        self._queue.put(_STOP)
        if self._thread.is_alive():
            self._thread.join(10)

    def put(self, operation_ids: Sequence[int]) -> None:
        """These operations are at their step ``place``; those that wait already are not put twice."""
        with self._lock:
            for operation_id in operation_ids:
                if operation_id not in self._waiting:
                    self._waiting.add(operation_id)
                    self._queue.put(operation_id)

    def _loop(self) -> None:
        while True:
            ids = [self._queue.get()]
            while len(ids) < self._batch and not self._queue.empty():
                ids.append(self._queue.get_nowait())
            wanted = [each for each in ids if each != _STOP]
            with self._lock:
                self._waiting.difference_update(wanted)
            if wanted:
                self._place_or_split(wanted)
            if _STOP in ids:
                return

    def _place_or_split(self, operation_ids: Sequence[int]) -> None:
        """Place a batch; where that breaks, one by one, so that a bad one holds up no others.

        The rows of what breaks stay as they were, and recovery brings it back until it is given up.
        """
        try:
            self.place(operation_ids)
            return
        except Exception as error:
            self.hosts.changed()
            if len(operation_ids) == 1:
                self._struck(operation_ids[0], error)
                return
            LOG.warning(
                "placing %d operations together failed; they are placed one by one",
                len(operation_ids), exc_info=True,
            )
        for operation_id in operation_ids:
            try:
                self.place([operation_id])
            except Exception as error:
                self.hosts.changed()
                self._struck(operation_id, error)

    def _struck(self, operation_id: int, error: Exception) -> None:
        with about_operation_id(self._core.db, operation_id):
            LOG.error("placing operation %d failed", operation_id, exc_info=error)
        try:
            self._strikes.strike(operation_id, error)
        except Exception:
            LOG.exception("operation %d could not be given up; it is tried again", operation_id)

    def place(self, operation_ids: Sequence[int]) -> None:
        """Place a batch in one transaction."""
        began = time.perf_counter()
        self.hosts.refresh()
        placed: list[_Job] = []

        def attempt(tx: Transaction, *, probed_only: bool = True) -> None:
            self._unplace_all(placed)
            self._place(tx, operation_ids, placed, probed_only=probed_only)

        try:
            try:
                self._core.db.run(attempt)
            except AddressesUnprobed as unprobed:
                assert self._core.networks.prober is not None
                self._core.networks.prober.ready(unprobed.wanted)
                # Once is enough: what could not be asked for in time is given as it is.
                self._core.db.run(lambda tx: attempt(tx, probed_only=False))
        except BaseException:
            self._unplace_all(placed)
            raise
        metrics.BATCH_SECONDS.observe(time.perf_counter() - began)
        metrics.PLACED.inc(len(placed))
        if log.OPERATIONS.isEnabledFor(logging.INFO):
            _log_placed(placed)

    def _unplace_all(self, placed: list[_Job]) -> None:
        """Forget what a transaction that came to nothing had chosen."""
        for job in placed:
            self._unplace(job)
        placed.clear()

    def _place(
        self, tx: Transaction, ids: Sequence[int], placed: list[_Job], *, probed_only: bool
    ) -> None:
        operations = [op for op in tx.operations.get_many(ids) if op.step == "place"]
        instances = tx.instances.get_many([op.instance_uuid for op in operations], lock=True)
        if not self._core.db.single_writer:
            # Another conductor may have placed some before this one got their locks.
            operations = [op for op in tx.operations.get_many(ids) if op.step == "place"]
        for operation in operations:
            if operation.instance_uuid not in instances and tx.operations.finish(
                operation.id, failed=True, message="Error"
            ):
                note_end(tx, operation, failed=True)
        live = [
            op for op in operations
            if op.instance_uuid in instances and self._still_wanted(tx, op, instances)
        ]
        if not live:
            return
        specs = specs_for(
            tx, [(op, instances[op.instance_uuid]) for op in live],
            lambda: parse_aliases(self._core.config.pci.alias),
        )
        jobs = []
        for op, spec in zip(live, specs, strict=True):
            instance = instances[op.instance_uuid]
            if isinstance(spec, NovaError):
                failure = StepFailure(message=spec.message, code=spec.status)
                fail(self._core, tx, op, instance, failure)
            else:
                jobs.append(_Job(op, instance, spec))
        self._select(tx, jobs, placed)
        self._claim(tx, placed)
        self._give_addresses(tx, placed, probed_only=probed_only)
        self._hand_out(tx, placed)

    def _still_wanted(
        self, tx: Transaction, operation: Operation, instances: Mapping[str, Instance]
    ) -> bool:
        """Something may have overtaken it; an abort of a live migration ends it here as well."""
        instance = instances[operation.instance_uuid]
        if not stands(operation, instance):
            abandon(self._core, tx, operation, instance)
            return False
        if operation.payload.get("aborted"):
            fail(
                self._core, tx, operation, instance,
                StepFailure(message="The live migration was aborted"),
            )
            return False
        return True

    def _select(self, tx: Transaction, jobs: list[_Job], placed: list[_Job]) -> None:
        choices = self.hosts.scheduler.select([job.spec for job in jobs])
        if any(isinstance(choice, NoValidHost) for choice in choices):
            choices = self._select_again(tx, jobs, choices)
        for job, choice in zip(jobs, choices, strict=True):
            if isinstance(choice, NoValidHost):
                self._refuse(tx, job, choice)
            else:
                job.selection = choice
                placed.append(job)

    def _select_again(
        self, tx: Transaction, jobs: list[_Job], choices: list[Selection | NoValidHost]
    ) -> list[Selection | NoValidHost]:
        """Before a user hears that there is no host: look once more with what is claimed in truth."""
        hosts = self.hosts
        if not self._core.db.single_writer:
            hosts.look_again()
        moved = hosts.table.refresh(tx.nodes.usage())
        if moved:
            hosts.table.update_topologies(tx.nodes.get_many(moved))
        for job, choice in zip(jobs, choices, strict=True):
            if isinstance(choice, Selection):
                hosts.scheduler.place(choice.node_id, job.spec)
        return [
            choice if isinstance(choice, Selection) else hosts.scheduler.select([job.spec])[0]
            for job, choice in zip(jobs, choices, strict=True)
        ]

    def _refuse(self, tx: Transaction, job: _Job, reason: NovaError) -> None:
        """No host: after failed tries the last host's own error tells the user more."""
        tx.after_commit(metrics.NO_VALID_HOST.inc)
        last = job.operation.payload.get("last_failure")
        text = f"{reason.message} Last host's error: {last}" if last else reason.message
        fail(self._core, tx, job.operation, job.instance, StepFailure(message=text))

    def _claim(self, tx: Transaction, placed: list[_Job]) -> None:
        if not placed:
            return
        refused = [job for job, ok in zip(placed, self._take(tx, placed), strict=True) if not ok]
        refused += self._out_of_policy(tx, [job for job in placed if job not in refused])
        if refused:
            metrics.LOST_RACES.inc(len(refused))
        for job in refused:
            self._unplace(job)
            if not self._take_alternate(tx, job):
                placed.remove(job)
                self.hosts.changed()
                if job.operation.attempt + 1 >= self._core.config.conductor.max_attempts:
                    self._refuse(tx, job, NoValidHost(_why_refused(job)))
                else:
                    self._core.dispatcher.enter(
                        tx, job.operation, job.instance, "place",
                        attempt=job.operation.attempt + 1,
                    )

    def _take(self, tx: Transaction, jobs: Sequence[_Job]) -> list[bool]:
        """Claim for each, where it was chosen to go."""
        granted = self._claims.take(
            tx, [Wanted(self._claim_of(job), job.spec.topology) for job in jobs]
        )
        for job, answer in zip(jobs, granted, strict=True):
            job.topology = answer.topology
        return [answer.ok for answer in granted]

    def _out_of_policy(self, tx: Transaction, jobs: list[_Job]) -> list[_Job]:
        """Those whose group another conductor has filled meanwhile; their claims are given back."""
        members = [job for job in jobs if job.spec.group_uuid and job.spec.force_host is None]
        return [
            job for job in sorted(members, key=lambda each: each.spec.group_uuid or "")
            if not self._keeps_policy(tx, job)
        ]

    def _keeps_policy(self, tx: Transaction, job: _Job) -> bool:
        """Whether the claim just taken suits the server's group; it is given back where it does not."""
        if not job.spec.group_uuid or job.spec.force_host is not None:
            return True
        assert job.selection is not None
        kept = tx.claims.keeps_group_policy(
            job.spec.group_uuid, job.spec.group_policy or "", job.instance.uuid,
            job.selection.node_id, int(job.spec.group_rules.get("max_server_per_host", 1)),
        )
        if not kept:
            tx.claims.release(job.instance.uuid, self._claim_of(job).kind)
        return kept

    def _take_alternate(self, tx: Transaction, job: _Job) -> bool:
        assert job.selection is not None
        for node_id, host, node in job.selection.alternates:
            job.selection = Selection(node_id, host, node)
            if self._take(tx, [job])[0] and self._keeps_policy(tx, job):
                self.hosts.scheduler.place(node_id, job.spec)
                return True
        return False

    def _claim_of(self, job: _Job) -> ClaimRequest:
        assert job.selection is not None
        flavor = job.spec.flavor
        return ClaimRequest(
            instance_uuid=job.instance.uuid, node_id=job.selection.node_id, vcpus=flavor.vcpus,
            memory_mb=flavor.memory_mb, disk_gb=job.spec.disk_gb,
            kind="instance" if job.operation.flow in _OWN_HOST else "incoming",
            limits=self.hosts.scheduler.limits(job.selection.node_id, job.spec),
        )

    def _unplace(self, job: _Job) -> None:
        if job.selection is not None:
            self.hosts.scheduler.unplace(job.selection.node_id, job.spec)

    def _give_addresses(
        self, tx: Transaction, placed: list[_Job], *, probed_only: bool
    ) -> None:
        """Boots get their addresses with their host; an external service is asked in the next step."""
        if self._core.networks.outside is not None:
            return
        boots = [job for job in placed if job.operation.flow == "create"]
        if not boots:
            return
        answers = self._core.networks.allocate_many(
            tx,
            [
                AllocationRequest(
                    instance_uuid=job.instance.uuid, project_id=job.instance.project_id,
                    host=job.selection.host if job.selection else None,
                    requested=_requested(job.operation.payload.get("networks")),
                )
                for job in boots
            ],
            probed_only=probed_only,
        )
        for job, answer in zip(boots, answers, strict=True):
            if isinstance(answer, NovaError):
                placed.remove(job)
                self._unplace(job)
                tx.claims.release(job.instance.uuid, "instance")
                fail(
                    self._core, tx, job.operation, job.instance,
                    StepFailure(message=answer.message, code=answer.status),
                )
            else:
                job.instance = msgspec.structs.replace(job.instance, network_info=answer)

    def _hand_out(self, tx: Transaction, placed: list[_Job]) -> None:
        """Write where everything goes, enter the next steps, and send them off after the commit."""
        here = [job for job in placed if job.operation.flow in _OWN_HOST]
        if here:
            tx.instances.update_many([_placed_row(job) for job in here])
        for job in here:
            if job.topology is not None or job.instance.topology is not None:
                tx.instances.update(job.instance.uuid, {"topology": job.topology})
        for job in placed:
            if job.operation.flow not in _OWN_HOST:
                task_state = _MOVE_TASKS[job.operation.flow or ""]
                tx.instances.transition(job.instance.uuid, {"task_state": task_state})
        tasks = [self._task(tx, job) for job in placed]
        if tasks:
            until = self._core.dispatcher.lease_end()
            tx.operations.advance_many(
                [
                    {
                        "the_id": task.operation_id, "new_step": task.step,
                        "new_host": None if task.step == "allocate" else task.host,
                        "new_payload": task.payload,
                        "owner": self._core.dispatcher.owner, "until": until,
                    }
                    for task in tasks
                ]
            )
            building = [task for task in tasks if task.step != "allocate"]
            self._core.dispatcher.send_many(tx, building)
            if len(building) < len(tasks):
                self._core.dispatcher.wake(
                    tx, [task.operation_id for task in tasks if task.step == "allocate"], "allocate"
                )
            nodes = [task.payload["node_id"] for task in building]
            tx.after_commit(lambda: self._count_building(nodes))

    def _count_building(self, node_ids: list[int]) -> None:
        for node_id in node_ids:
            self.hosts.table.note_building(node_id, 1)

    def _address_of(self, node_id: int) -> str | None:
        """The management address of a node, unless it went away meanwhile."""
        table = self.hosts.table
        row, nodes = table.row_of(node_id), table.nodes
        known = row is not None and row < len(nodes) and nodes[row].id == node_id
        return nodes[row].host_ip if row is not None and known else None

    def _task(self, tx: Transaction, job: _Job) -> StepTask:
        operation, selection = job.operation, job.selection
        assert operation.flow is not None
        assert selection is not None
        names = [step.name for step in FLOWS[operation.flow]]
        step = FLOWS[operation.flow][names.index("place") + 1]
        if step.name == "allocate" and self._core.networks.outside is None:
            step = FLOWS[operation.flow][names.index("place") + 2]
        payload = {
            **operation.payload, "node_id": selection.node_id, "dest": selection.host,
            "dest_node": selection.node,
        }
        instance = job.instance
        if operation.flow in _OWN_HOST:
            instance = msgspec.structs.replace(
                instance, host=selection.host, node=selection.node, task_state=SPAWNING,
                topology=job.topology,
            )
        else:
            payload["topology"] = msgspec.to_builtins(job.topology)
        if operation.flow not in _OWN_HOST and payload.get("migration_id"):
            tx.migrations.update(
                payload["migration_id"], _MOVE_STATUS[operation.flow],
                {
                    "dest_compute": selection.host, "dest_node": selection.node,
                    "dest_host": self._address_of(selection.node_id),
                },
            )
        refreshes = self._core.networks.refreshes
        if operation.flow not in _OWN_HOST and refreshes is not None:
            # The destination sets its network up while the source has yet to begin.
            refreshes.tell(
                tx, selection.host, "networks", {vif.network_id for vif in instance.network_info}
            )
        host = payload["source"] if step.where == "source" else selection.host
        return StepTask(
            operation_id=operation.id, request_id=operation.request_id, flow=operation.flow,
            step=step.name, host=host, instance=instance, payload=payload,
            attempt=operation.attempt, lease_until=self._core.dispatcher.lease_end(),
        )


#: Flows whose place is the instance's own host; the others claim a second one beside it.
_OWN_HOST = frozenset({"create", "unshelve"})
_MOVE_TASKS = {
    "resize": RESIZE_MIGRATING, "migrate": RESIZE_MIGRATING, "live_migrate": MIGRATING,
    "evacuate": REBUILD_SPAWNING,
}
_MOVE_STATUS = {
    "resize": "migrating", "migrate": "migrating", "live_migrate": "preparing",
    "evacuate": "pre-migrating",
}


def _log_placed(jobs: list[_Job]) -> None:
    for job in jobs:
        assert job.selection is not None
        with about_operation(job.operation):
            log.OPERATIONS.info("%s placed on host %s", job.operation.flow, job.selection.host)


def _why_refused(job: _Job) -> str:
    if job.spec.topology is not None and is_forced(job.spec):
        # No filter has looked at the host; these are the original's words.
        return "Requested instance NUMA topology cannot fit the given host NUMA topology."
    return "The hosts filled up meanwhile."


def _placed_row(job: _Job) -> dict[str, Any]:
    assert job.selection is not None
    return {
        "the_uuid": job.instance.uuid, "new_host": job.selection.host,
        "new_node": job.selection.node, "new_zone": job.instance.availability_zone,
        "new_task_state": SPAWNING, "new_network_info": job.instance.network_info,
    }


def _requested(networks: Any) -> tuple[RequestedNetwork, ...] | None:
    return None if networks is None else convert(networks, tuple[RequestedNetwork, ...])
