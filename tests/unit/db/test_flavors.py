# SPDX-License-Identifier: Apache-2.0
"""Flavors in the database."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from nova.db.engine import Database
from nova.db.schema.compute import flavors
from nova.errors import AlreadyExists, BadRequest, FlavorNotFound, NotFound
from nova.objects.flavor import Flavor, FlavorQuery
from tests.databases import new_database


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return new_database(tmp_path)


@pytest.fixture
def seeded(db: Database) -> Database:
    with db.write() as tx:
        tx.flavors.seed_defaults()
    return db


def ids(db: Database, query: FlavorQuery) -> list[str]:
    with db.read() as tx:
        return [flavor.flavorid for flavor in tx.flavors.list(query)]


def test_the_value_has_the_columns_of_the_table_in_their_order() -> None:
    assert Flavor.__struct_fields__ == tuple(column.name for column in flavors.columns)


def test_the_default_flavors_are_those_of_kilo(seeded: Database) -> None:
    with seeded.read() as tx:
        found = tx.flavors.list()
    assert [
        (f.flavorid, f.name, f.memory_mb, f.vcpus, f.root_gb, f.ephemeral_gb, f.swap, f.is_public)
        for f in found
    ] == [
        ("1", "m1.tiny", 512, 1, 1, 0, 0, True),
        ("2", "m1.small", 2048, 1, 20, 0, 0, True),
        ("3", "m1.medium", 4096, 2, 40, 0, 0, True),
        ("4", "m1.large", 8192, 4, 80, 0, 0, True),
        ("5", "m1.xlarge", 16384, 8, 160, 0, 0, True),
    ]


def test_what_an_operator_deleted_is_not_seeded_again(seeded: Database) -> None:
    with seeded.write() as tx:
        for number in range(1, 6):
            tx.flavors.delete(str(number))
    with seeded.write() as tx:
        assert tx.flavors.seed_defaults() is False
        assert tx.flavors.list() == []


def test_a_table_with_flavors_is_not_seeded(db: Database) -> None:
    with db.write() as tx:
        tx.flavors.create("own", memory_mb=1, vcpus=1, root_gb=0)
        assert tx.flavors.seed_defaults() is False
    with db.write() as tx:
        tx.flavors.delete(tx.flavors.list()[0].flavorid)
        assert tx.flavors.seed_defaults() is False


def test_create_and_get_round_trip_non_ascii(db: Database) -> None:
    with db.write() as tx:
        made = tx.flavors.create(
            "größe-大", memory_mb=64, vcpus=2, root_gb=3, flavorid="x", swap=5, rxtx_factor=0.5,
            is_public=False, description="Beschreibung ✓", extra_specs={"hw:a": "é"},
        )
    with db.read() as tx:
        assert tx.flavors.get("x") == made
        assert tx.flavors.find_by_name("größe-大") == made
    assert made.description == "Beschreibung ✓"


def test_a_taken_name_and_a_taken_id_are_told_apart(seeded: Database) -> None:
    with seeded.write() as tx, pytest.raises(AlreadyExists, match=r"name m1\.tiny already"):
        tx.flavors.create("m1.tiny", memory_mb=1, vcpus=1, root_gb=1)
    with seeded.write() as tx, pytest.raises(AlreadyExists, match="ID 1 already"):
        tx.flavors.create("other", memory_mb=1, vcpus=1, root_gb=1, flavorid="1")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (FlavorQuery(min_ram=4096), ["3", "4", "5"]),
        (FlavorQuery(min_disk=80), ["4", "5"]),
        (FlavorQuery(min_ram=4096, min_disk=160), ["5"]),
        (FlavorQuery(sort_key="memory_mb", descending=True), ["5", "4", "3", "2", "1"]),
        (FlavorQuery(sort_key="vcpus"), ["1", "2", "3", "4", "5"]),
        (FlavorQuery(sort_key="vcpus", descending=True), ["5", "4", "3", "2", "1"]),
        (FlavorQuery(sort_key="vcpu_weight", descending=True), ["5", "4", "3", "2", "1"]),
        (FlavorQuery(sort_key="updated_at"), ["1", "2", "3", "4", "5"]),
        (FlavorQuery(marker="2", limit=2), ["3", "4"]),
        (FlavorQuery(marker="1", sort_key="vcpus", limit=1), ["2"]),
        (FlavorQuery(marker="2", sort_key="vcpus", descending=True), ["1"]),
        (FlavorQuery(marker="3", sort_key="description", limit=1), ["4"]),
        (FlavorQuery(marker="5"), []),
        (FlavorQuery(limit=0), []),
        (FlavorQuery(name="large"), ["4", "5"]),
        (FlavorQuery(name="^m1.[st]"), ["1", "2"]),
        (FlavorQuery(is_public=False), []),
        (FlavorQuery(disabled=True), []),
    ],
)
def test_list(seeded: Database, query: FlavorQuery, expected: list[str]) -> None:
    assert ids(seeded, query) == expected


def test_an_unknown_marker_is_refused(seeded: Database) -> None:
    with pytest.raises(BadRequest, match=r"marker \[nope\] not found"):
        ids(seeded, FlavorQuery(marker="nope"))


def test_a_bad_expression_is_refused(seeded: Database) -> None:
    with pytest.raises(BadRequest, match="name"):
        ids(seeded, FlavorQuery(name="(["))


def test_private_flavors_are_seen_by_the_projects_on_their_list(seeded: Database) -> None:
    with seeded.write() as tx:
        tx.flavors.create("p", memory_mb=1, vcpus=1, root_gb=1, flavorid="p", is_public=False)
        tx.flavors.add_access("p", "red")
        tx.flavors.add_access("p", "blue")
    assert "p" in ids(seeded, FlavorQuery(project_id="red"))
    assert "p" not in ids(seeded, FlavorQuery(project_id="green"))
    assert "p" in ids(seeded, FlavorQuery(is_public=None))
    assert ids(seeded, FlavorQuery(is_public=False)) == ["p"]
    with seeded.write() as tx:
        assert tx.flavors.find("p", project_id="red") is not None
        assert tx.flavors.find("p", project_id="green") is None
        assert tx.flavors.projects_with_access("p") == ["blue", "red"]
        with pytest.raises(AlreadyExists):
            tx.flavors.add_access("p", "red")
        tx.flavors.remove_access("p", "red")
        with pytest.raises(NotFound):
            tx.flavors.remove_access("p", "red")
        assert [*tx.flavors.access_lists().values()] == [{"blue"}]
        tx.flavors.delete("p")
        assert tx.flavors.access_lists() == {}


def test_extra_specs_are_merged_and_removed(seeded: Database) -> None:
    with seeded.write() as tx:
        tx.flavors.set_extra_specs("1", {"a": "1", "b": "2"})
        assert tx.flavors.set_extra_specs("1", {"b": "3"}).extra_specs == {"a": "1", "b": "3"}
        assert tx.flavors.delete_extra_spec("1", "a").extra_specs == {"b": "3"}
        with pytest.raises(NotFound, match="no extra specs with key a"):
            tx.flavors.delete_extra_spec("1", "a")


def test_parallel_extra_specs_are_all_kept(seeded: Database) -> None:
    def add(number: int) -> None:
        with seeded.write() as tx:
            tx.flavors.set_extra_specs("1", {f"k{number}": "v"})

    threads = [threading.Thread(target=add, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with seeded.read() as tx:
        assert len(tx.flavors.get("1").extra_specs) == 10


def test_writers_refuse_a_missing_flavor(db: Database) -> None:
    with db.write() as tx:
        for write in (
            lambda: tx.flavors.get("no"),
            lambda: tx.flavors.delete("no"),
            lambda: tx.flavors.update_description("no", "x"),
            lambda: tx.flavors.set_extra_specs("no", {"a": "b"}),
            lambda: tx.flavors.delete_extra_spec("no", "a"),
            lambda: tx.flavors.add_access("no", "p"),
            lambda: tx.flavors.remove_access("no", "p"),
            lambda: tx.flavors.projects_with_access("no"),
        ):
            with pytest.raises(FlavorNotFound):
                write()


def test_description_and_disabled_are_set(seeded: Database) -> None:
    with seeded.write() as tx:
        assert tx.flavors.update_description("1", "smäll").description == "smäll"
        assert tx.flavors.update_description("1", None).description is None
        tx.flavors.set_disabled("2", True)
    assert ids(seeded, FlavorQuery(disabled=False)) == ["1", "3", "4", "5"]
