# SPDX-License-Identifier: Apache-2.0
"""One scheduler in a process of its own, for the storm: places and deletes servers, then ends.

    python -m tests.services.scheduler_process URL PEER PEERS SERVERS

Prints ``placed N refused N``. A write that passes a limit is refused by the database and ends it with a
trace.
"""

from __future__ import annotations

import random
import sys
import time
import uuid

import msgspec

from nova.conf.scheduler import SchedulerSection
from nova.db.engine import Database, Transaction
from nova.db.schema.base import now
from nova.errors import NoValidHost
from nova.objects.flavor import Flavor
from nova.objects.host import ClaimRequest
from nova.objects.request_spec import RequestSpec
from nova.scheduler.scheduler import Scheduler
from nova.scheduler.table import HostTable
from tests.unit.db.instance_rows import SMALL, instance_row

#: Seconds between two looks at what the others have claimed.
LOOK = 0.5


class StormingScheduler:
    """Places on a nearly full cloud, with a table that is half a second behind the others."""

    def __init__(self, url: str, peer: int, peers: int) -> None:
        self.db = Database(url)
        self.table = HostTable()
        self.scheduler = Scheduler(SchedulerSection(), self.table)
        self.chance = random.Random(peer)
        self.mine: list[tuple[str, int, RequestSpec]] = []
        self.placed = self.refused = 0
        with self.db.read() as tx:
            self.table.rebuild(
                tx.nodes.list(), tx.services.list(), tx.aggregates.list(), now(), 3600
            )
        self.table.set_peers(peer, peers)
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
                self.table.refresh(tx.nodes.usage())
            self._next_look = time.monotonic() + LOOK

    def _place(self) -> None:
        vcpus = self.chance.choice((1, 2, 4))
        flavor = msgspec.structs.replace(SMALL, vcpus=vcpus, memory_mb=512 * vcpus)
        name = str(uuid.uuid4())
        spec = RequestSpec(instance_uuid=name, project_id="p", flavor=flavor)
        choice = self.scheduler.select([spec])[0]
        if isinstance(choice, NoValidHost):
            self.refused += 1
            return
        for node_id in (choice.node_id, *(alternate[0] for alternate in choice.alternates)):
            if node_id != choice.node_id:
                self.scheduler.place(node_id, spec)
            if self.db.run(lambda tx, node_id=node_id: self._claim(tx, spec, node_id, flavor)):
                self.mine.append((name, node_id, spec))
                self.placed += 1
                return
            self.scheduler.unplace(node_id, spec)
        self.refused += 1

    def _claim(
        self, tx: Transaction, spec: RequestSpec, node_id: int, flavor: Flavor
    ) -> bool:
        claim = ClaimRequest(
            instance_uuid=spec.instance_uuid, node_id=node_id, vcpus=flavor.vcpus,
            memory_mb=flavor.memory_mb, disk_gb=spec.disk_gb,
            limits=self.scheduler.limits(node_id, spec),
        )
        if not tx.claims.claim_many([claim])[0]:
            return False
        tx.instances.create(
            [
                instance_row(
                    spec.instance_uuid, flavor=flavor, vcpus=flavor.vcpus,
                    memory_mb=flavor.memory_mb,
                )
            ]
        )
        return True

    def _delete(self, server: tuple[str, int, RequestSpec]) -> None:
        name, node_id, spec = server

        def give_back(tx: Transaction) -> None:
            tx.claims.release(name)
            tx.instances.mark_deleted(name, now())

        self.db.run(give_back)
        self.scheduler.unplace(node_id, spec)


def main() -> None:
    """Run one."""
    url, peer, peers, servers = sys.argv[1], *map(int, sys.argv[2:5])
    storming = StormingScheduler(url, peer, peers)
    storming.run(servers)
    print(f"placed {storming.placed} refused {storming.refused}")


if __name__ == "__main__":
    main()


