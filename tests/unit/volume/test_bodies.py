# SPDX-License-Identifier: Apache-2.0
"""What the Block Storage API refuses of bodies and of query strings, and in which order.

Facts: cinder/api/schemas, cinder/api/common.py (``reject_invalid_filters``), cinder/api/openstack/wsgi.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.volume.http_face import NOWHERE, Api
from tests.unit.volume.storage import Storage

NAMED = {"volume": {"name": "n"}}
HINTS = "OS-SCH-HNT:scheduler_hints"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    storage = Storage(tmp_path_factory.mktemp("storage"))
    yield Api(storage)
    storage.stop()


@pytest.fixture(scope="module")
def volume_id(api: Api) -> str:
    return api.volume(name="größe", metadata={"a": "1"})


@pytest.fixture(scope="module")
def snapshot_id(api: Api, volume_id: str) -> str:
    made = api("POST", "/snapshots", {"snapshot": {"volume_id": volume_id}})
    return str(made.json["snapshot"]["id"])


# --- members that there are not --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/volumes/{volume}", {"volume": {"foo": 1}}),
        ("PUT", "/volumes/{volume}", {**NAMED, "foo": 1}),
        ("PUT", "/snapshots/{snapshot}", {"snapshot": {"name": "n"}, "foo": 1}),
        ("POST", "/volumes/{volume}/metadata", {"metadata": {"b": "2"}, "foo": 1}),
        ("PUT", "/volumes/{volume}/metadata", {"metadata": {}, "foo": 1}),
        ("PUT", "/volumes/{volume}/metadata/a", {"meta": {"a": "2"}, "foo": 1}),
        ("PUT", "/os-quota-sets/p1", {"quota_set": {"volumes": 1}, "foo": 1}),
        ("PUT", "/os-quota-class-sets/default", {"quota_class_set": {"volumes": 1}, "foo": 1}),
        ("POST", "/types", {"volume_type": {"name": "n"}, "foo": 1}),
        ("POST", "/snapshots", {"snapshot": {"volume_id": "{volume}"}, "foo": 1}),
        ("POST", "/snapshots", {"snapshot": {"volume_id": "{volume}", "display_description": "d"}}),
        ("POST", "/attachments", {"attachment": {"volume_uuid": "{volume}"}, "foo": 1}),
        ("POST", "/os-volume-transfer", {"transfer": {"volume_id": "{volume}"}, "foo": 1}),
        ("POST", "/os-volume-transfer",
         {"transfer": {"volume_id": "{volume}", "no_snapshots": True}}),
        ("POST", "/volumes", {"volume": {"size": 1}, "foo": 1}),
        ("POST", "/volumes", {"volume": {"size": 1}, HINTS: "x"}),
        ("POST", "/volumes/{volume}/action", {"os-set_bootable": {"bootable": True, "foo": 1}}),
        ("POST", "/volumes/{volume}/action",
         {"os-update_readonly_flag": {"readonly": True, "foo": 1}}),
        ("POST", "/volumes/{volume}/action", {"os-extend": {"new_size": 2, "foo": 1}}),
        ("POST", "/snapshots/{snapshot}/action", {"os-reset_status": {"status": "error", "foo": 1}}),
    ],
    ids=lambda given: str(given)[:60],
)
def test_a_member_that_there_is_not_changed_nothing_and_was_accepted(
    api: Api, volume_id: str, snapshot_id: str, method: str, path: str, body: dict[str, Any]
) -> None:
    for each in body.values():
        for name, value in each.items() if isinstance(each, dict) else ():
            each[name] = volume_id if value == "{volume}" else value
    path = path.format(volume=volume_id, snapshot=snapshot_id)
    answer = api(method, path, body, who="admin", version="3.50")
    assert answer.status_code == 400, answer.text
    assert "foo" in answer.text or "display_description" in answer.text or HINTS in answer.text or (
        "no_snapshots" in answer.text
    )
    shown = api("GET", f"/volumes/{volume_id}").json["volume"]
    assert (shown["name"], shown["metadata"], shown["bootable"]) == ("größe", {"a": "1"}, "false")
    assert len(api("GET", "/volumes?all_tenants=1", who="admin").json["volumes"]) == 1


def test_what_may_stand_beside(api: Api, snapshot_id: str) -> None:
    made = api("POST", "/volumes", {"volume": {"size": 1}, HINTS: {"same_host": NOWHERE}})
    assert made.status_code == 202, made.text
    path = f"/volumes/{made.json['volume']['id']}"
    assert api("POST", f"{path}/action", {"os-reserve": "what it says is not read"}).status_code == 202
    assert api("POST", f"{path}/action", {"os-unreserve": None}).status_code == 202
    # Cinder's schema of a snapshot's metadata leaves what stands beside it open.
    beside = {"metadata": {"k": "ü"}, "foo": 1}
    assert api("POST", f"/snapshots/{snapshot_id}/metadata", beside).json == {"metadata": {"k": "ü"}}
    assert api("PUT", path, {"volume": {}}, version="3.52").status_code == 200
    assert api("PUT", path, {"volume": {}}, version="3.53").status_code == 400
    assert api("DELETE", path).status_code == 202


# --- the body first --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", f"/volumes/{NOWHERE}", {"volume": {"display_name": 1}}),
        ("PUT", f"/volumes/{NOWHERE}", {"volume": {"name": "n", "display_name": 1}}),
        ("PUT", f"/volumes/{NOWHERE}", {"volume": {"metadata": None}}),
        ("POST", f"/volumes/{NOWHERE}/action", {"os-set_bootable": {"bootable": 1}}),
        ("POST", f"/volumes/{NOWHERE}/action", {"os-set_bootable": {}}),
        ("POST", f"/volumes/{NOWHERE}/action", {"os-update_readonly_flag": {"readonly": 0}}),
        ("POST", f"/volumes/{NOWHERE}/action", {"os-update_readonly_flag": {"readonly": "tRue"}}),
        ("POST", f"/volumes/{NOWHERE}/action", {"os-extend": {"new_size": "groß"}}),
        ("POST", f"/volumes/{NOWHERE}/action", {"os-retype": {}}),
        ("POST", f"/volumes/{NOWHERE}/action", {"os-attach": {"mountpoint": "/dev/vdb"}}),
        ("POST", f"/volumes/{NOWHERE}/action", {"os-initialize_connection": {}}),
        ("POST", f"/volumes/{NOWHERE}/action", {"os-volume_upload_image": {}}),
        ("POST", f"/volumes/{NOWHERE}/action", {"os-reset_status": {}}),
        ("POST", f"/volumes/{NOWHERE}/action", {"revert": {}}),
        ("POST", f"/volumes/{NOWHERE}/action", {"os-reimage": {}}),
        ("POST", "/snapshots", {"snapshot": {"volume_id": NOWHERE, "name": 1}}),
        ("POST", "/snapshots", {"snapshot": {"volume_id": NOWHERE, "force": 1}}),
        ("PUT", f"/snapshots/{NOWHERE}", {"snapshot": {"display_name": 1}}),
        ("POST", f"/snapshots/{NOWHERE}/action", {"os-reset_status": {}}),
        ("POST", f"/snapshots/{NOWHERE}/action", {"nichts": {}}),
        ("POST", "/attachments", {"attachment": {"volume_uuid": NOWHERE, "instance_uuid": "x"}}),
        ("POST", "/volume-transfers", {"transfer": {"volume_id": NOWHERE, "no_snapshots": 1}}),
        ("POST", "/volumes", {"volume": {"size": "x", "snapshot_id": NOWHERE}}),
        ("PUT", f"/types/{NOWHERE}", {"volume_type": {"is_public": 1}}),
        ("POST", f"/types/{NOWHERE}/action", {"addProjectAccess": {}}),
        ("POST", f"/types/{NOWHERE}/extra_specs", {"extra_specs": {"ä/": "x"}}),
        ("PUT", "/os-quota-sets/p1", {"quota_set": {"volumes": "viele"}}),
    ],
    ids=lambda given: str(given)[:60],
)
def test_a_bad_body_was_told_only_to_those_who_may_and_for_what_there_is(
    api: Api, method: str, path: str, body: dict[str, Any]
) -> None:
    for who in ("admin", "member", "reader"):
        answer = api(method, path, body, who=who)
        assert answer.status_code == 400, (who, answer.text)


@pytest.mark.parametrize("word", [True, "True", "on", "YES", "y", "t", "1"])
def test_words_for_true(api: Api, volume_id: str, word: bool | str) -> None:
    path = f"/volumes/{volume_id}/action"
    assert api("POST", path, {"os-set_bootable": {"bootable": word}}).status_code == 200
    assert api("GET", f"/volumes/{volume_id}").json["volume"]["bootable"] == "true"
    assert api("POST", path, {"os-set_bootable": {"bootable": "n"}}).status_code == 200


# --- what the body is said to be -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("text/plain", 415), ("application/x-www-form-urlencoded", 415), ("application/xml", 415),
        ("application/json", 200), ("application/json; charset=utf-8", 200),
        ("application/vnd.openstack.volume+json", 200), (None, 200),
    ],
)
def test_a_body_that_was_said_to_be_no_json_was_read_as_such(
    api: Api, volume_id: str, kind: str | None, status: int
) -> None:
    headers = {"X-Auth-Token": "member", "OpenStack-API-Version": "volume 3.70"}
    if kind is not None:
        headers["Content-Type"] = kind
    path = f"/v3/p1/volumes/{volume_id}"
    body = '{"volume": {"name": "größe"}}'
    answer = api.raw("PUT", path, headers=headers, body=body)
    assert answer.status_code == status, answer.text
    if status == 415:
        assert answer.json == {"badMediaType": {"code": 415, "message": "Unsupported Content-Type"}}
        assert api.raw("GET", path, headers=headers, body="x").status_code == 415
    # Cinder looks at the header of a body alone.
    assert api.raw("GET", path, headers=headers).status_code == 200


# --- filters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "version", "who", "status"),
    [
        ("/volumes?foo=1", "3.31", "member", 400), ("/volumes/detail?foo=1", "3.70", "member", 400),
        ("/volumes?foo=1", "3.30", "member", 200), ("/volumes?foo=1", "3.70", "admin", 200),
        ("/volumes?all_tenants=1&limit=3&sort=name:asc", "3.70", "member", 200),
        ("/volumes?name~=x", "3.34", "member", 200), ("/volumes?name~=x", "3.33", "member", 400),
        ("/volumes?with_count=1", "3.45", "member", 200),
        ("/volumes?with_count=1", "3.44", "member", 400),
        ("/volumes?display_name=x", "3.70", "member", 400),
        ("/volumes?migration_status=success", "3.70", "member", 200),
        ("/volumes?%C3%A4=1", "3.70", "admin", 400), ("/volumes/summary?foo=1", "3.70", "member", 200),
        ("/snapshots?foo=1", "3.31", "member", 400), ("/snapshots?status=error", "3.70", "member", 200),
        ("/attachments?foo=1", "3.31", "member", 400),
        ("/attachments?instance_id=x", "3.70", "member", 200),
        ("/messages?foo=1", "3.31", "member", 400), ("/messages?event_id=x", "3.70", "member", 200),
        ("/types?foo=1", "3.51", "member", 200), ("/types?foo=1", "3.52", "member", 400),
        ("/types?is_public=None", "3.70", "member", 200),
    ],
)
def test_a_filter_that_there_is_not_found_everything(
    api: Api, path: str, version: str, who: str, status: int
) -> None:
    answer = api("GET", path, version=version, who=who)
    assert answer.status_code == status, answer.text
    if "foo" in path and status == 400:
        assert answer.json["badRequest"]["message"] == (
            "Invalid filters foo are found in query options."
        )


def test_filters_that_are_told_are_taken(api: Api) -> None:
    paths = {"volume": "volumes", "snapshot": "snapshots", "attachment": "attachments",
             "message": "messages", "volume_type": "types"}
    values = {"size": "1", "bootable": "true", "consumes_quota": "true", "created_at": "gt:2000-01-01",
              "updated_at": "gt:2000-01-01", "metadata": "{}", "glance_metadata": "{}",
              "extra_specs": "{}"}
    told = api("GET", "/resource_filters").json["resource_filters"]
    assert {each["resource"] for each in told} == set(paths)
    for each in told:
        query = "&".join(f"{name}={values.get(name, 'x')}" for name in each["filters"])
        found = api("GET", f"/{paths[each['resource']]}?{query}")
        assert found.status_code == 200, found.text
