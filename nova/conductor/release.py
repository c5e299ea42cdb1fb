# SPDX-License-Identifier: Apache-2.0
"""Giving back what an instance holds: claims, addresses, memberships, quota."""

from __future__ import annotations

from typing import Protocol

from nova.conductor.host_table import SchedulerTable
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.network.allocation import NetworkAllocator
from nova.objects.instance import Instance


class Holder(Protocol):
    """What releasing needs of the control side."""

    @property
    def networks(self) -> NetworkAllocator:
        """Where addresses come from."""
        ...

    @property
    def hosts(self) -> SchedulerTable:
        """The scheduler's view of the hosts."""
        ...


def release_claims(
    core: Holder, tx: Transaction, instance: Instance, kind: str | None = None
) -> None:
    """Give claims back, all or one kind; the scheduler's table follows after the commit."""
    released = tx.claims.release(instance.uuid, kind)
    if released:
        tx.after_commit(lambda: core.hosts.released(released))


def release_quota(tx: Transaction, instance: Instance) -> None:
    """Count the instance out of its project; an unconfirmed resize counts with its larger side."""
    old = instance.system_metadata.get("old_flavor") or {}
    tx.quotas.release(
        instance.project_id,
        {
            "instances": 1,
            "cores": max(instance.vcpus, old.get("vcpus", 0)),
            "ram": max(instance.memory_mb, old.get("memory_mb", 0)),
        },
    )


def finish_delete(core: Holder, tx: Transaction, instance: Instance) -> None:
    """The last act of a delete: everything given back, the row marked, its other operations ended."""
    if not tx.instances.mark_deleted(instance.uuid, now()):
        return
    release_claims(core, tx, instance)
    if instance.network_info or instance.host is not None:
        core.networks.release(tx, [instance.uuid])
    if instance.security_groups:
        tx.security_groups.remove_instances([instance.uuid])
    if instance.server_group:
        tx.server_groups.remove_members([instance.uuid])
    release_quota(tx, instance)
    for operation in tx.operations.open_for(instance.uuid):
        if operation.action == "delete":
            continue
        tx.operations.finish(operation.id, failed=True, message="Error")
        held = operation.payload.get("quota")
        if held:
            tx.quotas.release(instance.project_id, held)
