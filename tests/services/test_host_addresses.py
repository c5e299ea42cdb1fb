# SPDX-License-Identifier: Apache-2.0
"""Addresses that hosts themselves use in networks, on a server that lets writers meet."""

from __future__ import annotations

import dataclasses
import threading

from sqlalchemy import text

from nova.conf.network import NetworkSection
from nova.db import migrate
from nova.db.engine import Database, Transaction
from nova.network.creation import NetworkRequest, create_networks

_SECTION = dataclasses.replace(
    NetworkSection(), network_manager="nova.network.manager.FlatDHCPManager", fake_network=True
)


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
