# SPDX-License-Identifier: Apache-2.0
"""The identity API over HTTP: discovery, login, validation, revocation, the catalogue."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.identity_cloud import IdentityCloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityCloud]:
    cloud = IdentityCloud(tmp_path_factory.mktemp("identity"))
    yield cloud
    cloud.stop()


# --- discovery


def test_the_root_names_both_versions_on_the_host_that_was_called(cloud: IdentityCloud) -> None:
    answer = cloud.call("GET", "/", by=None, headers={"Host": "cloud.example:1234"})
    assert answer.status == 300
    versions = {one["id"]: one for one in answer.json["versions"]["values"]}
    assert {k: v["status"] for k, v in versions.items()} == {
        "v3.14": "stable", "v2.0": "deprecated",
    }
    assert versions["v3.14"]["links"] == [
        {"rel": "self", "href": "http://cloud.example:1234/v3/"}
    ]
    assert versions["v3.14"]["media-types"][0]["base"] == "application/json"


@pytest.mark.parametrize("path", ["/v3", "/v3/", "/v2.0", "/v2.0/"])
def test_a_version_describes_itself(cloud: IdentityCloud, path: str) -> None:
    answer = cloud.call("GET", path, by=None, headers={"X-Forwarded-Proto": "https"})
    assert answer.status == 200
    href = answer.json["version"]["links"][0]["href"]
    assert href == f"https://127.0.0.1:{cloud.port}{path.rstrip('/')}/"


# --- login


def test_a_member_who_names_no_domain_logs_in(cloud: IdentityCloud) -> None:
    answer = cloud.try_login(
        {"name": "demo", "password": "demo secret"}, {"project": {"name": "demo"}}
    )
    assert answer.status == 201
    token = answer.json["token"]
    assert token["methods"] == ["password"]
    assert token["user"]["name"] == "demo"
    assert token["user"]["domain"] == {"id": "default", "name": "Default"}
    assert token["project"]["domain"] == {"id": "default", "name": "Default"}
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}
    assert token["is_domain"] is False
    assert token["issued_at"].endswith("Z")
    assert token["expires_at"] > token["issued_at"]
    assert len(token["audit_ids"]) == 1
    urls = {e["url"] for s in token["catalog"] for e in s["endpoints"] if s["type"] == "compute"}
    assert urls == {f"http://127.0.0.1:8774/v2.1/{cloud.first.demo_project_id}"}
    endpoint = token["catalog"][0]["endpoints"][0]
    assert endpoint["region"] == endpoint["region_id"] == "RegionOne"


SCOPES: dict[str, tuple[Any, str | None]] = {
    "no scope is the default project": (None, "project"),
    "the word unscoped": ("unscoped", None),
    "an object unscoped": ({"unscoped": {}}, None),
    "a project by name and domain": (
        {"project": {"name": "admin", "domain": {"name": "Default"}}}, "project",
    ),
    "a domain by id": ({"domain": {"id": "default"}}, "domain"),
    "a domain by name": ({"domain": {"name": "Default"}}, "domain"),
    "the system": ({"system": {"all": True}}, "system"),
}


@pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES.keys())
def test_scopes(cloud: IdentityCloud, scope: tuple[Any, str | None]) -> None:
    asked, got = scope
    answer = cloud.try_login({"name": "admin", "password": "admin secret"}, asked)
    assert answer.status == 201
    token = answer.json["token"]
    for kind in ("project", "domain", "system"):
        assert (kind in token) == (kind == got)
    assert ("roles" in token) == (got is not None)
    assert ("catalog" in token) == (got is not None)


def test_a_catalogue_can_be_left_out(cloud: IdentityCloud) -> None:
    user = {"name": "demo", "password": "demo secret"}
    auth = {"identity": {"methods": ["password"], "password": {"user": user}}}
    answer = cloud.call("POST", "/v3/auth/tokens?nocatalog", {"auth": auth}, by=None)
    assert answer.status == 201
    assert "catalog" not in answer.json["token"]


REFUSED: dict[str, tuple[Any, Any]] = {
    "wrong password": ({"name": "demo", "password": "wrong"}, None),
    "unknown user": ({"name": "nobody", "password": "wrong"}, None),
    "unknown user id": ({"id": "nobody", "password": "wrong"}, None),
    "unknown domain": (
        {"name": "demo", "password": "demo secret", "domain": {"name": "nowhere"}}, None,
    ),
    "unknown project": (
        {"name": "demo", "password": "demo secret"}, {"project": {"name": "nowhere"}},
    ),
    "a project as a domain": (
        {"name": "demo", "password": "demo secret"}, {"domain": {"name": "demo"}},
    ),
}


@pytest.mark.parametrize("tried", REFUSED.values(), ids=REFUSED.keys())
def test_refused_logins_look_alike(cloud: IdentityCloud, tried: tuple[Any, Any]) -> None:
    answer = cloud.try_login(*tried)
    assert answer.status == 401
    assert answer.json == {
        "error": {
            "code": 401,
            "message": "The request you have made requires authentication.",
            "title": "Unauthorized",
        }
    }
    assert answer.headers["WWW-Authenticate"].startswith('Keystone uri="http://127.0.0.1')


def test_an_unknown_user_takes_as_long_as_a_wrong_password(cloud: IdentityCloud) -> None:
    def seconds(name: str) -> float:
        start = time.perf_counter()
        assert cloud.try_login({"name": name, "password": "wrong"}).status == 401
        return time.perf_counter() - start

    # By turns, and the best of each: whatever else the machine does falls on both.
    tries = [(seconds("demo"), seconds("nobody")) for _ in range(20)]
    known, unknown = (min(each) for each in zip(*tries, strict=True))
    assert 0.5 < known / unknown < 2


def test_no_role_on_the_project_is_told(cloud: IdentityCloud) -> None:
    answer = cloud.try_login(
        {"name": "demo", "password": "demo secret"}, {"project": {"name": "admin"}}
    )
    assert answer.status == 401
    assert "has no access to project" in answer.message


def test_a_token_buys_a_token_that_lives_no_longer(cloud: IdentityCloud) -> None:
    first = cloud.call("GET", "/v3/auth/tokens", headers={
        "X-Subject-Token": cloud.tokens["admin"],
    }).json["token"]
    auth = {
        "identity": {"methods": ["token"], "token": {"id": cloud.tokens["admin"]}},
        "scope": {"domain": {"id": "default"}},
    }
    answer = cloud.call("POST", "/v3/auth/tokens", {"auth": auth}, by=None)
    assert answer.status == 201
    second = answer.json["token"]
    assert second["expires_at"] == first["expires_at"]
    assert second["methods"] == ["token", "password"] or set(second["methods"]) == {
        "token", "password",
    }
    assert second["audit_ids"][1] == first["audit_ids"][0]
    assert second["domain"]["id"] == "default"


def test_two_methods_must_prove_the_same_user(cloud: IdentityCloud) -> None:
    def methods(token: str) -> int:
        user = {"name": "demo", "password": "demo secret"}
        auth = {
            "identity": {
                "methods": ["password", "token"],
                "password": {"user": user},
                "token": {"id": token},
            }
        }
        return cloud.call("POST", "/v3/auth/tokens", {"auth": auth}, by=None).status

    assert methods(cloud.tokens["demo"]) == 201
    assert methods(cloud.tokens["admin"]) == 401


# --- validation and revocation


def test_validate_check_and_revoke(cloud: IdentityCloud) -> None:
    token = cloud.login("demo")
    subject = {"X-Subject-Token": token}
    shown = cloud.call("GET", "/v3/auth/tokens", headers=subject)
    assert shown.status == 200
    assert shown.headers["X-Subject-Token"] == token
    assert shown.json["token"]["user"]["name"] == "demo"
    assert "catalog" not in cloud.call(
        "GET", "/v3/auth/tokens?nocatalog", headers=subject
    ).json["token"]
    head = cloud.call("HEAD", "/v3/auth/tokens", headers=subject)
    assert (head.status, head.body) == (200, b"")
    assert cloud.call("GET", "/v3/auth/tokens", by=token, headers=subject).status == 200
    assert cloud.call("DELETE", "/v3/auth/tokens", headers=subject).status == 204
    assert cloud.call("GET", "/v3/auth/tokens", headers=subject).status == 404
    assert cloud.call("DELETE", "/v3/auth/tokens", headers=subject).status == 404
    assert cloud.call("GET", "/v3/auth/projects", by=token).status == 401


def test_who_may_validate_whose_token(cloud: IdentityCloud) -> None:
    subject = {"X-Subject-Token": cloud.tokens["admin"]}
    assert cloud.call("GET", "/v3/auth/tokens", by=None, headers=subject).status == 401
    assert cloud.call("GET", "/v3/auth/tokens", by="x", headers=subject).status == 401
    assert cloud.call("GET", "/v3/auth/tokens", by="demo", headers=subject).status == 403
    assert cloud.call("DELETE", "/v3/auth/tokens", by="demo", headers=subject).status == 403
    assert cloud.call("GET", "/v3/auth/tokens").status == 404
    nonsense = {"X-Subject-Token": "nonsense"}
    assert cloud.call("GET", "/v3/auth/tokens", headers=nonsense).status == 404


def test_a_service_may_validate_any_token(cloud: IdentityCloud) -> None:
    user = cloud.make("user", name="validator", password="pw")
    project = cloud.first.service_project_id
    role = cloud.role_id("service")
    path = f"/v3/projects/{project}/users/{user['id']}/roles/{role}"
    assert cloud.call("PUT", path).status == 204
    token = cloud.login("validator", "pw", {"project": {"name": "service"}})
    subject = {"X-Subject-Token": cloud.tokens["demo"]}
    assert cloud.call("GET", "/v3/auth/tokens", by=token, headers=subject).status == 200
    assert cloud.call("GET", "/v3/users", by=token).status == 403


def test_where_a_token_may_go(cloud: IdentityCloud) -> None:
    projects = cloud.call("GET", "/v3/auth/projects", by="demo").json["projects"]
    assert [one["name"] for one in projects] == ["demo"]
    assert cloud.call("GET", "/v3/auth/domains", by="demo").json["domains"] == []
    assert cloud.call("GET", "/v3/auth/system", by="demo").json["system"] == []
    assert cloud.call("GET", "/v3/auth/system").json["system"] == [{"all": True}]
    domains = cloud.call("GET", "/v3/auth/domains").json["domains"]
    assert [one["id"] for one in domains] == ["default"]
    catalog = cloud.call("GET", "/v3/auth/catalog", by="demo").json["catalog"]
    assert {one["type"] for one in catalog} == {"compute", "identity"}
    assert cloud.call("GET", "/v3/auth/catalog", by="system").status == 403


def test_a_password_is_changed_by_its_owner(cloud: IdentityCloud) -> None:
    user = cloud.make("user", name="chänger", password="ält")
    old = cloud.login("chänger", "ält")
    path = f"/v3/users/{user['id']}/password"
    wrong = {"user": {"original_password": "falsch", "password": "neu"}}
    assert cloud.call("POST", path, wrong, by=None).status == 401
    right = {"user": {"original_password": "ält", "password": "neu " + "ü" * 60}}
    assert cloud.call("POST", path, right, by=None).status == 204
    assert cloud.call("GET", "/v3/auth/projects", by=old).status == 401
    assert cloud.try_login({"name": "chänger", "password": "ält"}).status == 401
    assert cloud.login("chänger", "neu " + "ü" * 60)


def test_errors_have_the_known_form(cloud: IdentityCloud) -> None:
    answer = cloud.call("GET", "/v3/nowhere")
    assert answer.status == 404
    assert answer.json["error"] == {
        "code": 404, "message": "The resource could not be found.", "title": "Not Found",
    }
    answer = cloud.call("DELETE", "/v3/users")
    assert (answer.status, answer.json["error"]["title"]) == (405, "Method Not Allowed")
    assert "GET" in answer.headers["Allow"]
