# SPDX-License-Identifier: Apache-2.0
"""The Block Storage API by HTTP: shapes, versions, refusals, pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.volume.http_face import NOWHERE, Api
from tests.unit.volume.storage import INSTANCE, Storage

#: Keys of the published samples (cinder, api-ref/source/v3/samples), by the version that brought them.
VOLUME_KEYS = {
    0: {"attachments", "availability_zone", "bootable", "consistencygroup_id", "created_at",
        "description", "encrypted", "id", "links", "metadata", "multiattach", "name",
        "os-vol-tenant-attr:tenant_id", "replication_status", "size", "snapshot_id", "source_volid",
        "status", "updated_at", "user_id", "volume_type"},
    13: {"group_id"}, 48: {"service_uuid", "shared_targets"}, 63: {"volume_type_id"},
    65: {"consumes_quota"},
}
ADMIN_KEYS = {
    0: {"migration_status", "os-vol-host-attr:host", "os-vol-mig-status-attr:migstat",
        "os-vol-mig-status-attr:name_id"},
    21: {"provider_id"}, 61: {"cluster_name"},
}
SNAPSHOT_KEYS = {
    0: {"created_at", "description", "id", "metadata", "name", "size", "status", "updated_at",
        "volume_id", "os-extended-snapshot-attributes:progress",
        "os-extended-snapshot-attributes:project_id"},
    14: {"group_snapshot_id"}, 41: {"user_id"}, 65: {"consumes_quota"},
}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    storage = Storage(tmp_path)
    yield Api(storage)
    storage.stop()


def keys_at(table: dict[int, set[str]], version: int) -> set[str]:
    return {key for since, keys in table.items() if since <= version for key in keys}


def test_discovery_needs_no_token(api: Api) -> None:
    root = api.raw("GET", "/")
    assert root.status_code == 300
    (version,) = root.json["versions"]
    assert (version["id"], version["min_version"], version["version"]) == ("v3.0", "3.0", "3.70")
    assert api.raw("GET", "/v3/").json["versions"][0]["links"][1]["href"].endswith("/v3/")
    refused = api("GET", "/volumes", who="")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Keystone uri='http://identity.test/v3'"


@pytest.mark.parametrize("version", [0, 12, 13, 20, 21, 47, 48, 60, 61, 62, 63, 64, 65, 70])
def test_a_volume_has_the_keys_of_its_version(api: Api, version: int) -> None:
    volume_id = api.volume(name="größe")
    shown = api("GET", f"/volumes/{volume_id}", version=f"3.{version}")
    assert set(shown.json["volume"]) == keys_at(VOLUME_KEYS, version)
    assert shown.headers["openstack-api-version"] == f"volume 3.{version}"
    assert shown.json["volume"]["name"] == "größe"
    shown = api("GET", f"/volumes/{volume_id}", version=f"3.{version}", who="admin")
    assert set(shown.json["volume"]) == keys_at(VOLUME_KEYS, version) | keys_at(ADMIN_KEYS, version)


@pytest.mark.parametrize("version", [0, 13, 14, 40, 41, 64, 65])
def test_a_snapshot_has_the_keys_of_its_version(api: Api, version: int) -> None:
    volume_id = api.volume()
    made = api("POST", "/snapshots", {"snapshot": {"volume_id": volume_id, "name": "s"}})
    snapshot_id = made.json["snapshot"]["id"]
    shown = api("GET", f"/snapshots/{snapshot_id}", version=f"3.{version}").json["snapshot"]
    assert set(shown) == keys_at(SNAPSHOT_KEYS, version)
    assert (shown["status"], shown["os-extended-snapshot-attributes:progress"]) == (
        "available", "100%",
    )


@pytest.mark.parametrize(
    ("asked", "status"),
    [("3.71", 406), ("2.0", 406), ("3", 400), ("latest", 200), ("3.0", 200), (None, 200), ("x", 400)],
)
def test_versions(api: Api, asked: str | None, status: int) -> None:
    assert api("GET", "/volumes", version=asked).status_code == status


@pytest.mark.parametrize(
    ("method", "path", "since"),
    [
        ("GET", "/messages", 3), ("GET", "/volumes/summary", 12), ("GET", "/groups", 13),
        ("GET", "/attachments", 27), ("GET", "/resource_filters", 33),
        ("GET", "/volume-transfers", 55),
    ],
)
def test_resources_appear_with_their_version(api: Api, method: str, path: str, since: int) -> None:
    assert api(method, path, version=f"3.{since}").status_code == 200
    assert api(method, path, version=f"3.{since - 1}").status_code == 404


def test_the_project_of_the_path(api: Api) -> None:
    assert api("GET", "/volumes", project="p2").status_code == 400
    assert api("GET", "/volumes", project=None).status_code == 200
    volume_id = api.volume()
    link = api("GET", f"/volumes/{volume_id}").json["volume"]["links"][0]["href"]
    assert link.endswith(f"/v3/p1/volumes/{volume_id}")
    assert api("GET", "/volumes/").status_code == 404
    assert api("PUT", "/volumes").status_code == 405


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"volume": {}}, 400, "must be an integer"),
        ({"volume": {"size": 0}}, 400, "greater than 0"),
        ({"volume": {"size": "x"}}, 400, "must be an integer"),
        ({"volume": {"size": 1, "nonsense": 1}}, 400, "nonsense"),
        ({"volume": {"size": 1, "name": "x" * 256}}, 400, "name"),
        ({"volume": {"size": 1, "metadata": {"a": 1}}}, 400, "metadata"),
        ({"volume": {"size": 1, "metadata": []}}, 400, "metadata"),
        ({"volume": {"size": 1, "snapshot_id": NOWHERE}}, 404, NOWHERE),
        ({"volume": {"size": 1, "snapshot_id": "x"}}, 400, "uuid"),
        ({"volume": {"size": 1, "source_volid": NOWHERE}}, 404, NOWHERE),
        ({"volume": {"size": 1, "volume_type": "nichts"}}, 404, "nichts"),
        ({"volume": {"size": 1, "availability_zone": "fern"}}, 400, "fern"),
        ({"volume": {"size": 1, "imageRef": NOWHERE}}, 400, "image"),
        ({"volume": {"size": 1, "imageRef": "nirgends"}}, 400, "image"),
        ({"volume": {"size": 1, "group_id": NOWHERE}}, 404, "Group"),
        ({"volume": {"size": 1, "backup_id": NOWHERE}}, 404, "Backup"),
        ({"volume": {"size": 1, "multiattach": True}}, 400, "multiattach"),
        ({"volume": {"size": 5000}}, 413, "quota"),
        ({"volume": 5}, 400, "volume"), ({}, 400, "volume"), ([], 400, "object"),
    ],
)
def test_a_creation_that_is_refused_changes_nothing(
    api: Api, body: Any, status: int, word: str
) -> None:
    refused = api("POST", "/volumes", body)
    assert refused.status_code == status, refused.text
    ((name, fault),) = refused.json.items()
    assert fault["code"] == status
    assert word in fault["message"]
    assert name == {400: "badRequest", 404: "itemNotFound", 413: "overLimit"}[status]
    assert api("GET", "/volumes").json == {"volumes": []}


def test_roles(api: Api) -> None:
    volume_id = api.volume()
    assert api("GET", f"/volumes/{volume_id}", who="reader").status_code == 200
    for method, path, body in (
        ("POST", "/volumes", {"volume": {"size": 1}}), ("DELETE", f"/volumes/{volume_id}", None),
        ("PUT", f"/volumes/{volume_id}", {"volume": {"name": "x"}}),
        ("POST", f"/volumes/{volume_id}/action", {"os-extend": {"new_size": 2}}),
    ):
        assert api(method, path, body, who="reader").status_code == 403
        assert api(method, path, body, who="other").status_code in (202, 404)
    actions: list[dict[str, Any]] = [
        {"os-reset_status": {"status": "error"}}, {"os-force_delete": {}},
    ]
    for action in actions:
        assert api("POST", f"/volumes/{volume_id}/action", action).status_code == 403
    assert api("GET", f"/volumes/{volume_id}", who="other").status_code == 404
    assert api("GET", "/os-services").status_code == 403
    assert api("POST", "/types", {"volume_type": {"name": "t"}}).status_code == 403


def test_pages_filters_and_order(api: Api) -> None:
    names = [f"v{number}" for number in range(5)]
    for name in names:
        api.volume(name=name, metadata={"zahl": name})
    page = api("GET", "/volumes/detail?limit=2&sort=name:asc&with_count=true").json
    assert [each["name"] for each in page["volumes"]] == ["v0", "v1"]
    assert page["count"] == 5
    seen = ["v0", "v1"]
    while "volumes_links" in page:
        (link,) = page["volumes_links"]
        page = api("GET", "/volumes/detail?" + link["href"].partition("?")[2]).json
        seen += [each["name"] for each in page["volumes"]]
    assert seen == names
    for query, found in (
        ("name=v3", ["v3"]), ("name~=v", names), ("metadata={'zahl': 'v2'}", ["v2"]),
        ("bootable=true", []), ("bootable=false", names), ("status=error", []),
        ("created_at=gt:2000-01-01T00:00:00", names), ("created_at=lt:2000-01-01T00:00:00", []),
        ("offset=3&sort=name:asc", ["v3", "v4"]), ("consumes_quota=false", []),
    ):
        listed = api("GET", f"/volumes/detail?{query}").json["volumes"]
        assert sorted(each["name"] for each in listed) == found, query
    for query in ("limit=x", "sort=nichts", "sort_dir=up", "bootable=vielleicht", "metadata=x",
                  "created_at=um:2000-01-01", f"marker={NOWHERE}"):
        assert api("GET", f"/volumes?{query}").status_code in (400, 404), query
    assert len(api("GET", "/volumes?all_tenants=1", who="admin").json["volumes"]) == 5
    assert api("GET", "/volumes?all_tenants=1", who="other").json["volumes"] == []
    summary = api("GET", "/volumes/summary").json["volume-summary"]
    assert (summary["total_count"], summary["total_size"]) == (5, 5)


def test_metadata_by_items_and_guarded_by_etags(api: Api) -> None:
    volume_id = api.volume(metadata={"a": "1"})
    path = f"/volumes/{volume_id}/metadata"
    first = api("GET", path)
    assert first.json == {"metadata": {"a": "1"}}
    assert api("POST", path, {"metadata": {"b": "2"}}).json == {"metadata": {"a": "1", "b": "2"}}
    stale = api("PUT", path, {"metadata": {}}, **{"If-Match": first.headers["etag"]})
    assert stale.status_code == 412
    assert api("PUT", f"{path}/c", {"meta": {"c": "3"}}).json == {"meta": {"c": "3"}}
    assert api("PUT", f"{path}/c", {"meta": {"d": "3"}}).status_code == 400
    assert api("GET", f"{path}/c").json == {"meta": {"c": "3"}}
    assert api("DELETE", f"{path}/a").status_code == 200
    assert api("DELETE", f"{path}/a").status_code == 404
    assert api("PUT", path, {"metadata": {"z": "ö"}}).json == {"metadata": {"z": "ö"}}


def test_an_attachment_by_http(api: Api) -> None:
    volume_id = api.volume()
    body = {"attachment": {"volume_uuid": volume_id, "instance_uuid": INSTANCE, "mode": "ro"}}
    assert api("POST", "/attachments", body, version="3.53").status_code == 400
    made = api("POST", "/attachments", body).json["attachment"]
    assert (made["status"], made["attach_mode"], made["connection_info"]) == ("reserved", "ro", {})
    assert set(made) == {"id", "status", "instance", "volume_id", "attached_at", "detached_at",
                         "attach_mode", "connection_info"}
    path = f"/attachments/{made['id']}"
    assert api("PUT", path, {"attachment": {}}).status_code == 400
    changed = api("PUT", path, {"attachment": {"connector": {"host": "h", "mountpoint": "/dev/vdb"}}})
    assert changed.json["attachment"]["connection_info"]["driver_volume_type"] == "simulated"
    assert api("POST", f"{path}/action", {"os-complete": {}}, version="3.43").status_code == 404
    assert api("POST", f"{path}/action", {"os-complete": {}}).status_code == 204
    (shown,) = api("GET", f"/volumes/{volume_id}").json["volume"]["attachments"]
    assert (shown["server_id"], shown["device"], shown["host_name"]) == (INSTANCE, "/dev/vdb", None)
    (shown,) = api("GET", f"/volumes/{volume_id}", who="admin").json["volume"]["attachments"]
    assert shown["host_name"] == "h"
    listed = api("GET", f"/attachments?volume_id={volume_id}&status=attached").json["attachments"]
    assert [each["id"] for each in listed] == [made["id"]]
    assert api("DELETE", path, who="other").status_code == 404
    assert api("DELETE", path, who="service").json == {"attachments": []}
    assert api("GET", path).status_code == 404


ACTIONS: list[tuple[dict[str, Any], int]] = [
    ({"os-extend": {"new_size": 2}}, 202), ({"os-extend": {"new_size": 1}}, 400),
    ({"os-extend": {}}, 400), ({"os-set_bootable": {"bootable": True}}, 200),
    ({"os-set_bootable": {"bootable": "vielleicht"}}, 400),
    ({"os-update_readonly_flag": {"readonly": True}}, 202), ({"os-reserve": None}, 202),
    ({"os-unreserve": {}}, 202), ({"os-roll_detaching": {}}, 202),
    ({"os-begin_detaching": {}}, 400), ({"os-initialize_connection": {"connector": {"host": "h"}}}, 200),
    ({"os-initialize_connection": {}}, 400),
    ({"os-terminate_connection": {"connector": {"host": "h"}}}, 202),
    ({"os-attach": {"mountpoint": "/dev/vdb"}}, 400),
    ({"os-attach": {"instance_uuid": INSTANCE, "mountpoint": "/dev/vdb", "mode": "ro"}}, 202),
    ({"os-detach": {"attachment_id": NOWHERE}}, 404), ({"os-detach": {}}, 202),
    ({"os-retype": {"new_type": "__DEFAULT__"}}, 400), ({"os-retype": {"new_type": "nichts"}}, 404),
    ({"os-set_image_metadata": {"metadata": {"hw": "x"}}}, 200),
    ({"os-show_image_metadata": {}}, 200), ({"os-unset_image_metadata": {"key": "hw"}}, 200),
    ({"os-unset_image_metadata": {"key": "hw"}}, 404),
    ({"os-volume_upload_image": {"image_name": "bild", "disk_format": "raw"}}, 202),
    ({"os-volume_upload_image": {"image_name": "b", "disk_format": "zip"}}, 400),
    ({"os-volume_upload_image": {"image_name": "b", "visibility": "public"}}, 403),
    ({"revert": {"snapshot_id": NOWHERE}}, 400), ({"os-reimage": {"image_id": NOWHERE}}, 400),
    ({"os-migrate_volume": {"host": "x"}}, 403), ({"nichts": {}}, 400), ({}, 400),
]


def test_actions(api: Api) -> None:
    volume_id = api.volume()
    for body, status in ACTIONS:
        answer = api("POST", f"/volumes/{volume_id}/action", body)
        assert answer.status_code == status, (body, answer.text)
    assert api("GET", f"/volumes/{volume_id}").json["volume"]["metadata"] == {"readonly": "True"}


def test_an_administrators_actions(api: Api) -> None:
    volume_id = api.volume()
    path = f"/volumes/{volume_id}/action"
    for status, answer in (("error", 202), ("in-use", 400), ("nonsense", 400), ("deleting", 400)):
        body = {"os-reset_status": {"status": status}}
        assert api("POST", path, body, who="admin").status_code == answer, status
    assert api("GET", f"/volumes/{volume_id}").json["volume"]["status"] == "error"
    assert api("POST", path, {"os-migrate_volume": {"host": "x"}}, who="admin").status_code == 400
    for migration, answer, shown in (
        ("MIGRATING", 202, "migrating"), ("nonsense", 400, "migrating"), ("none", 202, None),
        ("migrating", 202, "migrating"),
    ):
        reset = {"os-reset_status": {"migration_status": migration}}
        assert api("POST", path, reset, who="admin").status_code == answer, migration
        view = api("GET", f"/volumes/{volume_id}", who="admin").json["volume"]
        assert (view["migration_status"], view["os-vol-mig-status-attr:migstat"]) == (shown, shown)
    query = "/volumes?all_tenants=1&migration_status=migrating"
    assert [each["id"] for each in api("GET", query, who="admin").json["volumes"]] == [volume_id]
    assert api("DELETE", f"/volumes/{volume_id}").status_code == 400
    assert api("POST", path, {"os-force_delete": {}}, who="admin").status_code == 400
    reset = {"os-reset_status": {"migration_status": "error"}}
    assert api("POST", path, reset, who="admin").status_code == 202
    assert api("POST", path, {"os-force_delete": {}}, who="admin").status_code == 202
    assert api("GET", f"/volumes/{volume_id}").status_code == 404


def test_types(api: Api) -> None:
    body = {"volume_type": {"name": "schnell", "extra_specs": {"a": "b", "multiattach": "<is> True"}}}
    made = api("POST", "/types", body, who="admin").json["volume_type"]
    assert made["os-volume-type-access:is_public"] is True
    assert api("POST", "/types", body, who="admin").status_code == 409
    path = f"/types/{made['id']}"
    assert api("GET", path).json["volume_type"]["extra_specs"] == {"multiattach": "<is> True"}
    assert api("GET", path, who="admin").json["volume_type"]["extra_specs"]["a"] == "b"
    volume_id = api.volume(volume_type="schnell")
    assert api("GET", f"/volumes/{volume_id}").json["volume"]["multiattach"] is True
    assert api("DELETE", path, who="admin").status_code == 400
    assert api("GET", "/types/default").json["volume_type"]["name"] == "__DEFAULT__"
    spec = {"capabilities": "gpu"}
    assert api("PUT", f"{path}/extra_specs/capabilities", spec, who="admin").json == spec
    assert api("DELETE", f"{path}/extra_specs/capabilities", who="admin").status_code == 202
    assert api("GET", f"{path}/extra_specs/capabilities", who="admin").status_code == 404
    private = {"volume_type": {"name": "privat", "os-volume-type-access:is_public": False}}
    hidden = api("POST", "/types", private, who="admin").json["volume_type"]["id"]
    assert api("GET", f"/types/{hidden}").status_code == 404
    grant = {"addProjectAccess": {"project": "p1"}}
    assert api("POST", f"/types/{hidden}/action", grant, who="admin").status_code == 202
    assert api("POST", f"/types/{hidden}/action", grant, who="admin").status_code == 409
    assert api("GET", f"/types/{hidden}").status_code == 200
    listed = api("GET", f"/types/{hidden}/os-volume-type-access", who="admin").json
    assert listed["volume_type_access"] == [{"volume_type_id": hidden, "project_id": "p1"}]


def test_a_transfer(api: Api) -> None:
    volume_id = api.volume()
    made = api("POST", "/os-volume-transfer", {"transfer": {"volume_id": volume_id}}).json["transfer"]
    assert api("GET", f"/volumes/{volume_id}").json["volume"]["status"] == "awaiting-transfer"
    path = f"/os-volume-transfer/{made['id']}"
    assert "auth_key" not in api("GET", path).json["transfer"]
    wrong = api("POST", f"{path}/accept", {"accept": {"auth_key": "falsch"}}, who="other")
    assert wrong.status_code == 400
    right = {"accept": {"auth_key": made["auth_key"]}}
    assert api("POST", f"{path}/accept", right, who="other").status_code == 202
    assert api("GET", f"/volumes/{volume_id}").status_code == 404
    assert api("GET", f"/volumes/{volume_id}", who="other").json["volume"]["status"] == "available"
    assert api("POST", f"{path}/accept", right, who="other").status_code == 404


def test_quota_sets(api: Api) -> None:
    api.volume()
    shown = api("GET", "/os-quota-sets/p1?usage=True").json["quota_set"]
    assert shown["volumes"] == {"limit": 10, "in_use": 1, "reserved": 0}
    assert shown["volumes___DEFAULT__"]["in_use"] == 1
    body = {"quota_set": {"volumes": 1, "gigabytes___DEFAULT__": 50}}
    assert api("PUT", "/os-quota-sets/p1", body).status_code == 403
    changed = api("PUT", "/os-quota-sets/p1", body, who="admin").json["quota_set"]
    assert (changed["volumes"], changed["gigabytes___DEFAULT__"]) == (1, 50)
    assert api("POST", "/volumes", {"volume": {"size": 1}}).status_code == 413
    for wrong in ({"volumes": "x"}, {"volumes": -2}, {"nichts": 1}, {}):
        refused = api("PUT", "/os-quota-sets/p1", {"quota_set": wrong}, who="admin")
        assert refused.status_code == 400, wrong
    assert api("DELETE", "/os-quota-sets/p1", who="admin").status_code == 200
    absolute = api("GET", "/limits").json["limits"]["absolute"]
    assert (absolute["maxTotalVolumes"], absolute["totalVolumesUsed"]) == (10, 1)


def test_deleting(api: Api) -> None:
    volume_id = api.volume()
    api("POST", "/snapshots", {"snapshot": {"volume_id": volume_id}})
    assert api("DELETE", f"/volumes/{volume_id}").status_code == 400
    assert api("DELETE", f"/volumes/{volume_id}?force=true").status_code == 403
    assert api("DELETE", f"/volumes/{volume_id}?cascade=true").status_code == 202
    assert api("GET", f"/volumes/{volume_id}").status_code == 404
    assert api("GET", "/snapshots").json["snapshots"] == []
    assert api("DELETE", f"/volumes/{NOWHERE}").status_code == 404


def test_snapshots_and_their_force_flag(api: Api) -> None:
    volume_id = api.volume()
    api("POST", f"/volumes/{volume_id}/action",
        {"os-attach": {"instance_uuid": INSTANCE, "mountpoint": "/dev/vdb"}})
    body: dict[str, Any] = {"snapshot": {"volume_id": volume_id}}
    assert api("POST", "/snapshots", body, version="3.65").status_code == 400
    assert api("POST", "/snapshots", body, version="3.66").status_code == 202
    body["snapshot"]["force"] = True
    assert api("POST", "/snapshots", body, version="3.65").status_code == 202
    body["snapshot"]["force"] = False
    assert api("POST", "/snapshots", body, version="3.66").status_code == 400


def test_what_the_service_tells_of_itself(api: Api) -> None:
    services = api("GET", "/os-services", who="admin").json["services"]
    assert {each["binary"] for each in services} == {"cinder-scheduler", "cinder-volume"}
    (pool,) = api("GET", "/scheduler-stats/get_pools?detail=true", who="admin").json["pools"]
    assert pool["name"] == "nova@builtin#builtin"
    (zone,) = api("GET", "/os-availability-zone").json["availabilityZoneInfo"]
    assert zone == {"zoneName": "nova", "zoneState": {"available": True}}
    for path in ("/backups", "/groups", "/group_types", "/messages", "/consistencygroups/detail"):
        (listed,) = api("GET", path).json.values()
        assert listed == []
    assert api("POST", "/backups", {"backup": {}}).status_code == 400
    assert api("GET", "/qos-specs").status_code == 403
