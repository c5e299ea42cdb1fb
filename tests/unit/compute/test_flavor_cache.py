# SPDX-License-Identifier: Apache-2.0
"""Flavors in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from nova.compute import flavor_cache
from nova.compute.flavor_cache import FlavorCache
from nova.db.engine import Database
from nova.errors import FlavorNotFound
from tests.databases import new_database
from tests.standing_clock import Clock


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    with database.write() as tx:
        tx.flavors.seed_defaults()
        tx.flavors.create(
            "private", memory_mb=1, vcpus=1, root_gb=1, flavorid="p", is_public=False
        )
        tx.flavors.add_access("p", "red")
    yield database
    database.dispose()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fixed = Clock()
    monkeypatch.setattr(flavor_cache, "time", fixed)
    return fixed


def queries(db: Database) -> list[str]:
    seen: list[str] = []

    def record(_c: object, _cu: object, statement: str, *_rest: object) -> None:
        if statement.startswith("SELECT"):
            seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", record)
    return seen


def test_who_may_use_what(db: Database) -> None:
    cache = FlavorCache(db)
    assert cache.get("1", "anybody", False).name == "m1.tiny"
    assert cache.get("p", "red", False).name == "private"
    assert cache.get("p", "blue", True).name == "private"
    for flavorid, project in (("p", "blue"), ("nope", "red"), ("", "red")):
        with pytest.raises(FlavorNotFound):
            cache.get(flavorid, project, False)


def test_what_is_known_costs_no_query(db: Database) -> None:
    cache = FlavorCache(db)
    cache.get("1", "x", False)
    seen = queries(db)
    for _ in range(100):
        cache.get("1", "x", False)
        cache.get("p", "red", False)
    assert seen == []


def test_a_flavor_that_another_process_made_is_found_at_once(db: Database, clock: Clock) -> None:
    cache = FlavorCache(db)
    cache.get("1", "x", False)
    with db.write() as tx:
        tx.flavors.create("new", memory_mb=1, vcpus=1, root_gb=1, flavorid="n")
        tx.flavors.add_access("p", "blue")
    assert cache.get("n", "x", False).name == "new"
    assert cache.get("p", "blue", False).name == "private"


def test_other_changes_of_another_process_are_seen_after_two_seconds(
    db: Database, clock: Clock
) -> None:
    cache = FlavorCache(db)
    cache.get("1", "x", False)
    with db.write() as tx:
        tx.flavors.delete("1")
        tx.flavors.set_extra_specs("2", {"a": "b"})
    clock.now += 1.9
    assert cache.get("1", "x", False).name == "m1.tiny"
    clock.now += 0.2
    assert cache.get("2", "x", False).extra_specs == {"a": "b"}
    with pytest.raises(FlavorNotFound):
        cache.get("1", "x", False)


def test_own_changes_are_seen_at_once(db: Database, clock: Clock) -> None:
    cache = FlavorCache(db)
    cache.get("1", "x", False)
    with db.write() as tx:
        tx.after_commit(cache.forget)
        tx.flavors.delete("1")
    with pytest.raises(FlavorNotFound):
        cache.get("1", "x", False)


def test_own_changes_are_seen_while_others_read(db: Database) -> None:
    """Every write is visible to its writer although eight threads fill the cache all the time."""
    cache = FlavorCache(db)
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            cache.get("2", "x", False)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for number in range(50):
            with db.write() as tx:
                tx.after_commit(cache.forget)
                tx.flavors.update_description("2", str(number))
            assert cache.get("2", "x", False).description == str(number)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
