# SPDX-License-Identifier: Apache-2.0
"""``os-simple-tenant-usage``: hours and sizes of a period."""

from __future__ import annotations

import datetime

import pytest

from nova.db.engine import Database
from nova.db.schema.base import now
from tests.unit.api.conftest import OTHER_PROJECT, PROJECT, Api, message, same_shape, sample
from tests.unit.db.instance_rows import instance_row

T0 = datetime.datetime(2024, 1, 1)
HOUR = datetime.timedelta(hours=1)
PERIOD = "start=2024-01-01T00:00:00&end=2024-01-01T10:00:00"
ROOT = "/os-simple-tenant-usage"


@pytest.fixture
def servers(db: Database) -> None:
    with db.write() as tx:
        tx.instances.create([
            instance_row("a" * 36, project_id=PROJECT, name="läuft", launched_at=T0 - HOUR,
                         terminated_at=None, vcpus=2, ephemeral_gb=3),
            instance_row("b" * 36, project_id=PROJECT, launched_at=T0 + 8 * HOUR,
                         terminated_at=T0 + 9 * HOUR, deleted=2, vm_state="deleted"),
            instance_row("c" * 36, project_id=OTHER_PROJECT, launched_at=T0 + 5 * HOUR,
                         terminated_at=None),
            instance_row("d" * 36, project_id=OTHER_PROJECT, launched_at=T0 + 11 * HOUR,
                         terminated_at=None),
            instance_row("e" * 36, project_id=OTHER_PROJECT, launched_at=T0 - 3 * HOUR,
                         terminated_at=T0 - HOUR),
            instance_row("f" * 36, project_id=OTHER_PROJECT, launched_at=None,
                         terminated_at=None),
        ])


@pytest.mark.usefixtures("servers")
def test_sums_of_a_project(api: Api) -> None:
    usage = api.get(f"{ROOT}/{PROJECT}?{PERIOD}").json["tenant_usage"]
    assert usage["tenant_id"] == PROJECT
    assert usage["start"] == "2024-01-01T00:00:00.000000"
    assert usage["stop"] == "2024-01-01T10:00:00.000000"
    assert usage["total_hours"] == 11.0
    assert usage["total_vcpus_usage"] == 2 * 10 + 1
    assert usage["total_memory_mb_usage"] == 512 * 11
    assert usage["total_local_gb_usage"] == 4 * 10 + 1
    running, ended = usage["server_usages"]
    assert (running["name"], running["state"], running["flavor"]) == ("läuft", "active", "m1.tiny")
    assert running["ended_at"] is None
    assert running["uptime"] > 3600
    assert (ended["state"], ended["uptime"], ended["hours"]) == ("terminated", 3600, 1.0)


@pytest.mark.usefixtures("servers")
def test_sums_of_all_projects(api: Api) -> None:
    usages = api.get(f"{ROOT}?{PERIOD}").json["tenant_usages"]
    assert {each["tenant_id"]: each["total_hours"] for each in usages} == {
        PROJECT: 11.0, OTHER_PROJECT: 5.0,
    }
    assert all("server_usages" not in each for each in usages)
    detailed = api.get(f"{ROOT}?detailed=1&{PERIOD}").json["tenant_usages"]
    assert sum(len(each["server_usages"]) for each in detailed) == 3


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("at, folder", [
    (1, "v2.1/os-simple-tenant-usage/"), (40, "v2.1/os-simple-tenant-usage/v2.40/"),
    ("v2", "kilo-v2/os-simple-tenant-usage/"),
])
def test_the_samples(api: Api, at: int | str, folder: str) -> None:
    limit = "&limit=1" if at == 40 else ""
    shown = api.get(f"{ROOT}/{PROJECT}?{PERIOD}{limit}", at=at)
    same_shape(shown.json, sample(f"{folder}simple-tenant-usage-get-specific.json"))
    listed = api.get(f"{ROOT}?{PERIOD}{limit}", at=at)
    same_shape(listed.json, sample(f"{folder}simple-tenant-usage-get.json"))
    if at != "v2":
        detailed = api.get(f"{ROOT}?{PERIOD}&detailed=1{limit}", at=at)
        same_shape(detailed.json, sample(f"{folder}simple-tenant-usage-get-detail.json"))


@pytest.mark.usefixtures("servers")
def test_pages_walk_over_all_servers_once(api: Api) -> None:
    seen: list[str] = []
    query = f"{PERIOD}&detailed=1&limit=1"
    while query:
        answer = api.get(f"{ROOT}?{query}", at=40).json
        for usage in answer["tenant_usages"]:
            seen += [each["instance_id"][0] for each in usage["server_usages"]]
        links = answer.get("tenant_usages_links")
        query = links[0]["href"].partition("?")[2] if links else ""
    assert seen == ["c", "a", "b"]


@pytest.mark.usefixtures("servers")
def test_the_future_is_not_counted(api: Api) -> None:
    usage = api.get(f"{ROOT}/{PROJECT}?start=2024-01-01T00:00:00&end=2999-01-01T00:00:00").json
    stop = datetime.datetime.fromisoformat(usage["tenant_usage"]["stop"])
    assert abs(stop - now()) < datetime.timedelta(minutes=1)


@pytest.mark.parametrize("query", [
    "start=2024-01-02T00:00:00&end=2024-01-01T00:00:00", "start=2999-01-01T00:00:00",
    "start=yesterday", "end=2024-01-01", "start=2024-13-01T00:00:00",
])
def test_bad_periods(api: Api, query: str) -> None:
    answer = api.get(f"{ROOT}?{query}")
    assert answer.status_code == 400
    assert message(answer)


def test_nothing_used_and_no_period(api: Api) -> None:
    assert api.get(f"{ROOT}/{PROJECT}").json == {"tenant_usage": {}}
    assert api.get(ROOT).json == {"tenant_usages": []}


def test_versions_of_the_query(api: Api) -> None:
    assert api.get(f"{ROOT}?marker=unknown", at=39).status_code == 200
    assert api.get(f"{ROOT}?marker=unknown", at=40).status_code == 400
    assert api.get(f"{ROOT}?other=1", at=74).status_code == 200
    assert api.get(f"{ROOT}?other=1", at=75).status_code == 400


def test_who_may_ask(api: Api) -> None:
    assert api.get(ROOT, token="member").status_code == 403
    assert api.get(f"{ROOT}/{PROJECT}", token="reader").status_code == 200
    assert api.get(f"{ROOT}/{PROJECT}", token="other").status_code == 403
