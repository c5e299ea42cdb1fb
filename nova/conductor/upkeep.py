# SPDX-License-Identifier: Apache-2.0
"""What the cloud does by itself when its time has come. Each function is safe to run anywhere, any time.

Several conductors may do the same at once: every change is conditional, so that one of them makes it.
"""

from __future__ import annotations

import datetime
import logging
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from nova import metrics
from nova.compute.consoles import purge
from nova.conductor.core import ConductorCore
from nova.conductor.deleting import start_delete
from nova.conductor.ending import abandon_all
from nova.conductor.enrolment import forget_messages
from nova.conductor.usage_audit import audit_usage
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.errors import NovaError
from nova.objects.context import RequestContext
from nova.objects.instance import Fault, Instance
from nova.objects.migration import MigrationFilter
from nova.objects.states import (
    BUILDING,
    DELETING,
    ERROR,
    RESCUED,
    RESIZED,
    SHELVED,
    SOFT_DELETED,
)
from nova.service import PeriodicTask

if TYPE_CHECKING:
    from nova.compute.operations import Operations

LOG = logging.getLogger(__name__)


def upkeep_tasks(core: ConductorCore, operations: Operations) -> list[PeriodicTask]:
    """The periodic work of a conductor, as the options say; what is switched off is left out."""
    default, conductor = core.config.default, core.config.conductor
    audit = ClaimsAudit(core)

    def task(name: str, seconds: int, work: Callable[[], object]) -> PeriodicTask:
        """Look often enough for short times, which tests and labs set."""
        return PeriodicTask(name, max(1, min(conductor.upkeep_interval, seconds)), work)

    tasks = [
        PeriodicTask("follow-claims", default.report_interval, core.hosts.follow),
        PeriodicTask("claims-audit", conductor.claims_audit_interval, audit.run),
        PeriodicTask("console-tokens", core.config.consoleauth.token_ttl, lambda: purge(core.db)),
        PeriodicTask("host-messages", 60, lambda: forget_messages(core.db)),
    ]
    prober = core.networks.prober
    if prober is not None:
        tasks.append(PeriodicTask("probe-addresses", core.config.network.probe_interval, prober.run))
    if default.instance_usage_audit:
        tasks.append(PeriodicTask("usage-audit", conductor.upkeep_interval, lambda: audit_usage(core)))
    if default.reclaim_instance_interval > 0:
        seconds = default.reclaim_instance_interval
        tasks.append(task("reclaim", seconds, lambda: reclaim_deleted(core, seconds)))
    if default.instance_build_timeout > 0:
        limit = default.instance_build_timeout
        tasks.append(task("build-timeout", limit, lambda: fail_long_builds(core, limit)))
    if default.resize_confirm_window > 0:
        window = default.resize_confirm_window
        tasks.append(task("confirm", window, lambda: confirm_resizes(core, operations, window)))
    if default.rescue_timeout > 0:
        longest = default.rescue_timeout
        tasks.append(task("unrescue", longest, lambda: end_rescues(core, operations, longest)))
    if default.shelved_offload_time > 0:
        after = default.shelved_offload_time
        tasks.append(task("offload", after, lambda: offload_shelved(core, operations, after)))
    return tasks


def reclaim_deleted(core: ConductorCore, seconds: int) -> int:
    """Delete for good what waited for its deletion longer than that; returns how many."""
    return _each(
        core, SOFT_DELETED, "deleted_at", seconds,
        lambda instance: core.db.run(lambda tx: _reclaim(core, tx, instance)),
    )


def _reclaim(core: ConductorCore, tx: Transaction, instance: Instance) -> None:
    fresh = tx.instances.get(instance.uuid, lock=True)
    if fresh is not None and fresh.vm_state == SOFT_DELETED and fresh.task_state is None:
        start_delete(core, tx, context_for(fresh), fresh, force=True)


def fail_long_builds(core: ConductorCore, seconds: int) -> int:
    """Servers that have been building longer than that go to ERROR; returns how many.

    What they hold is given back; a guest that a host still makes is removed when it reports.
    """
    before = now() - datetime.timedelta(seconds=seconds)
    with core.db.read() as tx:
        found = tx.instances.building_since(before)
    return sum(
        core.db.run(lambda tx, uuid=each.uuid: _fail_build(core, tx, uuid, seconds))  # type: ignore[misc]
        for each in found
    )


def _fail_build(core: ConductorCore, tx: Transaction, uuid_: str, seconds: int) -> bool:
    fresh = tx.instances.get(uuid_, lock=True)
    if fresh is None or fresh.vm_state != BUILDING or fresh.task_state == DELETING:
        return False
    abandon_all(core, tx, fresh, keep_claims=False)
    text = f"The server was not built within {seconds} seconds."
    return tx.instances.transition(
        uuid_, {"vm_state": ERROR, "task_state": None, "fault": Fault(500, text, now())}
    )


def confirm_resizes(core: ConductorCore, operations: Operations, seconds: int) -> int:
    """Confirm resizes that nobody confirmed or reverted for so long; returns how many."""
    before = now() - datetime.timedelta(seconds=seconds)
    with core.db.read() as tx:
        waiting = tx.migrations.list(
            MigrationFilter(status="finished", changes_before=before), limit=1000
        )
        instances = tx.instances.get_many([each.instance_uuid for each in waiting or ()])
    return sum(
        _try(instance, lambda each: operations.confirm_resize(context_for(each), each))
        for instance in instances.values()
        if instance.vm_state == RESIZED and instance.task_state is None
    )


def end_rescues(core: ConductorCore, operations: Operations, seconds: int) -> int:
    """Start servers from their own disks again that have been rescued so long; returns how many."""
    return _each(
        core, RESCUED, "launched_at", seconds,
        lambda each: operations.unrescue(context_for(each), each),
    )


def offload_shelved(core: ConductorCore, operations: Operations, seconds: int) -> int:
    """Take servers off their hosts that have been shelved so long; returns how many."""
    # Every write of the row puts this off; what is used is not offloaded under its user's hands.
    return _each(
        core, SHELVED, "updated_at", seconds,
        lambda each: operations.shelve_offload(context_for(each), each),
    )


class ClaimsAudit:
    """Compares claims, instances and nodes; ``repaired`` counts what it ever had to put right."""

    def __init__(self, core: ConductorCore) -> None:
        self._core = core
        self.repaired = 0

    def run(self) -> int:
        """Put right what differs; returns how much that was. It is 0 unless there is a bug."""
        repairs = self._core.db.run(lambda tx: tx.claims.audit())
        if repairs.count:
            self.repaired += repairs.count
            metrics.CLAIMS_REPAIRED.labels("orphan").inc(len(repairs.orphans))
            metrics.CLAIMS_REPAIRED.labels("sum").inc(len(repairs.nodes))
            metrics.CLAIMS_REPAIRED.labels("missing").inc(len(repairs.missing))
            metrics.CLAIMS_REPAIRED.labels("topology").inc(len(repairs.topologies))
            self._core.hosts.changed()
            LOG.warning(
                "the audit of claims gave back %d claims of no instance, made %d that instances lacked, "
                "put right the sums of %d nodes and the used CPUs, pages and devices of %d; %d repairs "
                "since the start", len(repairs.orphans), len(repairs.missing), len(repairs.nodes),
                len(repairs.topologies), self.repaired,
            )
        return repairs.count


def context_for(instance: Instance) -> RequestContext:
    """The cloud acting for a server's owner by itself."""
    return RequestContext(
        user_id=instance.user_id, project_id=instance.project_id, roles=("admin", "service"),
        is_admin=True, request_id=f"req-{uuid.uuid4()}",
    )


def _each(
    core: ConductorCore,
    vm_state: str,
    since: str,
    seconds: int,
    work: Callable[[Instance], object],
) -> int:
    before = now() - datetime.timedelta(seconds=seconds)
    with core.db.read() as tx:
        found = tx.instances.in_state(vm_state, since=since, before=before)
    return sum(_try(instance, work) for instance in found)


def _try(instance: Instance, work: Callable[[Instance], object]) -> bool:
    """One that cannot be done now (another request was faster, its host is down) keeps no others."""
    try:
        work(instance)
    except NovaError as error:
        LOG.info("server %s is left for the next time: %s", instance.uuid, error.message)
        return False
    return True
