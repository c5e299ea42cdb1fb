# SPDX-License-Identifier: Apache-2.0
"""Users, projects, roles, groups, domains and tokens through the unmodified public clients."""

from __future__ import annotations

from typing import Any

from tests.api.cloud_process import CloudProcess
from tests.api.public_clients import Commands


def test_a_new_user_of_a_new_project_logs_in_and_works(
    cloud: CloudProcess, admin: Commands, demo: Commands
) -> None:
    project = admin.json("project", "create", "--description", "说明", "--tag", "t1", "项目 1")
    user = admin.json(
        "user", "create", "--password", "gehéim 密", "--project", "项目 1", "--email", "x@x.test",
        "小明",
    )
    try:
        login = ("--os-username", "小明", "--os-password", "gehéim 密", "--os-project-name", "项目 1")
        assert "401" in demo.refused(*login, "server", "list")
        admin("role", "add", "--user", "小明", "--project", "项目 1", "member")
        assert demo.json(*login, "server", "list") == []
        issued = demo.json(*login, "token", "issue")
        assert (issued["user_id"], issued["project_id"]) == (user["id"], project["id"])
        assignments = admin.json("role", "assignment", "list", "--names", "--user", "小明")
        assert [(each["Role"], each["Project"]) for each in assignments] == [
            ("member", "项目 1@Default")
        ]
        assert "403" in demo.refused(*login, "project", "create", "no")
        demo(*login, "user", "password", "set", "--original-password", "gehéim 密",
             "--password", "neu")
        assert "401" in demo.refused(*login, "server", "list")
        login = (*login[:3], "neu", *login[4:])
        assert demo.json(*login, "server", "list") == []
        admin("user", "set", "--disable", "小明")
        assert "401" in demo.refused(*login, "server", "list")
        admin("user", "set", "--enable", "--name", "大明", "小明")
        assert admin.json("user", "show", "大明")["email"] == "x@x.test"
        admin("role", "remove", "--user", "大明", "--project", "项目 1", "member")
        admin("project", "set", "--name", "项目 2", "--disable", "项目 1")
        assert admin.json("project", "show", "项目 2")["enabled"] is False
        assert "409" in admin.refused("project", "create", "项目 2")
    finally:
        admin("user", "delete", user["id"])
        admin("project", "delete", project["id"])
    assert "No Project found" in admin.refused("project", "show", "项目 2")


def test_groups_roles_and_domains(admin: Commands) -> None:
    admin("domain", "create", "--description", "d", "域")
    group = admin.value("group", "create", "--domain", "域", "组")
    admin("user", "create", "--domain", "域", "--password", "p", "成员")
    admin("role", "create", "rolle")
    try:
        admin("group", "add", "user", "--group-domain", "域", "--user-domain", "域", "组", "成员")
        found = admin("group", "contains", "user", "--group-domain", "域", "--user-domain", "域",
                      "组", "成员")
        assert "成员 in group 组" in found
        # The client looks for a group's name in the default domain only.
        members = admin.json("user", "list", "--group", group, "--domain", "域")
        assert [each["Name"] for each in members] == ["成员"]
        admin("role", "add", "--group", "组", "--group-domain", "域", "--domain", "域", "rolle")
        (row,) = admin.json("role", "assignment", "list", "--domain", "域", "--names")
        assert (row["Role"], row["Group"], row["Domain"]) == ("rolle", "组@域", "域")
        effective = admin.json(
            "role", "assignment", "list", "--domain", "域", "--names", "--effective"
        )
        assert [each["User"] for each in effective] == ["成员@域"]
        admin("group", "remove", "user", "--group-domain", "域", "--user-domain", "域", "组", "成员")
        found = admin.run("group", "contains", "user", "--group-domain", "域",
                          "--user-domain", "域", "组", "成员").errors
        assert "成员 not in group 组" in found
        assert {"admin", "member", "reader", "rolle"} <= set(
            admin("role", "list", "-f", "value", "-c", "Name").split()
        )
        assert "403" in admin.refused("domain", "delete", "域")
    finally:
        admin("role", "delete", "rolle")
        admin("domain", "set", "--disable", "域")
        admin("domain", "delete", "域")
    assert admin("domain", "list", "-f", "value", "-c", "Name").split() == ["Default"]


def test_application_credentials_and_ec2_keys(
    cloud: CloudProcess, demo: Commands, admin: Commands
) -> None:
    made = demo.json("application", "credential", "create", "--role", "reader", "nur lesen")
    project = cloud.login("demo")[1]
    secret = {name.lower(): value for name, value in made.items()}
    facts = cloud.environment("demo")
    listed = demo.python(
        "import json, sys, openstack\n"
        "c = openstack.connection.Connection(auth_type='v3applicationcredential', auth=dict(\n"
        "    auth_url=sys.argv[1], application_credential_id=sys.argv[2],\n"
        "    application_credential_secret=sys.argv[3]), region_name='RegionOne')\n"
        "print(json.dumps([c.current_project_id, [s.name for s in c.compute.servers()]]))",
        facts["OS_AUTH_URL"], secret["id"], secret["secret"],
    )
    assert listed == [project, []]
    demo("application", "credential", "delete", "nur lesen")
    key = demo.json("ec2", "credentials", "create")
    assert key["project_id"] == project
    keys = demo("ec2", "credentials", "list", "-f", "value", "-c", "Access").split()
    assert key["access"] in keys
    demo("ec2", "credentials", "delete", key["access"])
    assert key["access"] not in demo("ec2", "credentials", "list", "-f", "value", "-c", "Access")


def test_a_plain_member_who_names_no_domain_gets_a_token(cloud: CloudProcess) -> None:
    facts = cloud.environment("demo")
    name, password = facts["OS_USERNAME"], facts["OS_PASSWORD"]
    old = cloud.call("identity", "POST", "/v2.0/tokens", {"auth": {
        "tenantName": "demo", "passwordCredentials": {"username": name, "password": password},
    }}, by=None)
    assert old.status == 200, old.body
    access = old.json["access"]
    assert access["token"]["tenant"]["name"] == "demo"
    assert {each["type"] for each in access["serviceCatalog"]} >= {"compute", "image", "identity"}
    new = cloud.call("identity", "POST", "/v3/auth/tokens", {"auth": {
        "identity": {"methods": ["password"],
                     "password": {"user": {"name": name, "password": password}}},
        "scope": {"project": {"name": "demo"}},
    }}, by=None)
    assert new.status == 201, new.body
    assert new.json["token"]["user"]["domain"]["id"] == "default"
    tokens: list[Any] = [access["token"]["id"], new.headers["X-Subject-Token"]]
    for token in tokens:
        shown = cloud.call("compute", "GET", "/v2.1/servers", by=token)
        assert shown.status == 200
        legacy = cloud.call(
            "compute", "GET", f"/v2/{access['token']['tenant']['id']}/servers", by=token
        )
        assert legacy.status == 200
    wrong = cloud.call("identity", "POST", "/v2.0/tokens", {"auth": {
        "tenantName": "demo", "passwordCredentials": {"username": name, "password": "wrong"},
    }}, by=None)
    assert wrong.status == 401


def test_services_and_their_endpoints(admin: Commands, demo: Commands) -> None:
    catalog = {each["Type"]: each["Endpoints"] for each in demo.json("catalog", "list")}
    assert {"compute", "image", "identity"} <= set(catalog)
    assert {each["interface"] for each in catalog["compute"]} == {"public", "internal", "admin"}
    made = admin.json("service", "create", "--name", "s3", "--description", "d", "object-store-x")
    try:
        endpoint = admin.json(
            "endpoint", "create", "--region", "RegionOne", "object-store-x", "public",
            "http://127.0.0.1:1/%(project_id)s",
        )
        shown = {each["Type"]: each for each in demo.json("catalog", "list")}["object-store-x"]
        project = demo.value("token", "issue", column="project_id")
        assert shown["Endpoints"][0]["url"] == f"http://127.0.0.1:1/{project}"
        admin("endpoint", "delete", endpoint["id"])
    finally:
        admin("service", "delete", made["id"])
