# SPDX-License-Identifier: Apache-2.0
"""Nothing that a client sends may end in a 500: wrong types, nulls, depth, size, odd characters."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.api.identity_cloud import IdentityCloud

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 2**70, -(2**70), "", " ", "é" * 300, "x" * 70_000, "a\x00b",
    "‮\U0001f600", "%s%n", "'; DROP TABLE identity_users; --", "../../etc/passwd", [], [None],
    [[]], {}, {"": ""}, {"id": None}, {"id": {}}, {"name": []}, {"name": 1, "id": 1}, ["x"] * 200,
    [{"id": "x"}, {"id": 1}],
)

BODIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "user": ("POST", "/v3/users", {"user": {
        "name": "f", "domain_id": "default", "default_project_id": "p", "description": "d",
        "email": "e", "enabled": True, "options": {}, "password": "p", "other": 1, "id": "i",
    }}),
    "project": ("POST", "/v3/projects", {"project": {
        "name": "f", "domain_id": "default", "parent_id": None, "is_domain": False,
        "description": "d", "enabled": True, "options": {}, "tags": ["t"], "other": 1,
    }}),
    "domain": ("POST", "/v3/domains", {"domain": {
        "name": "f", "description": "d", "enabled": True, "options": {}, "tags": [],
        "explicit_domain_id": "0" * 32,
    }}),
    "group": ("POST", "/v3/groups", {"group": {
        "name": "f", "domain_id": "default", "description": "d",
    }}),
    "role": ("POST", "/v3/roles", {"role": {
        "name": "f", "domain_id": None, "description": "d", "options": {},
    }}),
    "region": ("POST", "/v3/regions", {"region": {
        "id": "f", "parent_region_id": None, "description": "d",
    }}),
    "region by id": ("PUT", "/v3/regions/x%20y%2Fz", {"region": {"description": "d"}}),
    "service": ("POST", "/v3/services", {"service": {
        "type": "f", "name": "n", "description": "d", "enabled": True,
    }}),
    "endpoint": ("POST", "/v3/endpoints", {"endpoint": {
        "service_id": "s", "interface": "public", "url": "http://x", "region_id": "RegionOne",
        "region": "r", "enabled": True,
    }}),
    "credential": ("POST", "/v3/credentials", {"credential": {
        "blob": '{"access": "a", "secret": "s"}', "type": "ec2", "user_id": "u",
        "project_id": "p",
    }}),
    "ec2 key": ("POST", "/v3/users/{user}/credentials/OS-EC2", {"tenant_id": "{project}"}),
    "application credential": ("POST", "/v3/users/{user}/application_credentials", {
        "application_credential": {
            "name": "f", "description": "d", "expires_at": "2090-01-01T00:00:00",
            "secret": "s", "unrestricted": False, "roles": [{"name": "member"}],
            "access_rules": [{"path": "/x", "service": "compute", "method": "GET"}],
        },
    }),
    "own password": ("POST", "/v3/users/{user}/password", {
        "user": {"original_password": "o", "password": "p"},
    }),
    "change of a user": ("PATCH", "/v3/users/{user}", {"user": {
        "name": "admin", "email": "e", "description": "d", "default_project_id": "p",
        "options": {}, "domain_id": "default", "id": "{user}",
    }}),
    "change of a project": ("PATCH", "/v3/projects/{project}", {"project": {
        "name": "admin", "description": "d", "tags": ["t"], "options": {}, "domain_id": "default",
        "parent_id": "default", "is_domain": False,
    }}),
    "tags": ("PUT", "/v3/projects/{project}/tags", {"tags": ["a", "b"]}),
    "v3 login": ("POST", "/v3/auth/tokens", {"auth": {
        "identity": {
            "methods": ["password", "token", "application_credential"],
            "password": {"user": {"id": "u", "name": "n", "password": "p",
                                  "domain": {"id": "d", "name": "n"}}},
            "token": {"id": "t"},
            "application_credential": {"id": "i", "name": "n", "secret": "s",
                                       "user": {"id": "u"}},
        },
        "scope": {"project": {"id": "i", "name": "n", "domain": {"id": "i", "name": "n"}}},
    }}),
    "v3 login by password": ("POST", "/v3/auth/tokens", {"auth": {
        "identity": {
            "methods": ["password"],
            "password": {"user": {"name": "demo", "password": "demo secret",
                                  "domain": {"id": "default"}}},
        },
        "scope": {"project": {"name": "demo", "domain": {"id": "default"}}},
    }}),
    "v2 login": ("POST", "/v2.0/tokens", {"auth": {
        "passwordCredentials": {"username": "u", "password": "p"}, "tenantName": "t",
        "tenantId": "i", "token": {"id": "t"},
    }}),
    "ec2 tokens": ("POST", "/v3/ec2tokens", {"credentials": {
        "access": "{access}", "signature": "s", "host": "h", "verb": "GET", "path": "/",
        "params": {"SignatureVersion": "2", "Timestamp": "t"},
        "headers": {"Authorization": "AWS4-HMAC-SHA256 Credential=a/b/c/d/e"}, "body_hash": "b",
    }}),
    "v2 ec2 tokens": ("POST", "/v2.0/ec2tokens", {"auth": {"OS-KSEC2:ec2Credentials": {
        "access": "{access}", "signature": "s", "host": "h", "verb": "GET", "path": "/",
        "params": {"X-Amz-Date": "x", "X-Amz-Credential": "a/b/c/ec2/e",
                   "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-SignedHeaders": "host;;"},
    }}}),
    "v2 user": ("POST", "/v2.0/users", {"user": {
        "name": "f", "username": "g", "password": "p", "email": "e", "tenantId": "t",
        "enabled": True,
    }}),
    "v2 tenant": ("POST", "/v2.0/tenants", {"tenant": {
        "name": "f", "description": "d", "enabled": True,
    }}),
    "v2 service": ("POST", "/v2.0/OS-KSADM/services", {"OS-KSADM:service": {
        "name": "f", "type": "t", "description": "d",
    }}),
    "v2 endpoint": ("POST", "/v2.0/endpoints", {"endpoint": {
        "region": "r", "service_id": "s", "publicurl": "http://p", "internalurl": "i",
        "adminurl": "a",
    }}),
    "v2 password": ("PUT", "/v2.0/users/{other}/OS-KSADM/password", {"user": {"password": "p"}}),
    "v2 enabled": ("PUT", "/v2.0/users/{other}/OS-KSADM/enabled", {"user": {"enabled": True}}),
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityCloud]:
    cloud = IdentityCloud(tmp_path_factory.mktemp("identity"))
    yield cloud
    cloud.stop()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document."""
    yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from places(inner, (*path, name))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from places(inner, (*path, position))


def put(value: Any, path: tuple[Any, ...], what: Any) -> Any:
    """A copy of a document with something else at one place."""
    if not path:
        return what
    if isinstance(value, dict):
        return {k: put(v, path[1:], what) if k == path[0] else v for k, v in value.items()}
    return [put(v, path[1:], what) if i == path[0] else v for i, v in enumerate(value)]


def without(value: Any, path: tuple[Any, ...]) -> Any:
    """A copy of a document that lacks one place."""
    if len(path) > 1:
        return put(value, path[:1], without(value[path[0]], path[1:]))
    if isinstance(value, dict):
        return {k: v for k, v in value.items() if k != path[0]}
    return [v for i, v in enumerate(value) if i != path[0]]


@pytest.mark.parametrize("case", BODIES.values(), ids=BODIES.keys())
def test_odd_bodies_are_refused_or_taken(
    cloud: IdentityCloud, case: tuple[str, str, dict[str, Any]]
) -> None:
    method, path, body = case
    assert cloud.first.demo_ec2 is not None
    names = {
        "{user}": cloud.first.admin_user_id, "{project}": cloud.first.admin_project_id,
        "{access}": cloud.first.demo_ec2.access, "{other}": cloud.first.demo_user_id,
    }

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: fill(v) for k, v in value.items()}
        return names.get(value, value) if isinstance(value, str) else value

    for name, value in names.items():
        path = path.replace(name, value or "")
    body = fill(body)
    tried = [body]
    for place in places(body):
        tried.extend(put(body, place, odd) for odd in ODD)
        if place:
            tried.append(without(body, place))
    for one in tried:
        # By a token of its own: some of these changes end the caller's tokens.
        token = cloud.service.authentication.issue(
            cloud.service.authentication.by_name_and_password("admin secret", name="admin"), None
        ).token
        answer = cloud.call(method, path, one, by=token)
        assert answer.status < 500, (one, answer.body)
        if answer.status >= 400:
            assert answer.json["error"]["message"], one


def test_a_wrong_field_is_named(cloud: IdentityCloud) -> None:
    for body, field in (
        ({}, "user"),
        ({"user": []}, "user"),
        ({"user": {}}, "user.name"),
        ({"user": {"name": 7}}, "user.name"),
        ({"user": {"name": None}}, "user.name"),
        ({"user": {"name": "x" * 256}}, "user.name"),
        ({"user": {"name": "a\x00"}}, "user.name"),
        ({"user": {"name": "x", "enabled": "yes"}}, "user.enabled"),
        ({"user": {"name": "x", "options": []}}, "user.options"),
    ):
        answer = cloud.call("POST", "/v3/users", body)
        assert (answer.status, field in answer.message) == (400, True), (body, answer.body)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b"{}" * 2, b"[" * 100_000,
        b'{"user": ' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"user": {"name": "\\ud800"}}',
        b'{"user": {"name": "x", "other": ' + b'{"a":' * 60 + b"1" + b"}" * 60 + b"}}",
        b'{"user": {"name": "x", "other": 1e999}}', b'{"user": {"name": NaN}}',
    ],
)
def test_odd_bytes_are_refused(cloud: IdentityCloud, raw: bytes) -> None:
    assert cloud.call("POST", "/v3/users", raw=raw).status == 400
    assert cloud.call("POST", "/v3/auth/tokens", raw=raw, by=None).status == 400


def test_a_body_that_is_too_large_is_refused(cloud: IdentityCloud) -> None:
    assert cloud.call("POST", "/v3/users", raw=b"x" * 200_000).status == 413


LISTS = (
    "/v3/users", "/v3/projects", "/v3/domains", "/v3/groups", "/v3/roles", "/v3/services",
    "/v3/endpoints", "/v3/regions", "/v3/credentials", "/v3/role_assignments",
    "/v3/role_inferences", "/v3/auth/projects", "/v2.0/tenants", "/v2.0/users",
)
PARAMETERS = (
    "name", "domain_id", "enabled", "parent_id", "is_domain", "limit", "marker", "tags",
    "not-tags-any", "name__contains", "name__icontains", "name__nonsense", "user.id", "group.id",
    "role.id", "scope.project.id", "scope.domain.id", "scope.system", "effective",
    "include_names", "include_subtree", "scope.OS-INHERIT:inherited_to", "type", "user_id",
    "interface", "region_id", "nonsense",
)


def test_odd_queries_are_refused_or_taken(cloud: IdentityCloud) -> None:
    generator = random.Random(7)
    values = ["", "%00", "%FF%FE", "%F0%9F%98%80", "null", "None", "-1", "9" * 40, "0", "1",
              "a%25_b", "x" * 3000, "true", "%27%22", "default", "%EF%BF%BD"]
    for path in LISTS:
        for _ in range(60):
            chosen = generator.sample(PARAMETERS, generator.randint(1, 4))
            query = "&".join(f"{name}={generator.choice(values)}" for name in chosen)
            answer = cloud.call("GET", f"{path}?{query}")
            assert answer.status < 500, (path, query, answer.body)
            if "%00" in query:
                assert answer.status == 400


@pytest.mark.parametrize("limit", ["-1", "x", "1.5", "٣"])
def test_a_wrong_limit_is_refused(cloud: IdentityCloud, limit: str) -> None:
    answer = cloud.call("GET", f"/v3/users?limit={quote(limit)}")
    assert answer.status == 400
    assert "limit" in answer.message


def test_odd_paths_are_not_found(cloud: IdentityCloud) -> None:
    odd = ["%00", "%FF", "x" * 5000, "..", "%2e%2e%2f", "é", "'", "%F0%9F%98%80", "a%20b", "{}"]
    for piece in odd:
        name = quote(piece, safe="%{}'.")
        for path in (
            "/v3/users/{}", "/v3/projects/{}", "/v3/domains/{}", "/v3/groups/{}", "/v3/roles/{}",
            "/v3/regions/{}", "/v3/services/{}", "/v3/endpoints/{}", "/v3/credentials/{}",
            "/v3/users/{}/projects", "/v3/users/{}/groups", "/v3/groups/{}/users",
            "/v3/users/{}/credentials/OS-EC2", "/v3/users/x/credentials/OS-EC2/{}",
            "/v3/users/x/application_credentials/{}", "/v3/users/x/access_rules/{}",
            "/v3/projects/{}/users/{}/roles", "/v3/domains/{}/groups/{}/roles/{}",
            "/v3/OS-INHERIT/projects/{}/users/{}/roles/inherited_to_projects",
            "/v3/roles/{}/implies", "/v3/projects/{}/tags/{}", "/v2.0/tokens/{}",
            "/v2.0/tokens/{}/endpoints", "/v2.0/tenants/{}", "/v2.0/users/{}", "/{}", "/v3/{}",
        ):
            full = path.replace("{}", name)
            for method in ("GET", "HEAD", "DELETE", "PUT", "PATCH", "POST"):
                if (method, path) == ("PUT", "/v3/regions/{}"):
                    continue
                answer = cloud.call(method, full)
                assert 400 <= answer.status < 500 or full.count("..") or (
                    (method, answer.status) in (("GET", 200), ("HEAD", 200))
                ), (method, full, answer.status)
