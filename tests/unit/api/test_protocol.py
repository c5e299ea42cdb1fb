# SPDX-License-Identifier: Apache-2.0
"""HTTP itself: methods and what is said of them, versions and their headers, the roots."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import pytest
from falcon.testing import Result, TestClient

from nova.api.compute.app import make_compute_app
from nova.api.compute.cloud import Cloud
from nova.api.network.app import make_network_app
from nova.conf.identity import IdentitySection
from nova.conf.load import load
from nova.db.engine import Database
from nova.http.proxies import with_proxy_headers
from nova.identity.app import make_identity_app
from nova.identity.service import IdentityService
from tests.unit.api.conftest import PROJECT, Api, FixedTokens

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


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("application/json", True), ("application/json; charset=UTF-8", True), ("Application/JSON", True),
        ("application/vnd.openstack.compute+json", True), ("text/plain", True), ("", True),
        ("application/xml", False), ("application/x-www-form-urlencoded", False), ("nonsense", False),
        ("text/html;x=application/json", False),
    ],
)
@pytest.mark.parametrize("version", ["v2", "v2.1"])
def test_a_body_is_called_json_or_nothing(api: Api, version: str, kind: str, taken: bool) -> None:
    headers = {"X-Auth-Token": "admin", "Content-Type": kind}
    path = f"/{version}/{PROJECT}/os-keypairs"
    for method, body in (("GET", None), ("POST", b'{"keypair": {"name": "k"}}')):
        answer = api.client.simulate_request(method, path, headers=headers, body=body)
        if taken:
            assert answer.status_code == 200, answer.text
        else:
            fault = answer.json["badMediaType"]
            assert (answer.status_code, fault["message"]) == (415, "Unsupported Content-Type")


@pytest.mark.parametrize(
    ("method", "path", "at", "body"),
    [
        ("POST", "/flavors", 1, {"flavor": {}}), ("POST", "/flavors", 1, {}),
        ("POST", "/os-aggregates", 1, {"aggregate": {"name": ""}}),
        ("PUT", "/os-quota-class-sets/default", 1, {"quota_class_set": {"cores": "many"}}),
        ("GET", "/os-hypervisors?foo=1", 75, None), ("GET", "/os-services?foo=1", 75, None),
        ("GET", "/os-availability-zone/detail?foo=1", 102, None),
        ("GET", "/os-hypervisors?limit=many", 33, None),
        ("GET", "/os-hypervisors/detail?limit=-1", 104, None),
        ("GET", "/os-hypervisors/1?with_servers=maybe", 53, None),
        ("GET", "/os-migrations?limit=many", 59, None), ("GET", "/os-migrations?changes-before=x", 66, None),
        ("GET", "/os-simple-tenant-usage?limit=many", 40, None),
        ("GET", "/os-simple-tenant-usage/p?limit=many", 40, None),
        ("POST", "/flavors/1/action", 1, {"addTenantAccess": {}}),
    ],
)
def test_what_is_wrong_is_told_before_who_may_ask(
    api: Api, method: str, path: str, at: int, body: object
) -> None:
    for token, status in (("nobody", 401), ("member", 400), ("admin", 400)):
        answer = api.request(method, path, at=at, token=token, body=body)
        assert answer.status_code == status, answer.text
    right = {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 1}}
    assert api.post("/flavors", right, token="member").status_code == 403
    assert api.get("/os-hypervisors", at=75, token="member").status_code == 403
    assert api.get("/os-hypervisors/statistics?foo=1", at=102, token="member").status_code == 404


@pytest.mark.parametrize("prefix", ["https://cloud.example/compute", "https://cloud.example/compute/"])
def test_links_begin_with_the_address_that_is_configured(cloud: Cloud, prefix: str) -> None:
    config = load(overrides={("api", "compute_link_prefix"): prefix})
    app = make_compute_app(
        dataclasses.replace(cloud, config=config), FixedTokens(), "http://identity.example.com/v3"
    )
    api = Api(TestClient(app))
    made = api.post("/flavors", {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 1, "id": "1"}})
    assert [link["href"] for link in made.json["flavor"]["links"]] == [
        f"https://cloud.example/compute/v2.1/{PROJECT}/flavors/1",
        f"https://cloud.example/compute/{PROJECT}/flavors/1",
    ]
    (entry, _) = _raw(api, "GET", "/").json["versions"]
    assert entry["links"][0]["href"] == "https://cloud.example/compute/v2/"


@pytest.mark.parametrize("enabled", [False, True])
def test_a_proxy_is_believed_where_that_is_enabled(
    cloud: Cloud, db: Database, tmp_path: Path, enabled: bool
) -> None:
    identity = IdentityService(db, IdentitySection(bcrypt_rounds=4), tmp_path / "keys")
    whose = (FixedTokens(), "http://identity.example.com/v3")
    headers = {"Host": "inside", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "cloud.example"}
    wanted = "https://cloud.example/" if enabled else "http://inside/"
    for made, path in (
        (make_compute_app(cloud, *whose), "/v2.1"), (make_network_app(cloud, *whose), "/"),
        (make_identity_app(identity), "/v3"),
    ):
        client = TestClient(made)
        client.app = cast(Any, with_proxy_headers(made, enabled))
        shown = client.simulate_get(path, headers=headers).text
        assert f'"{wanted}v' in shown
        assert ("cloud.example" in shown) is enabled
