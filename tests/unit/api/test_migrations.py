# SPDX-License-Identifier: Apache-2.0
"""``os-migrations`` at its versions, and the store behind it."""

from __future__ import annotations

import datetime

import pytest

from nova.db.engine import Database
from nova.db.schema.operations import migrations
from nova.objects.migration import Migration, MigrationFilter, MigrationProgress
from tests.unit.api.conftest import OTHER_PROJECT, PROJECT, Api, message, same_shape, sample
from tests.unit.db.instance_rows import SMALL

DAY = datetime.datetime(2016, 1, 29, 12)
A = "8600d31b-d1a1-4632-b2ff-45c2be1a70ff"
B = "9128d044-7b61-403e-b766-7547076ff6c1"


def _move(number: int, instance: str = A, **fields: object) -> Migration:
    values: dict[str, object] = {
        "migration_type": "resize", "status": "done", "source_compute": "c1",
        "source_node": "n1", "dest_compute": "c2", "dest_node": "n2", "dest_host": "1.2.3.4",
        "old_flavor_id": 1, "new_flavor_id": 2, "user_id": "member", "project_id": PROJECT,
        "created_at": DAY + datetime.timedelta(hours=number),
        "updated_at": DAY + datetime.timedelta(hours=number),
    }
    values |= fields
    return Migration(
        id=0, uuid=f"{number}2341d4b-346a-40d0-83c6-5f4f6892b650", instance_uuid=instance,
        operation_id=None, **values,  # type: ignore[arg-type]
    )


@pytest.fixture
def moves(db: Database) -> None:
    with db.write() as tx:
        tx.migrations.create(_move(1, migration_type="live-migration", status="running"))
        tx.migrations.create(_move(2, migration_type="live-migration", status="error"))
        tx.migrations.create(_move(3, B, source_compute="c3", project_id=OTHER_PROJECT))
        tx.migrations.create(_move(4, B, status="migrating", user_id="ünäme"))


def _ids(api: Api, query: str = "", at: int = 1, token: str = "admin") -> list[int]:
    answer = api.get(f"/os-migrations{query}", at=at, token=token)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json["migrations"]]


def test_the_record_has_the_tables_columns_in_order() -> None:
    assert list(Migration.__struct_fields__) == [column.name for column in migrations.c]


def test_the_store_keeps_what_it_is_given(db: Database) -> None:
    with db.write() as tx:
        made = tx.migrations.create(_move(
            1, old_flavor=SMALL, new_flavor=SMALL, old_vm_state="active",
            progress=MigrationProgress(memory_total=12345678901),
        ))
        assert tx.migrations.get(made.id) == made
        assert tx.migrations.get_by_uuid(made.uuid) == made
        assert tx.migrations.get(made.id + 1) is None
    assert made.old_flavor == SMALL
    assert made.progress is not None
    assert made.progress.memory_total == 12345678901


def test_a_status_changes_only_from_the_statuses_named(db: Database) -> None:
    with db.write() as tx:
        made = tx.migrations.create(_move(1, status="finished"))
        assert not tx.migrations.update(made.id, "reverted", from_statuses=("running",))
        assert tx.migrations.update(
            made.id, "confirming", {"dest_host": "5.6.7.8"}, from_statuses=("finished",)
        )
        found = tx.migrations.latest(A, statuses=("confirming",), types=("resize",))
        assert found is not None
        assert (found.status, found.dest_host) == ("confirming", "5.6.7.8")
        assert tx.migrations.latest(A, types=("evacuation",)) is None


@pytest.mark.usefixtures("moves")
def test_what_is_open_is_found_by_server_and_by_host(db: Database) -> None:
    with db.read() as tx:
        assert [each.id for each in tx.migrations.live_of(A)] == [1]
        assert [each.id for each in tx.migrations.by_instance(A)] == [2, 1]
        assert [each.id for each in tx.migrations.unfinished_on("c2")] == [1, 4]
        found = tx.migrations.list(MigrationFilter(host="c3"))
        assert found is not None
        assert [each.id for each in found] == [3]


@pytest.mark.usefixtures("moves")
@pytest.mark.parametrize("at, folder", [(1, ""), (23, "v2.23/"), (59, "v2.59/"), (80, "v2.80/")])
def test_the_list_has_the_keys_of_its_version(api: Api, at: int, folder: str) -> None:
    answer = api.get("/os-migrations", at=at).json["migrations"]
    wanted = sample(f"v2.1/os-migrations/{folder}migrations-get.json")["migrations"]
    plain = next(each for each in wanted if "links" not in each)
    same_shape(next(each for each in answer if each["id"] == 4), plain)
    if at >= 23:
        linked = next(each for each in wanted if "links" in each)
        live = next(each for each in answer if each["id"] == 1)
        same_shape(live, linked)
        assert live["links"][0]["href"].endswith(f"/v2.1/{PROJECT}/servers/{A}/migrations/1")
        assert live["links"][1]["href"].endswith(f"/{PROJECT}/servers/{A}/migrations/1")
        assert "v2.1" not in live["links"][1]["href"]


@pytest.mark.usefixtures("moves")
@pytest.mark.parametrize("query, ids", [
    ("", [4, 3, 2, 1]),
    ("?status=done", [3]),
    ("?host=c1", [4, 2, 1]),
    ("?host=c2", [4, 3, 2, 1]),
    ("?source_compute=c3", [3]),
    ("?migration_type=live-migration", [2, 1]),
    (f"?instance_uuid={B}", [4, 3]),
    ("?hidden=1", []),
])
def test_filters(api: Api, query: str, ids: list[int]) -> None:
    assert _ids(api, query) == ids
    assert _ids(api, query, at=90) == ids


@pytest.mark.usefixtures("moves")
def test_later_parameters_mean_nothing_to_older_versions(api: Api) -> None:
    assert _ids(api, "?limit=1&marker=no&changes-since=never&unknown=1") == [4, 3, 2, 1]


@pytest.mark.usefixtures("moves")
def test_pages_and_times(api: Api) -> None:
    first = api.get("/os-migrations?limit=2", at=59).json
    assert [each["id"] for each in first["migrations"]] == [4, 3]
    (link,) = first["migrations_links"]
    assert link["rel"] == "next"
    query = link["href"].partition("?")[2]
    assert _ids(api, f"?{query}", at=59) == [2, 1]
    assert "migrations_links" not in api.get("/os-migrations?limit=9", at=59).json
    assert _ids(api, "?changes-since=2016-01-29T15:00:00Z", at=59) == [4, 3]
    assert _ids(api, "?changes-since=2016-01-29T16:00:00%2B02:00", at=59) == [4, 3, 2]
    assert _ids(api, "?changes-before=2016-01-29T13:00:00", at=66) == [1]
    assert _ids(api, "?user_id=%C3%BCn%C3%A4me", at=80) == [4]
    assert _ids(api, f"?project_id={OTHER_PROJECT}", at=80) == [3]


@pytest.mark.parametrize("query, at", [
    ("?limit=-1", 59), ("?limit=x", 59), ("?limit=1&limit=2", 59),
    ("?marker=nothing", 59), ("?changes-since=soon", 59), ("?unknown=1", 59),
    ("?changes-before=2016-01-01", 59), ("?user_id=x", 66),
    ("?changes-since=2016-01-02&changes-before=2016-01-01", 66),
    ("?changes-since=9999-12-31T23:59:59-23:00", 59), ("?status=%00", 59),
])
def test_bad_queries_are_refused(api: Api, query: str, at: int) -> None:
    answer = api.get(f"/os-migrations{query}", at=at)
    assert answer.status_code == 400
    assert message(answer)


@pytest.mark.usefixtures("moves")
def test_who_may_see_what(api: Api) -> None:
    assert api.get("/os-migrations", token="member").status_code == 403
    assert api.get("/os-migrations", token="manager", at=80).status_code == 403
    own = api.get(f"/os-migrations?project_id={PROJECT}", token="manager", at=80)
    assert [each["id"] for each in own.json["migrations"]] == [4, 2, 1]
    assert own.json["migrations"][0]["source_compute"] is None
    assert own.json["migrations"][0]["dest_host"] is None


@pytest.mark.usefixtures("moves")
def test_v2_has_the_old_form(api: Api) -> None:
    answer = api.get("/os-migrations?limit=1&unknown=1", at="v2")
    assert len(answer.json["migrations"]) == 4
    assert "uuid" not in answer.json["migrations"][0]
