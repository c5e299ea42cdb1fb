# SPDX-License-Identifier: Apache-2.0
"""Services and their heartbeats."""

from __future__ import annotations

import datetime
import threading
from pathlib import Path

import pytest

from nova.db.engine import Database
from nova.errors import NotFound
from tests.databases import new_database
from tests.unit.db.service_rows import reported

NOW = datetime.datetime(2026, 1, 1)
LATER = NOW + datetime.timedelta(seconds=10)


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return new_database(tmp_path)


def test_reports_add_once_and_count(db: Database) -> None:
    with db.write() as tx:
        first = reported(tx, "nova-compute", "hôte", "compute", NOW)
        second = reported(tx, "nova-compute", "hôte", "compute", LATER)
        assert len(tx.services.list()) == 1
    assert (first.report_count, first.last_seen_up) == (1, NOW)
    assert (second.id, second.uuid, second.report_count) == (first.id, first.uuid, 2)
    assert second.is_up(LATER, 60)
    assert not second.is_up(LATER + datetime.timedelta(seconds=61), 60)


def test_many_reports_at_once(db: Database) -> None:
    hosts = [f"h{number}" for number in range(1200)]
    with db.write() as tx:
        reported(tx, "nova-compute", "h7", "compute", NOW)
        everyone = [("nova-compute", host, "compute") for host in hosts]
        tx.services.report_many([*everyone, ("nova-network", "h1", "network")], LATER)
        tx.services.report_many(everyone, LATER)
        found = tx.services.list("nova-compute")
        assert len(tx.services.list(host="h1")) == 2
    counts = {each.host: each.report_count for each in found}
    assert len(counts) == 1200
    assert counts.pop("h7") == 3
    assert set(counts.values()) == {2}
    assert all(each.last_seen_up == LATER for each in found)


def test_disabling_forcing_down_and_deleting(db: Database) -> None:
    with db.write() as tx:
        service = reported(tx, "nova-compute", "h1", "compute", NOW)
        disabled = tx.services.set_disabled(service.id, True, "défaut")
        assert (disabled.disabled, disabled.disabled_reason) == (True, "défaut")
        enabled = tx.services.set_disabled(service.id, False, "ignored")
        assert (enabled.disabled, enabled.disabled_reason) == (False, None)
        assert not tx.services.set_forced_down(service.id, True).is_up(NOW, 60)
        assert tx.services.get_by_uuid(service.uuid).forced_down
        assert tx.services.get_by_id(service.id).id == service.id
        assert tx.services.get_by_host("nova-compute", "h2") is None
        tx.services.delete(service.id)
        for call in (
            lambda: tx.services.delete(service.id),
            lambda: tx.services.get_by_id(service.id),
            lambda: tx.services.get_by_uuid(service.uuid),
            lambda: tx.services.set_disabled(service.id, True),
        ):
            with pytest.raises(NotFound):
                call()


def test_a_service_that_starts_twice_at_once_is_one_service(db: Database) -> None:
    def report(number: int) -> None:
        moment = NOW + datetime.timedelta(microseconds=number)
        db.run(lambda tx: tx.services.report_many([("nova-compute", "h1", "compute")], moment))

    threads = [threading.Thread(target=report, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.read() as tx:
        [service] = tx.services.list()
    assert service.report_count == 6
