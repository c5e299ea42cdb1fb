# SPDX-License-Identifier: Apache-2.0
"""Claims: never over the limits, idempotent, and repaired where the books are wrong."""

from __future__ import annotations

import contextlib
import datetime
import random
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, text, update

from nova.db.engine import Database
from nova.db.schema.base import now
from nova.db.schema.compute import instances, server_group_members, server_groups
from nova.db.schema.hosts import claims, compute_nodes
from nova.errors import StateChanged
from nova.objects.host import Claim, ClaimLimits, ClaimRequest, HostReport
from tests.databases import new_database
from tests.unit.db.instance_rows import instance_row


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return new_database(tmp_path)


def add_node(db: Database, host: str = "h1", **sizes: object) -> int:
    facts: dict[str, object] = {
        "vcpus": 4, "memory_mb": 1000, "local_gb": 100, "cpu_allocation_ratio": 2.0,
        "ram_allocation_ratio": 1.5, "reserved_memory_mb": 100, **sizes,
    }  # fmt: skip
    with db.write() as tx:
        report = HostReport(
            host=host, hypervisor_hostname=host, host_ip="10.0.0.1", hypervisor_type="fake",
            hypervisor_version=1, **facts,
        )  # fmt: skip
        return tx.nodes.report(report).id


def used(db: Database, node: int) -> tuple[int, int, int, int]:
    with db.read() as tx:
        found = tx.nodes.get(node)
    return (
        found.vcpus_used, found.memory_mb_used, found.local_gb_used, found.instances_used
    )  # fmt: skip


def claim(db: Database, name: str, node: int, size: tuple[int, int, int], **extra: object) -> bool:
    limits = extra.pop("limits", None)
    kind = str(extra.pop("kind", "instance"))
    with db.write() as tx:
        return tx.claims.claim(name, kind, node, *size, limits)  # type: ignore[arg-type]


def test_claims_are_taken_up_to_the_limit_and_not_past_it(db: Database) -> None:
    node = add_node(db)
    # 4 * 2.0 virtual CPUs; 1000 * 1.5 - 100 MiB; 100 GiB.
    assert claim(db, "a", node, (8, 1400, 100))
    assert used(db, node) == (8, 1400, 100, 1)
    for size in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        assert not claim(db, "b", node, size)
    assert used(db, node) == (8, 1400, 100, 1)
    assert claim(db, "b", node, (0, 0, 0))


def test_a_claim_repeated_changes_nothing(db: Database) -> None:
    node, other = add_node(db), add_node(db, "h2")
    assert claim(db, "a", node, (1, 10, 1))
    assert claim(db, "a", node, (1, 10, 1))
    assert not claim(db, "a", other, (1, 10, 1))
    assert used(db, node) == (1, 10, 1, 1)
    assert used(db, other) == (0, 0, 0, 0)


def test_a_claim_on_a_node_that_is_not_there_is_refused(db: Database) -> None:
    assert not claim(db, "a", 99, (1, 1, 1))


def test_limits_from_aggregates_unlimited_resources_and_forced_servers(db: Database) -> None:
    node = add_node(db)
    tight = ClaimLimits(cpu_allocation_ratio=1.0, ram_allocation_ratio=0.5)
    assert not claim(db, "a", node, (5, 0, 0), limits=tight)
    assert not claim(db, "a", node, (0, 401, 0), limits=tight)
    assert claim(db, "a", node, (4, 400, 0), limits=tight)
    no_disk = ClaimLimits(limit_disk=False)
    assert not claim(db, "b", node, (5, 0, 500), limits=no_disk)
    assert claim(db, "b", node, (0, 0, 500), limits=no_disk)
    assert claim(db, "c", node, (1000, 100000, 100000), limits=ClaimLimits(unlimited=True))
    assert used(db, node) == (1004, 100400, 100500, 3)


def test_a_node_that_cannot_count_its_cpus_is_not_limited_by_them(db: Database) -> None:
    node = add_node(db, vcpus=0)
    assert claim(db, "a", node, (100, 1, 1))


def wanted(name: str, node: int, memory_mb: int, kind: str = "instance") -> ClaimRequest:
    return ClaimRequest(instance_uuid=name, node_id=node, vcpus=0, memory_mb=memory_mb, disk_gb=0, kind=kind)


def test_a_batch_takes_what_fits_and_refuses_the_rest(db: Database) -> None:
    first, second = add_node(db), add_node(db, "h2")
    batch = [
        wanted("a", first, 700), wanted("b", second, 100), wanted("c", first, 800),
        wanted("d", first, 700), wanted("e", first, 1), wanted("b", second, 100),
        wanted("b", first, 0), wanted("a", second, 5, "incoming"), wanted("f", 99, 1),
    ]  # fmt: skip
    with db.write() as tx:
        answers = tx.claims.claim_many(batch)
        again = tx.claims.claim_many(batch)
    assert answers == [True, True, False, True, False, True, False, True, False]
    assert again == answers
    assert used(db, first) == (0, 1400, 0, 2)
    assert used(db, second) == (0, 105, 0, 2)


def test_release_gives_back_what_was_held_once(db: Database) -> None:
    node, other = add_node(db), add_node(db, "h2")
    claim(db, "a", node, (2, 200, 20))
    claim(db, "a", other, (3, 300, 30), kind="incoming")
    claim(db, "b", node, (1, 100, 10))
    with db.write() as tx:
        assert tx.claims.release("a", "incoming") == [Claim("a", "incoming", other, 3, 300, 30)]
        assert tx.claims.release("a", "incoming") == []
    assert used(db, other) == (0, 0, 0, 0)
    with db.write() as tx:
        assert len(tx.claims.release_many(["a", "b", "unknown"])) == 2
        assert tx.claims.release("a") == []
    assert used(db, node) == (0, 0, 0, 0)


def test_a_resize_holds_both_sides_until_it_is_confirmed(db: Database) -> None:
    source, target = add_node(db), add_node(db, "h2")
    claim(db, "a", source, (1, 100, 10))
    assert claim(db, "a", target, (2, 200, 20), kind="incoming")
    with db.write() as tx:
        with pytest.raises(StateChanged):
            tx.claims.move("a", "incoming", "instance")
        assert tx.claims.move("a", "instance", "outgoing")
        assert tx.claims.move("a", "incoming", "instance")
        assert not tx.claims.move("a", "incoming", "instance")
        assert {(each.kind, each.node_id) for each in tx.claims.by_instance("a")} == {
            ("outgoing", source), ("instance", target),
        }  # fmt: skip
    assert used(db, source) == (1, 100, 10, 1)
    with db.write() as tx:
        tx.claims.release("a", "outgoing")
        assert tx.claims.by_node(source) == []
    assert used(db, source) == (0, 0, 0, 0)
    assert used(db, target) == (2, 200, 20, 1)


def test_a_claim_rolled_back_leaves_nothing(db: Database) -> None:
    node = add_node(db)
    with contextlib.suppress(RuntimeError), db.write() as tx:
        assert tx.claims.claim("a", "instance", node, 1, 1, 1)
        raise RuntimeError
    assert used(db, node) == (0, 0, 0, 0)


def test_the_audit_removes_claims_of_no_instance_and_corrects_sums(db: Database) -> None:
    node, other = add_node(db), add_node(db, "h2")
    claim(db, "never-there", node, (1, 100, 10))
    with db.write() as tx:
        # Nobody may be hurried: a claim just made may belong to a server about to be.
        assert tx.claims.audit(settle_seconds=60).count == 0
        repairs = tx.claims.audit(settle_seconds=0)
    assert repairs.orphans == (Claim("never-there", "instance", node, 1, 100, 10),)
    assert repairs.nodes == ()
    with db.write() as tx:
        tx.connection.execute(update(compute_nodes).where(compute_nodes.c.id == other).values(vcpus_used=77))
        assert tx.claims.audit().nodes == (other,)
        assert tx.claims.audit().count == 0
    assert used(db, other) == (0, 0, 0, 0)


def test_the_audit_leaves_servers_that_live_or_were_just_deleted_alone(db: Database) -> None:
    node = add_node(db)
    now_ = now()
    old = now_ - datetime.timedelta(hours=1)
    rows = [
        instance_row("lives"),
        instance_row("just-deleted", deleted=2, deleted_at=now_),
        instance_row("long-deleted", deleted=3, deleted_at=old),
    ]
    with db.write() as tx:
        for row in rows:
            tx.connection.execute(insert(instances).values(row))
            tx.claims.claim(row["uuid"], "instance", node, 1, 100, 1)
        tx.connection.execute(update(claims).values(created_at=old))
        repairs = tx.claims.audit(settle_seconds=60)
    assert [each.instance_uuid for each in repairs.orphans] == ["long-deleted"]
    assert used(db, node) == (2, 200, 2, 2)


def add_group(db: Database, policy: str, members: list[str]) -> None:
    with db.write() as tx:
        tx.connection.execute(
            insert(server_groups).values(
                id=1, uuid="g", project_id="p", user_id="u", name="g", policy=policy, rules={}
            )
        )
        tx.connection.execute(
            insert(server_group_members),
            [{"group_id": 1, "instance_uuid": member} for member in members],
        )


def test_the_policy_of_a_group_is_checked_with_the_claim(db: Database) -> None:
    node, other = add_node(db), add_node(db, "h2")
    add_group(db, "anti-affinity", ["a", "b"])
    for name in ("a", "b", "stranger"):
        claim(db, name, node, (1, 1, 1))

    def keeps(policy: str, name: str, where: int, most: int = 1) -> bool:
        with db.write() as tx:
            return tx.claims.keeps_group_policy("g", policy, name, where, most)

    assert not keeps("anti-affinity", "b", node)
    assert keeps("anti-affinity", "b", node, 2)
    assert keeps("anti-affinity", "b", other)
    assert keeps("affinity", "b", node)
    assert not keeps("affinity", "b", other)
    assert keeps("soft-anti-affinity", "b", node)


def test_members_placed_at_the_same_time_stay_apart(db: Database) -> None:
    node = add_node(db)
    names = [f"member-{number}" for number in range(6)]
    add_group(db, "anti-affinity", names)
    kept: list[str] = []

    def place(name: str) -> None:
        with contextlib.suppress(LookupError), db.write() as tx:
            assert tx.claims.claim(name, "instance", node, 1, 1, 1)
            if not tx.claims.keeps_group_policy("g", "anti-affinity", name, node):
                raise LookupError
            kept.append(name)

    threads = [threading.Thread(target=place, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == 1
    assert used(db, node) == (1, 1, 1, 1)


@contextlib.contextmanager
def watched(db: Database) -> Iterator[None]:
    """The database itself refuses every write that passes a limit, not the program."""
    within = (
        "{0}vcpus_used <= {0}vcpus * {0}cpu_allocation_ratio - {0}reserved_vcpus"
        " AND {0}memory_mb_used <= {0}memory_mb * {0}ram_allocation_ratio - {0}reserved_memory_mb"
        " AND {0}vcpus_used >= 0 AND {0}memory_mb_used >= 0"
    )
    begin, end = (
        (
            f"CREATE TRIGGER watch AFTER UPDATE ON compute_nodes WHEN NOT ({within.format('NEW.')})"
            " BEGIN SELECT RAISE(ABORT, 'over the limit'); END",
            "DROP TRIGGER watch",
        )
        if db.dialect == "sqlite"
        else (
            f"ALTER TABLE compute_nodes ADD CONSTRAINT watch CHECK ({within.format('')})",
            "ALTER TABLE compute_nodes DROP CONSTRAINT watch",
        )
    )
    with db.engine.begin() as connection:
        connection.execute(text(begin))
    try:
        yield
    finally:
        with db.engine.begin() as connection:
            connection.execute(text(end))


def test_a_storm_of_claims_and_releases_never_passes_the_limits(db: Database) -> None:
    nodes = [add_node(db, f"h{number}") for number in range(4)]
    failures: list[BaseException] = []
    refused = [0] * 8

    def worker(number: int) -> None:
        chance = random.Random(number)
        mine: list[str] = []
        try:
            for _ in range(60):
                if mine and chance.random() < 0.4:
                    back = mine.pop(chance.randrange(len(mine)))
                    db.run(lambda tx, back=back: tx.claims.release(back))
                    continue
                batch = [
                    ClaimRequest(
                        instance_uuid=str(uuid.uuid4()), node_id=chance.choice(nodes),
                        vcpus=chance.randrange(1, 3), memory_mb=chance.randrange(50, 400),
                        disk_gb=1,
                    )
                    for _ in range(chance.randrange(1, 4))
                ]  # fmt: skip
                answers = db.run(lambda tx, batch=batch: tx.claims.claim_many(batch))
                mine += [each.instance_uuid for each, fits in zip(batch, answers, strict=True) if fits]
                refused[number] += answers.count(False)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=worker, args=(number,)) for number in range(8)]
    with watched(db):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures
    assert sum(refused) > 50, "the cloud was never full: nothing was tested"
    with db.write() as tx:
        assert tx.claims.audit(settle_seconds=3600).count == 0
        for node in nodes:
            held = tx.claims.by_node(node)
            found = tx.nodes.get(node)
            assert found.vcpus_used == sum(each.vcpus for each in held)
            assert found.memory_mb_used == sum(each.memory_mb for each in held)
            assert found.instances_used == len(held)
