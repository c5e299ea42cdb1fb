# SPDX-License-Identifier: Apache-2.0
"""``os-services`` and ``os-availability-zone``."""

from __future__ import annotations

import datetime

import pytest

from nova.db.engine import Database
from nova.db.schema.base import now
from nova.objects.host import HostReport, Service
from nova.objects.migration import Migration
from tests.unit.api.conftest import Api, Told, message, same_shape, sample
from tests.unit.db.instance_rows import instance_row
from tests.unit.db.service_rows import reported

ROOT = "/os-services"
SAMPLE = "v2.1/os-services/"


@pytest.fixture
def services(db: Database) -> dict[str, Service]:
    """A scheduler, a compute service that is up and one that is not."""
    with db.write() as tx:
        made = {
            "scheduler": reported(tx, "nova-scheduler", "ctl", "scheduler", now()),
            "host1": reported(tx, "nova-compute", "host1", "compute", now()),
            "host2": reported(
                tx, "nova-compute", "host2", "compute", now() - datetime.timedelta(minutes=5)
            ),
        }
        tx.nodes.report(HostReport(
            host="host1", hypervisor_hostname="host1", host_ip="1.1.1.1", hypervisor_type="fake",
            hypervisor_version=1000, vcpus=2, memory_mb=8192, local_gb=1028,
        ))
    return made


def _service(api: Api, host: str, at: int = 90) -> dict[str, object]:
    (found,) = api.get(f"{ROOT}?host={host}", at=at).json["services"]
    assert isinstance(found, dict)
    return found


@pytest.mark.usefixtures("services")
@pytest.mark.parametrize("at, folder", [
    (1, SAMPLE), (11, f"{SAMPLE}v2.11/"), (53, f"{SAMPLE}v2.53/"),
])
def test_the_list_at_its_versions(api: Api, at: int, folder: str) -> None:
    answer = api.get(ROOT, at=at)
    same_shape(answer.json, sample(f"{folder}services-list-get-resp.json"))


@pytest.mark.usefixtures("services")
def test_v2_lists_with_all_kilo_extensions(api: Api) -> None:
    first = api.get(ROOT, at="v2").json["services"][0]
    assert set(first) == {
        "id", "binary", "host", "zone", "status", "state", "updated_at", "disabled_reason",
    }


@pytest.mark.usefixtures("services")
def test_state_zone_and_filters(api: Api, db: Database) -> None:
    with db.write() as tx:
        zone = tx.aggregates.create("rack", "zürich")
        tx.aggregates.add_host(zone.id, "host1")
    listed = api.get(ROOT).json["services"]
    assert [(each["state"], each["zone"]) for each in listed] == [
        ("up", "internal"), ("up", "zürich"), ("down", "nova"),
    ]
    assert len(api.get(f"{ROOT}?binary=nova-compute").json["services"]) == 2
    assert api.get(f"{ROOT}?host=host1&binary=nova-scheduler").json["services"] == []
    assert api.get(f"{ROOT}?other=1", at=74).status_code == 200
    assert api.get(f"{ROOT}?other=1", at=75).status_code == 400


@pytest.mark.usefixtures("services")
@pytest.mark.parametrize("at", [1, 11, 52, "v2"])
def test_old_forms_of_the_update(api: Api, told: Told, at: int | str) -> None:
    named = {"host": "host1", "binary": "nova-compute"}
    disabled = api.put(f"{ROOT}/disable", named, at=at)
    same_shape(disabled.json, sample(f"{SAMPLE}service-disable-put-resp.json"))
    assert _service(api, "host1")["status"] == "disabled"
    reason = api.put(f"{ROOT}/disable-log-reason", {**named, "disabled_reason": "ümbau"}, at=at)
    assert reason.json["service"]["disabled_reason"] == "ümbau"
    assert _service(api, "host1")["disabled_reason"] == "ümbau"
    enabled = api.put(f"{ROOT}/enable", named, at=at)
    same_shape(enabled.json, sample(f"{SAMPLE}service-enable-put-resp.json"))
    assert _service(api, "host1")["status"] == "enabled"
    assert _service(api, "host1")["disabled_reason"] is None
    assert told.services == 3


@pytest.mark.usefixtures("services")
def test_force_down_until_2_52(api: Api) -> None:
    body = {"host": "host1", "binary": "nova-compute", "forced_down": "true"}
    assert api.put(f"{ROOT}/force-down", body, at=10).status_code == 400
    named = {"host": "host1", "binary": "nova-compute"}
    assert api.put(f"{ROOT}/force-down", named, at=10).status_code == 404
    assert api.put(f"{ROOT}/force-down", named, at=11).status_code == 400
    answer = api.put(f"{ROOT}/force-down", body, at=11)
    same_shape(answer.json, sample(f"{SAMPLE}v2.11/service-force-down-put-resp.json"))
    assert answer.json["service"]["forced_down"] is True
    assert _service(api, "host1")["state"] == "down"
    assert api.put(f"{ROOT}/force-down", {**body, "forced_down": False}, at=52).status_code == 200
    assert _service(api, "host1")["state"] == "up"


@pytest.mark.usefixtures("services")
@pytest.mark.parametrize("path, body, at, status", [
    ("disable", {"host": "host1"}, 1, 400),
    ("disable", {"host": "no", "binary": "nova-compute"}, 1, 404),
    ("disable", {"host": "ctl", "binary": "nova-scheduler"}, 1, 400),
    ("disable", {"host": "ctl", "binary": "nova-scheduler"}, "v2", 200),
    ("disable", {"host": "no host!", "binary": "nova-compute"}, 1, 400),
    ("disable", {"host": "host1", "binary": "nova-compute", "x": 1}, 1, 400),
    ("disable", {"host": "host1", "binary": "nova-compute", "x": 1}, "v2", 200),
    ("disable", ["host1"], 1, 400),
    ("disable-log-reason", {"host": "host1", "binary": "nova-compute"}, 1, 400),
    ("disable-log-reason",
     {"host": "host1", "binary": "nova-compute", "disabled_reason": "x" * 256}, 1, 400),
    ("explode", {"host": "host1", "binary": "nova-compute"}, 1, 404),
    ("disable", {"status": "disabled"}, 53, 400),
])
def test_refusals_of_updates(
    api: Api, path: str, body: object, at: int | str, status: int
) -> None:
    answer = api.put(f"{ROOT}/{path}", body, at=at)
    assert answer.status_code == status
    if status != 200:
        assert message(answer)


def test_updates_by_uuid(api: Api, services: dict[str, Service], told: Told) -> None:
    path = f"{ROOT}/{services['host1'].uuid}"
    answer = api.put(path, {"status": "disabled", "disabled_reason": "maintenance"}, at=53)
    same_shape(answer.json, sample(f"{SAMPLE}v2.53/service-disable-log-put-resp.json"))
    assert answer.json["service"]["disabled_reason"] == "maintenance"
    forced = api.put(path, {"forced_down": True}, at=53).json["service"]
    assert (forced["state"], forced["status"], forced["forced_down"]) == ("down", "disabled", True)
    both = api.put(path, {"status": "enabled", "forced_down": "off"}, at=104).json["service"]
    assert (both["state"], both["status"], both["disabled_reason"]) == ("up", "enabled", None)
    assert told.services == 3


def test_refusals_by_uuid(api: Api, services: dict[str, Service]) -> None:
    path = f"{ROOT}/{services['host1'].uuid}"
    for body in (
        {}, {"status": "enabled", "disabled_reason": "x"}, {"status": "on"},
        {"disabled_reason": "x"}, {"forced_down": "maybe"}, {"host": "host1"},
    ):
        assert api.put(path, body, at=53).status_code == 400, body
    assert _service(api, "host1")["status"] == "enabled"
    other = f"{ROOT}/{services['scheduler'].uuid}"
    assert api.put(other, {"status": "disabled"}, at=53).status_code == 400
    missing = f"{ROOT}/00000000-0000-0000-0000-000000000000"
    assert api.put(missing, {"status": "disabled"}, at=53).status_code == 404
    assert api.put(path, {"status": "disabled"}, at=53, token="member").status_code == 403


def test_a_host_with_open_evacuations_is_not_forced_up(
    api: Api, db: Database, services: dict[str, Service]
) -> None:
    with db.write() as tx:
        tx.migrations.create(Migration(
            0, "", "a" * 36, None, "evacuation", "done", source_compute="host1",
        ))
    path = f"{ROOT}/{services['host1'].uuid}"
    assert api.put(path, {"forced_down": True}, at=53).status_code == 200
    refused = api.put(path, {"forced_down": False}, at=53)
    assert refused.status_code == 400
    assert "evacuation" in message(refused)
    body = {"host": "host1", "binary": "nova-compute", "forced_down": False}
    assert api.put(f"{ROOT}/force-down", body, at=11).status_code == 400


def test_a_service_is_deleted_with_its_host(
    api: Api, db: Database, services: dict[str, Service]
) -> None:
    with db.write() as tx:
        aggregate = tx.aggregates.create("rack")
        tx.aggregates.add_host(aggregate.id, "host1")
    answer = api.delete(f"{ROOT}/{services['host1'].uuid}", at=53)
    assert answer.status_code == 204
    with db.read() as tx:
        assert tx.services.get_by_host("nova-compute", "host1") is None
        assert tx.nodes.by_host("host1") == []
        assert tx.aggregates.get(aggregate.id).hosts == ()
    assert api.delete(f"{ROOT}/{services['host2'].id}", at="v2").status_code == 204


@pytest.mark.parametrize("at", [1, 53])
def test_a_busy_host_stays(
    api: Api, db: Database, services: dict[str, Service], at: int
) -> None:
    service = services["host1"]
    path = f"{ROOT}/{service.uuid if at == 53 else service.id}"
    with db.write() as tx:
        move = tx.migrations.create(Migration(
            0, "", "a" * 36, None, "resize", "finished", source_compute="host1",
        ))
    assert api.delete(path, at=at).status_code == 409
    with db.write() as tx:
        tx.migrations.update(move.id, "confirmed")
        tx.instances.create([instance_row("a" * 36, host="host1")])
    assert api.delete(path, at=at).status_code == 409
    assert _service(api, "host1")


@pytest.mark.parametrize("path, at, status", [
    ("x", 1, 400), ("99999999999999999999", 1, 400), ("77", 1, 404), ("1", 53, 400),
    ("00000000-0000-0000-0000-000000000000", 53, 404), ("%C3%BC", 1, 400), ("%C2%B2", 1, 400),
])
def test_deleting_what_is_not_there(api: Api, path: str, at: int, status: int) -> None:
    assert api.delete(f"{ROOT}/{path}", at=at).status_code == status


def test_zones(api: Api, db: Database, services: dict[str, Service]) -> None:
    with db.write() as tx:
        zone = tx.aggregates.create("rack", "zürich")
        tx.aggregates.add_host(zone.id, "host1")
        tx.services.set_disabled(services["host1"].id, True)
    listed = api.get("/os-availability-zone", token="reader").json
    assert listed == {"availabilityZoneInfo": [
        {"zoneName": "nova", "zoneState": {"available": True}, "hosts": None},
        {"zoneName": "zürich", "zoneState": {"available": False}, "hosts": None},
    ]}
    detail = api.get("/os-availability-zone/detail").json["availabilityZoneInfo"]
    assert [each["zoneName"] for each in detail] == ["internal", "nova", "zürich"]
    assert detail[1]["hosts"]["host2"]["nova-compute"]["available"] is False
    assert detail[2]["hosts"] is None
    same_shape(
        detail[0]["hosts"]["ctl"]["nova-scheduler"],
        sample("v2.1/os-availability-zone/availability-zone-detail-resp.json")
        ["availabilityZoneInfo"][0]["hosts"]["scheduler"]["nova-scheduler"],
    )
    assert api.get("/os-availability-zone/detail", token="member").status_code == 403
    assert api.get("/os-availability-zone?x=1", at=102).status_code == 400
