# SPDX-License-Identifier: Apache-2.0
"""``os-aggregates``."""

from __future__ import annotations

from typing import Any, cast

import pytest

from nova.api.compute.cloud import Cloud
from nova.db.engine import Database
from nova.db.schema.base import now
from tests.unit.api.conftest import Api, FixedImages, Told, message, same_shape, sample
from tests.unit.db.instance_rows import instance_row
from tests.unit.db.service_rows import reported

ROOT = "/os-aggregates"
SAMPLE = "v2.1/os-aggregates/"
IMAGE = "70a599e0-31e7-49b7-b260-868f441e862b"


@pytest.fixture(autouse=True)
def hosts(db: Database) -> None:
    with db.write() as tx:
        for host in ("host1", "host2"):
            reported(tx, "nova-compute", host, "compute", now())


def _make(api: Api, name: str = "name", zone: str | None = "london", at: int | str = 1) -> Any:
    body = {"aggregate": {"name": name, "availability_zone": zone}}
    answer = api.post(ROOT, body, at=at)
    assert answer.status_code == 200, answer.text
    return answer.json


def _act(api: Api, name: str, value: Any, at: int | str = 1, number: int = 1) -> Any:
    return api.post(f"{ROOT}/{number}/action", {name: value}, at=at)


@pytest.mark.parametrize("at, folder", [
    (1, SAMPLE), (41, f"{SAMPLE}v2.41/"), (81, f"{SAMPLE}v2.81/"), ("v2", SAMPLE),
])
def test_the_samples(api: Api, at: int | str, folder: str) -> None:
    same_shape(_make(api, at=at), sample(f"{folder}aggregate-post-resp.json"))
    same_shape(
        _act(api, "add_host", {"host": "host1"}, at).json,
        sample(f"{folder}aggregates-add-host-post-resp.json"),
    )
    same_shape(api.get(ROOT, at=at).json, sample(f"{folder}aggregates-list-get-resp.json"))
    same_shape(
        _act(api, "remove_host", {"host": "host1"}, at).json,
        sample(f"{folder}aggregates-remove-host-post-resp.json"),
    )
    same_shape(
        _act(api, "set_metadata", {"metadata": {"key": "value"}}, at).json,
        sample(f"{folder}aggregates-metadata-post-resp.json"),
    )
    updated = api.put(
        f"{ROOT}/1", {"aggregate": {"name": "newname", "availability_zone": "nova2"}}, at=at
    ).json
    same_shape(
        {**updated, "aggregate": {**updated["aggregate"], "metadata": {"availability_zone": ""}}},
        sample(f"{folder}aggregate-update-post-resp.json"),
    )
    assert updated["aggregate"]["metadata"] == {"key": "value", "availability_zone": "nova2"}
    shown = api.get(f"{ROOT}/1", at=at)
    assert shown.json == updated
    answer = api.delete(f"{ROOT}/1", at=at)
    assert (answer.status_code, answer.content) == (200, b"")
    assert api.get(f"{ROOT}/1", at=at).status_code == 404


def test_changes_are_told(api: Api, told: Told) -> None:
    _make(api)
    _act(api, "add_host", {"host": "host1"})
    _act(api, "set_metadata", {"metadata": {"a": "1"}})
    assert told.aggregates == 3
    assert _act(api, "add_host", {"host": "host1"}).status_code == 409
    assert told.aggregates == 3


def test_metadata_keys_are_removed_by_null(api: Api) -> None:
    _make(api)
    _act(api, "set_metadata", {"metadata": {"ssd": "jä", "gpu": "no"}})
    answer = _act(api, "set_metadata", {"metadata": {"gpu": None, "availability_zone": None}})
    assert answer.json["aggregate"]["metadata"] == {"ssd": "jä"}
    assert answer.json["aggregate"]["availability_zone"] is None


@pytest.mark.parametrize("body", [
    {}, {"aggregate": {}}, {"aggregate": {"name": ""}}, {"aggregate": {"name": "x" * 256}},
    {"aggregate": {"name": " x"}}, {"aggregate": {"name": "x", "availability_zone": "a:b"}},
    {"aggregate": {"name": "x", "availability_zone": ""}}, {"aggregate": {"name": 1}},
    {"aggregate": {"name": "x", "hosts": []}}, {"aggregate": {"name": "x"}, "more": 1},
    {"aggregate": {"name": "a\u0000b"}}, {"aggregate": None}, [], None,
])
def test_bad_bodies(api: Api, body: Any) -> None:
    answer = api.request("POST", ROOT, raw=b"") if body is None else api.post(ROOT, body)
    assert answer.status_code == 400, body
    assert message(answer)
    assert api.get(ROOT).json == {"aggregates": []}


def test_v2_takes_blanks_off_and_drops_unknown_keys(api: Api) -> None:
    body = {"aggregate": {"name": " x ", "availability_zone": " z ", "hosts": []}}
    made = api.post(ROOT, body, at="v2").json["aggregate"]
    assert (made["name"], made["availability_zone"]) == ("x", "z")


def test_names_are_unique(api: Api) -> None:
    _make(api, "öne")
    _make(api, "two")
    assert api.post(ROOT, {"aggregate": {"name": "öne"}}).status_code == 409
    assert api.put(f"{ROOT}/2", {"aggregate": {"name": "öne"}}).status_code == 409


def test_hosts_in_aggregates(api: Api) -> None:
    _make(api)
    _make(api, "paris", "paris")
    assert _act(api, "add_host", {"host": "nohost"}).status_code == 404
    assert _act(api, "add_host", {"host": "host1"}).json["aggregate"]["hosts"] == ["host1"]
    assert _act(api, "add_host", {"host": "host1"}).status_code == 409
    assert _act(api, "add_host", {"host": "host1"}, number=2).status_code == 409
    assert _act(api, "add_host", {"host": "host1"}, number=9).status_code == 404
    assert _act(api, "remove_host", {"host": "host2"}).status_code == 404
    assert api.delete(f"{ROOT}/1").status_code == 400
    assert api.get("/os-hosts?zone=london").json["hosts"][0]["host_name"] == "host1"


def test_the_zone_of_running_servers_stays(api: Api, db: Database) -> None:
    _make(api)
    _act(api, "add_host", {"host": "host1"})
    with db.write() as tx:
        tx.instances.create([instance_row("a" * 36, host="host1")])
    moved = {"aggregate": {"availability_zone": "paris"}}
    assert api.put(f"{ROOT}/1", moved).status_code == 400
    assert api.put(f"{ROOT}/1", {"aggregate": {"availability_zone": None}}).status_code == 400
    metadata = {"metadata": {"availability_zone": "paris"}}
    assert _act(api, "set_metadata", metadata).status_code == 400
    same = {"aggregate": {"name": "new", "availability_zone": "london"}}
    assert api.put(f"{ROOT}/1", same).status_code == 200


def test_a_null_zone_is_taken_away(api: Api) -> None:
    _make(api)
    answer = api.put(f"{ROOT}/1", {"aggregate": {"availability_zone": None}})
    assert answer.json["aggregate"]["availability_zone"] is None
    assert api.put(f"{ROOT}/1", {"aggregate": {}}).status_code == 400


@pytest.mark.parametrize("body", [
    {}, {"add_host": {}}, {"add_host": {"host": "a b"}}, {"add_host": None}, {"explode": {}},
    {"add_host": {"host": "host1"}, "remove_host": {"host": "host1"}},
    {"set_metadata": {}}, {"set_metadata": {"metadata": {"k": 1}}}, {"set_metadata": []},
    {"set_metadata": {"metadata": {"bad/key": "x"}}}, {"set_metadata": {"metadata": {"": "x"}}},
    {"set_metadata": {"metadata": {"k": "x" * 256}}},
    {"set_metadata": {"metadata": {"availability_zone": " "}}},
])
def test_bad_actions(api: Api, body: Any) -> None:
    _make(api)
    answer = api.post(f"{ROOT}/1/action", body)
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("number, status", [
    ("x", 400), ("99", 404), ("99999999999", 400), ("-1", 404), ("--1", 400), ("-", 400), ("%C3%BC", 400),
])
def test_bad_ids(api: Api, number: str, status: int) -> None:
    assert api.get(f"{ROOT}/{number}").status_code == status
    assert api.delete(f"{ROOT}/{number}").status_code == status
    assert api.put(f"{ROOT}/{number}", {"aggregate": {"name": "x"}}).status_code == status
    body = {"add_host": {"host": "host1"}}
    assert api.post(f"{ROOT}/{number}/action", body).status_code == status


def test_image_cache_from_2_81(api: Api, cloud: Cloud, told: Told) -> None:
    cast(FixedImages, cloud.images).ids.add(IMAGE)
    _make(api)
    _act(api, "add_host", {"host": "host1"})
    body = {"cache": [{"id": IMAGE}]}
    assert api.post(f"{ROOT}/1/images", body, at=80).status_code == 404
    answer = api.post(f"{ROOT}/1/images", body, at=81)
    assert (answer.status_code, answer.content) == (202, b"")
    assert told.images == [(["host1"], [IMAGE])]
    refused: list[Any] = [
        {"cache": []}, {"cache": [{"id": "x"}]}, {"cache": [{"id": IMAGE}] * 2}, {},
        {"cache": [{"id": IMAGE.replace("7", "8")}]},
    ]
    for bad in refused:
        assert api.post(f"{ROOT}/1/images", bad, at=81).status_code == 400, bad
    assert api.post(f"{ROOT}/9/images", body, at=81).status_code == 404


def test_administrators_only(api: Api) -> None:
    _make(api)
    assert api.get(ROOT, token="member").status_code == 403
    assert api.get(f"{ROOT}/1", token="member").status_code == 403
    assert api.delete(f"{ROOT}/1", token="member").status_code == 403
    body = {"add_host": {"host": "host1"}}
    assert api.post(f"{ROOT}/1/action", body, token="member").status_code == 403
