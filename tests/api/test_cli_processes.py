# SPDX-License-Identifier: Apache-2.0
"""The public programs as processes of their own, and the libraries in their own interpreter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.api.cloud_process import CloudProcess
from tests.api.public_clients import Commands

Boot = Callable[..., str]


def test_versions_are_discovered(cloud: CloudProcess, demo: Commands) -> None:
    shown = demo.program("openstack", "versions", "show", "-f", "json")
    assert shown.status == 0, shown.errors
    newest = {
        each["Service Type"]: each for each in shown.json if each["Status"] == "CURRENT"
    }
    assert newest["compute"]["Min Microversion"] == "2.1"
    assert newest["compute"]["Max Microversion"] == "2.104"
    assert newest["compute"]["Endpoint"] == cloud.url("compute") + "/v2.1/"
    assert newest["identity"]["Version"].startswith("3.")
    assert newest["image"]["Endpoint"] == cloud.url("image") + "/v2/"


def test_the_interactive_mode_runs_one_command_after_another(
    demo: Commands, boot: Boot
) -> None:
    uuid = boot("交互")
    done = demo.program(
        "openstack",
        stdin=f"server show {uuid} -f value -c name\nserver show nirgends\nflavor list\nexit\n",
    )
    assert "交互" in done.output
    assert "m1.tiny" in done.output
    assert "No Server found for nirgends" in done.errors


def test_wrong_credentials_end_in_one_clear_line(demo: Commands) -> None:
    for arguments in (["--os-password", "wrong"], ["--os-project-name", "nirgends"]):
        refused = demo.program("openstack", *arguments, "server", "list")
        assert refused.status == 1
        assert len(refused.errors.strip().splitlines()) == 1
        assert "401" in refused.errors


def test_the_older_nova_program(cloud: CloudProcess, demo: Commands, boot: Boot) -> None:
    uuid = boot("旧", nic="auto")
    listed = demo.program("nova", "list")
    assert listed.status == 0, listed.errors
    assert uuid in listed.output
    assert "private=10.0." in listed.output
    shown = demo.program("nova", "show", uuid)
    assert "旧" in shown.output
    assert "ACTIVE" in shown.output
    old = demo.program("nova", "--os-compute-api-version", "2.1", "show", uuid)
    assert old.status == 0, old.errors
    stopped = demo.program("nova", "stop", uuid)
    assert stopped.status == 0, stopped.errors
    cloud.until(uuid, "SHUTOFF")
    missing = demo.program("nova", "show", "nirgends")
    assert missing.status == 1
    assert "No server with a name or ID of 'nirgends' exists" in missing.errors


def test_keystoneauth_finds_each_service_by_itself(cloud: CloudProcess, demo: Commands) -> None:
    found: Any = demo.python(
        "import json, os\n"
        "from keystoneauth1 import discover, loading, session\n"
        "from keystoneauth1.identity import generic\n"
        "e = os.environ\n"
        "auth = generic.Password(auth_url=e['OS_AUTH_URL'].removesuffix('/v3'),\n"
        "    username=e['OS_USERNAME'], password=e['OS_PASSWORD'],\n"
        "    project_name=e['OS_PROJECT_NAME'], user_domain_id='default',\n"
        "    project_domain_id='default')\n"
        "s = session.Session(auth)\n"
        "data = {t: s.get_endpoint_data(service_type=t, discover_versions=True)\n"
        "        for t in ('compute', 'image', 'identity')}\n"
        "print(json.dumps([\n"
        "    {t: [d.url, list(d.api_version or ()), list(d.max_microversion or ())]\n"
        "     for t, d in data.items()},\n"
        "    s.get_project_id(),\n"
        "    [v['id'] for v in discover.Discover(s, e['OS_AUTH_URL'].removesuffix('/v3'))\n"
        "        .raw_version_data()],\n"
        "    s.get('/servers', endpoint_filter={'service_type': 'compute'},\n"
        "          microversion='latest', microversion_service_type='compute').json(),\n"
        "]))\n"
    )
    data, project, identity, servers = found
    assert data["compute"] == [cloud.url("compute") + "/v2.1/", [2, 1], [2, 104]]
    assert data["identity"][0].rstrip("/") == cloud.url("identity") + "/v3"
    assert data["image"][0].startswith(cloud.url("image"))
    assert project == cloud.login("demo")[1]
    assert {each.split(".")[0] for each in identity} == {"v3", "v2"}
    assert "servers" in servers


def test_the_sdk_works_by_the_clouds_file(cloud: CloudProcess, demo: Commands) -> None:
    found = demo.python(
        "import json, openstack\n"
        "c = openstack.connect(cloud='demo')\n"
        "image, flavor = c.image.find_image('nova-test'), c.compute.find_flavor('m1.tiny')\n"
        "s = c.compute.create_server(name='軟體', image_id=image.id, flavor_id=flavor.id,\n"
        "    networks='none', metadata={'k': '值'}, tags=['標'])\n"
        "s = c.compute.wait_for_server(s, interval=0.2, wait=20)\n"
        "c.compute.set_server_metadata(s, more='二')\n"
        "c.compute.stop_server(s)\n"
        "c.compute.wait_for_server(s, status='SHUTOFF', interval=0.2, wait=20)\n"
        "found = c.compute.find_server('軟體', details=True)\n"
        "metadata = c.compute.get_server_metadata(s).metadata\n"
        "actions = [a.action for a in c.compute.server_actions(s)]\n"
        "limits = c.compute.get_limits().absolute.total_instances_used\n"
        "c.compute.delete_server(s)\n"
        "c.compute.wait_for_delete(s, interval=0.2, wait=20)\n"
        "print(json.dumps([found.name, found.status, metadata, actions, limits,\n"
        "    c.list_servers(), c.current_project.name]))\n",
        OS_CLIENT_CONFIG_FILE=str(cloud.state / "clouds.yaml"),
    )
    name, status, metadata, actions, used, servers, project = found
    assert (name, status) == ("軟體", "SHUTOFF")
    assert metadata == {"k": "值", "more": "二"}
    assert actions == ["stop", "create"]
    assert used == 1
    assert servers == []
    assert project == "demo"
