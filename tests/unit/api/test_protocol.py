# SPDX-License-Identifier: Apache-2.0
"""HTTP itself: methods and what is said of them, versions and their headers, the roots."""

from __future__ import annotations

import pytest
from falcon.testing import Result

from tests.unit.api.conftest import PROJECT, Api

NEW, OLD = "OpenStack-API-Version", "X-OpenStack-Nova-API-Version"


def _raw(api: Api, method: str, path: str, **headers: str) -> Result:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.client.simulate_request(method, path, headers=sent)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/servers", {"GET", "HEAD", "POST"}),
        ("/servers/detail", {"GET", "HEAD"}),
        ("/flavors/1", {"GET", "HEAD", "PUT", "DELETE"}),
        ("/os-server-external-events", {"POST"}),
    ],
)
def test_a_method_that_is_not_there_is_told_which_are(
    api: Api, path: str, methods: set[str]
) -> None:
    answer = api.request("PATCH", path)
    assert answer.status_code == 405
    assert answer.json["badMethod"]["code"] == 405
    assert _allowed(answer) == methods
    options = api.request("OPTIONS", path)
    assert options.status_code in (200, 204)
    assert _allowed(options) == methods


def _allowed(answer: Result) -> set[str]:
    """The methods of an answer; OPTIONS itself may be among them."""
    return {each.strip() for each in answer.headers["allow"].split(",")} - {"OPTIONS"}


@pytest.mark.parametrize("path", ["/servers", "/flavors/detail", "/limits", "/os-keypairs"])
def test_head_is_get_without_the_body(api: Api, path: str) -> None:
    head, get = api.request("HEAD", path), api.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert api.request("HEAD", "/servers/00000000-0000-4000-8000-000000000000").status_code == 404
    for discovered in ("/", "/v2.1/"):
        head = api.client.simulate_request("HEAD", discovered)
        assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize("at", [1, 2, 26, 27, 60, 104])
def test_the_version_is_answered_in_both_headers(api: Api, at: int) -> None:
    for path, status in (("/servers", 200), ("/servers/x", 404), ("/os-cells", 410)):
        answer = api.get(path, at=at)
        assert answer.status_code == status
        assert answer.headers[NEW.lower()] == f"compute 2.{at}"
        assert answer.headers[OLD.lower()] == f"2.{at}"
        assert {each.strip() for each in answer.headers["vary"].split(",")} == {NEW, OLD}
        assert answer.headers["x-compute-request-id"].startswith("req-")


def test_the_headers_of_both_forms_are_read(api: Api) -> None:
    path = f"/v2.1/{PROJECT}/servers"
    token = {"X_Auth_Token": "admin"}
    for headers, version in (
        ({"OpenStack_API_Version": "compute 2.50"}, "2.50"),
        ({"X_OpenStack_Nova_API_Version": "2.50"}, "2.50"),
        ({"OpenStack_API_Version": "compute latest"}, "2.104"),
        ({"OpenStack_API_Version": "volume 3.1, compute 2.7"}, "2.7"),
        ({"OpenStack_API_Version": "volume 3.1"}, "2.1"),
        ({"OpenStack_API_Version": "compute 2.7,compute 2.8"}, "2.8"),
        ({}, "2.1"),
        (
            {"OpenStack_API_Version": "compute 2.9", "X_OpenStack_Nova_API_Version": "2.5"},
            "2.9",
        ),
    ):
        answer = _raw(api, "GET", path, **token, **headers)
        assert answer.status_code == 200
        assert answer.headers[OLD.lower()] == version, headers


@pytest.mark.parametrize("text", ["2.105", "2.0", "3.0", "1.1"])
def test_a_version_that_is_not_there_is_406_with_those_that_are(api: Api, text: str) -> None:
    answer = _raw(
        api, "GET", f"/v2.1/{PROJECT}/servers", X_Auth_Token="admin",
        OpenStack_API_Version=f"compute {text}",
    )
    assert answer.status_code == 406
    fault = answer.json["computeFault"]
    assert fault["code"] == 406
    for each in (text, "2.1", "2.104"):
        assert each in fault["message"]


@pytest.mark.parametrize("text", ["2", "two", "2.01", "2.-1", "v2.1", "2.1 x"])
def test_what_is_no_version_is_400(api: Api, text: str) -> None:
    answer = _raw(
        api, "GET", f"/v2.1/{PROJECT}/servers", X_Auth_Token="admin",
        OpenStack_API_Version=f"compute {text}",
    )
    assert answer.status_code == 400


def test_v2_has_no_version_headers(api: Api) -> None:
    answer = api.get("/servers", at="v2")
    assert OLD.lower() not in answer.headers
    assert NEW.lower() not in answer.headers


def test_the_root_lists_the_versions_and_other_paths_answer_300(api: Api) -> None:
    root = _raw(api, "GET", "/")
    assert root.status_code == 200
    assert [each["id"] for each in root.json["versions"]] == ["v2.0", "v2.1"]
    other = _raw(api, "GET", "/elsewhere/servers")
    assert other.status_code == 300
    assert {each["id"] for each in other.json["choices"]} == {"v2.0", "v2.1"}
