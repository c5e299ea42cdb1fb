# SPDX-License-Identifier: Apache-2.0
"""The types of volumes without one, for single projects; and what tells that a volume is not encrypted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nova.compute.projects import Projects
from tests.unit.volume.http_face import NOWHERE, Api
from tests.unit.volume.storage import Storage


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    there = ("p1", "p2")
    storage = Storage(tmp_path, projects=Projects(lambda _caller, project: project in there))
    yield Api(storage)
    storage.stop()


def a_type(api: Api, name: str, *, public: bool = True) -> str:
    body = {"volume_type": {"name": name, "os-volume-type-access:is_public": public}}
    return str(api("POST", "/types", body, who="admin").json["volume_type"]["id"])


def set_default(api: Api, project: str, named: str) -> dict[str, str]:
    body = {"default_type": {"volume_type": named}}
    answer = api("PUT", f"/default-types/{project}", body, who="admin")
    assert answer.status_code == 200, answer.text
    return dict(answer.json["default_type"])


def test_a_projects_volumes_without_a_type_have_its_default(api: Api) -> None:
    fast, wide = a_type(api, "schnell"), a_type(api, "größe")
    assert set_default(api, "p1", "schnell") == {"project_id": "p1", "volume_type_id": fast}
    assert api("GET", "/types/default").json["volume_type"]["name"] == "schnell"
    volume_id = api.volume()
    shown = api("GET", f"/volumes/{volume_id}").json["volume"]
    assert (shown["volume_type"], shown["volume_type_id"]) == ("schnell", fast)
    # What is named counts, and so does the type of the source.
    named = api.volume(volume_type="__DEFAULT__")
    copy = api.volume(source_volid=named)
    assert api("GET", f"/volumes/{copy}").json["volume"]["volume_type"] == "__DEFAULT__"
    other = api("POST", "/volumes", {"volume": {"size": 1}}, who="other").json["volume"]
    assert other["volume_type"] == "__DEFAULT__"
    set_default(api, "p1", wide)
    set_default(api, "p2", fast)
    assert api("GET", f"/volumes/{api.volume()}").json["volume"]["volume_type"] == "größe"
    listed = api("GET", "/default-types", who="admin").json["default_types"]
    assert listed == [
        {"project_id": "p1", "volume_type_id": wide}, {"project_id": "p2", "volume_type_id": fast},
    ]
    one = api("GET", "/default-types/p2", who="admin", project=None)
    assert one.json == {"default_type": listed[1]}
    for _each in range(2):
        assert api("DELETE", "/default-types/p1", who="admin").status_code == 204
    missing = api("GET", "/default-types/p1", who="admin")
    assert (missing.status_code, missing.json["itemNotFound"]["message"]) == (
        404, "Default type for project p1 not found.",
    )
    assert api("GET", "/types/default").json["volume_type"]["name"] == "__DEFAULT__"


@pytest.mark.parametrize(
    ("method", "path", "body", "who", "version", "status"),
    [
        ("GET", "/default-types", None, "admin", "3.61", 404),
        ("GET", "/default-types", None, "member", "3.62", 403),
        ("GET", "/default-types/p1", None, "member", "3.62", 403),
        ("DELETE", "/default-types/p1", None, "member", "3.62", 403),
        ("PUT", "/default-types/p1", {"default_type": {"volume_type": "__DEFAULT__"}}, "member", "3.62", 403),
        ("PUT", "/default-types/p1", {"default_type": {"volume_type": "nichts"}}, "admin", "3.62", 400),
        ("PUT", "/default-types/p1", {"default_type": {"volume_type": 1}}, "admin", "3.62", 400),
        ("PUT", "/default-types/p1", {"default_type": {}}, "admin", "3.62", 400),
        ("PUT", "/default-types/p1", {}, "admin", "3.62", 400),
        ("PUT", "/default-types/p1",
         {"default_type": {"volume_type": "__DEFAULT__", "foo": 1}}, "admin", "3.62", 400),
        ("PUT", "/default-types/pX", {"default_type": {"volume_type": "__DEFAULT__"}}, "admin", "3.62", 404),
        ("PUT", f"/default-types/{'p' * 65}",
         {"default_type": {"volume_type": "__DEFAULT__"}}, "admin", "3.62", 404),
        ("GET", "/default-types/pX", None, "admin", "3.62", 404),
        # A project that is gone can still be forgotten.
        ("DELETE", "/default-types/pX", None, "admin", "3.62", 204),
    ],
)
def test_what_is_refused(
    api: Api, method: str, path: str, body: object, who: str, version: str, status: int
) -> None:
    answer = api(method, path, body, who=who, version=version)
    assert answer.status_code == status, answer.text
    assert api("GET", "/default-types", who="admin").json == {"default_types": []}


def test_a_default_is_kept_and_one_that_was_taken_away_is_not_used(api: Api) -> None:
    type_id = a_type(api, "eigen", public=False)
    set_default(api, "p1", type_id)
    kept = api("DELETE", f"/types/{type_id}", who="admin")
    assert (kept.status_code, "is a default volume type" in kept.text) == (400, True)
    refused = api("POST", "/volumes", {"volume": {"size": 1}})
    assert (refused.status_code, type_id in refused.text) == (404, True)
    access = {"addProjectAccess": {"project": "p1"}}
    assert api("POST", f"/types/{type_id}/action", access, who="admin").status_code == 202
    assert api("GET", f"/volumes/{api.volume()}").json["volume"]["volume_type"] == "eigen"


def test_a_type_that_is_deleted_meanwhile_is_no_default(api: Api) -> None:
    from nova.errors import NotFound

    with pytest.raises(NotFound), api.storage.database.write() as tx:
        tx.volumes.types.set_project_default("p1", NOWHERE)


def test_a_volumes_encryption(api: Api) -> None:
    path = f"/volumes/{api.volume()}/encryption"
    for version in ("3.0", "3.70"):
        assert api("GET", path, version=version, who="reader").json == {"encryption_key_id": None}
    item = api("GET", f"{path}/encryption_key_id")
    assert (item.status_code, item.text) == (200, "")
    assert api("GET", f"{path}/nichts").status_code == 404
    assert api("GET", path, who="other").status_code == 404
    assert api("GET", f"/volumes/{NOWHERE}/encryption").status_code == 404
