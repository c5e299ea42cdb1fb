# SPDX-License-Identifier: Apache-2.0
"""One scheduler in a process of its own, for the storm of pinned servers: places and deletes, then ends.

    python -m tests.services.pinning_process URL SEED SERVERS

Prints ``placed N refused N``. A CPU or device that is given twice is refused by the database and ends it
with a trace.
"""

from __future__ import annotations

import random
import sys
import time
import uuid

import msgspec

from nova.conductor.topology_claims import TopologyClaims, Wanted
from nova.conf.scheduler import SchedulerSection
from nova.db.engine import Database, Transaction
from nova.db.schema.base import now
from nova.errors import NoValidHost
from nova.objects.host import ClaimRequest
from nova.objects.request_spec import RequestSpec
from nova.scheduler.scheduler import Scheduler
from nova.scheduler.table import HostTable
from nova.topology.devices import parse_aliases
from nova.topology.requests import topology_request
from tests.unit.db.instance_rows import SMALL, instance_row

#: Seconds between two looks at what the others have claimed.
LOOK = 0.5
ALIASES = parse_aliases(('{"name": "a", "vendor_id": "8086", "product_id": "0443"}',))
KINDS: tuple[dict[str, str], ...] = (
    {"hw:cpu_policy": "dedicated"},
    {"hw:cpu_policy": "dedicated", "hw:cpu_thread_policy": "isolate"},
    {"hw:cpu_policy": "dedicated", "hw:numa_nodes": "2"},
    {"hw:cpu_policy": "dedicated", "hw:emulator_threads_policy": "isolate"},
    {"hw:cpu_policy": "dedicated", "pci_passthrough:alias": "a:1"},
)


class PinningScheduler:
    """Places pinned servers on nearly full hosts, with a table that is half a second behind the others."""

    def __init__(self, url: str, seed: int) -> None:
        self.db = Database(url)
        self.table = HostTable()
        self.scheduler = Scheduler(SchedulerSection(), self.table)
        self.claims = TopologyClaims(self.table, pack_cells=False)
        self.chance = random.Random(seed)
        self.mine: list[tuple[str, int, RequestSpec]] = []
        self.placed = self.refused = 0
        with self.db.read() as tx:
            self.table.rebuild(
                tx.nodes.list(), tx.services.list(), tx.aggregates.list(), now(), 3600
            )
        self._next_look = time.monotonic() + LOOK

    def run(self, servers: int) -> None:
        """Place so many servers, deleting one in two of those that are there."""
        for _ in range(servers):
            self._look()
            self._place()
            if self.mine and self.chance.random() < 0.5:
                self._delete(self.mine.pop(self.chance.randrange(len(self.mine))))

    def _look(self) -> None:
        if time.monotonic() >= self._next_look:
            with self.db.read() as tx:
                changed = self.table.refresh(tx.nodes.usage())
                self.table.update_topologies(tx.nodes.get_many(changed))
            self._next_look = time.monotonic() + LOOK

    def _place(self) -> None:
        vcpus = self.chance.choice((2, 2, 4))
        flavor = msgspec.structs.replace(
            SMALL, vcpus=vcpus, memory_mb=128 * vcpus, extra_specs=self.chance.choice(KINDS)
        )
        name = str(uuid.uuid4())
        topology = topology_request(flavor, None, lambda: ALIASES)
        spec = RequestSpec(instance_uuid=name, project_id="p", flavor=flavor, topology=topology)
        choice = self.scheduler.select([spec])[0]
        if isinstance(choice, NoValidHost):
            self.refused += 1
            return
        for node_id in (choice.node_id, *(alternate[0] for alternate in choice.alternates)):
            if node_id != choice.node_id:
                self.scheduler.place(node_id, spec)
            if self.db.run(lambda tx, node_id=node_id: self._claim(tx, spec, node_id)):
                self.mine.append((name, node_id, spec))
                self.placed += 1
                return
            self.scheduler.unplace(node_id, spec)
        self.refused += 1

    def _claim(self, tx: Transaction, spec: RequestSpec, node_id: int) -> bool:
        flavor = spec.flavor
        claim = ClaimRequest(
            instance_uuid=spec.instance_uuid, node_id=node_id, vcpus=flavor.vcpus,
            memory_mb=flavor.memory_mb, disk_gb=spec.disk_gb,
            limits=self.scheduler.limits(node_id, spec),
        )
        granted = self.claims.take(tx, [Wanted(claim, spec.topology)])[0]
        if granted.ok:
            tx.instances.create(
                [
                    instance_row(
                        spec.instance_uuid, flavor=flavor, vcpus=flavor.vcpus,
                        memory_mb=flavor.memory_mb, topology=granted.topology,
                    )
                ]
            )
        return granted.ok

    def _delete(self, server: tuple[str, int, RequestSpec]) -> None:
        name, _node_id, _spec = server

        def give_back(tx: Transaction) -> None:
            for claim in tx.claims.release(name):
                if claim.topology is not None:
                    self.table.release_topology(claim.node_id, claim.topology)
                self.table.apply_release(
                    claim.node_id, claim.vcpus, claim.memory_mb, claim.disk_gb, claim.pcpus
                )
            tx.instances.mark_deleted(name, now())

        self.db.run(give_back)


def main() -> None:
    """Run one."""
    url, seed, servers = sys.argv[1], *map(int, sys.argv[2:4])
    storming = PinningScheduler(url, seed)
    storming.run(servers)
    print(f"placed {storming.placed} refused {storming.refused}")


if __name__ == "__main__":
    main()
