# SPDX-License-Identifier: Apache-2.0
"""``os-quota-sets`` at several versions and on v2."""

from __future__ import annotations

from typing import Any

import pytest

from nova.api.compute.cloud import Cloud
from nova.compute.projects import Projects
from nova.db.engine import Database
from tests.unit.api.conftest import OTHER_PROJECT, PROJECT, Api, message, same_shape, sample
from tests.unit.db.instance_rows import instance_row

ROOT = f"/os-quota-sets/{PROJECT}"


@pytest.mark.parametrize(
    ("at", "where"),
    [(1, "v2.1/os-quota-sets"), (35, "v2.1/os-quota-sets"), (36, "v2.1/os-quota-sets/v2.36"),
     (56, "v2.1/os-quota-sets/v2.36"), (57, "v2.1/os-quota-sets/v2.57"),
     (104, "v2.1/os-quota-sets/v2.57"), ("v2", "kilo-v2/os-server-group-quotas")],
)
def test_as_in_the_samples(api: Api, at: int | str, where: str) -> None:
    shown = api.get(ROOT, at=at).json
    same_shape(shown, sample(f"{where}/quotas-show-get-resp.json"))
    assert shown["quota_set"]["id"] == PROJECT
    same_shape(api.get(f"{ROOT}/defaults", at=at).json,
               sample(f"{where}/quotas-show-defaults-get-resp.json"))
    changed = api.put(ROOT, sample(f"{where}/quotas-update-post-req.json"), at=at)
    assert changed.status_code == 200
    same_shape(changed.json, sample(f"{where}/quotas-update-post-resp.json"))
    if at != "v2":
        same_shape(api.get(f"{ROOT}/detail", at=at).json,
                   sample(f"{where}/quotas-show-detail-get-resp.json"))
        forced = api.put(ROOT, sample(f"{where}/quotas-update-force-post-req.json"), at=at)
        same_shape(forced.json, sample(f"{where}/quotas-update-force-post-resp.json"))
        assert forced.json["quota_set"]["instances"] == 45
        of_user = api.put(f"{ROOT}?user_id=fake",
                          sample(f"{where}/user-quotas-update-post-req.json"), at=at)
        same_shape(of_user.json, sample(f"{where}/user-quotas-update-post-resp.json"))
        assert of_user.json["quota_set"]["instances"] == 9
        same_shape(api.get(f"{ROOT}?user_id=fake", at=at).json,
                   sample(f"{where}/user-quotas-show-get-resp.json"))
    gone = api.delete(ROOT, at=at)
    assert (gone.status_code, gone.text) == (202, "")
    assert api.get(f"{ROOT}?user_id=fake", at=at).json["quota_set"]["instances"] == 10


def test_the_defaults_are_the_configured_ones(api: Api) -> None:
    assert api.get(f"{ROOT}/defaults").json == {"quota_set": {
        "id": PROJECT, "instances": 10, "cores": 20, "ram": 51200, "metadata_items": 128,
        "key_pairs": 100, "floating_ips": 10, "fixed_ips": -1, "security_groups": 10,
        "security_group_rules": 20, "injected_files": 5, "injected_file_content_bytes": 10240,
        "injected_file_path_bytes": 255, "server_groups": 10, "server_group_members": 10,
    }}


def test_detail_counts_what_is_used(api: Api, db: Database) -> None:
    with db.write() as tx:
        tx.instances.create([
            instance_row("a" * 36, project_id=PROJECT, user_id="member", vcpus=3),
            instance_row("b" * 36, project_id=PROJECT, user_id="admin"),
        ])
        tx.quotas.force_usage(PROJECT)
    of_project = api.get(f"{ROOT}/detail").json["quota_set"]
    assert of_project["cores"] == {"limit": 20, "in_use": 4, "reserved": 0}
    assert of_project["key_pairs"] == {"limit": 100, "in_use": 0, "reserved": 0}
    of_user = api.get(f"{ROOT}/detail?user_id=member").json["quota_set"]
    assert of_user["cores"]["in_use"] == 3
    assert of_user["instances"]["in_use"] == 1


def put(api: Api, limits: dict[str, Any], query: str = "") -> Any:
    return api.put(f"{ROOT}{query}", {"quota_set": limits})


def test_a_limit_below_the_usage_needs_force(api: Api, db: Database) -> None:
    with db.write() as tx:
        tx.quotas.reserve(PROJECT, {"instances": 5}, {})
    refusal = put(api, {"cores": 7, "instances": 4})
    assert (refusal.status_code, message(refusal)) == (
        400, "Quota limit 4 for instances must be greater than or equal to already used "
        "and reserved 5.",
    )
    assert api.get(ROOT).json["quota_set"]["cores"] == 20
    assert put(api, {"instances": 5}).status_code == 200
    assert put(api, {"instances": -1}).status_code == 200
    for force in (True, "True", "on", "1"):
        assert put(api, {"instances": 4, "force": force}).json["quota_set"]["instances"] == 4


def test_a_users_limit_fits_into_the_projects(api: Api) -> None:
    assert put(api, {"instances": 6}, "?user_id=one").status_code == 200
    refusal = put(api, {"instances": 5}, "?user_id=two")
    assert message(refusal) == "Quota limit 5 for instances must be less than or equal to 4."
    assert put(api, {"instances": -1}, "?user_id=two").status_code == 400
    assert put(api, {"instances": 10}, "?user_id=one").status_code == 200
    assert put(api, {"instances": 9}).status_code == 400
    assert put(api, {"instances": -1}).status_code == 200
    assert put(api, {"instances": 500}, "?user_id=two").status_code == 200
    api.delete(f"{ROOT}?user_id=two")
    assert api.get(f"{ROOT}?user_id=two").json["quota_set"]["instances"] == -1
    assert api.get(f"{ROOT}?user_id=one").json["quota_set"]["instances"] == 10


@pytest.mark.parametrize(
    ("limits", "at"),
    [({"instances": "x"}, 1), ({"instances": -2}, 1), ({"instances": 2**31}, 1),
     ({"instances": True}, 1), ({"instances": 1.5}, 1), ({"instances": [1]}, 1),
     ({"colour": 1}, 1), ({"floating_ips": 1}, 36), ({"security_groups": 1}, 36),
     ({"injected_files": 1}, 57), ({"force": "perhaps"}, 1), ({"id": "x"}, 1), (None, 1)],
)
def test_bad_limits(api: Api, limits: Any, at: int) -> None:
    refusal = api.put(ROOT, {"quota_set": limits}, at=at)
    assert refusal.status_code == 400
    message(refusal)


def test_texts_are_numbers_and_null_is_none(api: Api) -> None:
    changed = put(api, {"instances": "12"}).json["quota_set"]
    assert (changed["instances"], changed["cores"]) == (12, 20)
    assert put(api, {"cores": None}).status_code == 400
    assert "id" not in changed


def test_long_names_are_refused(api: Api) -> None:
    assert api.get(f"/os-quota-sets/{'p' * 65}").status_code == 400
    assert api.get(f"{ROOT}?user_id={'u' * 65}").status_code == 400
    assert api.get(f"{ROOT}?colour=red", at=75).status_code == 400
    assert api.get(f"{ROOT}?colour=red", at=74).status_code == 200


def test_rights(api: Api) -> None:
    assert api.get(ROOT, token="reader").status_code == 200
    assert api.get(f"{ROOT}/detail", token="reader").status_code == 200
    assert api.get(f"{ROOT}/defaults", token="other").status_code == 200
    for refusal in (
        api.get(ROOT, token="other"),
        api.get(f"{ROOT}/detail", token="other"),
        api.put(ROOT, {"quota_set": {"cores": 1}}, token="member"),
        api.delete(ROOT, token="member"),
    ):
        assert refusal.status_code == 403
    assert api.get(f"/os-quota-sets/{OTHER_PROJECT}").status_code == 200


def test_every_write_is_seen_by_the_cache_at_once(api: Api, cloud: Cloud) -> None:
    assert cloud.limits.get(PROJECT, "u")["cores"] == 20
    put(api, {"cores": 30})
    assert cloud.limits.get(PROJECT, "u")["cores"] == 30
    put(api, {"cores": 3}, "?user_id=u")
    limits = cloud.limits.all(PROJECT, "u")
    assert (limits.effective["cores"], limits.of_project["cores"]) == (3, 30)
    assert dict(limits.of_user) == {"cores": 3}
    api.delete(ROOT)
    assert cloud.limits.get(PROJECT, "u")["cores"] == 20
    api.put("/os-quota-class-sets/default", {"quota_class_set": {"cores": 9}})
    assert cloud.limits.defaults()["cores"] == 9
    assert cloud.limits.get(PROJECT, "u")["cores"] == 9


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None), ("GET", "/detail", None), ("GET", "/defaults", None),
        ("PUT", "", {"quota_set": {"cores": 5}}),
    ],
)
def test_a_project_that_identity_does_not_know_is_refused(
    api: Api, cloud: Cloud, method: str, path: str, body: Any
) -> None:
    asked: list[str] = []

    def ask(_caller: object, project_id: str) -> bool | None:
        asked.append(project_id)
        return {"there": True, "nonexistent": False}.get(project_id)

    object.__setattr__(cloud, "projects", Projects(ask))
    refused = api.request(method, f"/os-quota-sets/nonexistent{path}", body=body)
    assert (refused.status_code, message(refused)) == (
        400, "Project ID nonexistent is not a valid project.",
    )
    for project in ("there", "unsure", PROJECT, "there", "unsure"):
        assert api.request(method, f"/os-quota-sets/{project}{path}", body=body).status_code == 200
    assert asked == ["nonexistent", "there", "unsure"], "an own project needs no question, others one"
    stranger = api.request(method, f"/os-quota-sets/nonexistent{path}", body=body, token="other")
    assert stranger.status_code == (400 if path == "/defaults" else 403)
    assert api.delete("/os-quota-sets/nonexistent").status_code == 202


def test_queries_of_requests_that_the_original_never_looks_at_are_ignored(api: Api) -> None:
    assert api.get(f"{ROOT}/defaults?foo=1", at=104).status_code == 200
    assert api.get(f"{ROOT}?foo=1", at=104).status_code == 400
    assert api.delete(f"{ROOT}?foo=1", at=104).status_code == 400
