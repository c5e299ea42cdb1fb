# SPDX-License-Identifier: Apache-2.0
"""Limits and usage in the database."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import event, insert

from nova.db.engine import Database
from nova.db.schema.compute import instances, project_usages
from nova.errors import QuotaExceeded
from nova.objects.quota import COUNTED, ProjectUsage
from tests.databases import new_database
from tests.unit.db.instance_rows import instance_row

DEFAULTS = {"instances": 10, "cores": 20, "ram": 51200, "key_pairs": 100}


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return new_database(tmp_path)


def usage(db: Database, project: str = "p") -> ProjectUsage:
    with db.read() as tx:
        return tx.quotas.usage(project)


def test_the_value_has_the_columns_of_the_table_in_their_order() -> None:
    columns = tuple(column.name for column in project_usages.columns)
    assert ProjectUsage.__struct_fields__ == columns == ("project_id", *COUNTED)


def test_the_nearest_limit_counts_and_costs_one_statement(db: Database) -> None:
    with db.write() as tx:
        tx.quotas.set_class("default", {"instances": 11, "cores": 21, "ram": 1})
        tx.quotas.set_class("other", {"key_pairs": 1})
        tx.quotas.set("p", {"instances": 12, "cores": 22})
        tx.quotas.set("p", {"instances": 13}, user_id="u")
    seen: list[str] = []
    event.listen(
        db.engine, "before_cursor_execute",
        lambda _c, _cu, statement, *_rest: seen.append(statement),
    )
    with db.read() as tx:
        limits = tx.quotas.limits("p", "u", DEFAULTS)
    assert len([statement for statement in seen if "SELECT" in statement]) == 1
    assert limits == {"instances": 13, "cores": 22, "ram": 1, "key_pairs": 100}
    with db.read() as tx:
        assert tx.quotas.limits("p", "v", DEFAULTS)["instances"] == 12
        assert tx.quotas.limits("q", "u", DEFAULTS)["instances"] == 11
        assert tx.quotas.given_to_users("p") == {"instances": 13}


def test_limits_are_changed_and_forgotten(db: Database) -> None:
    with db.write() as tx:
        tx.quotas.set("p", {"instances": 1, "cores": 2})
        tx.quotas.set("p", {"instances": -1})
        tx.quotas.set("p", {"cores": 1}, user_id="u")
        tx.quotas.set("p", {})
    with db.read() as tx:
        assert tx.quotas.limit_record("p", "u").of_project == {"instances": -1, "cores": 2}
    with db.write() as tx:
        tx.quotas.delete("p", user_id="u")
        assert tx.quotas.limit_record("p", "u").of_user == {}
        assert tx.quotas.limit_record("p", "u").of_project != {}
        tx.quotas.delete("p")
        assert tx.quotas.limit_record("p", "u").of_project == {}


def test_reserve_refuses_the_whole_request_and_says_why(db: Database) -> None:
    limits = {"instances": 10, "cores": 20, "ram": -1}
    with db.write() as tx:
        tx.quotas.reserve("p", {"instances": 10, "cores": 20, "ram": 999}, limits)
    with db.write() as tx, pytest.raises(QuotaExceeded) as refusal:
        tx.quotas.reserve("p", {"instances": 1, "cores": 2, "ram": 512}, limits)
    assert refusal.value.message == (
        "Quota exceeded for instances, cores: Requested 1, 2, "
        "but already used 10, 20 of 10, 20 instances, cores"
    )
    assert usage(db) == ProjectUsage("p", instances=10, cores=20, ram=999)


def test_one_resource_over_its_limit_counts_nothing(db: Database) -> None:
    with db.write() as tx:
        with pytest.raises(QuotaExceeded, match="Quota exceeded for ram: Requested 3, "):
            tx.quotas.reserve("p", {"instances": 1, "ram": 3}, {"instances": 5, "ram": 2})
        assert tx.quotas.usage("p") == ProjectUsage("p")


def test_giving_back_is_never_refused(db: Database) -> None:
    with db.write() as tx:
        tx.quotas.reserve("p", {"instances": 5, "ram": 10**12}, {})
        tx.quotas.reserve("p", {"instances": 0, "ram": -5}, {"instances": 1, "ram": 1})
        assert tx.quotas.usage("p") == ProjectUsage("p", instances=5, ram=10**12 - 5)
        tx.quotas.release("p", {"instances": 9, "ram": 5})
        assert tx.quotas.usage("p") == ProjectUsage("p", instances=0, ram=10**12 - 10)
        tx.quotas.release("nobody", {"instances": 1})


def test_a_reservation_of_a_known_project_is_one_statement(db: Database) -> None:
    with db.write() as tx:
        tx.quotas.reserve("p", {"instances": 1}, {"instances": 5})
    seen: list[str] = []
    event.listen(
        db.engine, "before_cursor_execute",
        lambda _c, _cu, statement, *_rest: seen.append(statement),
    )
    with db.write() as tx:
        tx.quotas.reserve("p", {"instances": 1, "cores": 1}, {"instances": 5, "cores": -1})
    assert [statement.split()[0] for statement in seen if not statement.startswith("BEGIN")] == [
        "UPDATE"
    ]


def test_fifty_parallel_requests_get_exactly_the_ten_allowed(db: Database) -> None:
    barrier = threading.Barrier(50)
    results: list[bool] = []

    def request() -> None:
        barrier.wait()
        try:
            db.run(lambda tx: tx.quotas.reserve("p", {"instances": 1, "cores": 1}, DEFAULTS))
            results.append(True)
        except QuotaExceeded:
            results.append(False)

    threads = [threading.Thread(target=request) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (results.count(True), results.count(False)) == (10, 40)
    assert usage(db).instances == 10


def test_a_users_own_limit_counts_only_that_users_servers(db: Database) -> None:
    with db.write() as tx:
        tx.connection.execute(
            insert(instances),
            [instance_row("a", user_id="u"), instance_row("b", user_id="v"),
             instance_row("gone", user_id="u", deleted=3)],
        )
        tx.quotas.force_usage("p")
    one = {"instances": 1}
    with db.write() as tx:
        tx.quotas.reserve_for_user("p", "u", one, DEFAULTS, {"instances": 2})
        assert tx.quotas.usage("p").instances == 3
        with pytest.raises(QuotaExceeded, match="already used 1 of 1 instances"):
            tx.quotas.reserve_for_user("p", "u", one, DEFAULTS, {"instances": 1})
        assert tx.quotas.usage("p").instances == 3
        tx.quotas.reserve_for_user("p", "u", one, DEFAULTS, {})
        assert tx.quotas.usage("p").instances == 4


def test_an_audit_counts_the_rows(db: Database) -> None:
    with db.write() as tx:
        tx.connection.execute(
            insert(instances),
            [
                instance_row("a", vcpus=4, memory_mb=2048),
                instance_row("b"),
                instance_row("soft", vm_state="soft-delete"),
                instance_row("gone", deleted=9),
                instance_row("else", project_id="q"),
            ],
        )
        tx.server_groups.create(project_id="p", user_id="u", name="g", policy="affinity")
        tx.quotas.reserve("p", {"instances": 77, "floating_ips": 5}, {})
        counted = tx.quotas.force_usage("p")
    assert counted == ProjectUsage("p", instances=2, cores=5, ram=2560, server_groups=1)
    assert usage(db) == counted
    with db.write() as tx:
        assert tx.quotas.force_usage("new") == ProjectUsage("new")
