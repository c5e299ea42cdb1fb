# SPDX-License-Identifier: Apache-2.0
"""Servers whose ports are an external network service's.

Inside a transaction only the durable part happens: what the service has to be told is noted as a row, and
told after the commit, again and again until it answers (``nova/conductor/networking.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nova.conf.network import NetworkSection
from nova.db.schema.base import now
from nova.network.allocation import NetworkAllocator
from nova.network.outside import OutsideNetworks
from nova.objects.instance import Instance, RequestedNetwork, Vif
from nova.objects.network import Network
from nova.objects.network_task import BIND, RELEASE

if TYPE_CHECKING:
    from nova.db.engine import Transaction

#: Where an instance keeps the ids of ports that users made: they outlive it.
KEPT = "kept_ports"
#: Where it keeps what the service said of ports before they were known here: port -> whether it is plugged.
PLUGGED_EARLY = "plugged_early"


class ExternalNetworks(NetworkAllocator):
    """``wake`` tells a conductor of tasks, by their ids."""

    outside: OutsideNetworks

    def __init__(
        self, section: NetworkSection, outside: OutsideNetworks, wake: Callable[[list[int]], object]
    ) -> None:
        super().__init__(section)
        self.outside = outside
        self._wake = wake

    def check(
        self,
        tx: Transaction,
        project_id: str,
        requested: Sequence[RequestedNetwork] | None,
    ) -> list[Network]:
        """Nothing: ``outside.check`` was asked before the transaction."""
        return []

    def release(self, tx: Transaction, instance_uuids: Sequence[str]) -> None:
        """Note that the ports of instances are to be given up. Safe to repeat."""
        ids = []
        for uuid in instance_uuids:
            instance = tx.instances.get(uuid, deleted=True)
            facts = {"kept": kept_ports(instance) if instance is not None else []}
            ids.append(tx.network_tasks.add(uuid, RELEASE, facts, now()))
        if ids:
            tx.after_commit(lambda: self._wake(ids))

    def moved(self, tx: Transaction, instance_uuid: str) -> None:
        """Note that the ports of an instance are on its new host."""
        task = tx.network_tasks.add(instance_uuid, BIND, {}, now())
        tx.after_commit(lambda: self._wake([task]))

    def vifs_of(
        self, tx: Transaction, instance_uuids: Sequence[str]
    ) -> dict[str, tuple[Vif, ...]]:
        """The cards as they were last read from the service."""
        found = tx.instances.get_many(list(instance_uuids))
        return {
            uuid: found[uuid].network_info if uuid in found else () for uuid in instance_uuids
        }


def kept_ports(instance: Instance) -> list[str]:
    """The ids of an instance's ports that users made."""
    return list(instance.system_metadata.get(KEPT, ()))
