# SPDX-License-Identifier: Apache-2.0
"""The image API over HTTP: discovery, create, change, rights."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.api.image_cloud import NO_IMAGE, OLD_PATCH, PATCH, Cloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path_factory.mktemp("image"))
    yield cloud
    cloud.stop()


@pytest.fixture
def empty_cloud(tmp_path: Path) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path)
    yield cloud
    cloud.stop()


# --- discovery ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "status"), [("/", 300), ("/versions", 200), ("/v2/", 300)])
def test_versions_name_the_host_that_was_called(cloud: Cloud, path: str, status: int) -> None:
    answer = cloud.call("GET", path, token=None, headers={"Host": "images.test:9292"})
    assert answer.status == status
    versions = answer.json["versions"]
    assert [version["status"] for version in versions].count("CURRENT") == 1
    assert {"v2.0", "v2.9"} <= {version["id"] for version in versions}
    assert {link["href"] for version in versions for link in version["links"]} == {
        "http://images.test:9292/v2/"
    }


@pytest.mark.parametrize("token", [None, "unknown"])
def test_no_token_no_images(cloud: Cloud, token: str | None) -> None:
    answer = cloud.call("GET", "/v2/images", token=token)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Keystone uri='http://identity.test/v3'"


@pytest.mark.parametrize("name", ["image", "images", "member", "members"])
def test_schemas(cloud: Cloud, name: str) -> None:
    assert cloud.call("GET", f"/v2/schemas/{name}").json["name"] == name


def test_what_there_is_of_the_rest(cloud: Cloud) -> None:
    assert cloud.call("GET", "/v2/info/import").json["import-methods"]["value"] == [
        "glance-direct"
    ]
    assert [store["id"] for store in cloud.call("GET", "/v2/info/stores").json["stores"]] == [
        "file"
    ]
    assert cloud.call("GET", "/v2/metadefs/namespaces").json["namespaces"] == []
    assert cloud.call("GET", "/v2/tasks").json["tasks"] == []
    task = {"type": "import", "input": {"import_from": "http://nowhere.test/x"}}
    assert cloud.call("POST", "/v2/tasks", task, token="admin").status == 400
    assert cloud.call("POST", "/v2/tasks", task, token="alice").status == 403
    assert cloud.call("GET", "/v2/schemas/nothing").status == 404
    assert cloud.call("GET", "/v1/images").status == 404
    assert cloud.call("PUT", "/v2/images").status == 405


# --- create and show ---------------------------------------------------------------------------


def test_create_and_show_round_trip(cloud: Cloud) -> None:
    own_id = str(uuid.uuid4())
    body = {
        "id": own_id, "name": "Bild 漢字 🐧", "disk_format": "ami", "container_format": "ami",
        "min_disk": 3, "min_ram": 512, "tags": ["b", "b", "ü"], "kernel_id": str(uuid.uuid4()),
        "ramdisk_id": str(uuid.uuid4()), "Größe": "läuft", "visibility": "private",
    }
    answer = cloud.call("POST", "/v2/images", body)
    assert answer.status == 201
    assert answer.headers["Location"].endswith(f"/v2/images/{own_id}")
    assert answer.headers["OpenStack-image-import-methods"] == "glance-direct"
    image = answer.json
    assert image == cloud.show(own_id)
    assert {name: image[name] for name in body if name != "tags"} == {
        name: value for name, value in body.items() if name != "tags"
    }
    assert image["tags"] == ["b", "ü"]
    assert image["status"] == "queued"
    assert image["owner"] == "a"
    assert (image["size"], image["checksum"], image["protected"]) == (None, None, False)
    assert image["self"] == f"/v2/images/{own_id}"
    assert image["file"] == f"/v2/images/{own_id}/file"
    assert cloud.call("POST", "/v2/images", body).status == 409


def test_the_id_of_a_deleted_image_is_not_given_out_again(cloud: Cloud) -> None:
    image = cloud.create()
    assert cloud.call("DELETE", f"/v2/images/{image['id']}").status == 204
    assert cloud.call("POST", "/v2/images", {"id": image["id"]}, token="eve").status == 409


@pytest.mark.parametrize(("body", "status", "named"), [
    ({"name": 7}, 400, "name"),
    ({"name": "x" * 256}, 400, "name"),
    ({"name": "a\0b"}, 400, "name"),
    ({"id": "not-a-uuid"}, 400, "id"),
    ({"disk_format": "floppy"}, 400, "disk_format"),
    ({"container_format": ["bare"]}, 400, "container_format"),
    ({"min_disk": "1"}, 400, "min_disk"),
    ({"min_disk": -1}, 400, "min_disk"),
    ({"min_ram": 2**40}, 400, "min_ram"),
    ({"min_ram": True}, 400, "min_ram"),
    ({"protected": "yes"}, 400, "protected"),
    ({"os_hidden": None}, 400, "os_hidden"),
    ({"visibility": None}, 400, "visibility"),
    ({"visibility": "all"}, 400, "visibility"),
    ({"tags": "t"}, 400, "tags"),
    ({"tags": [1]}, 400, "tags"),
    ({"free": None}, 400, "free"),
    ({"free": {"a": 1}}, 400, "free"),
    ({"x" * 256: "long"}, 400, "property name"),
    ({"": "empty"}, 400, "property"),
    ({"status": "active"}, 403, "status"),
    ({"size": 5}, 403, "size"),
    ({"checksum": "0" * 32}, 403, "checksum"),
    ({"created_at": "2015-01-01T00:00:00Z"}, 403, "created_at"),
    ({"locations": []}, 403, "locations"),
    ({"os_glance_import_task": "x"}, 403, "os_glance"),
    ({"self": "/x"}, 403, "self"),
    ({"owner": "b"}, 403, "b"),
    ({"visibility": "public"}, 403, "publicize"),
    ({"tags": [str(number) for number in range(129)]}, 413, "tags"),
    ({f"p{number}": "v" for number in range(129)}, 413, "properties"),
    ([], 400, "object"),
    ([{}], 400, "object"),
])
def test_create_refusals(cloud: Cloud, body: Any, status: int, named: str) -> None:
    before = cloud.ids("?limit=1000")
    answer = cloud.call("POST", "/v2/images", body)
    assert answer.status == status, answer.body
    assert named in answer.message
    assert cloud.ids("?limit=1000") == before


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'"x"', b"null", b'{"name":"\\ud800"}',
                                  b"[" * 50_000])
def test_create_with_no_document(cloud: Cloud, body: bytes) -> None:
    assert cloud.call("POST", "/v2/images", body).status == 400


def test_a_reader_may_look_but_not_write(cloud: Cloud) -> None:
    image = cloud.create(visibility="private")
    assert cloud.show(image["id"], token="carol")["id"] == image["id"]
    assert cloud.call("POST", "/v2/images", {}, token="carol").status == 403
    assert cloud.patch(image["id"], [], token="carol").status == 403
    assert cloud.upload(image["id"], b"x", token="carol").status == 403
    assert cloud.call("DELETE", f"/v2/images/{image['id']}", token="carol").status == 403


@pytest.mark.parametrize("image_id", [
    "", "x", "%00", "..%2f..%2fetc%2fpasswd", "é", "%ff", "incoming", NO_IMAGE,
    "x" * 3000, "00000000-0000-0000-0000-00000000000%0a",
])
def test_ids_of_no_image(cloud: Cloud, image_id: str) -> None:
    path = f"/v2/images/{quote(image_id, safe='%')}"
    for method, suffix in (("GET", ""), ("DELETE", ""), ("GET", "/file"), ("GET", "/members")):
        assert cloud.call(method, path + suffix).status == 404, (method, suffix)


# --- who sees what -----------------------------------------------------------------------------


def test_visibility_matrix(empty_cloud: Cloud) -> None:
    cloud = empty_cloud
    images = {
        visibility: cloud.create(
            token="admin", owner="a", visibility=visibility, name=visibility
        )["id"]
        for visibility in ("private", "shared", "community", "public")
    }
    members = f"/v2/images/{images['shared']}/members"
    assert cloud.call("POST", members, {"member": "b"}).status == 200
    everything = set(images)
    shows = {
        "alice": everything, "admin": everything,
        "bob": {"shared", "community", "public"}, "eve": {"community", "public"},
    }
    lists = {
        "alice": everything, "admin": {"private", "shared", "public"},
        "bob": {"public"}, "eve": {"public"},
    }
    for token, seen in shows.items():
        assert {
            visibility for visibility, image_id in images.items()
            if cloud.call("GET", f"/v2/images/{image_id}", token=token).status == 200
        } == seen, token
    names = {image_id: visibility for visibility, image_id in images.items()}
    for token, seen in lists.items():
        assert {names[image_id] for image_id in cloud.ids(token=token)} == seen, token
    assert cloud.ids("?visibility=community", token="eve") == [images["community"]]
    assert cloud.ids("?visibility=private", token="eve") == []
    assert {names[i] for i in cloud.ids("?visibility=all", token="eve")} == {
        "community", "public"
    }
    assert cloud.ids("?visibility=shared&member_status=pending", token="bob") == [
        images["shared"]
    ]
    accept = cloud.call("PUT", f"{members}/b", {"status": "accepted"}, token="bob")
    assert accept.json["status"] == "accepted"
    assert images["shared"] in cloud.ids(token="bob")
    for token, image_id, status in (
        ("bob", images["shared"], 403), ("bob", images["public"], 403),
        ("bob", images["private"], 404),
    ):
        assert cloud.call("DELETE", f"/v2/images/{image_id}", token=token).status == status
        change = [{"op": "replace", "path": "/name", "value": "mine"}]
        assert cloud.patch(image_id, change, token=token).status == status
        assert cloud.upload(image_id, b"x", token=token).status == status
        assert cloud.call("PUT", f"/v2/images/{image_id}/tags/x", token=token).status == status


def test_members(cloud: Cloud) -> None:
    image = cloud.create()
    path = f"/v2/images/{image['id']}/members"
    added = cloud.call("POST", path, {"member": "b"})
    assert added.status == 200
    assert {name: added.json[name] for name in ("member_id", "image_id", "status", "schema")} == {
        "member_id": "b", "image_id": image["id"], "status": "pending",
        "schema": "/v2/schemas/member",
    }
    assert cloud.call("POST", path, {"member": "b"}).status == 409
    assert cloud.call("POST", path, {"member": "e"}).status == 200
    assert [m["member_id"] for m in cloud.call("GET", path).json["members"]] == ["b", "e"]
    assert [m["member_id"] for m in cloud.call("GET", path, token="bob").json["members"]] == ["b"]
    assert cloud.call("GET", f"{path}/e", token="bob").status == 404
    assert cloud.call("GET", f"{path}/b", token="bob").json["status"] == "pending"
    assert cloud.call("PUT", f"{path}/b", {"status": "accepted"}).status == 403
    assert cloud.call("PUT", f"{path}/b", {"status": "accepted"}, token="eve").status == 404
    assert cloud.call("PUT", f"{path}/b", {"status": "maybe"}, token="bob").status == 400
    assert cloud.call("PUT", f"{path}/b", {"status": None}, token="bob").status == 400
    assert cloud.call("PUT", f"{path}/b", {}, token="bob").status == 400
    assert cloud.call("PUT", f"{path}/b", {"status": "rejected"}, token="bob").status == 200
    assert cloud.call("POST", path, {"member": "x"}, token="bob").status == 403
    assert cloud.call("DELETE", f"{path}/b", token="bob").status == 403
    assert cloud.call("DELETE", f"{path}/b").status == 204
    assert cloud.call("DELETE", f"{path}/b").status == 404
    assert cloud.call("GET", path, token="bob").status == 404
    for member in ("", None, 5, "x" * 256, "a\0", {"id": "b"}):
        assert cloud.call("POST", path, {"member": member}).status == 400
    assert cloud.call("POST", path, ["b"]).status == 400
    private = cloud.create(visibility="private")
    path = f"/v2/images/{private['id']}/members"
    assert cloud.call("POST", path, {"member": "b"}).status == 403
    assert cloud.call("GET", path).status == 403
    assert cloud.call("GET", f"{path}/b").status == 404


def test_protected_images_stay(cloud: Cloud) -> None:
    image = cloud.create(protected=True)
    answer = cloud.call("DELETE", f"/v2/images/{image['id']}")
    assert answer.status == 403
    assert "protected" in answer.message
    cloud.patch(image["id"], [{"op": "replace", "path": "/protected", "value": False}])
    assert cloud.call("DELETE", f"/v2/images/{image['id']}").status == 204
    assert cloud.call("DELETE", f"/v2/images/{image['id']}").status == 404


# --- changes -----------------------------------------------------------------------------------


def test_patch(cloud: Cloud) -> None:
    image = cloud.create(a="1", b="2")
    answer = cloud.patch(image["id"], [
        {"op": "replace", "path": "/name", "value": "neuer Name é"},
        {"op": "add", "path": "/with~1slash~0", "value": "x"},
        {"op": "replace", "path": "/a", "value": "3"},
        {"op": "remove", "path": "/b"},
        {"op": "replace", "path": "/tags", "value": ["one", "two"]},
        {"op": "replace", "path": "/min_ram", "value": 64},
        {"op": "replace", "path": "/disk_format", "value": "qcow2"},
    ])
    assert answer.status == 200
    assert answer.json == cloud.show(image["id"])
    shown = answer.json
    assert (shown["name"], shown["with/slash~"], shown["a"]) == ("neuer Name é", "x", "3")
    assert (shown["tags"], shown["min_ram"], shown["disk_format"]) == (["one", "two"], 64, "qcow2")
    assert "b" not in shown
    old = cloud.patch(
        image["id"], [{"replace": "/name", "value": "old"}, {"add": "/c", "value": "4"}],
        media_type=OLD_PATCH,
    )
    assert (old.status, old.json["name"], old.json["c"]) == (200, "old", "4")
    again = cloud.patch(image["id"], [{"add": "/c", "value": "4"}], media_type=OLD_PATCH)
    assert again.status == 409


@pytest.mark.parametrize(("changes", "status"), [
    ({}, 400),
    ([1], 400),
    ([{}], 400),
    ([{"op": "move", "path": "/name", "from": "/a"}], 400),
    ([{"op": ["add"], "path": "/name", "value": "x"}], 400),
    ([{"op": "add", "value": "x"}], 400),
    ([{"op": "add", "path": "/name"}], 400),
    ([{"op": "add", "path": 5, "value": "x"}], 400),
    ([{"op": "add", "path": "name", "value": "x"}], 400),
    ([{"op": "add", "path": "/", "value": "x"}], 400),
    ([{"op": "add", "path": "//", "value": "x"}], 400),
    ([{"op": "add", "path": "/a/b", "value": "x"}], 400),
    ([{"op": "add", "path": "/a~2", "value": "x"}], 400),
    ([{"op": "add", "path": "/a~", "value": "x"}], 400),
    ([{"op": "add", "path": "/tags/-", "value": "x"}], 400),
    ([{"op": "add", "path": "/" + "x" * 300, "value": "x"}], 400),
    ([{"op": "add", "path": "/a\0", "value": "x"}], 400),
    ([{"op": "add", "path": "/a", "value": 5}], 400),
    ([{"op": "replace", "path": "/name", "value": 5}], 400),
    ([{"op": "replace", "path": "/min_disk", "value": 1.5}], 400),
    ([{"op": "replace", "path": "/visibility", "value": "x"}], 400),
    ([{"op": "replace", "path": "/status", "value": "active"}], 403),
    ([{"op": "replace", "path": "/id", "value": str(uuid.uuid4())}], 403),
    ([{"op": "replace", "path": "/size", "value": 5}], 403),
    ([{"op": "replace", "path": "/owner", "value": "b"}], 403),
    ([{"op": "replace", "path": "/visibility", "value": "public"}], 403),
    ([{"op": "add", "path": "/locations/-", "value": {"url": "x", "metadata": {}}}], 403),
    ([{"op": "add", "path": "/deleted", "value": "x"}], 403),
    ([{"op": "add", "path": "/os_glance_x", "value": "x"}], 403),
    ([{"op": "remove", "path": "/name"}], 403),
    ([{"op": "remove", "path": "/missing"}], 409),
    ([{"op": "replace", "path": "/missing", "value": "x"}], 409),
])
def test_patch_refusals_change_nothing(cloud: Cloud, changes: Any, status: int) -> None:
    image = cloud.create()
    if isinstance(changes, list):
        changes = [{"op": "replace", "path": "/name", "value": "changed"}, *changes]
    answer = cloud.patch(image["id"], changes)
    assert answer.status == status, answer.body
    assert cloud.show(image["id"]) == image


def test_patch_media_types(cloud: Cloud) -> None:
    image = cloud.create()
    for media_type in ("application/json", "text/plain", "application/json-patch+json"):
        refused = cloud.patch(image["id"], [], media_type=media_type)
        assert refused.status == 415
        assert PATCH in refused.headers["Accept-Patch"]
    assert cloud.patch(image["id"], [], media_type=f"{PATCH}; charset=utf-8").status == 200


def test_formats_are_fixed_once_there_is_data(cloud: Cloud) -> None:
    image = cloud.create()
    cloud.upload(image["id"], b"data")
    for name in ("disk_format", "container_format"):
        change = [{"op": "replace", "path": f"/{name}", "value": "ami"}]
        assert cloud.patch(image["id"], change).status == 403


def test_owner_and_publicity_are_the_administrators(cloud: Cloud) -> None:
    image = cloud.create()
    changes = [
        {"op": "replace", "path": "/visibility", "value": "public"},
        {"op": "replace", "path": "/owner", "value": "b"},
    ]
    assert cloud.patch(image["id"], changes, token="admin").status == 200
    assert cloud.show(image["id"])["owner"] == "b"
    rename = [{"op": "replace", "path": "/name", "value": "still public"}]
    assert cloud.patch(image["id"], rename, token="bob").status == 200
    assert cloud.patch(image["id"], rename).status == 403


def test_tags(cloud: Cloud) -> None:
    image = cloud.create(tags=["first"])
    path = f"/v2/images/{image['id']}/tags"
    tag = "zwölf 🐧"
    assert cloud.call("PUT", f"{path}/{quote(tag)}").status == 204
    assert cloud.call("PUT", f"{path}/{quote(tag)}").status == 204
    assert cloud.show(image["id"])["tags"] == ["first", tag]
    assert image["id"] in cloud.ids(f"?tag=first&tag={quote(tag)}")
    assert cloud.call("DELETE", f"{path}/{quote(tag)}").status == 204
    assert cloud.call("DELETE", f"{path}/{quote(tag)}").status == 404
    assert cloud.call("PUT", f"{path}/{'x' * 256}").status == 400
    assert cloud.call("PUT", f"{path}/a%00b").status == 400
    assert cloud.call("DELETE", f"{path}/a%00b").status == 404


