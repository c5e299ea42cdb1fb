# SPDX-License-Identifier: Apache-2.0
"""Quota limits in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from nova.compute import limit_cache
from nova.compute.limit_cache import LimitCache, configured_limits
from nova.conf.quota import QuotaSection
from nova.db.engine import Database
from tests.databases import new_database
from tests.standing_clock import Clock


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.dispose()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fixed = Clock()
    monkeypatch.setattr(limit_cache, "time", fixed)
    return fixed


def test_the_configuration_has_the_names_of_the_api() -> None:
    limits = configured_limits(QuotaSection(injected_file_path_length=99))
    assert limits["injected_file_path_bytes"] == 99
    assert "injected_file_path_length" not in limits
    assert limits["instances"] == 10


def test_the_nearest_limit_counts(db: Database) -> None:
    with db.write() as tx:
        tx.quotas.set_class("default", {"cores": 21, "ram": 22})
        tx.quotas.set("p", {"ram": 32})
        tx.quotas.set("p", {"ram": 42}, user_id="u")
    cache = LimitCache(db, QuotaSection())
    found = cache.get("p", "u")
    assert (found["instances"], found["cores"], found["ram"]) == (10, 21, 42)
    assert cache.get("p", "v")["ram"] == 32
    assert cache.get("q", "u")["ram"] == cache.defaults()["ram"] == 22
    assert cache.all("p", "u").of_project["ram"] == 32


def test_what_is_known_costs_no_query_and_cannot_be_changed(db: Database) -> None:
    cache = LimitCache(db, QuotaSection())
    limits = cache.get("p", "u")
    seen: list[str] = []
    event.listen(
        db.engine, "before_cursor_execute",
        lambda _c, _cu, statement, *_rest: seen.append(statement),
    )
    assert cache.get("p", "u") is limits
    assert seen == []
    with pytest.raises(TypeError):
        limits["cores"] = 1  # type: ignore[index]


def test_changes_are_seen_at_once_after_forget_and_else_after_two_seconds(
    db: Database, clock: Clock
) -> None:
    cache = LimitCache(db, QuotaSection())
    assert cache.get("p", "u")["cores"] == 20
    with db.write() as tx:
        tx.quotas.set("p", {"cores": 1})
    assert cache.get("p", "u")["cores"] == 20
    clock.now += 2.1
    assert cache.get("p", "u")["cores"] == 1
    with db.write() as tx:
        tx.after_commit(cache.forget)
        tx.quotas.set("p", {"cores": 2})
    assert cache.get("p", "u")["cores"] == 2


def test_memory_is_bounded(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_cache, "_MOST", 10)
    cache = LimitCache(db, QuotaSection())
    for number in range(50):
        cache.get(f"p{number}", "u")
    assert len(cache._known) <= 11
