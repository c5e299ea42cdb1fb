# SPDX-License-Identifier: Apache-2.0
"""``os-server-groups`` at several versions and on v2."""

from __future__ import annotations

from typing import Any

import pytest

from nova.db.engine import Database
from tests.unit.api.conftest import PROJECT, Api, message, same_shape, sample
from tests.unit.db.instance_rows import instance_row

ROOT = "/os-server-groups"
PLAIN = {"name": "g", "policies": ["affinity"]}


def make(api: Api, group: Any = None, **options: Any) -> Any:
    return api.post(ROOT, {"server_group": PLAIN if group is None else group}, **options)


@pytest.mark.parametrize(
    ("at", "where"),
    [(1, "v2.1/os-server-groups"), (12, "v2.1/os-server-groups"),
     (13, "v2.1/os-server-groups/v2.13"), (63, "v2.1/os-server-groups/v2.13"),
     (64, "v2.1/os-server-groups/v2.64"), (104, "v2.1/os-server-groups/v2.64"),
     ("v2", "kilo-v2/os-server-groups")],
)
def test_as_in_the_samples(api: Api, at: int | str, where: str) -> None:
    made = api.post(ROOT, sample(f"{where}/server-groups-post-req.json"), at=at)
    assert made.status_code == 200
    same_shape(made.json, sample(f"{where}/server-groups-post-resp.json"))
    uuid = made.json["server_group"]["id"]
    shown = api.get(f"{ROOT}/{uuid}", at=at).json
    same_shape(shown, sample(f"{where}/server-groups-get-resp.json"))
    assert shown == made.json
    same_shape(api.get(ROOT, at=at).json, sample(f"{where}/server-groups-list-resp.json"))
    gone = api.delete(f"{ROOT}/{uuid}", at=at)
    assert (gone.status_code, gone.text) == (204, "")
    refusal = api.get(f"{ROOT}/{uuid}", at=at)
    assert (refusal.status_code, message(refusal)) == (
        404, f"Instance group {uuid} could not be found."
    )


def test_members_are_the_live_ones(api: Api, db: Database) -> None:
    uuid = make(api).json["server_group"]["id"]
    with db.write() as tx:
        tx.instances.create([instance_row("a" * 36), instance_row("b" * 36, deleted=2)])
        tx.server_groups.add_members(uuid, ["a" * 36, "b" * 36])
    assert api.get(f"{ROOT}/{uuid}").json["server_group"]["members"] == ["a" * 36]


@pytest.mark.parametrize("policy", ["soft-affinity", "soft-anti-affinity"])
def test_soft_policies_since_2_15(api: Api, policy: str) -> None:
    body = {"name": "g", "policies": [policy]}
    refusal = make(api, body, at=14)
    assert refusal.status_code == 400
    assert "policies" in message(refusal)
    assert make(api, body, at=15).json["server_group"]["policies"] == [policy]


@pytest.mark.parametrize(
    ("group", "at", "field"),
    [({}, 1, "name"), ({"name": "g"}, 1, "policies"), ({"name": "g"}, 64, "policy"),
     ({"name": " g", "policies": ["affinity"]}, 1, "name"),
     ({"name": "", "policies": ["affinity"]}, 1, "name"),
     ({"name": "g", "policies": []}, 1, "policies"),
     ({"name": "g", "policies": ["affinity", "anti-affinity"]}, 1, "policies"),
     ({"name": "g", "policies": ["nonsense"]}, 1, "policies"),
     ({"name": "g", "policies": "affinity"}, 1, "policies"),
     ({"name": "g", "policy": "affinity"}, 63, "policy"),
     ({"name": "g", "policies": ["affinity"]}, 64, "policies"),
     ({"name": "g", "policy": "nonsense"}, 64, "policy"),
     ({"name": "g", "policy": "affinity", "rules": {"max_server_per_host": 3}}, 64, "rules"),
     ({"name": "g", "policy": "anti-affinity", "rules": {"max_server_per_host": 0}}, 64,
      "max_server_per_host"),
     ({"name": "g", "policy": "anti-affinity", "rules": {"max_server_per_host": "x"}}, 64,
      "max_server_per_host"),
     ({"name": "g", "policy": "anti-affinity", "rules": {"other": 1}}, 64, "other"),
     ({"name": "g", "policies": ["affinity"], "metadata": {}}, 1, "metadata")],
)
def test_bad_bodies(api: Api, group: dict[str, Any], at: int, field: str) -> None:
    refusal = make(api, group, at=at)
    assert refusal.status_code == 400
    assert field in message(refusal)
    assert api.get(ROOT).json == {"server_groups": []}


def test_names_round_trip(api: Api) -> None:
    made = make(api, {"name": "größe 大", "policy": "anti-affinity"}, at=64).json["server_group"]
    assert (made["name"], made["rules"]) == ("größe 大", {})


def test_the_quota_holds_and_is_given_back(api: Api, db: Database) -> None:
    with db.write() as tx:
        tx.quotas.set(PROJECT, {"server_groups": 1})
    uuid = make(api).json["server_group"]["id"]
    refusal = make(api)
    assert (refusal.status_code, message(refusal)) == (
        403, "Quota exceeded, too many server groups."
    )
    api.delete(f"{ROOT}/{uuid}")
    assert make(api).status_code == 200


def names(api: Api, query: str = "", **options: Any) -> list[str]:
    groups = api.get(f"{ROOT}{query}", **options).json["server_groups"]
    return [group["name"] for group in groups]


def test_lists_and_pages(api: Api) -> None:
    for name in "abc":
        make(api, PLAIN | {"name": name})
    make(api, PLAIN | {"name": "theirs"}, token="other")
    assert names(api) == ["a", "b", "c"]
    assert names(api, "?limit=1&offset=1") == ["b"]
    assert names(api, "?all_projects=1") == ["a", "b", "c", "theirs"]
    assert names(api, "?all_projects=1", token="other") == ["theirs"]
    for query in ("?limit=x", "?limit=-1", "?offset=-1", "?offset=x"):
        assert api.get(f"{ROOT}{query}").status_code == 400
    assert api.get(f"{ROOT}?colour=red", at=74).status_code == 200
    assert api.get(f"{ROOT}?colour=red", at=75).status_code == 400


def test_groups_of_others_are_not_there(api: Api) -> None:
    uuid = make(api, token="other").json["server_group"]["id"]
    assert api.get(f"{ROOT}/{uuid}", token="member").status_code == 404
    assert api.delete(f"{ROOT}/{uuid}", token="member").status_code == 404
    assert api.get(f"{ROOT}/{uuid}").status_code == 200
    assert make(api, token="reader").status_code == 403
    mine = make(api).json["server_group"]["id"]
    assert api.get(f"{ROOT}/{mine}", token="reader").status_code == 200
    assert api.delete(f"{ROOT}/{mine}", token="reader").status_code == 403
    assert api.get(f"{ROOT}/{'x' * 300}").status_code == 404
