# SPDX-License-Identifier: Apache-2.0
"""``os-floating-ips`` with pools and bulk."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from falcon.testing import TestClient

from nova.api.compute.app import make_compute_app
from nova.api.compute.cloud import Cloud
from nova.api.network.pools import pools
from nova.compute.limit_cache import LimitCache
from nova.db.engine import Database
from nova.network import floating
from nova.network.cards import AllocationRequest
from tests.unit.api.conftest import (
    OTHER_PROJECT,
    PROJECT,
    Api,
    FixedTokens,
    message,
    same_shape,
    sample,
)
from tests.unit.db.instance_rows import instance_row

ROOT = "/os-floating-ips"
BULK = "/os-floating-ips-bulk"
SERVER = "15835b6f-1e14-4cfa-9f66-1abea1a1c0d5"


@pytest.fixture
def pool(api: Api) -> None:
    for ip_range, name in (("10.10.10.0/29", "nova"), ("10.10.20.1", "pööl")):
        body = {"floating_ips_bulk_create": {"ip_range": ip_range, "pool": name}}
        assert api.post(BULK, body).status_code == 200


def _used(db: Database, project: str = PROJECT) -> int:
    with db.read() as tx:
        return tx.quotas.usage(project).floating_ips


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("at", [1, 35, "v2"])
def test_take_and_give_back(api: Api, db: Database, at: int | str) -> None:
    folder = "kilo-v2/os-extended-floating-ips/"
    same_shape(api.get(ROOT, at=at).json, sample(f"{folder}floating-ips-list-empty-resp.json"))
    made = api.post(ROOT, {"pool": "nova"}, at=at, token="member")
    assert made.status_code == 200
    same_shape(made.json, sample(f"{folder}floating-ips-create-resp.json"))
    second = api.request("POST", ROOT, at=at, token="member")
    assert second.json["floating_ip"]["pool"] == "nova"
    assert api.post(ROOT, {"pool": None}, at=at, token="member").status_code == 200
    assert _used(db) == 3
    listed = api.get(ROOT, at=at, token="reader")
    same_shape(listed.json, sample(f"{folder}floating-ips-list-resp.json"))
    assert len(listed.json["floating_ips"]) == 3
    path = f"{ROOT}/{made.json['floating_ip']['id']}"
    same_shape(api.get(path, at=at).json, sample(f"{folder}floating-ips-get-resp.json"))
    assert api.get(path, at=at, token="other").status_code == 404
    assert api.delete(path, at=at, token="other").status_code == 404
    assert api.delete(path, at=at, token="reader").status_code == 403
    answer = api.delete(path, at=at, token="member")
    assert (answer.status_code, answer.content) == (202, b"")
    assert _used(db) == 2
    assert api.get(path, at=at).status_code == 404


@pytest.mark.usefixtures("pool")
def test_a_pool_is_named_by_the_uuid_of_its_network_too(api: Api, db: Database) -> None:
    with db.read() as tx:
        identifier = next(each.uuid for each in pools(tx) if each.name == "pööl")
    made = api.post(ROOT, {"pool": identifier}, token="member")
    assert made.json["floating_ip"]["pool"] == "pööl"
    unknown = {"pool": "00000000-0000-4000-8000-000000000000"}
    assert api.post(ROOT, unknown, token="member").status_code == 404


@pytest.mark.usefixtures("pool")
def test_refusals(api: Api, db: Database) -> None:
    assert api.post(ROOT, {"pool": "unknown"}).status_code == 404
    assert api.post(ROOT, {"pool": "pööl"}).status_code == 200
    assert api.post(ROOT, {"pool": "pööl"}).status_code == 404
    bodies: list[Any] = [{"pool": ""}, {"pool": 1}, []]
    for body in bodies:
        assert api.post(ROOT, body).status_code == 400, body
    for path in ("x", "0", "99", "9" * 30, "%C2%B2", "-1"):
        assert api.get(f"{ROOT}/{path}").status_code == 404
        assert api.delete(f"{ROOT}/{path}").status_code == 404
    assert _used(db) == 1


@pytest.mark.usefixtures("pool")
def test_the_quota_holds(cloud: Cloud, db: Database) -> None:
    quota = dataclasses.replace(cloud.config.quota, floating_ips=1)
    small = dataclasses.replace(cloud, limits=LimitCache(db, quota))
    api = Api(TestClient(make_compute_app(small, FixedTokens(), "http://id.example.com")))
    assert api.post(ROOT).status_code == 200
    refused = api.post(ROOT)
    assert refused.status_code == 403
    assert "Quota" in message(refused)
    assert len(api.get(ROOT).json["floating_ips"]) == 1


@pytest.mark.usefixtures("pool")
def test_giving_back_takes_the_address_off_its_server(
    api: Api, cloud: Cloud, db: Database
) -> None:
    api.post("/os-networks", {"network": {"label": "n", "cidr": "10.0.0.0/28"}})
    taken = api.post(ROOT).json["floating_ip"]
    with db.write() as tx:
        tx.instances.create([instance_row(SERVER, project_id=PROJECT, host="compute")])
        request = AllocationRequest(
            instance_uuid=SERVER, project_id=PROJECT, host="compute", requested=None
        )
        cloud.networks.allocate_many(tx, [request])
        change = floating.associate(tx, PROJECT, taken["ip"], SERVER, "compute")
        cloud.operations.refresh_addresses(tx, change.instances)
    shown = api.get(f"{ROOT}/{taken['id']}").json["floating_ip"]
    assert shown["instance_id"] == SERVER
    assert shown["fixed_ip"].startswith("10.0.0.")
    on_host = api.get(f"{BULK}/compute").json["floating_ip_info"]
    assert [each["address"] for each in on_host] == [taken["ip"]]
    assert api.put(f"{BULK}/delete", {"ip_range": taken["ip"]}).status_code == 409
    assert api.delete(f"{ROOT}/{taken['id']}").status_code == 202
    with db.read() as tx:
        server = tx.instances.get(SERVER)
        assert server is not None
        assert server.network_info[0].addresses[0].floating == ()
    assert api.get(f"{BULK}/compute").status_code == 404


@pytest.mark.usefixtures("pool")
def test_pools(api: Api) -> None:
    answer = api.get("/os-floating-ip-pools", token="reader")
    same_shape(answer.json, sample("v2.1/os-floating-ip-pools/floatingippools-list-resp.json"))
    assert answer.json == {"floating_ip_pools": [{"name": "nova"}, {"name": "pööl"}]}


def test_bulk(api: Api, db: Database) -> None:
    folder = "v2.1/os-floating-ips-bulk/"
    body = sample(f"{folder}floating-ips-bulk-create-req.json")
    made = api.post(BULK, body)
    assert made.json == sample(f"{folder}floating-ips-bulk-create-resp.json")
    same_shape(api.get(BULK).json, sample(f"{folder}floating-ips-bulk-list-resp.json"))
    assert api.post(BULK, body).status_code == 409
    plain = api.post(BULK, {"floating_ips_bulk_create": {"ip_range": "10.1.1.1"}})
    assert plain.json["floating_ips_bulk_create"] == {
        "ip_range": "10.1.1.1", "pool": "nova", "interface": "eth0",
    }
    api.post(ROOT)
    gone = api.put(f"{BULK}/delete", {"ip_range": "192.168.1.0/24"})
    assert gone.json == sample(f"{folder}floating-ips-bulk-delete-resp.json")
    assert _used(db) == 0
    assert len(api.get(BULK).json["floating_ip_info"]) == 1


@pytest.mark.parametrize("body", [
    {}, {"floating_ips_bulk_create": {}}, {"floating_ips_bulk_create": {"ip_range": "x"}},
    {"floating_ips_bulk_create": {"ip_range": "10.0.0.0/31"}},
    {"floating_ips_bulk_create": {"ip_range": "fd00::1%\ninterface=eth0"}},
    {"floating_ips_bulk_create": {"ip_range": "10.0.0.0/4"}},
    {"floating_ips_bulk_create": {"ip_range": "10.0.0.0/29", "pool": ""}},
    {"floating_ips_bulk_create": {"ip_range": "10.0.0.0/29", "x": ""}},
    {"floating_ips_bulk_create": {"ip_range": 7}},
])
def test_bad_bulk_bodies(api: Api, body: Any) -> None:
    assert api.post(BULK, body).status_code == 400
    assert api.get(BULK).json == {"floating_ip_info": []}


def test_bad_bulk_deletes(api: Api) -> None:
    assert api.put(f"{BULK}/explode", {"ip_range": "10.0.0.1"}).status_code == 404
    assert api.put(f"{BULK}/delete", {"ip_range": "x"}).status_code == 400
    assert api.put(f"{BULK}/delete", {}).status_code == 400
    assert api.put(f"{BULK}/delete", {"ip_range": "10.0.0.1"}).status_code == 200
    assert api.get(BULK, token="member").status_code == 403


@pytest.mark.usefixtures("pool")
def test_bulk_deletes_count_for_each_project(api: Api, db: Database) -> None:
    api.post(ROOT, token="member")
    api.post(ROOT, token="other")
    assert (_used(db), _used(db, OTHER_PROJECT)) == (1, 1)
    api.put(f"{BULK}/delete", {"ip_range": "10.10.10.0/29"})
    assert (_used(db), _used(db, OTHER_PROJECT)) == (0, 0)


def test_gone_from_2_36(api: Api) -> None:
    for path in (ROOT, BULK, "/os-floating-ip-pools", f"{ROOT}/1"):
        assert api.get(path, at=36).status_code == 404
