# SPDX-License-Identifier: Apache-2.0
"""Many threads on the same rows: nothing twice, nothing over a limit, deadlocks tried again.

What a boot, its placing and its delete write, each in one transaction, in the order the code writes it.
"""

from __future__ import annotations

import dataclasses
import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from nova.conf.network import NetworkSection
from nova.db import migrate
from nova.db.engine import Database, Transaction
from nova.db.schema.base import now
from nova.errors import DatabaseBusy, NovaError, QuotaExceeded
from nova.network.allocation import NetworkAllocator
from nova.network.cards import AllocationRequest
from nova.network.creation import NetworkRequest, create_networks
from nova.objects.host import ClaimRequest, HostReport
from tests.unit.db.instance_rows import instance_row

SECTION = dataclasses.replace(
    NetworkSection(), network_manager="nova.network.manager.FlatDHCPManager", fake_network=True,
    instance_dns_domain="vms.example.org",
)
THREADS = 8
ROUNDS = 20
LIMITS = {"instances": 20, "cores": 20, "ram": -1}
ONE = {"instances": 1, "cores": 1, "ram": 512}


@pytest.fixture
def db(empty_database: Database) -> Database:
    migrate.prepare(empty_database)
    return empty_database


class Storm:
    """A small cloud's books: three hosts with room for eight each, a network of 26 addresses."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.networks = NetworkAllocator(SECTION)
        self.refused: Counter[str] = Counter()
        with db.write() as tx:
            create_networks(tx, NetworkRequest(label="n", cidr="10.0.0.0/27"), SECTION)
            self.nodes = [
                tx.nodes.report(
                    HostReport(
                        host=f"h{number}", hypervisor_hostname=f"h{number}", host_ip="10.1.0.1",
                        hypervisor_type="fake", hypervisor_version=1, vcpus=8, memory_mb=8 * 512,
                        local_gb=1000, cpu_allocation_ratio=1.0, ram_allocation_ratio=1.0,
                    )
                ).id
                for number in range(3)
            ]

    def boot(self, project: str) -> str | None:
        """Count a server in and write it; None over quota."""
        name = str(uuid.uuid4())

        def write(tx: Transaction) -> None:
            tx.quotas.reserve(project, ONE, LIMITS)
            tx.instances.create([{
                **instance_row(name, project_id=project, vm_state="building", task_state="scheduling"),
                "revision": 1, "deleted_at": None, "hostname": "all-want-it",
            }])

        try:
            self.db.run(write)
        except QuotaExceeded:
            self.refused["quota"] += 1
            return None
        return name

    def place(self, project: str, names: list[str], chance: random.Random) -> None:
        """Claim and give addresses for a batch, as the placer does."""
        nodes = [chance.choice(self.nodes) for _ in names]

        def write(tx: Transaction) -> Counter[str]:
            refused: Counter[str] = Counter()
            tx.instances.get_many(names, lock=True)
            granted = tx.claims.claim_many([
                ClaimRequest(
                    instance_uuid=name, kind="instance", node_id=node, vcpus=1, memory_mb=512, disk_gb=1
                )
                for name, node in zip(names, nodes, strict=True)
            ])
            served = [name for name, fits in zip(names, granted, strict=True) if fits]
            refused["claim"] += len(names) - len(served)
            answers = self.networks.allocate_many(
                tx, [AllocationRequest(instance_uuid=name, project_id=project) for name in served]
            )
            for name, answer in zip(served, answers, strict=True):
                if isinstance(answer, NovaError):
                    refused["address"] += 1
                    tx.claims.release(name, "instance")
            return refused

        self.refused.update(self.db.run(write))

    def delete(self, project: str, name: str) -> None:
        """Give everything back."""

        def write(tx: Transaction) -> None:
            tx.instances.get_many([name], lock=True)
            assert tx.instances.mark_deleted(name, now())
            tx.claims.release(name)
            self.networks.release(tx, [name])
            tx.quotas.release(project, ONE)

        self.db.run(write)


def in_threads(count: int, work: Callable[[int], None]) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # raised below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    if failures:
        raise failures[0]


def rows(db: Database, statement: str) -> list[Any]:
    with db.read() as tx:
        return [tuple(row) for row in tx.connection.execute(text(statement))]


def check_the_books(db: Database, projects: int) -> None:
    """Asked of the database itself, over all rows."""
    assert rows(db, "SELECT instance_uuid FROM fixed_ips WHERE instance_uuid IS NOT NULL"
                " GROUP BY instance_uuid HAVING count(*) > 1") == []
    assert rows(db, "SELECT address FROM virtual_interfaces GROUP BY address HAVING count(*) > 1") == []
    assert rows(db, "SELECT f.id FROM fixed_ips f LEFT JOIN instances i ON i.uuid = f.instance_uuid"
                " WHERE f.allocated AND (i.uuid IS NULL OR i.deleted <> 0)") == []
    assert rows(db, "SELECT e.name FROM dns_entries e LEFT JOIN fixed_ips f ON f.address = e.address"
                " AND f.instance_uuid = e.instance_uuid WHERE f.id IS NULL") == []
    assert rows(db, "SELECT n.id FROM compute_nodes n WHERE n.vcpus_used > n.vcpus"
                " OR n.memory_mb_used > n.memory_mb OR n.vcpus_used <>"
                " (SELECT count(*) FROM claims c WHERE c.node_id = n.id)") == []
    assert rows(db, "SELECT u.project_id FROM project_usages u WHERE u.instances <>"
                " (SELECT count(*) FROM instances i WHERE i.project_id = u.project_id AND i.deleted = 0)"
                ) == []
    assert all(
        count <= LIMITS["instances"] for (count,) in rows(db, "SELECT instances FROM project_usages")
    )
    assert len(rows(db, "SELECT project_id FROM project_usages")) == projects


def test_a_storm_of_boots_and_deletes_keeps_the_books(db: Database) -> None:
    storm = Storm(db)
    over: list[Any] = []

    def work(number: int) -> None:
        chance = random.Random(number)
        project = f"p{number % 2}"
        mine: list[str] = []
        for _ in range(ROUNDS):
            made = [name for name in (storm.boot(project) for _ in range(3)) if name]
            if made:
                storm.place(project, made, chance)
            mine += made
            while len(mine) > 4 or (mine and chance.random() < 0.3):
                storm.delete(project, mine.pop(chance.randrange(len(mine))))
            over.extend(rows(db, "SELECT project_id FROM project_usages WHERE instances > 20"))
            over.extend(rows(db, "SELECT id FROM compute_nodes WHERE vcpus_used > vcpus"))

    in_threads(THREADS, work)
    assert over == []
    assert storm.refused["claim"] + storm.refused["address"] > 0, storm.refused
    check_the_books(db, projects=2)
    left = rows(db, "SELECT uuid, project_id FROM instances WHERE deleted = 0")
    for name, project in left:
        storm.delete(project, name)
    check_the_books(db, projects=2)
    assert rows(db, "SELECT count(*) FROM claims") == [(0,)]
    assert rows(db, "SELECT count(*) FROM virtual_interfaces") == [(0,)]
    assert rows(db, "SELECT count(*) FROM dns_entries") == [(0,)]
    assert rows(db, "SELECT instances, cores, ram FROM project_usages") == [(0, 0, 0)] * 2


def test_parallel_requests_of_a_new_project_get_exactly_its_quota(db: Database) -> None:
    storm = Storm(db)

    def work(_number: int) -> None:
        for _ in range(6):
            storm.boot("new")

    in_threads(THREADS, work)
    assert storm.refused["quota"] == THREADS * 6 - 20
    check_the_books(db, projects=1)


def crossing(db: Database, act: Callable[[Callable[[Transaction], None]], None]) -> int:
    """Two transactions that lock two rows, each in the other's order; returns how often they ran."""
    with db.write() as tx:
        for name in ("a", "b"):
            tx.quotas.reserve(name, {"instances": 1}, {})
    both = threading.Barrier(2)
    runs = []

    def work(number: int) -> None:
        first, second = ("a", "b") if number else ("b", "a")
        met = False

        def write(tx: Transaction) -> None:
            nonlocal met
            runs.append(number)
            tx.quotas.reserve(first, {"instances": 1}, {})
            if not met and not db.single_writer:
                met = True
                both.wait(20)
            tx.quotas.reserve(second, {"instances": 1}, {})

        act(write)

    in_threads(2, work)
    return len(runs)


def test_a_deadlocks_victim_is_tried_again(db: Database) -> None:
    runs = crossing(db, lambda write: db.run(write))
    assert runs == (2 if db.single_writer else 3)
    assert rows(db, "SELECT instances FROM project_usages") == [(3,), (3,)]


@pytest.mark.parametrize("engine", ["mariadb", "postgresql"])
def test_a_victim_that_cannot_be_repeated_is_told_that_the_database_is_busy(db: Database) -> None:
    busy: list[DatabaseBusy] = []

    def act(write: Callable[[Transaction], None]) -> None:
        try:
            with db.write() as tx:
                write(tx)
        except DatabaseBusy as error:
            busy.append(error)

    assert crossing(db, act) == 2
    assert [error.status for error in busy] == [503]
    assert rows(db, "SELECT instances FROM project_usages") == [(2,), (2,)]


def test_a_deadlock_inside_a_savepoint_is_recognised(db: Database) -> None:
    def nested(write: Callable[[Transaction], None]) -> None:
        def inside(tx: Transaction) -> None:
            with tx.connection.begin_nested():
                write(tx)

        db.run(inside)

    crossing(db, nested)
    assert rows(db, "SELECT instances FROM project_usages") == [(3,), (3,)]
