# SPDX-License-Identifier: Apache-2.0
"""What is answered for volumes where there is no volume service."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.unit.api.conftest import Api, message

ASSISTED = "/os-assisted-volume-snapshots"
SNAPSHOT = {
    "snapshot": {
        "volume_id": "521752a6-acf6-4b2d-bc7a-119f9148cd8c",
        "create_info": {"snapshot_id": "421752a6", "type": "qcow2", "new_file": "name"},
    }
}


@pytest.mark.parametrize("path", ["/os-volumes", "/os-snapshots"])
def test_the_proxies_find_nothing_where_there_is_no_service(api: Api, path: str) -> None:
    for method, below, status in (
        ("GET", "", 200), ("GET", "/detail", 200), ("GET", "/1", 404), ("DELETE", "/1", 503),
    ):
        for at in (1, 35, "v2"):
            answer = api.request(method, path + below, at=at, token="member")
            assert answer.status_code == status, (method, below, at)
        assert api.request(method, path + below, at=36).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/os-volumes", {"volume": {"size": 1}}, 503),
        ("/os-volumes", {"volume": {"size": "10", "display_name": "é"}}, 503),
        ("/os-volumes", {"volume": {"size": 0}}, 400), ("/os-volumes", {"volume": {}}, 400),
        ("/os-volumes", {"volume": {"size": 1, "x": 1}}, 400), ("/os-volumes", {}, 400),
        ("/os-snapshots", {"snapshot": {"volume_id": "v", "force": "true"}}, 503),
        ("/os-snapshots", {"snapshot": {"volume_id": "v", "force": "maybe"}}, 400),
        ("/os-snapshots", {"snapshot": {}}, 400),
    ],
)
def test_bodies_are_read_first(api: Api, path: str, body: Any, status: int) -> None:
    assert api.post(path, body, token="member").status_code == status


def test_readers_make_nothing(api: Api) -> None:
    answer = api.post("/os-volumes", {"volume": {"size": 1}}, token="reader")
    assert answer.status_code == 403


def test_assisted_snapshots_are_for_services(api: Api) -> None:
    assert api.post(ASSISTED, SNAPSHOT).status_code == 403
    assert api.delete(f"{ASSISTED}/1").status_code == 403


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "No volume Block Device Mapping with id 521752a6"),
        ({"create_info": {"snapshot_id": "1", "type": "raw", "new_file": "n"}}, "type"),
        ({"create_info": {"snapshot_id": "1", "type": "qcow2"}}, "new_file"),
        ({"volume_id": ""}, "volume_id"),
    ],
)
def test_a_volume_that_no_server_has(api: Api, changes: dict[str, Any], text: str) -> None:
    body = {"snapshot": {**SNAPSHOT["snapshot"], **changes}}
    answer = api.post(ASSISTED, body, token="service")
    assert answer.status_code == 400
    assert text in message(answer)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (f"?delete_info={quote(json.dumps({'volume_id': 'v1'}))}", "mapping with id v1"),
        ("", "delete_info"), ("?delete_info=x", "delete_info"), ("?delete_info={}", "volume_id"),
    ],
)
def test_deleting_an_assisted_snapshot(api: Api, query: str, text: str) -> None:
    answer = api.delete(f"{ASSISTED}/s1{query}", token="service")
    assert answer.status_code == 400
    assert text.lower() in message(answer).lower()
