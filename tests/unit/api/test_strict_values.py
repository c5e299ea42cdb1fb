# SPDX-License-Identifier: Apache-2.0
"""Values that the standard's schemas refuse: null where a value may only be left out, 0 for a boolean,
an empty regular expression, a parameter given twice. The legacy API takes the bodies as it always did."""

from __future__ import annotations

from typing import Any

from tests.unit.api.conftest import Api

IMAGE = "70a599e0-31e7-49b7-b260-868f441e862b"
SERVER = "/servers/00000000-1111-4222-8333-444444444444"


def _create(minor: int, **fields: Any) -> tuple[int, str, str, Any]:
    server = {"name": "n", "imageRef": IMAGE, "flavorRef": "1", "networks": "auto", **fields}
    if minor < 37:
        del server["networks"]
    return minor, "POST", "/servers", {"server": server}


def _hint(**hints: Any) -> tuple[int, str, str, Any]:
    minor, method, path, body = _create(1)
    return minor, method, path, body | {"os:scheduler_hints": hints}


REFUSED: tuple[tuple[int, str, str, Any], ...] = (
    *(
        _create(minor, **{name: None})
        for minor, names in (
            (1, ("adminPass", "OS-DCF:diskConfig", "availability_zone", "config_drive", "key_name",
                 "security_groups", "user_data")),
            (74, ("host", "hypervisor_hostname")),
            (90, ("hostname",)),
        )
        for name in names
    ),
    _create(1, config_drive=0), _create(1, return_reservation_id=1),
    _create(1, accessIPv4=""), _create(1, accessIPv6=""), _create(1, security_groups=[{"name": ""}]),
    _hint(cidr=["/24"]), _hint(build_near_host_ip=["10.0.0.1"]), _hint(query=True), _hint(query=[]),
    _hint(target_cell=1), _hint(target_cell=""), _hint(different_cell=1), _hint(different_cell=[{}]),
    *(
        (minor, "POST", f"{SERVER}/action", body)
        for minor, body in (
            (1, {"rescue": {"adminPass": None}}), (1, {"rescue": {"rescue_image_ref": None}}),
            (1, {"resize": {"flavorRef": "1", "OS-DCF:diskConfig": None}}),
            (1, {"evacuate": {"onSharedStorage": False, "host": None}}),
            (1, {"evacuate": {"onSharedStorage": 0}}), (1, {"os-getConsoleOutput": None}),
            (1, {"addFloatingIp": {"address": "10.0.0.1", "fixed_address": None}}),
            (1, {"reboot": {"type": "sOFT"}}),
            (25, {"os-migrateLive": {"host": None, "block_migration": 1}}),
        )
    ),
    *(
        (85, "PUT", f"{SERVER}/os-volume_attachments/{IMAGE}", {"volumeAttachment": {
            "volumeId": IMAGE, "delete_on_termination": True, **odd,
        }})
        for odd in (
            {"tag": None}, {"id": None}, {"serverId": None}, {"delete_on_termination": 1},
            {"tag": "a/b"}, {"id": "x"}, {"serverId": "x"}, {"device": ""},
        )
    ),
    (49, "POST", f"{SERVER}/os-volume_attachments", {"volumeAttachment": {
        "volumeId": IMAGE, "tag": None,
    }}),
    (49, "POST", f"{SERVER}/os-interface", {"interfaceAttachment": {"port_id": None}}),
    (1, "POST", "/flavors", {"flavor": {
        "name": "f", "ram": 1, "vcpus": 1, "disk": 1, "os-flavor-access:is_public": 0,
    }}),
    (11, "PUT", "/os-services/force-down", {
        "host": "h", "binary": "nova-compute", "forced_down": 1,
    }),
    (1, "PUT", "/os-quota-sets/p", {"quota_set": {"cores": None}}),
    (1, "PUT", "/os-quota-sets/p", {"quota_set": {"force": 1}}),
    (1, "PUT", "/os-quota-class-sets/default", {"quota_class_set": {"cores": None}}),
    (1, "POST", "/os-volumes", {"volume": {"size": 1, "display_name": None}}),
    *(
        (minor, "GET", path, None)
        for minor, path in (
            (1, "/servers?name="), (1, "/servers/detail?key_name="), (26, "/servers?tags="),
            (1, "/servers?flavor="), (1, "/flavors?sort_key="), (1, "/flavors?sort_dir="),
            (53, "/os-hypervisors?with_servers="), (53, "/os-hypervisors?limit=1&limit=2"),
            (53, "/os-hypervisors?hypervisor_hostname_pattern="),
            (59, "/os-migrations?limit=1&limit=2"), (80, "/os-migrations?user_id=a&user_id=b"),
            (1, "/images?limit=0"), (97, f"{SERVER}/shares?unknown=1"),
        )
    ),
)


def test_values_that_the_standard_refuses_are_refused(server_api: Api) -> None:
    taken = []
    for minor, method, path, body in REFUSED:
        answer = server_api.request(method, path, body=body, at=minor, token="admin")
        if answer.status_code != 400 or not answer.json["badRequest"]["message"]:
            taken.append((minor, method, path, body, answer.status_code, answer.text))
    assert taken == []


def test_the_legacy_api_takes_null_for_nothing(server_api: Api) -> None:
    body = {"rescue": {"adminPass": None}}
    answer = server_api.post(f"{SERVER}/action", body, at="v2", token="admin")
    assert answer.status_code == 404, answer.text


def test_a_limit_beyond_any_database_is_a_limit(server_api: Api) -> None:
    assert server_api.get("/servers?limit=99999999999").status_code == 200
