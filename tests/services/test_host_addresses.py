# SPDX-License-Identifier: Apache-2.0
"""Addresses of guests and of hosts, on servers that let writers meet."""

from __future__ import annotations

import dataclasses
import threading
import uuid

from sqlalchemy import text

from nova.conf.network import NetworkSection
from nova.db import migrate
from nova.db.engine import Database, Transaction
from nova.errors import NovaError
from nova.network.allocation import NetworkAllocator
from nova.network.cards import AllocationRequest
from nova.network.creation import NetworkRequest, create_networks

_SECTION = dataclasses.replace(
    NetworkSection(), network_manager="nova.network.manager.FlatDHCPManager", fake_network=True
)


def test_clients_that_take_the_last_addresses_one_by_one_get_each_once(empty_database: Database) -> None:
    db = empty_database
    migrate.prepare(db)
    with db.write() as tx:
        create_networks(tx, NetworkRequest(label="n", cidr="10.0.0.0/26"), _SECTION)
        free = len(tx.fixed_ips.next_free(1, 100))
    allocator = NetworkAllocator(_SECTION)
    given: list[str] = []
    refused: list[NovaError] = []
    together = threading.Barrier(8)

    def client() -> None:
        together.wait(60)
        for _ in range(8):
            wanted = AllocationRequest(instance_uuid=str(uuid.uuid4()), project_id="p", host="h")

            def take(tx: Transaction, wanted: AllocationRequest = wanted) -> None:
                (answer,) = allocator.allocate_many(tx, [wanted])
                if isinstance(answer, NovaError):
                    tx.after_commit(lambda: refused.append(answer))
                else:
                    tx.after_commit(lambda: given.append(answer[0].addresses[0].address))

            db.run(take)

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert (len(given), len(set(given)), len(refused)) == (free, free, 64 - free)
    with db.read() as tx:
        rows = tx.fixed_ips.of_network(1)
    held = [each for each in rows if each.allocated]
    assert len(held) == free
    assert len({each.instance_uuid for each in held}) == free
    assert [each.position for each in rows] == list(range(64)), "taking one changes nothing else of it"


def test_a_host_that_asks_twice_at_a_time_has_one_address(empty_database: Database) -> None:
    db = empty_database
    migrate.prepare(db)
    with db.write() as tx:
        create_networks(tx, NetworkRequest(label="n", cidr="10.0.0.0/27"), _SECTION)
        number = tx.connection.execute(text("SELECT id FROM networks")).scalar_one()
    together = threading.Barrier(4)
    taken: list[str] = []

    def take(tx: Transaction) -> str:
        mine = tx.fixed_ips.take_for_host(number, "net1")
        assert mine is not None
        return mine.address

    def ask() -> None:
        together.wait(60)
        taken.append(db.run(take))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(taken) == 4
    assert len(set(taken)) == 1
    with db.read() as tx:
        assert tx.fixed_ips.of_host(number, "net1") is not None
