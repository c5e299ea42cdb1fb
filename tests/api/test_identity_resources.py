# SPDX-License-Identifier: Apache-2.0
"""The identity API over HTTP: making, listing, changing and deleting, and who may."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest

from nova.identity.signatures import SignedRequest, sign
from tests.api.identity_cloud import IdentityCloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityCloud]:
    cloud = IdentityCloud(tmp_path_factory.mktemp("identity"))
    yield cloud
    cloud.stop()


KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "user": (
        "users", {"name": "Zoë", "description": "dé", "email": "z@x", "colour": {"a": [1]}},
        {"name": "Zoé", "enabled": False, "colour": "red"},
    ),
    "project": (
        "projects", {"name": "Prøj", "description": "d", "tags": ["b", "a"], "colour": "red"},
        {"name": "prøj2", "description": "e", "tags": []},
    ),
    "domain": ("domains", {"name": "Dom", "description": "d"}, {"enabled": False}),
    "group": ("groups", {"name": "Grüppe"}, {"description": "e"}),
    "role": ("roles", {"name": "rôle"}, {"description": "e"}),
    "service": (
        "services", {"type": "test", "name": "n", "description": "d"}, {"enabled": False},
    ),
    "region": ("regions", {"id": "Regiön 1", "description": "d"}, {"description": "e"}),
    "credential": (
        "credentials", {"type": "cert", "blob": "blöb", "user_id": "{admin}"}, {"blob": "new"},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_life_of_a_resource(cloud: IdentityCloud, kind: str) -> None:
    plural, values, changes = KINDS[kind]
    values = {
        k: cloud.first.admin_user_id if v == "{admin}" else v for k, v in values.items()
    }
    assert cloud.call("POST", f"/v3/{plural}", {kind: values}, by=None).status == 401
    assert cloud.call("POST", f"/v3/{plural}", {kind: values}, by="demo").status == 403
    made = cloud.call("POST", f"/v3/{plural}", {kind: values})
    assert made.status == 201
    body = made.json[kind]
    expected = {k: sorted(v) if k == "tags" else v for k, v in values.items()}
    assert {k: body[k] for k in values} == expected
    path = body["links"]["self"].removeprefix(f"http://127.0.0.1:{cloud.port}")
    assert path.startswith(f"/v3/{plural}/")
    assert cloud.call("GET", path).json[kind] == body
    assert cloud.call("HEAD", path).status == 200
    listed = cloud.call("GET", f"/v3/{plural}").json
    assert body in listed[plural]
    assert set(listed["links"]) == {"self", "previous", "next"}
    for method, sent in (("PATCH", {kind: changes}), ("DELETE", None)):
        assert cloud.call(method, path, sent, by="demo").status == 403
    changed = cloud.call("PATCH", path, {kind: changes})
    assert (changed.status, changed.json[kind]) == (200, {**body, **changes})
    assert cloud.call("DELETE", path).status == 204
    assert cloud.call("GET", path).status == 404
    assert cloud.call("PATCH", path, {kind: changes}).status == 404
    assert cloud.call("DELETE", path).status == 404


@pytest.mark.parametrize("kind", ["user", "project", "domain", "group", "role"])
def test_a_name_is_used_once(cloud: IdentityCloud, kind: str) -> None:
    made = cloud.make(kind, name="einmal")
    again = cloud.call("POST", f"/v3/{kind}s", {kind: {"name": "einmal"}})
    assert again.status == 409
    assert "Duplicate entry found with name einmal" in again.message
    other = cloud.make(kind, name="anders")
    path = f"/v3/{kind}s/{other['id']}"
    assert cloud.call("PATCH", path, {kind: {"name": "einmal"}}).status == 409
    assert cloud.call("GET", path).json[kind]["name"] == "anders"
    assert cloud.call("PATCH", path, {kind: {"name": "anders"}}).status == 200
    assert made["id"] != other["id"]


def test_the_same_name_in_two_domains(cloud: IdentityCloud) -> None:
    domain = cloud.make("domain", name="zweite")
    first = cloud.make("user", name="doppelt", password="eins")
    second = cloud.make("user", name="doppelt", password="zwei", domain_id=domain["id"])
    for password, where, wanted in (
        ("eins", None, first), ("zwei", {"name": "zweite"}, second),
        ("zwei", {"id": domain["id"]}, second),
    ):
        user: dict[str, Any] = {"name": "doppelt", "password": password}
        if where is not None:
            user["domain"] = where
        assert cloud.try_login(user).json["token"]["user"]["id"] == wanted["id"]
    assert cloud.try_login({"name": "doppelt", "password": "zwei"}).status == 401


def test_filters_and_pages(cloud: IdentityCloud) -> None:
    domain = cloud.make("domain", name="filters")["id"]
    for name in ("Anna", "anton", "berta", "100%", "100x"):
        cloud.make("user", name=name, domain_id=domain, enabled=name != "berta")

    def names(query: str) -> list[str]:
        answer = cloud.call("GET", f"/v3/users?domain_id={domain}&{query}")
        assert answer.status == 200
        return sorted(one["name"] for one in answer.json["users"])

    assert names("name=berta") == ["berta"]
    assert names("enabled=false") == names("enabled=0") == ["berta"]
    assert "berta" not in names("enabled=true")
    assert names("name__icontains=AN") == ["Anna", "anton"]
    assert names("name__startswith=100%25") == ["100%"]
    assert names("name__endswith=ta") == ["berta"]
    assert names("name__nonsense=x") == names("")
    seen: list[str] = []
    path = f"/v3/users?domain_id={domain}&limit=2"
    pages = 0
    while path:
        page = cloud.call("GET", path).json
        assert len(page["users"]) <= 2
        seen += [one["name"] for one in page["users"]]
        path = (page["links"]["next"] or "").removeprefix(f"http://127.0.0.1:{cloud.port}")
        pages += 1
    assert (sorted(seen), pages) == (["100%", "100x", "Anna", "anton", "berta"], 3)


def test_projects_form_a_tree_and_have_tags(cloud: IdentityCloud) -> None:
    top = cloud.make("project", name="tree top", tags=["red", "round"])
    below = cloud.make("project", name="tree below", parent_id=top["id"], tags=["red"])
    assert (top["parent_id"], top["domain_id"]) == ("default", "default")
    assert (below["parent_id"], below["domain_id"]) == (top["id"], "default")
    shown = cloud.call("GET", f"/v3/projects/{below['id']}?parents_as_ids").json["project"]
    assert shown["parents"] == {top["id"]: None}
    shown = cloud.call("GET", f"/v3/projects/{top['id']}?subtree_as_list").json["project"]
    assert [one["project"]["id"] for one in shown["subtree"]] == [below["id"]]

    def named(query: str) -> set[str]:
        found = cloud.call("GET", f"/v3/projects?{query}").json["projects"]
        return {one["name"] for one in found if one["name"].startswith("tree")}

    assert named("tags=red,round") == {"tree top"}
    assert named("tags-any=red,round") == {"tree top", "tree below"}
    assert named("not-tags=round") == {"tree below"}
    assert named("not-tags-any=red") == set()
    assert named(f"parent_id={top['id']}") == {"tree below"}
    tags = f"/v3/projects/{below['id']}/tags"
    assert cloud.call("PUT", f"{tags}/gr%C3%BCn").status == 201
    assert cloud.call("GET", tags).json["tags"] == ["grün", "red"]
    assert cloud.call("GET", f"{tags}/blue").status == 404
    assert cloud.call("DELETE", f"{tags}/red").status == 204
    assert cloud.call("PUT", tags, {"tags": ["a,b"]}).status == 400
    assert cloud.call("PUT", tags, {"tags": ["x"]}).json["tags"] == ["x"]
    assert cloud.call("DELETE", tags).status == 204
    assert cloud.call("DELETE", f"/v3/projects/{top['id']}").status == 403
    move = {"project": {"parent_id": "default"}}
    assert cloud.call("PATCH", f"/v3/projects/{below['id']}", move).status == 403


def test_a_domain_is_disabled_before_it_is_deleted(cloud: IdentityCloud) -> None:
    domain = cloud.make("domain", name="to go")
    user = cloud.make("user", name="inside", domain_id=domain["id"])
    path = f"/v3/domains/{domain['id']}"
    assert cloud.call("DELETE", path).status == 403
    assert cloud.call("PATCH", path, {"domain": {"enabled": False}}).status == 200
    assert cloud.call("DELETE", path).status == 204
    assert cloud.call("GET", f"/v3/users/{user['id']}").status == 404
    assert cloud.call("DELETE", "/v3/domains/default").status == 403


def test_a_domain_may_be_treated_as_a_project(cloud: IdentityCloud) -> None:
    domain = cloud.make("project", name="both", is_domain=True)
    assert (domain["is_domain"], domain["domain_id"]) == (True, None)
    cloud.make("user", name="inside", domain_id=domain["id"])
    path = f"/v3/projects/{domain['id']}"
    assert cloud.call("GET", f"/v3/domains/{domain['id']}").status == 200
    assert cloud.call("DELETE", path).status == 403
    assert cloud.call("PATCH", path, {"project": {"enabled": False}}).status == 200
    assert cloud.call("DELETE", path).status == 204
    assert cloud.call("GET", f"/v3/domains/{domain['id']}").status == 404


@pytest.mark.parametrize("actor", ["user", "group"])
@pytest.mark.parametrize("target", ["project", "domain", "system", "inherited"])
def test_roles_are_given_checked_listed_and_taken(
    cloud: IdentityCloud, actor: str, target: str
) -> None:
    one = cloud.make(actor, name=f"{actor} for {target}")
    role = cloud.role_id("reader")
    place, end = {
        "project": (f"/v3/projects/{cloud.first.demo_project_id}", ""),
        "domain": ("/v3/domains/default", ""),
        "system": ("/v3/system", ""),
        "inherited": ("/v3/OS-INHERIT/domains/default", "/inherited_to_projects"),
    }[target]
    roles = f"{place}/{actor}s/{one['id']}/roles"
    path = f"{roles}/{role}{end}"
    assert cloud.call("HEAD", path).status == 404
    assert cloud.call("DELETE", path).status == 404
    assert cloud.call("PUT", path, by="demo").status == 403
    assert cloud.call("PUT", path).status == 204
    assert cloud.call("PUT", path).status == 204
    assert cloud.call("HEAD", path).status == cloud.call("GET", path).status == 204
    (listed,) = cloud.call("GET", f"{roles}{end}").json["roles"]
    assert listed["name"] == "reader"
    written = cloud.call(
        "GET", f"/v3/role_assignments?{actor}.id={one['id']}&include_names"
    ).json["role_assignments"]
    assert len(written) == 1
    assert written[0][actor] == {
        "id": one["id"], "name": one["name"], "domain": {"id": "default", "name": "Default"},
    }
    assert written[0]["role"] == {"id": role, "name": "reader"}
    scope = written[0]["scope"]
    assert scope.get("OS-INHERIT:inherited_to") == ("projects" if target == "inherited" else None)
    assert written[0]["links"]["assignment"].endswith(path)
    assert cloud.call("PUT", f"{roles}/nonsense{end}").status == 404
    assert cloud.call("DELETE", path).status == 204
    assert cloud.call("GET", f"{roles}{end}").json["roles"] == []


def test_effective_assignments_and_wrong_questions(cloud: IdentityCloud) -> None:
    path = f"/v3/role_assignments?effective&user.id={cloud.first.demo_user_id}"
    found = cloud.call("GET", path).json["role_assignments"]
    assert {one["role"]["id"] for one in found} == {
        cloud.role_id("member"), cloud.role_id("reader"),
    }
    assert sum("prior_role" in one["links"] for one in found) == 1
    for query in (
        "scope.project.id=x&scope.domain.id=y", "user.id=x&group.id=y", "effective&group.id=x",
        "include_subtree", "scope.system=all&scope.project.id=x",
    ):
        assert cloud.call("GET", f"/v3/role_assignments?{query}").status == 400
    assert cloud.call("GET", "/v3/role_assignments", by="demo").status == 403


def test_implied_roles(cloud: IdentityCloud) -> None:
    rules = cloud.call("GET", "/v3/role_inferences").json["role_inferences"]
    shown = {
        one["prior_role"]["name"]: [role["name"] for role in one["implies"]] for one in rules
    }
    assert shown == {"admin": ["manager"], "manager": ["member"], "member": ["reader"]}
    prior, implied = cloud.make("role", name="prior"), cloud.role_id("reader")
    path = f"/v3/roles/{prior['id']}/implies/{implied}"
    assert cloud.call("GET", path).status == 404
    made = cloud.call("PUT", path)
    assert made.status == 201
    assert made.json["role_inference"]["implies"]["name"] == "reader"
    assert cloud.call("PUT", path).status == 409
    assert cloud.call("HEAD", path).status == 204
    listed = cloud.call("GET", f"/v3/roles/{prior['id']}/implies").json["role_inference"]
    assert [one["name"] for one in listed["implies"]] == ["reader"]
    assert cloud.call("DELETE", path).status == 204
    assert cloud.call("DELETE", path).status == 404
    admin = cloud.role_id("admin")
    assert cloud.call("PUT", f"/v3/roles/{prior['id']}/implies/{admin}").status == 403


def test_groups_and_their_members(cloud: IdentityCloud) -> None:
    group, user = cloud.make("group", name="team"), cloud.make("user", name="mate")
    path = f"/v3/groups/{group['id']}/users/{user['id']}"
    assert cloud.call("HEAD", path).status == 404
    assert cloud.call("PUT", path).status == cloud.call("PUT", path).status == 204
    assert cloud.call("HEAD", path).status == 204
    users = cloud.call("GET", f"/v3/groups/{group['id']}/users").json["users"]
    assert [one["id"] for one in users] == [user["id"]]
    groups = cloud.call("GET", f"/v3/users/{user['id']}/groups").json["groups"]
    assert [one["id"] for one in groups] == [group["id"]]
    assert cloud.call("DELETE", path).status == 204
    assert cloud.call("DELETE", path).status == 404


def test_endpoints_regions_and_services_hang_together(cloud: IdentityCloud) -> None:
    assert cloud.call("PUT", "/v3/regions/North", {"region": {}}).status == 201
    assert cloud.call("POST", "/v3/regions", {"region": {"id": "North"}}).status == 409
    circle = {"region": {"parent_region_id": "North"}}
    assert cloud.call("PATCH", "/v3/regions/North", circle).status == 400
    service = cloud.make("service", type="weather")
    good = {
        "interface": "public", "service_id": service["id"], "region_id": "North",
        "url": "http://w/$(project_id)s",
    }
    for wrong in (
        {"interface": "secret"}, {"service_id": "x"}, {"region_id": "South"},
        {"url": "http://%(password)s"}, {"url": "http://$(x"}, {"url": ""},
    ):
        answer = cloud.call("POST", "/v3/endpoints", {"endpoint": {**good, **wrong}})
        assert (answer.status, next(iter(wrong)) in answer.message) == (400, True), wrong
    endpoint = cloud.make("endpoint", **good)
    assert endpoint["region"] == "North"
    found = cloud.call("GET", f"/v3/endpoints?service_id={service['id']}").json["endpoints"]
    assert found == [endpoint]
    catalog = cloud.call("GET", "/v3/auth/catalog", by="demo").json["catalog"]
    urls = [e["url"] for one in catalog if one["type"] == "weather" for e in one["endpoints"]]
    assert urls == [f"http://w/{cloud.first.demo_project_id}"]
    assert cloud.call("DELETE", "/v3/regions/North").status == 403
    assert cloud.call("DELETE", f"/v3/services/{service['id']}").status == 204
    assert cloud.call("GET", f"/v3/endpoints/{endpoint['id']}").status == 404
    assert cloud.call("DELETE", "/v3/regions/North").status == 204
    assert cloud.call("GET", "/v3/regions", by="demo").status == 200
    assert cloud.call("GET", "/v3/services", by="demo").status == 403
    assert cloud.call("GET", "/v3/services", by="system").status == 200


def test_what_a_member_may_see(cloud: IdentityCloud) -> None:
    user, project = cloud.first.demo_user_id, cloud.first.demo_project_id
    seen = [
        f"/v3/users/{user}", f"/v3/users/{user}/projects", f"/v3/users/{user}/groups",
        f"/v3/projects/{project}", "/v3/domains/default", "/v3/auth/projects",
        f"/v3/users/{user}/application_credentials", f"/v3/users/{user}/credentials/OS-EC2",
        "/v3/credentials",
    ]
    hidden = [
        f"/v3/users/{cloud.first.admin_user_id}", "/v3/users", "/v3/projects", "/v3/roles",
        f"/v3/projects/{cloud.first.admin_project_id}", "/v3/users/nonsense", "/v3/domains",
        "/v3/projects/nonsense", "/v3/groups", "/v3/endpoints", "/v3/role_inferences",
        f"/v3/users/{cloud.first.admin_user_id}/credentials/OS-EC2",
        f"/v3/users/{cloud.first.admin_user_id}/application_credentials",
    ]
    assert {path: cloud.call("GET", path, by="demo").status for path in seen} == dict.fromkeys(
        seen, 200
    )
    assert {path: cloud.call("GET", path, by="demo").status for path in hidden} == dict.fromkeys(
        hidden, 403
    )
    own = cloud.call("GET", "/v3/credentials", by="demo").json["credentials"]
    assert {one["user_id"] for one in own} == {user}
    change = {"user": {"enabled": True}}
    assert cloud.call("PATCH", f"/v3/users/{user}", change, by="demo").status == 403


def signed(access: str, secret: str, when: datetime.datetime) -> dict[str, Any]:
    params = {
        "Action": "DescribeInstances", "AWSAccessKeyId": access, "SignatureVersion": "2",
        "SignatureMethod": "HmacSHA256", "Timestamp": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    request = SignedRequest(
        access=access, signature="", host="cloud:8773", verb="GET", path="/", params=params
    )
    return {
        "access": access, "signature": sign(request, secret), "host": "cloud:8773",
        "verb": "GET", "path": "/", "params": params,
    }


def test_ec2_keys_and_signatures(cloud: IdentityCloud) -> None:
    path = f"/v3/users/{cloud.first.demo_user_id}/credentials/OS-EC2"
    wanted = {"tenant_id": cloud.first.demo_project_id}
    made = cloud.call("POST", path, wanted, by="demo")
    assert made.status == 201
    key = made.json["credential"]
    assert key["links"]["self"].endswith(f"OS-EC2/{key['access']}")
    assert key["trust_id"] is None
    others = f"/v3/users/{cloud.first.admin_user_id}/credentials/OS-EC2"
    assert cloud.call("POST", others, wanted, by="demo").status == 403
    assert cloud.call("POST", path, {"tenant_id": "x"}, by="demo").status == 404
    assert cloud.call("GET", f"{path}/{key['access']}", by="demo").json["credential"] == key
    assert cloud.call("GET", f"{others}/{key['access']}").status == 404

    now = datetime.datetime.now(datetime.UTC)
    good = signed(key["access"], key["secret"], now)
    for where, form in (
        ("/v3/ec2tokens", {"credentials": good}),
        ("/v3/ec2tokens", {"ec2Credentials": good}),
        ("/v3/ec2tokens", {"auth": {"OS-KSEC2:ec2Credentials": good}}),
    ):
        answer = cloud.call("POST", where, form, by=None)
        assert answer.status == 200
        assert answer.json["token"]["project"]["id"] == cloud.first.demo_project_id
        assert answer.json["token"]["methods"] == ["ec2credential"]
        token = answer.headers["X-Subject-Token"]
        assert cloud.call("GET", "/v3/auth/projects", by=token).status == 200
    old = cloud.call("POST", "/v2.0/ec2tokens", {"ec2Credentials": good}, by=None)
    assert old.json["access"]["user"]["name"] == "demo"

    hour = datetime.timedelta(hours=1)
    for bad in (
        {**good, "signature": "x"}, {**good, "verb": "POST"}, {**good, "access": "x"},
        {**good, "signature": None}, signed(key["access"], "other", now),
        signed(key["access"], key["secret"], now - hour),
        signed(key["access"], key["secret"], now + hour), {},
    ):
        answer = cloud.call("POST", "/v3/ec2tokens", {"credentials": bad}, by=None)
        assert answer.status == 401, bad
    assert cloud.call("DELETE", f"{path}/{key['access']}", by="demo").status == 204
    assert cloud.call("POST", "/v3/ec2tokens", {"credentials": good}, by=None).status == 401


def test_a_signature_for_s3_buys_a_stranger_no_token(cloud: IdentityCloud) -> None:
    key = cloud.first.demo_ec2
    assert key is not None
    when = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    for service, status in (("s3", 401), ("ec2", 200)):
        params = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Date": when,
            "X-Amz-Credential": f"{key.access}/{when[:8]}/nova/{service}/aws4_request",
            "X-Amz-SignedHeaders": "host",
        }
        request = SignedRequest(
            access=key.access, signature="", host="s3", verb="GET", path="/a", params=params
        )
        body = {
            "access": key.access, "signature": sign(request, key.secret), "host": "s3",
            "verb": "GET", "path": "/a", "params": params,
        }
        sent = {"credentials": body}
        assert cloud.call("POST", "/v3/ec2tokens", sent, by=None).status == status
        assert cloud.call("POST", "/v3/ec2tokens", sent).status == 200


def login_with(cloud: IdentityCloud, **section: Any) -> Any:
    auth = {
        "identity": {"methods": ["application_credential"], "application_credential": section}
    }
    return cloud.call("POST", "/v3/auth/tokens", {"auth": auth}, by=None)


def test_application_credentials(cloud: IdentityCloud) -> None:
    path = f"/v3/users/{cloud.first.demo_user_id}/application_credentials"

    def make(**values: Any) -> Any:
        return cloud.call("POST", path, {"application_credential": values}, by="demo")

    made = make(name="prögram", roles=[{"name": "reader"}])
    assert made.status == 201
    one = made.json["application_credential"]
    assert [role["name"] for role in one["roles"]] == ["reader"]
    assert (one["unrestricted"], one["expires_at"]) == (False, None)
    assert make(name="prögram").status == 409
    assert make(name="x", roles=[{"name": "admin"}]).status == 400
    assert make(name="x", expires_at="2001-01-01T00:00:00").status == 400
    assert make(name="x", expires_at="soon").status == 400
    others = f"/v3/users/{cloud.first.admin_user_id}/application_credentials"
    body = {"application_credential": {"name": "x"}}
    assert cloud.call("POST", others, body, by="demo").status == 403
    shown = cloud.call("GET", f"{path}/{one['id']}", by="demo").json["application_credential"]
    assert shown == {k: v for k, v in one.items() if k != "secret"}

    answer = login_with(cloud, id=one["id"], secret=one["secret"])
    assert answer.status == 201
    token = answer.json["token"]
    assert [role["name"] for role in token["roles"]] == ["reader"]
    assert token["project"]["name"] == "demo"
    assert token["application_credential"] == {
        "id": one["id"], "name": "prögram", "restricted": True,
    }
    by_name = login_with(
        cloud, name="prögram", user={"name": "demo"}, secret=one["secret"]
    )
    assert by_name.status == 201
    assert login_with(cloud, id=one["id"], secret="wrong").status == 401
    assert login_with(cloud, id="nonsense", secret="wrong").status == 401

    program = answer.headers["X-Subject-Token"]
    assert cloud.call("POST", path, body, by=program).status == 403, "restricted"
    keys = f"/v3/users/{cloud.first.demo_user_id}/credentials/OS-EC2"
    wanted = {"tenant_id": cloud.first.demo_project_id}
    assert cloud.call("POST", keys, wanted, by=program).status == 403
    wider = {
        "identity": {"methods": ["token"], "token": {"id": program}},
        "scope": {"project": {"name": "admin"}},
    }
    assert cloud.call("POST", "/v3/auth/tokens", {"auth": wider}, by=None).status == 401
    assert cloud.call("DELETE", f"{path}/{one['id']}", by="demo").status == 204
    assert cloud.call("GET", "/v3/auth/projects", by=program).status == 401
    assert login_with(cloud, id=one["id"], secret=one["secret"]).status == 401


def test_access_rules_confine_an_application_credential(cloud: IdentityCloud) -> None:
    user = cloud.first.demo_user_id
    path = f"/v3/users/{user}/application_credentials"
    rules = [
        {"service": "identity", "method": "GET", "path": "/v3/auth/*"},
        {"service": "compute", "method": "GET", "path": "/v2.1/**"},
    ]
    values = {"name": "confined", "access_rules": rules, "unrestricted": True}
    made = cloud.call("POST", path, {"application_credential": values}, by="demo")
    assert made.status == 201
    one = made.json["application_credential"]
    token = login_with(cloud, id=one["id"], secret=one["secret"]).headers["X-Subject-Token"]
    assert cloud.call("GET", "/v3/auth/projects", by=token).status == 200
    assert cloud.call("GET", f"/v3/users/{user}", by=token).status == 401
    assert cloud.call("POST", path, {"application_credential": values}, by=token).status == 401
    kept = cloud.call("GET", f"/v3/users/{user}/access_rules", by="demo").json["access_rules"]
    assert {rule["service"] for rule in kept} == {"identity", "compute"}
    rule = f"/v3/users/{user}/access_rules/{kept[0]['id']}"
    assert cloud.call("GET", rule, by="demo").status == 200
    assert cloud.call("DELETE", rule, by="demo").status == 403
    assert cloud.call("DELETE", f"{path}/{one['id']}", by="demo").status == 204
    assert cloud.call("DELETE", rule, by="demo").status == 204
    assert cloud.call("GET", rule, by="demo").status == 404


def test_a_domain_scoped_reader_sees_its_domain_alone(cloud: IdentityCloud) -> None:
    domain = cloud.make("domain", name="reading")["id"]
    reader = cloud.make("user", name="leser", password="pw", domain_id=domain)
    role = cloud.role_id("reader")
    grant = f"/v3/domains/{domain}/users/{reader['id']}/roles/{role}"
    assert cloud.call("PUT", grant).status == 204
    answer = cloud.try_login({"id": reader["id"], "password": "pw"}, {"domain": {"id": domain}})
    token = answer.headers["X-Subject-Token"]
    users = cloud.call("GET", "/v3/users", by=token).json["users"]
    assert [one["name"] for one in users] == ["leser"]
    assert cloud.call("GET", "/v3/projects", by=token).json["projects"] == []
    assert [d["id"] for d in cloud.call("GET", "/v3/domains", by=token).json["domains"]] == [
        domain
    ]
    found = cloud.call("GET", "/v3/role_assignments", by=token).json["role_assignments"]
    assert [one["user"]["id"] for one in found] == [reader["id"]]
    assert cloud.call("GET", f"/v3/users/{cloud.first.demo_user_id}", by=token).status == 403
    body = {"user": {"name": "x", "domain_id": domain}}
    assert cloud.call("POST", "/v3/users", body, by=token).status == 403
