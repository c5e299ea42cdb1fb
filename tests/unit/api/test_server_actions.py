# SPDX-License-Identifier: Apache-2.0
"""Actions on servers: windows, bodies, rights, and which operation each of them is."""

from __future__ import annotations

from typing import Any

import pytest

from nova import errors
from nova.api.compute.server_actions import ACTIONS
from nova.api.compute.versions import MAXIMUM
from nova.db.engine import Database
from nova.objects.boot import RebuildRequest
from tests.unit.api.conftest import OTHER_PROJECT, Api, message, sample
from tests.unit.api.server_rows import IMAGE, OperationsProbe, add_servers, server_row

NEW_IMAGE = "155d900f-4e14-4e4c-a73d-069cbf4541e6"


@pytest.fixture
def uuid(db: Database) -> str:
    return add_servers(db, server_row())[0]


def act(api: Api, uuid: str, body: Any, **options: Any) -> Any:
    return api.post(f"/servers/{uuid}/action", body, **options)


@pytest.mark.parametrize(
    ("body", "operation", "status"),
    [
        ({"os-start": None}, "start", 202), ({"os-stop": None}, "stop", 202),
        ({"os-stop": {"any": "thing"}}, "stop", 202), ({"pause": None}, "pause", 202),
        ({"unpause": None}, "unpause", 202), ({"suspend": None}, "suspend", 202),
        ({"resume": None}, "resume", 202), ({"lock": None}, "lock", 202),
        ({"unlock": None}, "unlock", 202), ({"unrescue": None}, "unrescue", 202),
        ({"shelve": None}, "shelve", 202), ({"shelveOffload": None}, "shelve_offload", 202),
        ({"unshelve": None}, "unshelve", 202), ({"forceDelete": None}, "delete", 202),
        ({"restore": None}, "restore", 202), ({"confirmResize": None}, "confirm_resize", 204),
        ({"revertResize": None}, "revert_resize", 202), ({"migrate": None}, "migrate", 202),
        ({"reboot": {"type": "hard"}}, "reboot", 202),
        ({"resize": {"flavorRef": 2}}, "resize", 202), ({"rescue": None}, "rescue", 200),
        ({"rescue": {"adminPass": "x"}}, "rescue", 200),
        ({"changePassword": {"adminPass": "ü"}}, "change_password", 202),
        ({"os-resetState": {"state": "error"}}, "reset_state", 202),
        ({"createImage": {"name": "snäp"}}, "snapshot", 202),
        ({"createBackup": {"name": "b", "backup_type": "daily", "rotation": "1"}}, "backup", 202),
        ({"createBackup": {"name": "b", "backup_type": "", "rotation": 1}}, "backup", 202),
        ({"os-getConsoleOutput": {"length": 5}}, "console_output", 200),
        ({"os-getConsoleOutput": {}}, "console_output", 200),
        ({"addSecurityGroup": {"name": " g "}}, "add_security_group", 202),
        ({"removeSecurityGroup": {"name": "g"}}, "remove_security_group", 202),
        ({"addFixedIp": {"networkId": "1"}}, "add_fixed_ip", 202),
        ({"removeFixedIp": {"address": "10.0.0.2"}}, "remove_fixed_ip", 202),
        ({"evacuate": {"onSharedStorage": False, "host": "h2"}}, "evacuate", 200),
        ({"os-migrateLive": {"host": None, "block_migration": "False",
                             "disk_over_commit": False}}, "live_migrate", 202),
    ],
)
def test_each_action_is_one_operation(
    server_api: Api, operations: OperationsProbe, uuid: str,
    body: dict[str, Any], operation: str, status: int,
) -> None:
    for at in (1, "v2"):
        operations.calls.clear()
        answer = act(server_api, uuid, body, token="admin", at=at)
        assert answer.status_code == status, answer.text
        assert [call[0] for call in operations.calls] == [operation]
        assert operations.calls[0][1][0].uuid == uuid


@pytest.mark.parametrize(
    ("body", "first", "last"),
    [
        ({"trigger_crash_dump": None}, 17, MAXIMUM), ({"addFixedIp": {"networkId": "1"}}, 1, 43),
        ({"removeFixedIp": {"address": "1.2.3.4"}}, 1, 43),
        ({"os-getVNCConsole": {"type": "novnc"}}, 1, 5),
        ({"os-getSPICEConsole": {"type": "spice-html5"}}, 1, 5),
        ({"os-getSerialConsole": {"type": "serial"}}, 1, 5),
        ({"addFloatingIp": {"address": "1.2.3.4"}}, 1, 43),
        ({"removeFloatingIp": {"address": "1.2.3.4"}}, 1, 43),
    ],
)
def test_windows_of_actions(
    server_api: Api, uuid: str, body: dict[str, Any], first: int, last: int
) -> None:
    unknown = "The resource could not be found."
    for at in (first, last):
        answer = act(server_api, uuid, body, at=at, token="admin")
        assert answer.status_code != 404 or message(answer) != unknown
    for at in {first - 1, last + 1} - {0, MAXIMUM + 1}:
        answer = act(server_api, uuid, body, at=at, token="admin")
        assert (answer.status_code, message(answer)) == (404, unknown)


@pytest.mark.parametrize(
    ("body", "at", "status"),
    [
        ({"lock": {"locked_reason": "r"}}, 73, 202), ({"lock": {"locked_reason": ""}}, 73, 400),
        ({"lock": {"nonsense": "r"}}, 73, 400), ({"lock": {"locked_reason": "r" * 256}}, 73, 400),
        ({"lock": {}}, 73, 202), ({"unshelve": {"availability_zone": "z"}}, 77, 202),
        ({"unshelve": {}}, 77, 400), ({"unshelve": {}}, 90, 400), ({"unshelve": {}}, 91, 202),
        ({"unshelve": {"host": "h"}}, 90, 400), ({"unshelve": {"host": None}}, 91, 400),
        ({"unshelve": {"host": "h"}}, 91, 202),
        ({"unshelve": {"availability_zone": None}}, 77, 400),
        ({"unshelve": {"availability_zone": None}}, 91, 202),
        ({"unshelve": {"availability_zone": 7}}, 91, 400),
        ({"migrate": {"host": "h"}}, 56, 202), ({"migrate": {"host": None}}, 56, 202),
        ({"migrate": {"host": 7}}, 56, 400), ({"migrate": {"force": True}}, 56, 400),
        ({"os-migrateLive": {"host": "h", "block_migration": "auto"}}, 25, 202),
        ({"os-migrateLive": {"host": "h", "block_migration": "auto"}}, 24, 400),
        ({"os-migrateLive": {"host": "h"}}, 25, 400),
        ({"os-migrateLive": {"host": "h", "block_migration": True, "force": True}}, 29, 400),
        ({"os-migrateLive": {"host": "h", "block_migration": True, "force": True}}, 30, 202),
        ({"os-migrateLive": {"host": None, "block_migration": True, "force": True}}, 30, 400),
        ({"os-migrateLive": {"host": "h", "block_migration": True, "force": True}}, 68, 400),
        ({"evacuate": {}}, 13, 400), ({"evacuate": {}}, 14, 200),
        ({"evacuate": {"onSharedStorage": True}}, 14, 400),
        ({"evacuate": {"onSharedStorage": True, "adminPass": "x"}}, 1, 400),
        ({"evacuate": {"force": True, "host": "h"}}, 29, 200),
        ({"evacuate": {"force": True, "host": "h"}}, 68, 400), ({"evacuate": None}, 14, 400),
        ({"trigger_crash_dump": None}, 17, 202), ({"trigger_crash_dump": {}}, 17, 400),
        ({"reboot": {}}, 1, 400), ({"reboot": {"type": "SOFTLY"}}, 1, 400),
        ({"reboot": None}, 1, 400),
        ({"reboot": {"type": "SOFT", "x": 1}}, 1, 400), ({"resize": {}}, 1, 400),
        ({"resize": {"flavorRef": ""}}, 1, 400), ({"resize": {"flavorRef": "x" * 300}}, 1, 400),
        ({"resize": {"flavorRef": "1", "OS-DCF:diskConfig": "x"}}, 1, 400),
        ({"rescue": {"rescue_image_ref": "x"}}, 1, 400), ({"changePassword": {}}, 1, 400),
        ({"changePassword": {"adminPass": 7}}, 1, 400), ({"os-resetState": {"state": "x"}}, 1, 400),
        ({"createImage": {}}, 1, 400), ({"createImage": {"name": " x"}}, 1, 400),
        ({"createImage": {"name": "x", "metadata": {"": "y"}}}, 1, 400),
        ({"createBackup": {"name": "b", "backup_type": "d", "rotation": -1}}, 1, 400),
        ({"createBackup": {"name": "b", "backup_type": "d"}}, 1, 400),
        ({"createBackup": {"name": "b", "backup_type": "d", "rotation": 10**20}}, 1, 400),
        ({"os-getConsoleOutput": {"length": -2}}, 1, 400),
        ({"os-getConsoleOutput": {"length": "x"}}, 1, 400),
        ({"addFixedIp": {"networkId": "x" * 37}}, 1, 400), ({"addFixedIp": {}}, 1, 400),
        ({"removeFixedIp": {"address": "x"}}, 1, 400),
        ({"addFloatingIp": {"address": "x"}}, 1, 400),
        ({"addSecurityGroup": {"name": ""}}, 1, 400), ({"addSecurityGroup": {}}, 1, 400),
        ({"os-getVNCConsole": {"type": "x"}}, 1, 400), ({"resetNetwork": None}, 1, 410),
        ({"nonsense": None}, 1, 400), ({}, 1, 400), ([], 1, 400), (None, 1, 400), ("x", 1, 400),
        ({"os-start": None, "os-stop": None}, 1, 400), ({"\x00": None}, 1, 400),
        ({"ü" * 300: None}, 1, 400),
    ],
)
def test_bodies_of_actions(
    server_api: Api, operations: OperationsProbe, uuid: str, body: Any, at: int, status: int
) -> None:
    if body is None:
        answer = server_api.request("POST", f"/servers/{uuid}/action", raw=b"")
    else:
        answer = act(server_api, uuid, body, at=at, token="admin")
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert operations.calls == []


def test_every_action_needs_its_right_and_a_visible_server(
    server_api: Api, db: Database, operations: OperationsProbe, uuid: str
) -> None:
    (foreign,) = add_servers(db, server_row(project_id=OTHER_PROJECT))
    valid: dict[str, Any] = {
        "reboot": {"type": "SOFT"}, "rescue": None, "resize": {"flavorRef": "1"},
        "changePassword": {"adminPass": "x"}, "os-resetState": {"state": "error"},
        "createImage": {"name": "x"},
        "createBackup": {"name": "b", "backup_type": "d", "rotation": 1},
        "rebuild": {"imageRef": IMAGE}, "os-getConsoleOutput": {},
        "evacuate": {"onSharedStorage": False},
        "os-migrateLive": {"host": None, "block_migration": False, "disk_over_commit": False},
        "addFixedIp": {"networkId": "1"}, "removeFixedIp": {"address": "1.2.3.4"},
        "addFloatingIp": {"address": "1.2.3.4"}, "removeFloatingIp": {"address": "1.2.3.4"},
        "addSecurityGroup": {"name": "g"}, "removeSecurityGroup": {"name": "g"},
        "os-getVNCConsole": {"type": "novnc"}, "os-getSPICEConsole": {"type": "spice-html5"},
        "os-getRDPConsole": {"type": "rdp-html5"}, "os-getSerialConsole": {"type": "serial"},
    }
    for key, candidates in ACTIONS.items():
        at = candidates[0].since
        body = {key: valid.get(key)}
        refused = act(server_api, uuid, body, at=at, token="reader")
        assert refused.status_code == 403, (key, refused.text)
        assert act(server_api, foreign, body, at=at).status_code == 404, key
    assert operations.calls == []


@pytest.mark.parametrize(
    "key",
    [
        "migrate", "shelveOffload", "os-resetState", "evacuate", "injectNetworkInfo",
        "os-migrateLive",
    ],
)
def test_actions_of_administrators(server_api: Api, uuid: str, key: str) -> None:
    body: dict[str, Any] = {
        "os-resetState": {"state": "active"}, "evacuate": {"onSharedStorage": False},
        "os-migrateLive": {"host": None, "block_migration": False, "disk_over_commit": False},
    }
    assert act(server_api, uuid, {key: body.get(key)}).status_code == 403


def test_naming_a_host_is_for_administrators(server_api: Api, uuid: str) -> None:
    body = {"migrate": {"host": "h"}}
    assert act(server_api, uuid, body, at=56, token="manager").status_code == 403
    assert act(server_api, uuid, {"migrate": None}, at=56, token="manager").status_code == 202
    assert act(server_api, uuid, {"unshelve": {"host": "h"}}, at=91).status_code == 403


def test_an_administrators_lock(
    server_api: Api, db: Database, operations: OperationsProbe
) -> None:
    admins, owners = add_servers(
        db, server_row(locked_by="admin"), server_row(locked_by="owner")
    )
    assert act(server_api, admins, {"unlock": None}).status_code == 403
    assert act(server_api, owners, {"unlock": None}).status_code == 202
    assert act(server_api, admins, {"unlock": None}, token="admin").status_code == 202


def test_refusals_of_the_operations_come_through(
    server_api: Api, operations: OperationsProbe, uuid: str
) -> None:
    operations.answers["start"] = errors.Conflict("Cannot 'start' instance")
    answer = act(server_api, uuid, {"os-start": None})
    assert (answer.status_code, list(answer.json)) == (409, ["conflictingRequest"])
    operations.answers["resize"] = errors.FlavorNotFound("9")
    assert act(server_api, uuid, {"resize": {"flavorRef": "9"}}).status_code == 400
    operations.answers["resize"] = errors.InstanceNotFound(uuid)
    assert act(server_api, uuid, {"resize": {"flavorRef": "9"}}).status_code == 404


def test_an_image_of_a_server(
    server_api: Api, operations: OperationsProbe, uuid: str
) -> None:
    operations.answers["snapshot"] = NEW_IMAGE
    body = {"createImage": {"name": "s", "metadata": {"k": "v"}}}
    answer = act(server_api, uuid, body, at=44)
    assert answer.headers["location"].endswith(f"/images/{NEW_IMAGE}")
    assert answer.text == ""
    answer = act(server_api, uuid, body, at=45)
    assert answer.json == {"image_id": NEW_IMAGE}
    assert "location" not in answer.headers
    assert operations.calls[-1][1][1:] == ("s", {"k": "v"})


def test_properties_of_an_image_count_up_to_2_38(server_api: Api, uuid: str) -> None:
    body = {"createImage": {"name": "s", "metadata": {f"k{n}": "v" for n in range(200)}}}
    assert act(server_api, uuid, body, at=38).status_code == 403
    assert act(server_api, uuid, body, at=39).status_code == 202


def test_a_backup_without_rotation_has_no_image(
    server_api: Api, operations: OperationsProbe, uuid: str
) -> None:
    body = {"createBackup": {"name": "b", "backup_type": "d", "rotation": 0}}
    answer = act(server_api, uuid, body, at=45)
    assert (answer.status_code, answer.text) == (202, "")


def test_passwords_in_answers(
    server_api: Api, operations: OperationsProbe, uuid: str
) -> None:
    operations.answers["rescue"] = operations.answers["evacuate"] = "secret"
    assert act(server_api, uuid, {"rescue": None}).json == {"adminPass": "secret"}
    old = {"evacuate": {"onSharedStorage": False}}
    assert act(server_api, uuid, old, token="admin").json == {"adminPass": "secret"}
    assert act(server_api, uuid, {"evacuate": {}}, at=14, token="admin").text == ""


@pytest.mark.parametrize(
    ("folder", "at"), [("servers", 1), ("servers/v2.19", 19), ("servers/v2.54", 54),
                       ("servers/v2.57", 57), ("servers/v2.63", 63), ("servers/v2.73", 73)]
)
def test_rebuild_answers_the_server(
    server_api: Api, operations: OperationsProbe, uuid: str, folder: str, at: int
) -> None:
    operations.answers["rebuild"] = "secret"
    answer = act(server_api, uuid, sample(f"v2.1/{folder}/server-action-rebuild.json"), at=at)
    assert answer.status_code == 202, answer.text
    wanted = sample(f"v2.1/{folder}/server-action-rebuild-resp.json")["server"]
    assert set(answer.json["server"]) == set(wanted)
    assert answer.json["server"]["adminPass"] == "secret"
    assert answer.headers["location"].endswith(f"/servers/{uuid}")
    assert isinstance(operations.calls[-1][1][1], RebuildRequest)


@pytest.mark.parametrize(
    ("changes", "at", "status"),
    [
        ({"imageRef": "x"}, 1, 400), ({"name": ""}, 1, 400), ({"key_name": "k"}, 53, 400),
        ({"key_name": None}, 54, 202), ({"user_data": "aGk="}, 56, 400),
        ({"user_data": None}, 57, 202),
        ({"user_data": "%"}, 57, 400), ({"personality": []}, 56, 202),
        ({"personality": []}, 57, 400),
        ({"trusted_image_certificates": None}, 62, 400),
        ({"trusted_image_certificates": None}, 63, 202), ({"hostname": "h1"}, 89, 400),
        ({"hostname": "h1"}, 90, 202), ({"metadata": {"a": 1}}, 1, 400), ({"x": 1}, 1, 400),
        ({"preserve_ephemeral": "maybe"}, 1, 400), ({"adminPass": 1}, 1, 400),
    ],
)
def test_rebuild_bodies(
    server_api: Api, uuid: str, changes: dict[str, Any], at: int, status: int
) -> None:
    answer = act(server_api, uuid, {"rebuild": {"imageRef": IMAGE, **changes}}, at=at)
    assert answer.status_code == status, answer.text


def test_consoles_by_version(
    server_api: Api, operations: OperationsProbe, uuid: str
) -> None:
    operations.answers["open_console"] = "http://proxy"
    body = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
    path = f"/servers/{uuid}/remote-consoles"
    assert server_api.post(path, body, at=5).status_code == 404
    answer = server_api.post(path, body, at=6)
    assert answer.status_code == 200
    assert answer.json["remote_console"]["url"] == "http://proxy"
    webmks = {"remote_console": {"protocol": "mks", "type": "webmks"}}
    assert "no such protocol" in message(server_api.post(path, webmks, at=7))
    assert server_api.post(path, webmks, at=8).status_code == 200
    direct = {"remote_console": {"protocol": "spice", "type": "spice-direct"}}
    assert "is of type" in message(server_api.post(path, direct, at=98))
    assert server_api.post(path, direct, at=99).status_code == 200
    old = {"os-getVNCConsole": {"type": "novnc"}}
    assert act(server_api, uuid, old, at=5).json == {
        "console": {"type": "novnc", "url": "http://proxy"}
    }
    assert act(server_api, uuid, old, at=6).status_code == 404


def test_kilos_network_reset(
    server_api: Api, operations: OperationsProbe, uuid: str
) -> None:
    for key in ("resetNetwork", "injectNetworkInfo"):
        assert act(server_api, uuid, {key: None}, at="v2", token="admin").status_code == 202
        assert operations.calls[-1][0] == "refresh_addresses"


def test_a_floating_address_that_is_not_the_projects(server_api: Api, uuid: str) -> None:
    for key in ("addFloatingIp", "removeFloatingIp"):
        answer = act(server_api, uuid, {key: {"address": "203.0.113.9"}})
        assert answer.status_code in (400, 404), answer.text
