# SPDX-License-Identifier: Apache-2.0
"""Giving back what an instance holds: claims, addresses, memberships, quota."""

from __future__ import annotations

from typing import Protocol

from nova.conductor.dispatch import Dispatcher
from nova.conductor.host_services import HostServices
from nova.db.engine import Transaction
from nova.network.allocation import NetworkAllocator
from nova.objects.instance import Instance


class Holder(Protocol):
    """What releasing needs of the control side."""

    @property
    def dispatcher(self) -> Dispatcher:
        """Who starts operations and their steps."""
        ...

    @property
    def networks(self) -> NetworkAllocator:
        """Where addresses come from."""
        ...

    @property
    def hosts(self) -> HostServices:
        """Which hosts are up, and what the scheduler knows of them."""
        ...


def release_claims(
    core: Holder, tx: Transaction, instance: Instance, kind: str | None = None
) -> None:
    """Give claims back, all or one kind; the scheduler's table follows after the commit."""
    released = tx.claims.release(instance.uuid, kind)
    if released:
        tx.after_commit(lambda: core.hosts.released(released))


def counted(instance: Instance) -> dict[str, int]:
    """What an instance counts in its project; an unconfirmed resize counts with its larger side."""
    old = instance.system_metadata.get("old_flavor") or {}
    return {
        "instances": 1,
        "cores": max(instance.vcpus, old.get("vcpus", 0)),
        "ram": max(instance.memory_mb, old.get("memory_mb", 0)),
    }


def release_quota(tx: Transaction, instance: Instance) -> None:
    """Count the instance out of its project."""
    tx.quotas.release(instance.project_id, counted(instance))
