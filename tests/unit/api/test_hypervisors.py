# SPDX-License-Identifier: Apache-2.0
"""``os-hypervisors`` and ``os-hosts``."""

from __future__ import annotations

from typing import Any

import pytest

from nova.db.engine import Database
from nova.db.schema.base import now
from nova.objects.host import HostReport
from tests.unit.api.conftest import Api, Told, same_shape, sample
from tests.unit.db.instance_rows import instance_row
from tests.unit.db.service_rows import reported

ROOT = "/os-hypervisors"
SAMPLE = "v2.1/os-hypervisors/"
CPU = {"arch": "x86_64", "model": "Nehalem", "vendor": "Intel", "features": ["pge"],
       "topology": {"cores": 1, "threads": 1, "sockets": 4}}


@pytest.fixture
def nodes(db: Database) -> list[Any]:
    """Two hosts; the first has a server of 1 CPU, 512 MiB, 1 GiB that is in a task."""
    with db.write() as tx:
        for host in ("host1", "host2"):
            reported(tx, "nova-compute", host, "compute", now())
            tx.nodes.report(HostReport(
                host=host, hypervisor_hostname=f"{host}.example.org", host_ip="1.1.1.1",
                hypervisor_type="fake", hypervisor_version=1000, vcpus=2, memory_mb=8192,
                local_gb=1028, reserved_memory_mb=512, cpu_info=CPU, disk_available_least=0,
                uptime=" 08:32:11 up 93 days" if host == "host1" else None,
            ))
        tx.nodes.report(HostReport(
            host="orphan", hypervisor_hostname="orphan", host_ip="1.1.1.1",
            hypervisor_type="fake", hypervisor_version=1000, vcpus=2, memory_mb=8192,
            local_gb=1028,
        ))
        tx.instances.create([instance_row(
            "a" * 36, host="host1", project_id="pröject", task_state="rebooting", ephemeral_gb=2,
        )])
        first = tx.nodes.by_host("host1")[0]
        tx.claims.claim("a" * 36, "instance", first.id, 1, 512, 3)
        return tx.nodes.list()


def _detail(api: Api, node: Any, at: int = 1) -> dict[str, Any]:
    answer = api.get(f"{ROOT}/{node.uuid if at >= 53 else node.id}", at=at)
    assert answer.status_code == 200, answer.text
    found = answer.json["hypervisor"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("at, folder", [
    (1, ""), (28, "v2.28/"), (33, "v2.33/"), (53, "v2.53/"), (88, "v2.88/"),
])
def test_the_keys_of_each_version(api: Api, nodes: list[Any], at: int, folder: str) -> None:
    paged = "?limit=1" if at >= 33 else ""
    same_shape(
        api.get(f"{ROOT}{paged}", at=at).json, sample(f"{SAMPLE}{folder}hypervisors-list-resp.json")
    )
    same_shape(
        api.get(f"{ROOT}/detail{paged}", at=at).json,
        sample(f"{SAMPLE}{folder}hypervisors-detail-resp.json"),
    )
    if at != 33:
        wanted = sample(f"{SAMPLE}{folder}hypervisors-show-resp.json")["hypervisor"]
        same_shape(_detail(api, nodes[0], at), wanted)
    if at in (1, 28, 53):
        same_shape(
            api.get(f"{ROOT}/statistics", at=at).json,
            sample(f"{SAMPLE}{folder}hypervisors-statistics-resp.json"),
        )
        name = nodes[0].uuid if at == 53 else nodes[0].id
        same_shape(
            api.get(f"{ROOT}/{name}/uptime", at=at).json,
            sample(f"{SAMPLE}{folder}hypervisors-uptime-resp.json"),
        )


def test_v2_is_as_2_1(api: Api, nodes: list[Any]) -> None:
    listed = api.get(f"{ROOT}/detail", at="v2").json["hypervisors"]
    same_shape(listed, sample(f"{SAMPLE}hypervisors-detail-resp.json")["hypervisors"])
    assert len(listed) == 2


def test_what_is_used_includes_what_the_host_keeps(api: Api, nodes: list[Any]) -> None:
    shown = _detail(api, nodes[0])
    assert (shown["memory_mb_used"], shown["free_ram_mb"]) == (1024, 7168)
    assert (shown["local_gb_used"], shown["free_disk_gb"]) == (3, 1025)
    assert (shown["vcpus_used"], shown["current_workload"]) == (1, 1)
    assert (shown["state"], shown["status"]) == ("up", "enabled")
    assert shown["cpu_info"].startswith("{")
    assert _detail(api, nodes[0], 28)["cpu_info"] == CPU
    sums = api.get(f"{ROOT}/statistics").json["hypervisor_statistics"]
    assert (sums["count"], sums["memory_mb_used"], sums["vcpus"]) == (2, 1536, 4)
    assert sums["current_workload"] == 1


def test_disabled_and_down(api: Api, db: Database, nodes: list[Any]) -> None:
    with db.write() as tx:
        service = tx.services.get_by_host("nova-compute", "host2")
        assert service is not None
        tx.services.set_disabled(service.id, True, "bröken")
        tx.services.set_forced_down(service.id, True)
    shown = _detail(api, nodes[1])
    assert (shown["state"], shown["status"]) == ("down", "disabled")
    assert shown["service"]["disabled_reason"] == "bröken"
    assert api.get(f"{ROOT}/statistics").json["hypervisor_statistics"]["count"] == 1


def test_pages(api: Api, nodes: list[Any]) -> None:
    for at in (33, 53):
        first = api.get(f"{ROOT}?limit=1", at=at).json
        query = first["hypervisors_links"][0]["href"].partition("?")[2]
        second = api.get(f"{ROOT}?{query}", at=at).json
        names = [each["hypervisor_hostname"] for each in
                 [*first["hypervisors"], *second["hypervisors"]]]
        assert names == ["host1.example.org", "host2.example.org"]
    assert len(api.get(f"{ROOT}?limit=1", at=32).json["hypervisors"]) == 2


@pytest.mark.usefixtures("nodes")
def test_search_until_2_52(api: Api) -> None:
    found = api.get(f"{ROOT}/host1.ex/search")
    assert [each["hypervisor_hostname"] for each in found.json["hypervisors"]] == [
        "host1.example.org"
    ]
    assert api.get(f"{ROOT}/nothing/search").status_code == 404
    assert api.get(f"{ROOT}/host/servers").json["hypervisors"][0]["servers"] == [
        {"name": "instance-00000001", "uuid": "a" * 36}
    ]
    assert "servers" not in api.get(f"{ROOT}/host/servers").json["hypervisors"][1]
    assert api.get(f"{ROOT}/host1/search", at=53).status_code == 404
    assert api.get(f"{ROOT}/host1/servers", at=53).status_code == 404


@pytest.mark.usefixtures("nodes")
def test_search_from_2_53(api: Api) -> None:
    query = "?hypervisor_hostname_pattern=host&with_servers=true"
    first, second = api.get(ROOT + query, at=53).json["hypervisors"]
    assert first["servers"][0]["uuid"] == "a" * 36
    assert "servers" not in second
    assert api.get(ROOT + query, at=75).json["hypervisors"][1]["servers"] == []
    assert "servers" not in api.get(ROOT, at=75).json["hypervisors"][0]
    assert api.get(f"{ROOT}?hypervisor_hostname_pattern=no", at=53).status_code == 404
    assert api.get(f"{ROOT}?hypervisor_hostname_pattern=host%25", at=53).status_code == 400


@pytest.mark.usefixtures("nodes")
@pytest.mark.parametrize("path, at, status", [
    ("/1", 53, 400), ("/00000000-0000-0000-0000-000000000000", 53, 404), ("/99", 1, 404),
    ("/x", 1, 404), ("/99999999999999999999", 1, 404), ("/3", 1, 404), ("/2/uptime", 1, 501),
    ("?marker=99", 33, 400), ("?marker=x", 53, 400),
    ("?marker=" + "9" * 5000, 33, 400), ("/" + "9" * 5000, 1, 404), ("/-1", 1, 404), ("/²", 1, 404),
    ("?limit=-1", 33, 400), ("?x=1", 52, 200),
    ("?x=1", 53, 400), ("?with_servers=perhaps", 53, 400), ("/statistics", 88, 404),
    ("/1/uptime", 88, 404), ("?hypervisor_hostname_pattern=h&limit=1", 53, 400),
])
def test_refusals(api: Api, path: str, at: int, status: int) -> None:
    assert api.get(ROOT + path, at=at).status_code == status


@pytest.mark.usefixtures("nodes")
@pytest.mark.parametrize("path", ["", "/detail", "/1", "/statistics", "/1/uptime", "/h/search"])
def test_administrators_only(api: Api, path: str) -> None:
    assert api.get(ROOT + path, token="member").status_code == 403


@pytest.mark.usefixtures("nodes")
def test_hosts(api: Api) -> None:
    listed = api.get("/os-hosts")
    same_shape(listed.json, sample("v2.1/os-hosts/hosts-list-resp.json"))
    assert [each["host_name"] for each in listed.json["hosts"]] == ["host1", "host2"]
    assert api.get("/os-hosts?zone=elsewhere").json == {"hosts": []}
    shown = api.get("/os-hosts/host1").json
    same_shape(shown, sample("v2.1/os-hosts/host-get-resp.json"))
    by_project = {each["resource"]["project"]: each["resource"] for each in shown["host"]}
    assert by_project["(total)"]["memory_mb"] == 8192
    assert by_project["(used_now)"]["memory_mb"] == 1024
    assert by_project["(used_max)"]["disk_gb"] == 3
    assert by_project["pröject"] == {
        "host": "host1", "project": "pröject", "cpu": 1, "memory_mb": 512, "disk_gb": 3,
    }


@pytest.mark.usefixtures("nodes")
def test_hosts_are_gone_from_2_43(api: Api) -> None:
    assert api.get("/os-hosts", at=42).status_code == 200
    assert api.get("/os-hosts", at="v2").status_code == 200
    for path in ("", "/host1", "/host1/reboot"):
        assert api.get(f"/os-hosts{path}", at=43).status_code == 404
    assert api.put("/os-hosts/host1", {"status": "enable"}, at=43).status_code == 404


@pytest.mark.usefixtures("nodes")
def test_enabling_hosts(api: Api, told: Told) -> None:
    assert api.put("/os-hosts/host1", {"status": "Disable"}).json == {
        "host": "host1", "status": "disabled",
    }
    assert [each["host_name"] for each in api.get("/os-hosts").json["hosts"]] == ["host2"]
    assert api.put("/os-hosts/host1", {"status": "enable"}).json["status"] == "enabled"
    assert told.services == 2
    both = {"status": "disable", "maintenance_mode": "enable"}
    assert api.put("/os-hosts/host1", both).status_code == 501
    assert len(api.get("/os-hosts").json["hosts"]) == 2
    for body in ({}, {"status": "maybe"}, {"x": 1}, {"status": "enable", "x": 1}):
        assert api.put("/os-hosts/host1", body).status_code == 400, body
    assert api.put("/os-hosts/no", {"status": "enable"}).status_code == 404
    assert api.get("/os-hosts/no").status_code == 404
    assert api.get("/os-hosts/host1/reboot").status_code == 501
    assert api.get("/os-hosts/no/shutdown").status_code == 404
