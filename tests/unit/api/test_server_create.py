# SPDX-License-Identifier: Apache-2.0
"""Bodies of create and update: what reaches the operations, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from nova import errors
from nova.db.engine import Database
from nova.objects.boot import Booted, BootRequest
from tests.unit.api.conftest import OTHER_PROJECT, PROJECT, Api, message, same_shape, sample
from tests.unit.api.server_rows import IMAGE, OperationsProbe, add_servers, server_row

UUID = "f5dc173b-6804-445a-a6d8-c705dad5b5eb"
NETWORK = "a1c1d1e1-0000-4000-8000-000000000001"
BOOTED = Booted(
    uuids=(UUID,), reservation_id="r-12345678", admin_password="secret",
    security_groups=("default",), disk_config="AUTO",
)


def body(**changes: Any) -> dict[str, Any]:
    server = {"name": "web", "imageRef": IMAGE, "flavorRef": "1", **changes}
    return {"server": {key: value for key, value in server.items() if value is not ...}}


def boot_of(
    api: Api, operations: OperationsProbe, sent: dict[str, Any], **options: Any
) -> BootRequest:
    """The boot that a create body leads to."""
    operations.answers["boot"] = BOOTED
    answer = api.post("/servers", sent, **options)
    assert answer.status_code == 202, answer.text
    name, arguments, _ = operations.calls[-1]
    assert name == "boot"
    boot = arguments[0]
    assert isinstance(boot, BootRequest)
    return boot


@pytest.mark.parametrize(
    ("folder", "at"),
    [("servers", 1), ("servers/v2.19", 19), ("servers/v2.32", 32), ("servers/v2.37", 37),
     ("servers/v2.42", 42), ("servers/v2.52", 52), ("servers/v2.57", 57), ("servers/v2.67", 67),
     ("servers/v2.100", 100)],
)
def test_the_public_samples_are_accepted(
    server_api: Api, operations: OperationsProbe, folder: str, at: int
) -> None:
    sent = sample(f"v2.1/{folder}/server-create-req.json")
    boot = boot_of(server_api, operations, sent, at=at, token="admin")
    assert boot.name == sent["server"]["name"]


def test_the_answer_is_that_of_the_sample(
    server_api: Api, operations: OperationsProbe
) -> None:
    operations.answers["boot"] = BOOTED
    answer = server_api.post("/servers", body())
    same_shape(answer.json, sample("v2.1/servers/server-create-resp.json"))
    assert answer.headers["location"].endswith(f"/v2.1/{PROJECT}/servers/{UUID}")
    answer = server_api.post("/servers", body(return_reservation_id=True))
    assert answer.json == {"reservation_id": "r-12345678"}


def test_everything_arrives(server_api: Api, operations: OperationsProbe) -> None:
    sent = body(
        name="wéb 漢字", networks=[{"uuid": NETWORK, "fixed_ip": "10.0.0.9", "tag": "nic"}],
        min_count="2", max_count=3, metadata={"a b": "ü"}, tags=["x", "x", "y"], config_drive="yes",
        user_data="aGVsbG8=", key_name="key", description="d", availability_zone="west",
        security_groups=[{"name": "a"}, {"name": "a"}, {"name": "b"}], accessIPv4="1.2.3.4",
        accessIPv6="80fe::", adminPass="pw", hostname="host.example",
        trusted_image_certificates=["c1"], **{"OS-DCF:diskConfig": "MANUAL"},
    )
    sent["os:scheduler_hints"] = {"same_host": UUID, "custom": ["1", 2]}
    boot = boot_of(server_api, operations, sent, at=100)
    assert boot.name == "wéb 漢字"
    assert (boot.min_count, boot.max_count) == (2, 3)
    assert boot.networks is not None
    assert boot.networks[0].address == "10.0.0.9"
    assert boot.tags == ("x", "y")
    assert boot.config_drive is True
    assert boot.security_groups == ("a", "b")
    assert boot.scheduler_hints == {"same_host": [UUID], "custom": ["1", "2"]}
    assert boot.hostname == "host.example"
    assert boot.disk_config == "MANUAL"


def test_the_description_was_the_name_once(
    server_api: Api, operations: OperationsProbe
) -> None:
    assert boot_of(server_api, operations, body(), at=18).description == "web"
    assert boot_of(server_api, operations, body(), at=19).description is None


def test_networks_by_version(server_api: Api, operations: OperationsProbe) -> None:
    assert boot_of(server_api, operations, body(), at=36).networks is None
    assert server_api.post("/servers", body(), at=37).status_code == 400
    assert boot_of(server_api, operations, body(networks="auto"), at=37).networks is None
    assert boot_of(server_api, operations, body(networks="none"), at=37).networks == ()
    assert server_api.post("/servers", body(networks="auto"), at=36).status_code == 400
    assert boot_of(server_api, operations, body(networks=[]), at=37).networks is None


@pytest.mark.parametrize(
    ("at", "accepted"), [(31, False), (32, True), (36, True), (37, False), (41, False), (42, True)]
)
def test_tags_of_networks_were_lost_for_a_while(
    server_api: Api, operations: OperationsProbe, at: int, accepted: bool
) -> None:
    operations.answers["boot"] = BOOTED
    sent = body(networks=[{"uuid": NETWORK, "tag": "t"}])
    assert server_api.post("/servers", sent, at=at).status_code == (202 if accepted else 400)


@pytest.mark.parametrize(
    ("zone", "parts"),
    [
        ("west", ("west", None, None)), ("west:h1", ("west", "h1", None)),
        ("west:h1:n1", ("west", "h1", "n1")), ("west::n1", ("west", None, "n1")),
        (":h1", (None, "h1", None)),
    ],
)
def test_a_zone_may_name_a_host(
    server_api: Api, operations: OperationsProbe, zone: str, parts: tuple[str | None, ...]
) -> None:
    boot = boot_of(server_api, operations, body(availability_zone=zone), token="admin")
    assert (boot.availability_zone, boot.force_host, boot.force_node) == parts
    if ":" in zone:
        refused = server_api.post("/servers", body(availability_zone=zone))
        assert refused.status_code == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ...}, {"name": ""}, {"name": " web"}, {"name": "web "}, {"name": "a\nb"},
        {"name": "x" * 256}, {"name": 7}, {"name": "a\x00b"}, {"flavorRef": ...},
        {"flavorRef": ""}, {"flavorRef": []}, {"imageRef": ...}, {"imageRef": ""},
        {"imageRef": "nonsense"}, {"metadata": []}, {"metadata": {"": "x"}},
        {"metadata": {"a/b": "x"}}, {"metadata": {"a": 1}}, {"metadata": {"a": "x" * 256}},
        {"metadata": {"k" * 256: "x"}}, {"networks": [{}]}, {"networks": [{"uuid": "x"}]},
        {"networks": [{"uuid": NETWORK, "fixed_ip": "x"}]}, {"networks": [{"bad": 1}]},
        {"networks": [{"port": UUID, "fixed_ip": "1.2.3.4"}]},
        {"networks": [{"port": UUID}, {"port": UUID}]}, {"networks": 7}, {"networks": None},
        {"min_count": 0}, {"min_count": 3, "max_count": 2}, {"max_count": 10**12},
        {"min_count": ""}, {"min_count": "x"}, {"config_drive": "maybe"}, {"config_drive": 7},
        {"user_data": "not base64!"}, {"user_data": "a" * 65537}, {"key_name": ""},
        {"security_groups": "x"}, {"security_groups": [{"name": "x" * 300}]},
        {"accessIPv4": "x"}, {"accessIPv4": "::1"}, {"accessIPv6": "1.2.3.4"},
        {"OS-DCF:diskConfig": "auto"}, {"availability_zone": "a:b:c:d"}, {"nonsense": 1},
        {"personality": [{"path": "", "contents": "aGk="}]},
        {"personality": [{"path": "/a", "contents": "%"}]}, {"tags": ["a"]},
        {"description": "x"}, {"hostname": "x"}, {"host": "x"}, {"scheduler_hints": {}},
        {"hints": {}}, {"return_reservation_id": "maybe"},
        {"block_device_mapping_v2": [{"source_type": "nonsense"}]},
        {"block_device_mapping_v2": [{"source_type": "volume"}]},
        {"block_device_mapping_v2": [{"source_type": "blank", "uuid": UUID}]},
        {"block_device_mapping_v2": [{"boot_index": 10**30}]},
        {"block_device_mapping": [{}]},
        {"block_device_mapping": [{"volume_id": UUID}],
         "block_device_mapping_v2": [{"source_type": "volume", "uuid": UUID}]},
    ],
)
def test_bad_bodies_are_refused_and_nothing_is_booted(
    server_api: Api, operations: OperationsProbe, changes: dict[str, Any]
) -> None:
    answer = server_api.post("/servers", body(**changes))
    assert answer.status_code == 400, answer.text
    assert message(answer)
    assert operations.calls == []


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"tags": ["a"] * 51}, 52), ({"tags": ["a/b"]}, 52), ({"tags": [""]}, 52),
        ({"tags": ["x" * 61]}, 52), ({"personality": []}, 57),
        ({"trusted_image_certificates": []}, 63), ({"trusted_image_certificates": ["a", "a"]}, 63),
        ({"hostname": "a.b"}, 93), ({"hostname": "a"}, 93), ({"hostname": "a_ü"}, 94),
        ({"host": "bad host"}, 74), ({"description": "x" * 256}, 19),
    ],
)
def test_bad_values_of_later_versions(
    server_api: Api, operations: OperationsProbe, changes: dict[str, Any], at: int
) -> None:
    sent = body(networks="auto", **changes) if at >= 37 else body(**changes)
    assert server_api.post("/servers", sent, at=at, token="admin").status_code == 400
    assert operations.calls == []


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b"null", b"{", b'{"server": null}', b'{"server": []}', b"\xff\xfe",
            b'{"server": {"name": "\\ud800"}}', b'{"Server": {}}']
)
def test_what_is_no_body_at_all(server_api: Api, raw: bytes) -> None:
    assert server_api.request("POST", "/servers", raw=raw).status_code == 400


def test_rights_come_after_the_body_and_before_references(
    server_api: Api, operations: OperationsProbe
) -> None:
    assert server_api.post("/servers", body(name=""), token="reader").status_code == 400
    assert server_api.post("/servers", body(), token="reader").status_code == 403
    assert server_api.post("/servers", body(), token="nobody").status_code == 401
    operations.answers["boot"] = errors.ImageNotFound("x")
    assert server_api.post("/servers", body()).status_code == 400
    operations.answers["boot"] = errors.QuotaExceeded("Quota exceeded for instances")
    assert server_api.post("/servers", body()).status_code == 403
    sent = body(networks="auto", host="h1")
    assert server_api.post("/servers", sent, at=74).status_code == 403
    assert boot_of(server_api, operations, sent, at=74, token="admin").wanted_host == "h1"
    both = body(networks="auto", host="h1", availability_zone="z:h")
    assert server_api.post("/servers", both, at=74, token="admin").status_code == 400


def test_the_legacy_api_is_lenient(server_api: Api, operations: OperationsProbe) -> None:
    sent = body(name="  web  ", nonsense=1, user_data=None, metadata={"a/b": "c"})
    boot = boot_of(server_api, operations, sent, at="v2")
    assert boot.name == "web"
    assert boot.metadata == {"a/b": "c"}


def test_a_volume_to_boot_from(server_api: Api, operations: OperationsProbe) -> None:
    device = {
        "source_type": "volume", "destination_type": "volume", "uuid": UUID, "boot_index": "0",
        "delete_on_termination": "true",
    }
    boot = boot_of(
        server_api, operations, body(imageRef="", block_device_mapping_v2=[device])
    )
    assert boot.image_ref == ""
    (found,) = boot.block_devices
    assert (found.volume_id, found.boot_index, found.delete_on_termination) == (UUID, 0, True)


def test_the_old_alias_of_create_ends(server_api: Api, operations: OperationsProbe) -> None:
    operations.answers["boot"] = BOOTED
    sent = body(networks="auto")
    assert server_api.post("/os-volumes_boot", sent, at=102).status_code == 202
    assert server_api.post("/os-volumes_boot", sent, at=103).status_code == 404


def test_update_sends_what_was_given(
    server_api: Api, operations: OperationsProbe, db: Database
) -> None:
    (uuid,) = add_servers(db, server_row())
    sent = {"server": {"name": "ñew", "accessIPv4": "1.2.3.4"}}
    answer = server_api.put(f"/servers/{uuid}", sent)
    assert answer.status_code == 200
    name, arguments, _ = operations.calls[-1]
    assert name == "update"
    assert arguments[1] == {"name": "ñew", "access_ipv4": "1.2.3.4"}
    wanted = sample("v2.1/servers/server-update-resp.json")["server"]
    assert set(answer.json["server"]) == set(wanted)
    whole = server_api.put(f"/servers/{uuid}", {"server": {}}, at=75).json["server"]
    assert "OS-EXT-STS:vm_state" in whole
    assert "key_name" in whole
    before = server_api.put(f"/servers/{uuid}", {"server": {}}, at=74).json["server"]
    assert "OS-EXT-STS:vm_state" not in before


@pytest.mark.parametrize(
    ("changes", "at", "status"),
    [
        ({"name": ""}, 1, 400), ({"name": " x"}, 1, 400), ({"description": "x"}, 18, 400),
        ({"description": None}, 19, 200), ({"hostname": "x1"}, 89, 400),
        ({"hostname": "x1"}, 90, 200),
        ({"hostname": "a.b"}, 93, 400), ({"hostname": "a.b"}, 94, 200), ({"imageRef": "x"}, 1, 400),
        ({"accessIPv4": "x"}, 1, 400), ({"OS-DCF:diskConfig": "x"}, 1, 400),
        ({"pinned_availability_zone": None}, 103, 400),
        ({"pinned_availability_zone": None}, 104, 200),
        ({"pinned_availability_zone": "nova"}, 104, 200),
        ({"pinned_availability_zone": "elsewhere"}, 104, 409),
    ],
)
def test_updates_by_version(
    server_api: Api, db: Database, changes: dict[str, Any], at: int, status: int
) -> None:
    (uuid,) = add_servers(db, server_row())
    answer = server_api.put(f"/servers/{uuid}", {"server": changes}, at=at)
    assert answer.status_code == status, answer.text


def test_update_and_delete_of_others(
    server_api: Api, operations: OperationsProbe, db: Database
) -> None:
    foreign, own = add_servers(db, server_row(project_id=OTHER_PROJECT), server_row())
    for method in ("PUT", "DELETE"):
        sent = {"server": {"name": "x"}} if method == "PUT" else None
        gone = server_api.request(method, f"/servers/{foreign}", body=sent)
        assert gone.status_code == 404
        refused = server_api.request(method, f"/servers/{own}", body=sent, token="reader")
        assert refused.status_code == 403
    assert operations.calls == []
    assert server_api.delete(f"/servers/{own}").status_code == 204
    assert operations.calls[-1][0] == "delete"
