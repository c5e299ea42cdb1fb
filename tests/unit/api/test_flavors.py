# SPDX-License-Identifier: Apache-2.0
"""``flavors`` at several versions and on v2."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from nova.api.compute.cloud import Cloud
from nova.db.engine import Database
from nova.errors import FlavorNotFound
from tests.unit.api.conftest import OTHER_PROJECT, PROJECT, Api, message, same_shape, sample

PLAIN = {"name": "test", "ram": 1024, "vcpus": 2, "disk": 10}


@pytest.fixture
def seeded(db: Database) -> None:
    with db.write() as tx:
        tx.flavors.seed_defaults()


@pytest.fixture
def described(api: Api, seeded: None) -> str:
    """A flavor like that of the newer samples."""
    body = {"flavor": {"name": "m1.small.description", "ram": 2048, "vcpus": 1, "disk": 20,
                       "id": "7", "description": "test description"}}
    assert api.post("/flavors", body, at=55).status_code == 200
    api.post("/flavors/7/os-extra_specs",
             {"extra_specs": {"hw:numa_nodes": "1", "hw:cpu_policy": "shared"}})
    return "7"


@pytest.mark.parametrize(
    ("at", "where"),
    [(1, "v2.1/flavors"), (54, "v2.1/flavors"), (55, "v2.1/flavors/v2.55"),
     (61, "v2.1/flavors/v2.61"), (75, "v2.1/flavors/v2.75"), (101, "v2.1/flavors/v2.75"),
     (102, "v2.1/flavors/v2.102")],
)
@pytest.mark.usefixtures("described")
def test_answers_look_like_the_samples(api: Api, at: int, where: str) -> None:
    same_shape(api.get("/flavors", at=at).json, sample(f"{where}/flavors-list-resp.json"))
    listed = api.get("/flavors/detail", at=at).json
    wanted = sample(f"{where}/flavors-detail-resp.json")
    same_shape(listed, wanted)
    one = "7" if at >= 55 else "1"
    same_shape(api.get(f"/flavors/{one}", at=at).json, sample(f"{where}/flavor-get-resp.json"))
    assert listed["flavors"][0]["swap"] == wanted["flavors"][0]["swap"]


@pytest.mark.usefixtures("seeded")
def test_v2_shows_what_kilo_shows(api: Api) -> None:
    wanted = sample("kilo-v2/all_extensions/flavor-get-resp.json")
    same_shape(api.get("/flavors/1", at="v2").json, wanted)
    listed = api.get("/flavors", at="v2").json
    same_shape(listed, sample("kilo-v2/all_extensions/flavors-list-resp.json"))
    assert listed["flavors"][0]["links"] == [
        {"rel": "self", "href": f"http://falconframework.org/v2/{PROJECT}/flavors/1"},
        {"rel": "bookmark", "href": f"http://falconframework.org/{PROJECT}/flavors/1"},
    ]


@pytest.mark.parametrize(
    ("at", "where"),
    [(1, "v2.1/flavor-manage"), (55, "v2.1/flavor-manage/v2.55"),
     (61, "v2.1/flavor-manage/v2.61"), (75, "v2.1/flavor-manage/v2.75"),
     (102, "v2.1/flavor-manage/v2.102")],
)
def test_create_and_update_as_in_the_samples(api: Api, at: int, where: str) -> None:
    answer = api.post("/flavors", sample(f"{where}/flavor-create-post-req.json"), at=at)
    assert answer.status_code == 200
    same_shape(answer.json, sample(f"{where}/flavor-create-post-resp.json"))
    if at >= 55:
        changed = api.put("/flavors/10", sample(f"{where}/flavor-update-req.json"), at=at)
        assert changed.status_code == 200
        same_shape(changed.json, sample(f"{where}/flavor-update-resp.json"))
        assert changed.json["flavor"]["description"] == "updated description"
    gone = api.delete("/flavors/10", at=at)
    assert (gone.status_code, gone.text) == (202, "")
    assert api.get("/flavors/10", at=at).status_code == 404


def test_update_is_not_there_before_2_55(api: Api) -> None:
    assert api.put("/flavors/1", {"flavor": {"description": "x"}}, at=54).status_code == 404


def test_text_survives_and_every_value_is_kept(api: Api) -> None:
    body = {"flavor": PLAIN | {
        "name": "größe-大 ✓", "id": "a b.c", "swap": "512", "OS-FLV-EXT-DATA:ephemeral": 3,
        "rxtx_factor": "2.5", "os-flavor-access:is_public": "no", "description": "überall",
    }}
    made = api.post("/flavors", body, at=55).json["flavor"]
    assert made["name"] == "größe-大 ✓"
    assert (made["swap"], made["OS-FLV-EXT-DATA:ephemeral"], made["rxtx_factor"]) == (512, 3, 2.5)
    assert made["os-flavor-access:is_public"] is False
    assert made["links"][0]["href"].endswith("/flavors/a%20b.c")
    again = api.get(f"/flavors/{quote('a b.c')}", at=55).json["flavor"]
    assert again == made


@pytest.mark.parametrize("flavorid", [None, "auto", ...])
def test_the_cloud_chooses_an_id_where_none_is_asked_for(api: Api, flavorid: Any) -> None:
    body = PLAIN if flavorid is ... else PLAIN | {"id": flavorid}
    assert len(api.post("/flavors", {"flavor": body}).json["flavor"]["id"]) == 36


def test_a_number_may_be_an_id(api: Api) -> None:
    assert api.post("/flavors", {"flavor": PLAIN | {"id": 42}}).json["flavor"]["id"] == "42"


@pytest.mark.parametrize(
    ("change", "field"),
    [({"name": ""}, "name"), ({"name": " x"}, "name"), ({"name": "a\nb"}, "name"),
     ({"name": "x" * 256}, "name"), ({"name": 5}, "name"), ({"ram": 0}, "ram"),
     ({"ram": "many"}, "ram"), ({"ram": 2**31}, "ram"), ({"ram": 10**40}, "ram"),
     ({"ram": None}, "ram"), ({"vcpus": -1}, "vcpus"), ({"disk": -1}, "disk"),
     ({"swap": -1}, "swap"), ({"id": " a"}, "id"), ({"id": "a/b"}, "id"), ({"id": ""}, "id"),
     ({"id": "ü"}, "id"), ({"id": True}, "id"), ({"rxtx_factor": 0}, "rxtx_factor"),
     ({"rxtx_factor": -1}, "rxtx_factor"), ({"rxtx_factor": "1e3"}, "rxtx_factor"),
     ({"rxtx_factor": 1e300}, "rxtx_factor"), ({"rxtx_factor": 10**400}, "rxtx_factor"),
     ({"os-flavor-access:is_public": "maybe"}, "os-flavor-access:is_public"),
     ({"description": "early"}, "description"), ({"colour": "red"}, "colour")],
)
def test_bad_fields_are_named_and_nothing_is_made(
    api: Api, change: dict[str, Any], field: str
) -> None:
    refusal = api.post("/flavors", {"flavor": PLAIN | change})
    assert refusal.status_code == 400
    assert field in message(refusal)
    assert api.get("/flavors").json == {"flavors": []}


@pytest.mark.parametrize("body", [None, [], {}, {"flavor": None}, {"flavor": {}}, {"x": 1}])
def test_bad_bodies(api: Api, body: Any) -> None:
    assert api.post("/flavors", body, at=55).status_code == 400


def test_rxtx_factor_is_gone_in_2_102(api: Api) -> None:
    refusal = api.post("/flavors", {"flavor": PLAIN | {"rxtx_factor": 1.0}}, at=102)
    assert refusal.status_code == 400


def test_v2_takes_blanks_off_names_and_ignores_unknown_keys(api: Api) -> None:
    made = api.post("/flavors", {"flavor": PLAIN | {"name": "  x ", "colour": "red"}}, at="v2")
    assert made.json["flavor"]["name"] == "x"


@pytest.mark.usefixtures("seeded")
def test_a_taken_name_or_id_is_a_conflict(api: Api) -> None:
    taken = api.post("/flavors", {"flavor": PLAIN | {"name": "m1.tiny"}})
    assert (taken.status_code, message(taken)) == (
        409, "Flavor with name m1.tiny already exists."
    )
    assert api.post("/flavors", {"flavor": PLAIN | {"id": "1"}}).status_code == 409


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("token", ["member", "reader"])
def test_only_administrators_change_flavors(api: Api, token: str) -> None:
    for refusal in (
        api.post("/flavors", {"flavor": PLAIN}, token=token),
        api.put("/flavors/1", {"flavor": {"description": "x"}}, at=55, token=token),
        api.delete("/flavors/1", token=token),
    ):
        assert refusal.status_code == 403
        assert "os_compute_api:os-flavor-manage:" in message(refusal)
    assert len(api.get("/flavors", token=token).json["flavors"]) == 5


def listed(api: Api, query: str, **options: Any) -> list[str]:
    return [flavor["id"] for flavor in api.get(f"/flavors?{query}", **options).json["flavors"]]


@pytest.mark.usefixtures("seeded")
def test_filters_order_and_pages(api: Api) -> None:
    assert listed(api, "minRam=4096&minDisk=80") == ["4", "5"]
    assert listed(api, "sort_key=vcpus&sort_dir=desc&limit=2") == ["5", "4"]
    assert listed(api, "limit=0") == []
    assert listed(api, "minRam=99999999999999999999") == []
    assert listed(api, "name=tiny") == ["1", "2", "3", "4", "5"]
    assert listed(api, "name=(ti)ny|xl", at=102) == ["1", "5"]
    page = api.get("/flavors/detail?limit=2&minRam=512&marker=1", at=61).json
    assert [flavor["id"] for flavor in page["flavors"]] == ["2", "3"]
    (link,) = page["flavors_links"]
    assert link["rel"] == "next"
    assert link["href"] == (
        f"http://falconframework.org/v2.1/{PROJECT}/flavors/detail?limit=2&minRam=512&marker=3"
    )
    assert "flavors_links" not in api.get("/flavors?limit=9").json


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize(
    ("query", "at"),
    [("limit=-1", 1), ("limit=x", 1), ("marker=nope", 1), ("minRam=x", 1), ("minDisk=1.5", 1),
     ("is_public=maybe", 1), ("sort_key=colour", 1), ("sort_dir=up", 1), ("name=x", 101),
     ("colour=red", 75), ("sort_key=rxtx_factor", 102), ("name=([", 102), ("marker=%00", 1)],
)
def test_bad_queries(api: Api, query: str, at: int) -> None:
    for path in ("/flavors", "/flavors/detail"):
        refusal = api.get(f"{path}?{query}", at=at)
        assert refusal.status_code == 400
        message(refusal)


@pytest.mark.usefixtures("seeded")
def test_unknown_queries_are_ignored_before_2_75_and_on_v2(api: Api) -> None:
    assert api.get("/flavors?colour=red", at=74).status_code == 200
    assert api.get("/flavors?colour=red", at="v2").status_code == 200
    assert api.get("/flavors/1?colour=red", at=101).status_code == 200
    assert api.get("/flavors/1?colour=red", at=102).status_code == 400


@pytest.fixture
def private(api: Api, seeded: None) -> str:
    body = PLAIN | {"name": "private", "id": "p", "os-flavor-access:is_public": False}
    api.post("/flavors", {"flavor": body})
    return "p"


@pytest.mark.usefixtures("private")
def test_a_private_flavor_is_not_there_for_other_projects(api: Api) -> None:
    assert api.get("/flavors/p", token="other").status_code == 404
    assert "p" not in listed(api, "is_public=None", token="other")
    assert listed(api, "is_public=None") == ["1", "2", "3", "4", "5", "p"]
    assert listed(api, "is_public=false") == ["p"]
    assert listed(api, "") == ["1", "2", "3", "4", "5"]
    api.post("/flavors/p/action", {"addTenantAccess": {"tenant": OTHER_PROJECT}})
    assert api.get("/flavors/p", token="other").status_code == 200
    assert "p" in listed(api, "", token="other")


def test_a_disabled_flavor_is_listed_for_administrators_only(
    api: Api, db: Database, seeded: None
) -> None:
    with db.write() as tx:
        tx.flavors.set_disabled("1", True)
    assert "1" in listed(api, "")
    assert "1" not in listed(api, "", token="member")
    assert api.get("/flavors/1", token="member").json["flavor"]["OS-FLV-DISABLED:disabled"] is True


@pytest.mark.usefixtures("described")
def test_extra_specs_are_in_views_for_those_who_may_list_them(api: Api) -> None:
    assert "extra_specs" in api.get("/flavors/7", at=61, token="reader").json["flavor"]
    assert "extra_specs" not in api.get("/flavors/7", at=60, token="reader").json["flavor"]


@pytest.mark.parametrize("path", ["nope", "%00", "%C3%BC", "x" * 600])
def test_a_missing_flavor_is_404(api: Api, path: str) -> None:
    for answer in (
        api.get(f"/flavors/{path}"),
        api.delete(f"/flavors/{path}"),
        api.put(f"/flavors/{path}", {"flavor": {"description": None}}, at=55),
    ):
        assert answer.status_code in (400, 404)


@pytest.mark.usefixtures("private")
def test_every_write_is_seen_by_the_cache_at_once(api: Api, cloud: Cloud) -> None:
    cache = cloud.flavors
    assert cache.get("1", "any", False).name == "m1.tiny"
    with pytest.raises(FlavorNotFound):
        cache.get("p", OTHER_PROJECT, False)
    api.post("/flavors/p/action", {"addTenantAccess": {"tenant": OTHER_PROJECT}})
    assert cache.get("p", OTHER_PROJECT, False).extra_specs == {}
    api.post("/flavors/p/os-extra_specs", {"extra_specs": {"a": "b"}})
    assert cache.get("p", OTHER_PROJECT, False).extra_specs == {"a": "b"}
    api.delete("/flavors/p/os-extra_specs/a")
    assert cache.get("p", OTHER_PROJECT, False).extra_specs == {}
    api.post("/flavors/p/action", {"removeTenantAccess": {"tenant": OTHER_PROJECT}})
    with pytest.raises(FlavorNotFound):
        cache.get("p", OTHER_PROJECT, False)
    api.put("/flavors/p", {"flavor": {"description": "neu"}}, at=55)
    assert cache.get("p", "", True).description == "neu"
    api.delete("/flavors/p")
    with pytest.raises(FlavorNotFound):
        cache.get("p", "", True)
    api.post("/flavors", {"flavor": PLAIN | {"id": "q"}})
    assert cache.get("q", "any", False).name == "test"
