# SPDX-License-Identifier: Apache-2.0
"""Host aggregates and the zones that they make."""

from __future__ import annotations

from pathlib import Path

import pytest

from nova.db.engine import Database
from nova.errors import AlreadyExists, BadRequest, Conflict, NotFound
from tests.databases import new_database


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return new_database(tmp_path)


def test_create_show_list_and_delete(db: Database) -> None:
    with db.write() as tx:
        made = tx.aggregates.create("nœuds", "az1", {"ssd": "true"})
        assert made.metadata == {"ssd": "true", "availability_zone": "az1"}
        assert made.hosts == ()
        other = tx.aggregates.create("other")
        with pytest.raises(AlreadyExists):
            tx.aggregates.create("other")
        assert [each.id for each in tx.aggregates.list()] == [made.id, other.id]
        tx.aggregates.add_host(made.id, "h2")
        shown = tx.aggregates.add_host(made.id, "h1")
        assert shown.hosts == ("h1", "h2")
        assert tx.aggregates.get(made.id) == shown
        assert [each.hosts for each in tx.aggregates.list()] == [("h1", "h2"), ()]
        assert tx.aggregates.zones_of_hosts() == {"h1": "az1", "h2": "az1"}
        with pytest.raises(BadRequest, match="not empty"):
            tx.aggregates.delete(made.id)
        tx.aggregates.delete(other.id)
        for call in (tx.aggregates.delete, tx.aggregates.get):
            with pytest.raises(NotFound):
                call(other.id)


def test_hosts_go_in_and_out_once(db: Database) -> None:
    with db.write() as tx:
        made = tx.aggregates.create("a")
        tx.aggregates.add_host(made.id, "h1")
        with pytest.raises(AlreadyExists):
            tx.aggregates.add_host(made.id, "h1")
        assert tx.aggregates.remove_host(made.id, "h1").hosts == ()
        with pytest.raises(NotFound, match="h1"):
            tx.aggregates.remove_host(made.id, "h1")
        with pytest.raises(NotFound, match="99"):
            tx.aggregates.remove_host(99, "h1")
        with pytest.raises(NotFound):
            tx.aggregates.add_host(99, "h1")


def test_a_host_is_in_one_zone_at_most(db: Database) -> None:
    with db.write() as tx:
        first = tx.aggregates.create("a", "az1")
        second = tx.aggregates.create("b", "az2")
        third = tx.aggregates.create("c")
        same = tx.aggregates.create("d", "az1")
        tx.aggregates.add_host(first.id, "h1")
        tx.aggregates.add_host(same.id, "h1")
        tx.aggregates.add_host(third.id, "h1")
        with pytest.raises(Conflict, match="az1"):
            tx.aggregates.add_host(second.id, "h1")
        with pytest.raises(BadRequest, match="az1"):
            tx.aggregates.set_metadata(third.id, {"availability_zone": "az3"})
        with pytest.raises(BadRequest, match="az1"):
            tx.aggregates.update(third.id, availability_zone="az3")
        assert tx.aggregates.zones_of_hosts() == {"h1": "az1"}


def test_update_and_metadata(db: Database) -> None:
    with db.write() as tx:
        made = tx.aggregates.create("a", metadata={"one": "1", "two": "2"})
        tx.aggregates.create("b")
        changed = tx.aggregates.update(made.id, "ä", "az1")
        assert (changed.name, changed.metadata["availability_zone"]) == ("ä", "az1")
        assert changed.updated_at is not None
        with pytest.raises(AlreadyExists):
            tx.aggregates.update(made.id, "b")
        merged = tx.aggregates.set_metadata(made.id, {"one": None, "three": "3", "absent": None})
        assert merged.metadata == {"two": "2", "three": "3", "availability_zone": "az1"}
        with pytest.raises(NotFound):
            tx.aggregates.set_metadata(99, {})
        with pytest.raises(NotFound):
            tx.aggregates.update(99, "x")
