# SPDX-License-Identifier: Apache-2.0
"""The conductor service: what hosts may ask, and the wake-ups of operations."""

from __future__ import annotations

import datetime
import functools
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nova import metrics
from nova.compute.lifecycle import ACTIONS
from nova.conductor.completion import complete
from nova.conductor.core import ConductorCore
from nova.conductor.discarding import discard_image
from nova.conductor.ended import note_end
from nova.conductor.ending import Overtaken, abandon, not_building, stands
from nova.conductor.failing import fail
from nova.conductor.guest_metadata import GuestMetadata
from nova.conductor.host_filters import host_filters
from nova.conductor.host_network import host_names, lease_changed, network_report, network_state
from nova.conductor.host_reports import HostReports
from nova.conductor.image_access import ImageAccess
from nova.conductor.networking import Networking
from nova.conductor.recovery import Recovery
from nova.conductor.steps import STEPS
from nova.conductor.strikes import Strikes
from nova.conductor.volume_connections import VolumeConnections
from nova.conductor.volume_work import VolumeWork
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.errors import HostRefused, ServiceUnavailable
from nova.objects.host import HostReport, ReportAnswer
from nova.objects.host_filters import HostFilters
from nova.objects.host_network import HostNetworkState, LeaseEvent
from nova.objects.image_ticket import ImageTicket
from nova.objects.instance import Instance
from nova.objects.migration import MigrationProgress
from nova.objects.operation import Operation, StepFailure, StepResult
from nova.objects.states import ACTIVE, DELETING, MIGRATING, RUNNING, SHUTDOWN, STOPPED
from nova.objects.volume_connection import VolumeConnection

if TYPE_CHECKING:
    from nova.conductor.placing import Placer

LOG = logging.getLogger(__name__)

#: Signs of life that a host gives at least, where all goes well, in the time after which it counts as down.
_SIGNS = 3

#: How long a row has to be unchanged before a host's view of its guest counts.
SETTLED = datetime.timedelta(seconds=30)


class Conductor:
    """Endpoint of the ``conductor`` topic.

    The first argument of what hosts call is the host's name; a host can only end its own steps.
    """

    def __init__(self, core: ConductorCore) -> None:
        self._core = core
        self._strikes = Strikes(core)
        self.networking = Networking(core, self._strikes)
        self.volume_work = VolumeWork(core, self._strikes)
        self._volume_connections = VolumeConnections(core)
        self.reports = HostReports(core)
        #: Where hosts with a process of their own get at images; set by the composition root.
        self.image_access: ImageAccess | None = None
        self.recovery = Recovery(core, self._strikes)
        self._metadata = GuestMetadata(core.db)
        #: Told of each step that ended well: the host, and the instance's uuid.
        self.step_listeners: list[Callable[[str, str], object]] = []

    @functools.cached_property
    def placer(self) -> Placer:
        """Places servers; only in a process with a table of hosts, for which it takes NumPy."""
        from nova.conductor.host_table import SchedulerTable
        from nova.conductor.placing import Placer

        if not isinstance(self._core.hosts, SchedulerTable):
            raise TypeError("this process has no table of hosts")
        return Placer(self._core, self._core.hosts, self._strikes)

    def start(self) -> None:
        """Begin to talk to an external network service; ``placer`` has a life of its own."""
        self.networking.start()

    def stop(self) -> None:
        """Finish what is under way."""
        self.networking.stop()
        self.volume_work.stop()
        self.reports.stop()

    def allocate(self, operation_ids: list[int]) -> None:
        """Operations wait for the ports of an external network service."""
        self.networking.allocate(operation_ids)

    def plugging(self, operation_ids: list[int]) -> None:
        """Operations wait for an external network service to plug ports; or it says that it has."""
        self.networking.plugging(operation_ids)

    def volumes(self, operation_ids: list[int]) -> None:
        """Operations wait for the block storage service."""
        self.volume_work.put(operation_ids)

    def network_tasks(self, task_ids: list[int]) -> None:
        """An external network service has to be told something."""
        self.networking.tell(task_ids)

    # --- steps, reported by hosts -----------------------------------------------------------------

    def step_progress(self, host: str, operation_id: int, task_state: str) -> None:
        """A step came to its next task state; the lifecycle table must know it."""

        def write(tx: Transaction) -> None:
            operation = self._own(tx, host, operation_id, None)
            if operation is None:
                return
            action = ACTIONS[operation.flow or ""]
            if task_state not in action.passes:
                raise HostRefused(f"{operation.flow} does not pass through {task_state}")
            tx.instances.transition(
                operation.instance_uuid, {"task_state": task_state},
                task_states={action.running, *action.passes}, host=host,
            )

        self._core.db.run(write)

    def migration_progress(
        self, host: str, operation_id: int, progress: MigrationProgress
    ) -> None:
        """A live migration came further; shown with the migration, and in percent with the server."""

        def write(tx: Transaction) -> None:
            operation = self._own(tx, host, operation_id, "live_migrate")
            if operation is None or operation.flow != "live_migrate":
                return
            tx.migrations.update(operation.payload["migration_id"], fields={"progress": progress})
            tx.instances.transition(
                operation.instance_uuid, {"progress": progress.percent}, task_states={MIGRATING},
                host=host,
            )

        self._core.db.run(write)

    def step_wanted(self, host: str, operation_id: int, step: str) -> bool:
        """Whether a step that a host comes to late is still its own; its lease begins anew then."""

        def write(tx: Transaction) -> bool:
            if self._own(tx, host, operation_id, step) is None:
                return False
            until = self._core.dispatcher.lease_end()
            return tx.operations.renew(host, [operation_id], until) == 1

        return self._core.db.run(write)

    def step_done(self, host: str, operation_id: int, step: str, result: StepResult) -> bool:
        """A host did a step; answers whether it has a guest now that it is to remove.

        That is so where the operation was overtaken, by a delete for example.
        """

        def write(tx: Transaction) -> bool:
            found = self._standing(tx, host, operation_id, step)
            if found is None:
                return self._left_by(tx, operation_id, host)
            operation, instance = found
            self._record(tx, operation, host, "Success", None)
            not_building(self._core, tx, operation)
            complete(self._core, tx, operation, instance, result)
            for listener in self.step_listeners:
                tx.after_commit(functools.partial(listener, host, instance.uuid))
            return False

        return self._write(operation_id, host, write)

    def step_failed(self, host: str, operation_id: int, step: str, failure: StepFailure) -> bool:
        """A host could not do a step and undid what it had begun; answers as ``step_done`` does.

        A source that could not forget a guest that has moved away is told so, and tries once more.
        """

        def write(tx: Transaction) -> bool:
            found = self._standing(tx, host, operation_id, step)
            if found is None:
                return self._left_by(tx, operation_id, host)
            operation, instance = found
            self._record(tx, operation, host, "Error", failure)
            fail(self._core, tx, operation, instance, failure)
            return self._left_by(tx, operation_id, host)

        return self._write(operation_id, host, write)

    def _write(
        self, operation_id: int, host: str, write: Callable[[Transaction], bool]
    ) -> bool:
        """Run what follows a report; what breaks it again and again ends the operation."""
        try:
            return self._core.db.run(write)
        except Overtaken:
            with self._core.db.read() as tx:
                return self._left_by(tx, operation_id, host)
        except Exception as error:
            self._strikes.strike(operation_id, error)
            raise

    def _drop(self, tx: Transaction, operation: Operation, instance: Instance | None) -> None:
        """End an operation whose instance is gone or went another way."""
        if instance is None:
            if tx.operations.finish(operation.id, failed=True, message="Error"):
                note_end(tx, operation, failed=True)
        else:
            abandon(self._core, tx, operation, instance)

    def discard(self, operation_ids: list[int]) -> None:
        """Delete the images that operations are left with, then end them."""
        for operation_id in operation_ids:
            discard_image(self._core, operation_id)

    def _own(
        self, tx: Transaction, host: str, operation_id: int, step: str | None
    ) -> Operation | None:
        """The operation, if this host holds it at this step; None where it ended or went on."""
        operation = tx.operations.get(operation_id, lock=True)
        if operation is None or operation.state in ("done", "failed"):
            return None
        if operation.host != host:
            LOG.warning("host %s reports operation %d, which is at %s", host, operation_id,
                        operation.host)
            return None
        if step is not None and operation.step != step:
            return None
        return operation

    def _standing(
        self, tx: Transaction, host: str, operation_id: int, step: str
    ) -> tuple[Operation, Instance] | None:
        """An operation that this host holds at a step, and its instance; one that was overtaken is ended."""
        operation = self._own(tx, host, operation_id, step)
        if operation is None:
            return None
        instance = tx.instances.get(operation.instance_uuid, lock=True)
        if instance is None or not stands(operation, instance):
            self._drop(tx, operation, instance)
            return None
        return operation, instance

    def _record(
        self,
        tx: Transaction,
        operation: Operation,
        host: str,
        result: str,
        failure: StepFailure | None,
    ) -> None:
        assert operation.flow is not None
        assert operation.step is not None
        tx.operations.add_events(
            [
                {
                    "operation_id": operation.id,
                    "event": STEPS[operation.flow, operation.step].event,
                    "started_at": operation.updated_at, "finished_at": now(), "result": result,
                    "host": host, "details": failure.message[:255] if failure else None,
                    "traceback": failure.details if failure else None,
                }
            ]
        )

    # --- hosts ------------------------------------------------------------------------------------

    def host_report(
        self, host: str, reports: Sequence[HostReport], running: Sequence[int]
    ) -> ReportAnswer:
        """A host lives: its sizes, and the operations it is busy with.

        Without sizes they are as before, unless the answer asks for them, as the host is not known.
        """
        if any(report.host != host for report in reports):
            raise HostRefused(f"{host} reports for another host")
        metrics.HOST_REPORTS.inc()
        if not reports and not self._core.hosts.is_known_up(host):
            return ReportAnswer(sizes_wanted=True)
        self.reports.take(host, reports, running)
        return ReportAnswer(silence=self._core.config.default.service_down_time / _SIGNS)

    def guests_seen(self, host: str, seen: dict[str, int]) -> list[str]:
        """Compare a host's guests with what should be there; answers those to be removed, and no more.

        A host may name guests that were never there: it learns nothing about them.

        A guest whose power changed behind our back is shown as it is. An instance without a guest goes
        to the power state 0 and, where it should run, to stopped. What was written within the last
        ``SETTLED`` may be newer than ``seen`` and is left for the next time.
        """
        cutoff = now() - SETTLED

        def write(tx: Transaction) -> list[str]:
            expected = {each.uuid: each for each in tx.instances.on_host(host)}
            for uuid, instance in expected.items():
                if instance.updated_at < cutoff:
                    self._sync_power(tx, instance, seen.get(uuid, 0))
            gone: list[str] = []
            for uuid in seen:
                if uuid in expected:
                    continue
                unknown = tx.instances.get(uuid, deleted=True)
                if unknown is not None and left_behind(tx, unknown, host):
                    gone.append(uuid)
            # The host knows now what it has lost: it may count as up again.
            tx.migrations.complete_evacuations_from(host)
            return gone

        return self._core.db.run(write)

    def guest_changed(self, host: str, uuid: str, power_state: int) -> None:
        """A guest of a host changed its power by itself; while an operation runs it is left to that."""

        def write(tx: Transaction) -> None:
            instance = tx.instances.get(uuid)
            if instance is not None and instance.host == host:
                self._sync_power(tx, instance, power_state)

        self._core.db.run(write)

    def guests_wanted(self, host: str) -> list[Instance]:
        """The instances of a host that should be running, for a host that comes up again."""
        with self._core.db.read() as tx:
            return [
                each for each in tx.instances.on_host(host)
                if each.vm_state == ACTIVE and each.task_state is None
                and each.power_state == RUNNING
            ]

    def image_ticket(
        self, host: str, operation_id: int | None, image_id: str, store: bool
    ) -> ImageTicket:
        """The way to the data of an image that an operation at this host is about."""
        if self.image_access is None:
            raise ServiceUnavailable("Hosts of this cloud get their images in the process.")
        return self.image_access.ticket(host, operation_id, image_id, store)

    def connect_volumes(
        self, host: str, operation_id: int, connector: dict[str, Any]
    ) -> list[VolumeConnection]:
        """Open the volumes that an operation at this host is about."""
        return self._volume_connections.connect(_named(host), operation_id, connector)

    def complete_volumes(self, host: str, operation_id: int) -> None:
        """The guest has the disks of the volumes that were opened for an operation."""
        self._volume_connections.complete(_named(host), operation_id)

    # --- metadata services on hosts -----------------------------------------------------------------

    def guest_by_address(self, host: str, bridge: str | None, address: str) -> Instance | None:
        """The server that speaks from an address (on a bridge), if the host answers for it."""
        return self._metadata.by_address(_named(host), bridge, address)

    def guest_by_uuid(self, host: str, uuid: str) -> Instance | None:
        """The server of that uuid, if the host answers for it."""
        return self._metadata.by_uuid(_named(host), uuid)

    def set_guest_password(self, host: str, uuid: str, ciphertext: str) -> None:
        """Keep the password that a guest of the host posted; ``Conflict`` where there is one."""
        self._metadata.set_password(_named(host), uuid, ciphertext)

    # --- networks of hosts (nova/conductor/host_network.py) ------------------------------------------

    def network_state(
        self, host: str, network_uuids: Sequence[str] | None = None
    ) -> HostNetworkState:
        """The networks of a host, all or those named."""
        config = self._core.config
        return network_state(
            self._core.db, config.network, host, network_uuids,
            may_serve=host in (config.network.network_hosts or (config.default.host,)),
            default_zone=config.default.default_availability_zone,
        )

    def host_names(self, host: str) -> tuple[tuple[str, str], ...]:
        """The names that a host's DNS answers beside those of guests."""
        core = self._core
        return host_names(core.db, host, core.config.default.default_availability_zone)

    def host_filters(self, host: str) -> HostFilters:
        """What a host filters, and the floating addresses that it carries."""
        return host_filters(self._core.db, self._core.config.network, _named(host))

    def network_report(self, host: str) -> None:
        """A host's network service lives."""
        network_report(self._core.db, host)

    def lease_changed(self, host: str, event: LeaseEvent) -> bool:
        """A DHCP lease began, goes on, or ended."""
        return lease_changed(self._core.db, host, event)

    def _left_by(self, tx: Transaction, operation_id: int, host: str) -> bool:
        """Whether an operation that is over left a guest on a host that is not to be there."""
        operation = tx.operations.get(operation_id)
        if operation is None:
            return False
        instance = tx.instances.get(operation.instance_uuid, deleted=True)
        return instance is not None and left_behind(tx, instance, host)

    def _sync_power(self, tx: Transaction, instance: Instance, power_state: int) -> None:
        if instance.task_state is not None or power_state == instance.power_state:
            return
        if instance.vm_state in ("building", "resized", "shelved", "error", "soft-delete"):
            return
        changes: dict[str, Any] = {"power_state": power_state}
        if instance.vm_state == ACTIVE and power_state in (0, SHUTDOWN):
            changes["vm_state"] = STOPPED
        elif instance.vm_state == STOPPED and power_state == RUNNING:
            changes["vm_state"] = ACTIVE
        tx.instances.transition(
            instance.uuid, changes, vm_states={instance.vm_state}, task_states={None}
        )


def left_behind(tx: Transaction, instance: Instance, host: str) -> bool:
    """Whether a guest of this instance on that host is to be removed.

    So it is where the instance was deleted, and where nothing is under way for it but its deletion and it
    holds no claim on that host: it was evacuated from there, or what was given up has made it there.
    """
    if instance.deleted:
        return True
    if instance.task_state not in (None, DELETING):
        return False
    nodes = {node.id for node in tx.nodes.by_host(host)}
    return all(claim.node_id not in nodes for claim in tx.claims.by_instance(instance.uuid))


def _named(host: str) -> str:
    """The host's name; only the control side itself, in this process, may ask without one."""
    if not host:
        raise HostRefused("A host has to say which one it is.")
    return host
