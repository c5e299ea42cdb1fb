# SPDX-License-Identifier: Apache-2.0
"""``os-security-groups``, their rules and default rules, and the groups of a server."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from falcon.testing import TestClient

from nova.api.compute.app import make_compute_app
from nova.api.compute.cloud import Cloud
from nova.compute.limit_cache import LimitCache
from nova.db.engine import Database
from tests.unit.api.conftest import (
    PROJECT,
    Api,
    FixedTokens,
    Told,
    message,
    same_shape,
    sample,
)
from tests.unit.db.instance_rows import instance_row

ROOT = "/os-security-groups"
RULES = "/os-security-group-rules"
DEFAULTS = "/os-security-group-default-rules"
SERVER = "15835b6f-1e14-4cfa-9f66-1abea1a1c0d5"


def _make(api: Api, name: str = "tëst", **options: Any) -> Any:
    body = {"security_group": {"name": name, "description": "d"}}
    answer = api.post(ROOT, body, **options)
    assert answer.status_code == 200, answer.text
    return answer.json["security_group"]


def _add(api: Api, group: Any, **fields: Any) -> Any:
    rule = {"parent_group_id": group["id"], "ip_protocol": "tcp", "from_port": 22, "to_port": 22,
            "cidr": "10.0.0.0/24"} | fields
    return api.post(RULES, {"security_group_rule": rule})


@pytest.mark.parametrize("at", [1, 35, "v2"])
def test_the_samples(api: Api, told: Told, at: int | str) -> None:
    folder = "kilo-v2/os-security-groups/"
    same_shape(api.get(ROOT, at=at).json, sample(f"{folder}security-groups-list-get-resp.json"))
    made = api.post(ROOT, sample(f"{folder}security-group-post-req.json"), at=at)
    same_shape(made.json, sample(f"{folder}security-groups-create-resp.json"))
    group = made.json["security_group"]
    shown = api.get(f"{ROOT}/{group['id']}", at=at)
    same_shape(shown.json, sample(f"{folder}security-groups-get-resp.json"))
    body = {"security_group": {"name": "nëw", "description": "ü"}}
    changed = api.put(f"{ROOT}/{group['id']}", body, at=at).json["security_group"]
    assert (changed["name"], changed["description"]) == ("nëw", "ü")
    answer = api.delete(f"{ROOT}/{group['id']}", at=at)
    assert (answer.status_code, answer.content) == (202, b"")
    assert told.security_groups == 1
    assert [each["name"] for each in api.get(ROOT, at=at).json["security_groups"]] == ["default"]


def test_rules(api: Api, told: Told) -> None:
    group = _make(api)
    answer = _add(api, group)
    assert answer.status_code == 200
    rule = answer.json["security_group_rule"]
    assert rule | {"id": 0} == {
        "id": 0, "parent_group_id": group["id"], "ip_protocol": "tcp", "from_port": 22,
        "to_port": 22, "group": {}, "ip_range": {"cidr": "10.0.0.0/24"},
    }
    wanted = sample("v2.1/os-security-groups/security-group-rules-post-resp.json")
    assert set(rule) == set(wanted["security_group_rule"])
    assert _add(api, group).status_code == 400
    text = _add(api, group, from_port="80", to_port="90", cidr=None).json["security_group_rule"]
    assert (text["from_port"], text["ip_range"]) == (80, {"cidr": "0.0.0.0/0"})
    members = _add(api, group, group_id=group["id"], cidr=None).json["security_group_rule"]
    assert members["group"] == {"name": "tëst", "tenant_id": PROJECT}
    assert members["ip_range"] == {}
    assert len(api.get(f"{ROOT}/{group['id']}").json["security_group"]["rules"]) == 3
    assert api.delete(f"{RULES}/{rule['id']}", token="other").status_code == 404
    assert api.delete(f"{RULES}/{rule['id']}", token="reader").status_code == 403
    assert api.delete(f"{RULES}/{rule['id']}", token="member").status_code == 202
    assert api.delete(f"{RULES}/{rule['id']}").status_code == 404
    assert told.security_groups == 4


@pytest.mark.parametrize("fields, status", [
    ({"ip_protocol": "gre"}, 400), ({"from_port": "x"}, 400), ({"from_port": 90}, 400),
    ({"to_port": 70000}, 400), ({"cidr": "x"}, 400), ({"cidr": "10.0.0.0/0"}, 400),
    ({"ip_protocol": None, "from_port": None, "to_port": None}, 400), ({"x": 1}, 400),
    ({"parent_group_id": "x"}, 400), ({"parent_group_id": 999}, 404),
    ({"parent_group_id": 10**30}, 404), ({"group_id": 999}, 404), ({"group_id": "x"}, 400),
    ({"from_port": 10**30, "to_port": 10**30}, 400), ({"cidr": ["x"]}, 400),
])
def test_refused_rules(api: Api, fields: Any, status: int) -> None:
    group = _make(api)
    answer = _add(api, group, **fields)
    assert answer.status_code == status, answer.text
    assert message(answer)
    assert api.get(f"{ROOT}/{group['id']}").json["security_group"]["rules"] == []


def test_groups_of_others(api: Api) -> None:
    group = _make(api, token="member")
    assert api.get(f"{ROOT}/{group['id']}", token="other").status_code == 404
    assert api.delete(f"{ROOT}/{group['id']}", token="other").status_code == 404
    body = {"security_group": {"name": "x", "description": ""}}
    assert api.put(f"{ROOT}/{group['id']}", body, token="other").status_code == 404
    other = _make(api, token="other")
    assert api.get(f"{ROOT}/{other['id']}").status_code == 200
    everywhere = api.get(f"{ROOT}?all_tenants=1").json["security_groups"]
    assert len(everywhere) == 4
    assert len(api.get(f"{ROOT}?all_tenants=1", token="other").json["security_groups"]) == 2
    assert len(api.get(f"{ROOT}?all_tenants=1&limit=2&offset=1").json["security_groups"]) == 2
    assert api.post(ROOT, body, token="reader").status_code == 403


def test_refused_groups(api: Api) -> None:
    _make(api)
    for group, status in (
        ({"name": "tëst", "description": ""}, 400), ({"name": "default"}, 400),
        ({"name": ""}, 400), ({"name": 1}, 400), ({"name": "x" * 256}, 400), ({}, 400),
        ({"name": "x", "description": "d" * 256}, 400), ([], 400),
    ):
        assert api.post(ROOT, {"security_group": group}).status_code == status, group
    listed = api.get(ROOT).json["security_groups"]
    default = next(each for each in listed if each["name"] == "default")["id"]
    assert api.delete(f"{ROOT}/{default}").status_code == 400
    body = {"security_group": {"name": "x", "description": ""}}
    assert api.put(f"{ROOT}/{default}", body).status_code == 400
    for path, status in (("x", 400), ("999", 404), ("9" * 30, 404), ("-1", 404)):
        # A name is not found, so that the public command line goes on to look for it in the list.
        assert api.get(f"{ROOT}/{path}").status_code == 404
        assert api.delete(f"{ROOT}/{path}").status_code == status
        assert api.delete(f"{RULES}/{path}").status_code == status
        assert api.get(f"{DEFAULTS}/{path}").status_code == status


def test_quotas(cloud: Cloud, db: Database) -> None:
    quota = dataclasses.replace(
        cloud.config.quota, security_groups=3, security_group_rules=1
    )
    small = dataclasses.replace(cloud, limits=LimitCache(db, quota))
    api = Api(TestClient(make_compute_app(small, FixedTokens(), "http://id.example.com")))
    group = _make(api, "one")
    two = _make(api, "two")
    third = {"security_group": {"name": "three", "description": ""}}
    assert api.post(ROOT, third).status_code == 403
    api.delete(f"{ROOT}/{two['id']}")
    assert api.post(ROOT, third).status_code == 200
    assert _add(api, group).status_code == 200
    assert _add(api, group, from_port=1).status_code == 403


def test_default_rules(api: Api) -> None:
    folder = "v2.1/os-security-group-default-rules/security-group-default-rules-"
    body = sample(f"{folder}create-req.json")
    made = api.post(DEFAULTS, body)
    same_shape(made.json, sample(f"{folder}create-resp.json"))
    same_shape(api.get(DEFAULTS).json, sample(f"{folder}list-resp.json"))
    path = f"{DEFAULTS}/{made.json['security_group_default_rule']['id']}"
    same_shape(api.get(path).json, sample(f"{folder}show-resp.json"))
    assert api.post(DEFAULTS, body).status_code == 409
    (default,) = api.get(ROOT, token="other").json["security_groups"]
    assert default["rules"][0]["from_port"] == 80
    assert api.get(DEFAULTS, token="member").status_code == 403
    assert api.delete(path).status_code == 204
    assert api.delete(path).status_code == 404
    assert api.post(DEFAULTS, {"security_group_default_rule": {}}).status_code == 400


def test_groups_of_a_server(api: Api, db: Database) -> None:
    group = _make(api)
    with db.write() as tx:
        tx.instances.create([instance_row(SERVER, project_id=PROJECT)])
        tx.security_groups.add_members([(group["id"], SERVER)])
    path = f"/servers/{SERVER}{ROOT}"
    for at in (1, 36, 104, "v2"):
        answer = api.get(path, at=at, token="reader")
        wanted = sample("kilo-v2/os-security-groups/server-security-groups-list-resp.json")
        same_shape(answer.json, wanted)
        assert answer.json["security_groups"][0]["name"] == "tëst"
    assert api.get(path, token="other").status_code == 404
    assert api.get(f"/servers/x{ROOT}").status_code == 404
    assert api.delete(f"{ROOT}/{group['id']}").status_code == 400


def test_gone_from_2_36(api: Api) -> None:
    for path in (ROOT, f"{ROOT}/1", DEFAULTS):
        assert api.get(path, at=36).status_code == 404
    assert api.post(RULES, {}, at=36).status_code == 404


def test_blanks_at_the_ends_of_a_name_are_kept(api: Api) -> None:
    made = _make(api, " two words ")
    assert made["name"] == " two words "
    assert api.get(f"{ROOT}/{made['id']}").json["security_group"]["name"] == " two words "
    for name in ("  ", " " * 256, " " * 100 + "x" * 156):
        body = {"security_group": {"name": name, "description": "d"}}
        assert api.post(ROOT, body).status_code == 400, len(name)


def test_uuids_find_groups_and_are_not_called_malformed(api: Api, db: Database) -> None:
    made = _make(api, token="member")
    with db.read() as tx:
        uuid = tx.security_groups.get(made["id"]).uuid
    body = {"security_group": {"name": "y", "description": ""}}
    assert api.get(f"{ROOT}/{uuid}", token="member").json["security_group"]["id"] == made["id"]
    assert api.put(f"{ROOT}/{uuid}", body, token="other").status_code == 404
    for method, path, sent in (
        ("GET", f"{ROOT}/{SERVER}", None), ("PUT", f"{ROOT}/{SERVER}", body),
        ("DELETE", f"{ROOT}/{SERVER}", None), ("DELETE", f"{RULES}/{SERVER}", None),
        ("POST", RULES, {"security_group_rule": {
            "parent_group_id": SERVER, "ip_protocol": "tcp", "from_port": 1, "to_port": 1,
        }}),
    ):
        answer = api.request(method, path, body=sent)
        assert (answer.status_code, message(answer)[-10:]) == (404, "not found."), path
    assert api.delete(f"{ROOT}/{uuid}", token="member").status_code == 202
