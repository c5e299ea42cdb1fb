# SPDX-License-Identifier: Apache-2.0
"""The identity API v2.0 over HTTP, as the clients of its time used it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.identity_cloud import Answer, IdentityCloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityCloud]:
    cloud = IdentityCloud(tmp_path_factory.mktemp("identity"))
    yield cloud
    cloud.stop()


def login(cloud: IdentityCloud, **auth: Any) -> Answer:
    auth.setdefault("passwordCredentials", {"username": "demo", "password": "demo secret"})
    return cloud.call("POST", "/v2.0/tokens", {"auth": auth}, by=None)


def test_a_member_logs_in(cloud: IdentityCloud) -> None:
    for tenant in ({"tenantName": "demo"}, {"tenantId": cloud.first.demo_project_id}):
        answer = login(cloud, **tenant)
        assert answer.status == 200
        access = answer.json["access"]
        assert access["token"]["tenant"] == {
            "id": cloud.first.demo_project_id, "name": "demo", "description": "", "enabled": True,
        }
        assert len(access["token"]["expires"]) == len("2026-01-01T00:00:00Z")
        assert access["user"]["username"] == access["user"]["name"] == "demo"
        assert {one["name"] for one in access["user"]["roles"]} == {"member", "reader"}
        assert access["metadata"]["is_admin"] == 0
        compute = next(one for one in access["serviceCatalog"] if one["type"] == "compute")
        (endpoint,) = compute["endpoints"]
        url = f"http://127.0.0.1:8774/v2.1/{cloud.first.demo_project_id}"
        assert endpoint["publicURL"] == endpoint["adminURL"] == endpoint["internalURL"] == url
        assert endpoint["region"] == "RegionOne"
        assert compute["endpoints_links"] == []
        token = access["token"]["id"]
        assert cloud.call("GET", "/v3/auth/projects", by=token).status == 200


def test_a_token_buys_a_token_for_a_tenant(cloud: IdentityCloud) -> None:
    plain = cloud.make("user", name="plain", password="pw")
    answer = login(cloud, passwordCredentials={"userId": plain["id"], "password": "pw"})
    access = answer.json["access"]
    assert "tenant" not in access["token"]
    assert access["serviceCatalog"] == []
    token = {"id": cloud.tokens["demo"]}
    again = cloud.call(
        "POST", "/v2.0/tokens", {"auth": {"token": token, "tenantName": "demo"}}, by=None
    )
    assert again.json["access"]["token"]["tenant"]["name"] == "demo"


@pytest.mark.parametrize(
    ("auth", "status"),
    [
        ({"passwordCredentials": {"username": "demo", "password": "x"}}, 401),
        ({"passwordCredentials": {"username": "x", "password": "x"}}, 401),
        ({"tenantName": "admin"}, 401),
        ({"tenantName": "nowhere"}, 401),
        ({"tenantName": "demo", "tenantId": "x"}, 400),
        ({"passwordCredentials": {"username": "demo"}}, 400),
        ({"passwordCredentials": {"username": "demo", "userId": "x", "password": "x"}}, 400),
        ({"passwordCredentials": None}, 400),
        ({"token": {}}, 400),
        ({"token": {"id": "x"}}, 401),
    ],
)
def test_logins_that_are_refused(
    cloud: IdentityCloud, auth: dict[str, Any], status: int
) -> None:
    answer = login(cloud, **auth)
    assert answer.status == status
    assert answer.json["error"]["code"] == status


def test_validate_and_revoke(cloud: IdentityCloud) -> None:
    token = login(cloud, tenantName="demo").json["access"]["token"]["id"]
    path = f"/v2.0/tokens/{token}"
    shown = cloud.call("GET", path)
    assert (shown.status, shown.json["access"]["user"]["name"]) == (200, "demo")
    assert cloud.call("HEAD", path).status == 200
    assert cloud.call("GET", path, by=None).status == 401
    assert cloud.call("GET", f"{path}?belongsTo={cloud.first.demo_project_id}").status == 200
    assert cloud.call("GET", f"{path}?belongsTo=x").status == 404
    endpoints = cloud.call("GET", f"{path}/endpoints").json["endpoints"]
    assert {one["type"] for one in endpoints} == {"compute", "identity"}
    assert cloud.call("DELETE", path).status == 204
    assert cloud.call("GET", path).status == 404


def test_whose_tenants_are_listed(cloud: IdentityCloud) -> None:
    def names(by: str) -> set[str]:
        listed = cloud.call("GET", "/v2.0/tenants", by=by).json
        assert listed["tenants_links"] == []
        return {one["name"] for one in listed["tenants"]}

    assert names("demo") == {"demo"}
    assert names("admin") >= {"admin", "demo", "service"}
    assert cloud.call("GET", "/v2.0/tenants", by=None).status == 401
    assert cloud.call("GET", "/v2.0/tenants?name=demo").json["tenant"]["name"] == "demo"


def test_tenants_users_and_roles(cloud: IdentityCloud) -> None:
    assert cloud.call("POST", "/v2.0/tenants", {"tenant": {"name": "t"}}, by="demo").status == 403
    tenant = cloud.call(
        "POST", "/v2.0/tenants", {"tenant": {"name": "tënant", "description": None}}
    ).json["tenant"]
    path = f"/v2.0/tenants/{tenant['id']}"
    changed = cloud.call("POST", path, {"tenant": {"description": "d", "id": tenant["id"]}})
    assert changed.json["tenant"]["description"] == "d"
    made = cloud.call(
        "POST", "/v2.0/users",
        {"user": {"name": "üser", "password": "pw", "tenantId": tenant["id"], "enabled": True}},
    )
    assert made.status == 200
    user = made.json["user"]
    assert user["tenantId"] == tenant["id"]
    credentials = {"username": "üser", "password": "pw"}
    answer = login(cloud, passwordCredentials=credentials)
    assert answer.json["access"]["token"]["tenant"]["name"] == "tënant"
    users = cloud.call("GET", f"{path}/users").json["users"]
    assert [one["name"] for one in users] == ["üser"]
    assert cloud.call("GET", "/v2.0/users?name=%C3%BCser").json["user"]["id"] == user["id"]

    role = cloud.call("POST", "/v2.0/OS-KSADM/roles", {"role": {"name": "old"}}).json["role"]
    roles = f"{path}/users/{user['id']}/roles"
    grant = f"{roles}/OS-KSADM/{role['id']}"
    assert cloud.call("PUT", grant).json["role"]["name"] == "old"
    assert {one["name"] for one in cloud.call("GET", roles).json["roles"]} == {"member", "old"}
    assert cloud.call("DELETE", grant).status == 204
    assert cloud.call("DELETE", grant).status == 404

    one = f"/v2.0/users/{user['id']}"
    new = {"user": {"id": user["id"], "password": "new"}}
    assert cloud.call("PUT", f"{one}/OS-KSADM/password", new).status == 200
    assert login(cloud, passwordCredentials=credentials).status == 401
    off = {"user": {"enabled": False}}
    assert cloud.call("PUT", f"{one}/OS-KSADM/enabled", off).json["user"]["enabled"] is False
    credentials["password"] = "new"
    assert login(cloud, passwordCredentials=credentials).status == 401
    for gone in (one, path, f"/v2.0/OS-KSADM/roles/{role['id']}"):
        assert cloud.call("DELETE", gone).status == 204
        assert cloud.call("GET", gone).status == 404


def test_services_and_endpoints(cloud: IdentityCloud) -> None:
    service = cloud.call(
        "POST", "/v2.0/OS-KSADM/services",
        {"OS-KSADM:service": {"name": "n", "type": "t", "description": "d"}},
    ).json["OS-KSADM:service"]
    values = {
        "service_id": service["id"], "region": "Old", "publicurl": "http://p",
        "adminurl": "http://a", "internalurl": "http://i",
    }
    made = cloud.call("POST", "/v2.0/endpoints", {"endpoint": values}).json["endpoint"]
    assert {k: made[k] for k in values} == values
    assert made in cloud.call("GET", "/v2.0/endpoints").json["endpoints"]
    assert cloud.call("DELETE", f"/v2.0/endpoints/{made['id']}").status == 204
    assert made not in cloud.call("GET", "/v2.0/endpoints").json["endpoints"]
    assert cloud.call("DELETE", f"/v2.0/OS-KSADM/services/{service['id']}").status == 204


def test_ec2_keys(cloud: IdentityCloud) -> None:
    path = f"/v2.0/users/{cloud.first.demo_user_id}/credentials/OS-EC2"
    made = cloud.call("POST", path, {"tenant_id": cloud.first.demo_project_id}, by="demo")
    assert made.status == 200
    key = made.json["credential"]
    assert key in cloud.call("GET", path, by="demo").json["credentials"]
    assert cloud.call("GET", f"{path}/{key['access']}", by="demo").json["credential"] == key
    assert cloud.call("DELETE", f"{path}/{key['access']}", by="demo").status == 204
    assert cloud.call("GET", f"{path}/{key['access']}", by="demo").status == 404
