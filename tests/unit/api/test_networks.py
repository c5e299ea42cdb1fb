# SPDX-License-Identifier: Apache-2.0
"""``os-networks``, ``os-tenant-networks``, ``os-fixed-ips``, ``os-virtual-ips``."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest

from nova.api.compute.cloud import Cloud
from nova.db.engine import Database
from nova.network.cards import AllocationRequest
from tests.unit.api.conftest import OTHER_PROJECT, PROJECT, Api, Told, message, same_shape, sample
from tests.unit.db.instance_rows import instance_row

ROOT = "/os-networks"
SERVER = "15835b6f-1e14-4cfa-9f66-1abea1a1c0d5"
ALL_KEYS = {
    "id", "cidr", "netmask", "gateway", "broadcast", "dns1", "dns2", "cidr_v6", "gateway_v6",
    "label", "netmask_v6",
}


def _make(api: Api, label: str = "nët", cidr: str = "10.20.105.0/24", **more: Any) -> Any:
    answer = api.post(ROOT, {"network": {"label": label, "cidr": cidr, **more}})
    assert answer.status_code == 200, answer.text
    return answer.json["network"]


def _boot(cloud: Cloud, db: Database, project: str = PROJECT, uuid: str = SERVER) -> Any:
    """A server with its addresses."""
    with db.write() as tx:
        tx.instances.create([
            instance_row(uuid, project_id=project, host="compute", hostname="höst")
        ])
        request = AllocationRequest(
            instance_uuid=uuid, project_id=project, host="compute", requested=None
        )
        (vifs,) = cloud.networks.allocate_many(tx, [request])
        assert isinstance(vifs, tuple), vifs
        tx.instances.update(uuid, {"network_info": vifs})
    return vifs


@pytest.mark.parametrize("at, folder", [
    (1, "v2.1/os-networks/"), ("v2", "kilo-v2/os-extended-networks/"),
])
def test_the_samples(api: Api, told: Told, at: int | str, folder: str) -> None:
    body = sample(f"{folder}network-create-req.json")
    made = api.post(ROOT, body, at=at)
    assert made.status_code == 200
    same_shape(made.json, sample(f"{folder}network-create-resp.json"))
    assert told.networks == 1
    network = made.json["network"]
    assert (network["mtu"], network["enable_dhcp"], network["dhcp_server"]) == (
        9000, False, "10.20.105.2",
    )
    same_shape(api.get(ROOT, at=at).json, sample(f"{folder}networks-list-resp.json"))
    shown = api.get(f"{ROOT}/{network['id']}", at=at)
    same_shape(shown.json, sample(f"{folder}network-show-resp.json"))
    answer = api.delete(f"{ROOT}/{network['id']}", at=at)
    assert (answer.status_code, answer.content) == (202, b"")
    assert api.get(f"{ROOT}/{network['id']}", at=at).status_code == 404


def test_members_see_less_and_only_their_own(api: Api) -> None:
    mine = _make(api, "mine", "10.1.0.0/28", project_id=PROJECT)
    shared = _make(api, "shared", "10.2.0.0/28")
    other = _make(api, "other", "10.3.0.0/28", project_id=OTHER_PROJECT)
    listed = api.get(ROOT, token="reader").json["networks"]
    assert [each["label"] for each in listed] == ["mine", "shared"]
    assert set(listed[0]) == ALL_KEYS
    assert api.get(f"{ROOT}/{shared['id']}", token="member").status_code == 200
    assert api.get(f"{ROOT}/{other['id']}", token="member").status_code == 404
    assert api.get(f"{ROOT}/{mine['id']}", token="other").status_code == 404
    assert len(api.get(ROOT).json["networks"]) == 3
    for method, path, body in (
        ("POST", ROOT, {"network": {"label": "x", "cidr": "10.9.0.0/28"}}),
        ("DELETE", f"{ROOT}/{mine['id']}", None),
        ("POST", f"{ROOT}/{mine['id']}/action", {"disassociate": None}),
        ("POST", f"{ROOT}/add", {"id": None}),
    ):
        assert api.request(method, path, body=body, token="member").status_code == 403, path


@pytest.mark.parametrize("network, status", [
    ({}, 400), ({"label": "x"}, 400), ({"cidr": "10.0.0.0/24"}, 400),
    ({"label": "", "cidr": "10.0.0.0/24"}, 400), ({"label": "x", "cidr": "ten"}, 400),
    ({"label": "x", "cidr": "10.0.0.0/33"}, 400), ({"label": "x", "cidr": "10.0.0.0/31"}, 400),
    ({"label": "x", "cidr": "10.0.0.0/8"}, 400), ({"label": "x", "cidr": "10.1.0.0/25"}, 409),
    ({"label": "x", "cidr": "10.9.0.0/24", "gateway": "1.2.3"}, 400),
    ({"label": "x", "cidr": "10.9.0.0/24", "vlan": 5000}, 400),
    ({"label": "x", "cidr": "10.9.0.0/24", "mtu": 0}, 400),
    ({"label": "x", "cidr": "10.9.0.0/24", "multi_host": "perhaps"}, 400),
    ({"label": "x", "cidr": "10.9.0.0/24", "colour": "red"}, 400),
    ({"label": "x", "cidr": "10.9.0.0/24", "vlan": 10**30}, 400),
    ({"label": "x" * 256, "cidr": "10.9.0.0/24"}, 400), ([], 400), (None, 400),
])
def test_refused_networks(api: Api, network: Any, status: int) -> None:
    _make(api, "there", "10.1.0.0/24")
    answer = api.post(ROOT, {"network": network})
    assert answer.status_code == status, answer.text
    assert message(answer)
    assert len(api.get(ROOT).json["networks"]) == 1


def test_text_forms_of_numbers_and_truth(api: Api) -> None:
    made = _make(api, vlan="401", mtu="1500", multi_host="True", priority="7")
    assert (made["vlan"], made["mtu"], made["multi_host"], made["priority"]) == (
        401, 1500, True, 7,
    )
    assert made["bridge"] == "br401"
    six = api.post(ROOT, {"network": {"label": "six", "cidr_v6": "fd00:1::/64"}})
    assert six.json["network"]["gateway_v6"] == "fd00:1::1"


def test_several_subnets_share_a_vlan(api: Api) -> None:
    first = _make(api, "a", "10.1.0.0/24", vlan=401)
    second = _make(api, "b", "10.2.0.0/24", vlan=401)
    assert first["bridge"] == second["bridge"] == "br401"


def test_networks_in_use_stay(api: Api, cloud: Cloud, db: Database) -> None:
    network = _make(api)
    _boot(cloud, db)
    path = f"{ROOT}/{network['id']}"
    assert api.delete(path).status_code == 409
    assert api.post(f"{path}/action", {"disassociate_project": None}).status_code == 202
    assert api.delete(path).status_code == 409
    assert api.delete(f"{ROOT}/nothing").status_code == 404


def test_binding_and_unbinding(api: Api) -> None:
    network = _make(api, project_id=PROJECT)
    path = f"{ROOT}/{network['id']}"
    assert api.delete(path).status_code == 409
    answer = api.post(f"{path}/action", {"associate_host": "höst1"})
    assert (answer.status_code, answer.content) == (202, b"")
    assert api.get(path).json["network"]["host"] == "höst1"
    api.post(f"{path}/action", {"disassociate_host": None})
    assert api.get(path).json["network"]["host"] is None
    assert api.get(path).json["network"]["project_id"] == PROJECT
    api.post(f"{path}/action", {"associate_host": "h"})
    api.post(f"{path}/action", {"disassociate": None})
    shown = api.get(path).json["network"]
    assert (shown["host"], shown["project_id"]) == (None, None)
    for body in ({}, {"explode": None}, {"associate_host": ""}, {"associate_host": 1},
                 {"disassociate": None, "disassociate_host": None}):
        assert api.post(f"{path}/action", body).status_code == 400, body
    missing = f"{ROOT}/00000000-0000-0000-0000-000000000000/action"
    assert api.post(missing, {"disassociate": None}).status_code == 404


def test_adding_a_network_to_the_project(api: Api) -> None:
    _make(api, "a", "10.1.0.0/28")
    named = _make(api, "b", "10.2.0.0/28")
    assert api.post(f"{ROOT}/add", {"id": named["id"]}).status_code == 202
    assert api.get(f"{ROOT}/{named['id']}").json["network"]["project_id"] == PROJECT
    assert api.post(f"{ROOT}/add", {"id": named["id"]}).status_code == 400
    assert api.post(f"{ROOT}/add", {"id": None}).status_code == 202
    assert api.post(f"{ROOT}/add", {"id": None}).status_code == 400
    assert api.post(f"{ROOT}/add", {"id": "1"}).status_code == 400
    assert api.post(f"{ROOT}/add", {}).status_code == 400


def test_gone_from_2_36(api: Api) -> None:
    for path in (ROOT, f"{ROOT}/x", "/os-tenant-networks", "/os-fixed-ips/10.0.0.1"):
        assert api.get(path, at=36).status_code == 404
    body = {"network": {"label": "x", "cidr": "10.1.0.0/28"}}
    assert api.post(ROOT, body, at=36).status_code == 404
    assert api.post(ROOT, body, at=35).status_code == 200


def test_networks_of_projects(api: Api) -> None:
    tenant = "/os-tenant-networks"
    body = {"network": {"label": "public", "cidr": "172.0.0.0/24", "num_networks": 1,
                        "network_size": 255}}
    made = api.post(tenant, body, token="member")
    same_shape(made.json, sample("v2.1/os-tenant-networks/networks-post-res.json"))
    listed = api.get(tenant, token="member")
    same_shape(listed.json, sample("v2.1/os-tenant-networks/networks-list-res.json"))
    path = f"{tenant}/{made.json['network']['id']}"
    assert api.get(path, token="member").json == made.json
    assert api.get(path, token="other").status_code == 404
    assert api.delete(path, token="other").status_code == 404
    assert api.delete(path, token="reader").status_code == 403
    assert api.delete(path, token="member").status_code == 202
    shared = _make(api, "shared", "10.2.0.0/28")
    assert api.delete(f"{tenant}/{shared['id']}", token="member").status_code == 404
    for network, status in (
        ({"label": "x"}, 400), ({"label": "x", "cidr": "10.0.0.0/31"}, 400),
        ({"label": "x", "cidr": "no"}, 400), ({"label": "x", "cidr": "10.2.0.0/28"}, 409),
        ({"label": "x", "cidr": "10.0.0.0/24", "num_networks": 10**12}, 400),
        ({"label": "x", "cidr": "10.0.0.0/24", "vlan_start": 1}, 403),
    ):
        answer = api.post(tenant, {"network": network}, token="member")
        assert answer.status_code == status, network


def test_fixed_ips(api: Api, cloud: Cloud, db: Database, told: Told) -> None:
    _make(api)
    (vif,) = _boot(cloud, db)
    address = vif.addresses[0].address
    shown = api.get(f"/os-fixed-ips/{address}")
    same_shape(shown.json, sample("v2.1/os-fixed-ips/fixedips-get-resp.json"))
    assert shown.json["fixed_ip"] == {
        "address": address, "cidr": "10.20.105.0/24", "hostname": "höst", "host": "compute",
    }
    free = "/os-fixed-ips/10.20.105.77"
    assert api.get(free, at=4).json["fixed_ip"] == {
        "address": "10.20.105.77", "cidr": "10.20.105.0/24", "hostname": None, "host": None,
        "reserved": False,
    }
    assert api.post(f"{free}/action", {"reserve": None}).status_code == 202
    assert api.get(free, at=4).json["fixed_ip"]["reserved"] is True
    assert api.post(f"{free}/action", {"unreserve": ""}).status_code == 202
    assert api.get(free, at=4).json["fixed_ip"]["reserved"] is False
    assert told.networks == 3
    for body in ({}, {"explode": None}, {"reserve": None, "unreserve": None}):
        assert api.post(f"{free}/action", body).status_code == 400
    assert api.post("/os-fixed-ips/10.20.105.1/action", {"unreserve": None}).status_code == 409
    for path, status in (("x", 400), ("10.20.105", 400), ("10.99.0.1", 404), ("::1", 404)):
        assert api.get(f"/os-fixed-ips/{path}").status_code == status
        body = {"reserve": None}
        assert api.post(f"/os-fixed-ips/{path}/action", body).status_code == status
    assert api.get(free, token="member").status_code == 403


@pytest.mark.parametrize("at, file", [
    (1, "v2.1/os-virtual-interfaces/vifs-list-resp.json"),
    (12, "v2.1/os-virtual-interfaces/v2.12/vifs-list-resp.json"),
    ("v2", "kilo-v2/OS-EXT-VIF-NET/vifs-list-resp.json"),
])
def test_virtual_interfaces(
    api: Api, cloud: Cloud, db: Database, at: int | str, file: str
) -> None:
    network = _make(api)
    (vif,) = _boot(cloud, db)
    path = f"/servers/{SERVER}/os-virtual-interfaces"
    answer = api.get(path, at=at, token="reader").json
    same_shape(answer, sample(file))
    (shown,) = answer["virtual_interfaces"]
    assert (shown["id"], shown["mac_address"]) == (vif.id, vif.mac)
    if at != 1:
        assert network["id"] in shown.values()
    assert api.get(f"{path}?offset=1", at=at).json == {"virtual_interfaces": []}
    assert api.get(f"{path}?limit=x", at=at).status_code == 400
    assert api.get(path, at=at, token="other").status_code == 404
    assert api.get(path, at=44).status_code == 404


def test_virtual_ips(api: Api) -> None:
    network = _make(api, "n", "10.7.0.0/26")["id"]
    root = "/os-virtual-ips"
    free = api.get(f"{root}?network_id={network}", token="member", at=104).json["virtual_ips"]
    assert len(free) == 5
    assert {each["status"] for each in free} == {"free"}
    body = {"virtual_ip": {"network_id": network, "name": "wëb", "address": free[1]["address"]}}
    made = api.post(root, body, token="member", at=104)
    assert made.status_code == 201
    assert made.json == {"virtual_ip": {
        "address": free[1]["address"], "network_id": network, "project_id": PROJECT,
        "name": "wëb", "status": "claimed", "instances": [],
    }}
    assert api.post(root, body, token="other").status_code == 400
    del body["virtual_ip"]["address"]
    first = api.post(root, body, token="other", at="v2").json["virtual_ip"]
    assert first["address"] == free[0]["address"]
    assert len(api.get(root, token="member").json["virtual_ips"]) == 4
    assert len(api.get(root).json["virtual_ips"]) == 5
    path = f"{root}/{network}/{first['address']}"
    assert api.delete(path, token="member").status_code == 404
    assert api.delete(path, token="other").status_code == 204
    assert api.delete(path, token="other").status_code == 404
    assert api.delete(f"{root}/{network}/{free[1]['address']}").status_code == 204
    assert len(api.get(root, token="other").json["virtual_ips"]) == 5


def test_refused_virtual_ips(api: Api) -> None:
    network = _make(api, "n", "10.7.0.0/26")["id"]
    other = _make(api, "o", "10.8.0.0/26", project_id=OTHER_PROJECT)["id"]
    small = _make(api, "s", "10.9.0.0/28")["id"]
    root = "/os-virtual-ips"
    for fields, status in (
        ({}, 400), ({"network_id": network}, 400), ({"network_id": network, "name": ""}, 400),
        ({"network_id": network, "name": "x", "address": "ten"}, 400),
        ({"network_id": network, "name": "x", "address": "10.7.0.5"}, 404),
        ({"network_id": other, "name": "x"}, 404), ({"network_id": "no", "name": "x"}, 404),
        ({"network_id": small, "name": "x"}, 409),
        ({"network_id": network, "name": "x", "colour": 1}, 400),
        ({"network_id": network, "name": "x", "instances": ["no uuid"]}, 400),
        ({"network_id": network, "name": "x", "instances": [str(uuid.uuid4())]}, 400),
    ):
        answer = api.post(root, {"virtual_ip": fields}, token="member")
        assert answer.status_code == status, fields
    body = {"virtual_ip": {"network_id": network, "name": "x"}}
    assert api.post(root, body, token="reader").status_code == 403
    assert api.get(f"{root}?network_id=no").status_code == 404
    assert api.get(f"{root}?network_id={other}", token="member").status_code == 404
    assert api.delete(f"{root}/{network}/ten").status_code == 400
    assert api.get(f"{root}?x=1", at=102).status_code == 400


def test_an_address_in_use_elsewhere_shows_who_and_when(api: Api, db: Database) -> None:
    _make(api)
    with db.write() as tx:
        row = tx.fixed_ips.get("10.20.105.77")
        tx.probes.record({row.id: "52:54:00:AA:BB:CC"}, datetime.datetime(2026, 1, 2, 3, 4, 5))
    shown = api.get("/os-fixed-ips/10.20.105.77").json["fixed_ip"]
    assert shown["used_elsewhere"] == {"mac": "52:54:00:aa:bb:cc", "seen_at": "2026-01-02T03:04:05"}
    with db.write() as tx:
        tx.probes.record({row.id: None}, datetime.datetime(2026, 1, 2, 4, 4, 5))
    assert "used_elsewhere" not in api.get("/os-fixed-ips/10.20.105.77").json["fixed_ip"]
