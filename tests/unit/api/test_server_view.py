# SPDX-License-Identifier: Apache-2.0
"""How servers are shown, at every version and to whom."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pytest

from nova.api.compute.servers_view import SERVER
from nova.api.compute.versions import MAXIMUM
from nova.compute.host_id import host_id
from nova.db.engine import Database
from nova.objects.instance import BlockDevice, Fault
from tests.unit.api.conftest import OTHER_PROJECT, PROJECT, Api, same_shape, sample
from tests.unit.api.server_rows import MOMENT, add_servers, server_row
from tests.unit.db.service_rows import reported

_GROUP = "11111111-1111-4111-8111-111111111111"


def shown(api: Api, uuid: str, **options: Any) -> dict[str, Any]:
    answer = api.get(f"/servers/{uuid}", **options)
    assert answer.status_code == 200, answer.text
    server: dict[str, Any] = answer.json["server"]
    return server


@pytest.mark.parametrize(
    ("at", "key", "token"),
    [
        (3, "OS-EXT-SRV-ATTR:user_data", "admin"), (3, "OS-EXT-SRV-ATTR:hostname", "admin"),
        (3, "OS-EXT-SRV-ATTR:launch_index", "admin"), (9, "locked", "member"),
        (16, "host_status", "admin"), (19, "description", "member"), (26, "tags", "member"),
        (63, "trusted_image_certificates", "member"), (71, "server_groups", "member"),
        (73, "locked_reason", "member"), (90, "OS-EXT-SRV-ATTR:hostname", "member"),
        (96, "pinned_availability_zone", "member"), (100, "scheduler_hints", "member"),
    ],
)
def test_a_key_appears_at_its_version_and_not_before(
    server_api: Api, db: Database, at: int, key: str, token: str
) -> None:
    (uuid,) = add_servers(db, server_row())
    assert key not in shown(server_api, uuid, at=at - 1, token=token)
    assert key in shown(server_api, uuid, at=at, token=token)
    assert key in shown(server_api, uuid, at=MAXIMUM, token=token)


@pytest.mark.parametrize(
    "key",
    [
        "OS-EXT-SRV-ATTR:host", "OS-EXT-SRV-ATTR:hypervisor_hostname",
        "OS-EXT-SRV-ATTR:instance_name", "OS-EXT-SRV-ATTR:user_data", "host_status",
    ],
)
def test_what_administrators_alone_may_see(server_api: Api, db: Database, key: str) -> None:
    (uuid,) = add_servers(db, server_row())
    for at in (1, 3, 16, 75, MAXIMUM):
        assert key not in shown(server_api, uuid, at=at)
    assert key in shown(server_api, uuid, at=MAXIMUM, token="admin")


@pytest.mark.parametrize(
    ("folder", "at"),
    [
        ("servers", 1), ("servers/v2.3", 3), ("servers/v2.9", 9), ("servers/v2.16", 16),
        ("servers/v2.19", 19), ("servers/v2.47", 47), ("servers/v2.52", 52),
        ("servers/v2.63", 63), ("servers/v2.71", 71), ("servers/v2.73", 73),
        ("servers/v2.90", 90), ("servers/v2.96", 96),
        ("servers/v2.98", 98), ("servers/v2.100", 100),
    ],
)
def test_a_server_has_the_keys_of_the_public_sample(
    server_api: Api, db: Database, folder: str, at: int
) -> None:
    wanted = sample(f"v2.1/{folder}/server-get-resp.json")["server"]
    volumes = tuple(
        BlockDevice(source_type="volume", destination_type="volume", volume_id=f"v{number}")
        for number in (1, 2)
    )
    (uuid,) = add_servers(db, server_row(block_devices=volumes, metadata={"a": "b"}))
    token = "admin" if "OS-EXT-SRV-ATTR:host" in wanted else "member"
    found = shown(server_api, uuid, at=at, token=token)
    assert set(found) == set(wanted)
    for key in set(wanted) - {
        "metadata", "addresses", "flavor", "image", "scheduler_hints", "server_groups", "tags",
    }:
        same_shape(found[key], wanted[key], key)
    assert set(found["flavor"]) == set(wanted["flavor"])
    assert set(found["image"]) == set(wanted["image"])
    (addresses,) = found["addresses"].values()
    (wanted_addresses,) = wanted["addresses"].values()
    assert set(addresses[0]) == set(wanted_addresses[0])


def test_the_legacy_api_shows_what_kilo_showed(server_api: Api, db: Database) -> None:
    wanted = sample("kilo-v2/all_extensions/server-get-resp.json")["server"]
    (uuid,) = add_servers(db, server_row())
    found = shown(server_api, uuid, at="v2", token="admin")
    assert set(found) == set(wanted)
    assert found["links"][0]["href"].endswith(f"/v2/{PROJECT}/servers/{uuid}")
    assert found["links"][1]["href"].endswith(f"/{PROJECT}/servers/{uuid}")
    assert "/v2/" not in found["links"][1]["href"]


def test_times_have_the_forms_that_clients_know(server_api: Api, db: Database) -> None:
    (uuid,) = add_servers(db, server_row())
    found = shown(server_api, uuid)
    assert found["created"] == found["updated"] == "2026-01-02T03:04:05Z"
    assert found["OS-SRV-USG:launched_at"] == "2026-01-02T03:04:05.678901"
    assert found["OS-SRV-USG:terminated_at"] is None


def test_addresses_are_grouped_by_network_with_floating_ones(
    server_api: Api, db: Database
) -> None:
    (uuid,) = add_servers(db, server_row())
    assert shown(server_api, uuid)["addresses"] == {
        "private": [
            {
                "addr": "10.0.0.2", "version": 4, "OS-EXT-IPS:type": "fixed",
                "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:00:00:01",
            },
            {
                "addr": "203.0.113.7", "version": 4, "OS-EXT-IPS:type": "floating",
                "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:00:00:01",
            },
        ]
    }
    answer = server_api.get(f"/servers/{uuid}/ips/private").json
    assert answer == {
        "private": [
            {"addr": "10.0.0.2", "version": 4}, {"addr": "203.0.113.7", "version": 4},
        ]
    }


def test_a_server_that_is_being_built(server_api: Api, db: Database) -> None:
    (uuid,) = add_servers(
        db,
        server_row(
            vm_state="building", task_state="spawning", host=None, launched_at=None,
            availability_zone="west", security_groups=[], power_state=0,
        ),
    )
    found = shown(server_api, uuid, at=MAXIMUM, token="admin")
    assert found["status"] == "BUILD"
    assert found["addresses"] == {}
    assert found["hostId"] == ""
    assert found["OS-EXT-AZ:availability_zone"] == "west"
    assert found["host_status"] == ""
    assert "security_groups" not in found


def test_progress_and_fault_are_shown_in_their_states_only(
    server_api: Api, db: Database
) -> None:
    fault = Fault(500, "No valid host was found.", MOMENT, "Traceback")
    failed, running, stopped = add_servers(
        db, server_row(vm_state="error", fault=fault), server_row(fault=fault),
        server_row(vm_state="stopped"),
    )
    found = shown(server_api, failed)
    assert found["fault"] == {
        "code": 500, "message": "No valid host was found.", "created": "2026-01-02T03:04:05Z",
    }
    assert "progress" not in found
    assert shown(server_api, failed, token="admin")["fault"]["details"] == "Traceback"
    assert "fault" not in shown(server_api, running)
    assert shown(server_api, running)["progress"] == 0
    assert "progress" not in shown(server_api, stopped)


def test_details_of_a_fault_of_the_users_own_making(server_api: Api, db: Database) -> None:
    fault = Fault(400, "Bad image.", MOMENT, "It has no disk.")
    (uuid,) = add_servers(db, server_row(vm_state="error", fault=fault))
    assert shown(server_api, uuid)["fault"]["details"] == "It has no disk."


def test_hosts_are_told_apart_without_their_names(server_api: Api, db: Database) -> None:
    (uuid,) = add_servers(db, server_row())
    found = shown(server_api, uuid)
    assert found["hostId"] == host_id(PROJECT, "host1")
    assert len(found["hostId"]) == 56


def test_a_server_booted_from_a_volume_has_no_image(server_api: Api, db: Database) -> None:
    (uuid,) = add_servers(db, server_row(image_ref="", image_properties=None))
    assert shown(server_api, uuid, at=1)["image"] == ""
    assert shown(server_api, uuid, at=98)["image"] == ""


def test_only_properties_that_compute_knows_are_shown_of_an_image(
    server_api: Api, db: Database
) -> None:
    (uuid,) = add_servers(db, server_row())
    assert "properties" not in shown(server_api, uuid, at=97)["image"]
    assert shown(server_api, uuid, at=98)["image"]["properties"] == {"architecture": "x86_64"}


def test_servers_of_others_are_not_there(server_api: Api, db: Database) -> None:
    (uuid,) = add_servers(db, server_row(project_id=OTHER_PROJECT))
    assert server_api.get(f"/servers/{uuid}").status_code == 404
    assert server_api.get(f"/servers/{uuid}", token="admin").status_code == 200
    assert server_api.get("/servers/nonsense").status_code == 404
    assert server_api.get("/servers/%C3%A4%00").status_code == 404


def test_a_change_shows_at_once_although_answers_are_kept(
    server_api: Api, db: Database
) -> None:
    (uuid,) = add_servers(db, server_row())
    assert shown(server_api, uuid)["name"] == "web"
    with db.write() as tx:
        tx.instances.update(uuid, {"name": "wäb 漢"})
    assert shown(server_api, uuid)["name"] == "wäb 漢"
    listed = server_api.get("/servers/detail").json["servers"]
    assert [server["name"] for server in listed] == ["wäb 漢"]


def test_a_member_never_gets_what_was_rendered_for_an_administrator(
    server_api: Api, db: Database
) -> None:
    (uuid,) = add_servers(db, server_row())
    for token in ("admin", "member", "admin", "reader"):
        found = shown(server_api, uuid, at=MAXIMUM, token=token)
        assert ("OS-EXT-SRV-ATTR:host" in found) == (token == "admin")


def test_the_zone_is_that_of_the_host(server_api: Api, db: Database, cloud: Any) -> None:
    inside, outside = add_servers(db, server_row(host="h1"), server_row(host="h2"))
    with db.write() as tx:
        aggregate = tx.aggregates.create("west", "west-1")
        tx.aggregates.add_host(aggregate.id, "h1")
    assert shown(server_api, inside)["OS-EXT-AZ:availability_zone"] == "west-1"
    assert shown(server_api, outside)["OS-EXT-AZ:availability_zone"] == "nova"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "UP"), ({"age": 3600}, "UNKNOWN"), ({"disabled": True}, "MAINTENANCE"),
        ({"forced_down": True}, "DOWN"),
    ],
)
def test_the_status_of_the_host(
    server_api: Api, db: Database, changes: dict[str, Any], status: str
) -> None:
    (uuid,) = add_servers(db, server_row())
    seen = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    seen -= datetime.timedelta(seconds=changes.get("age", 0))
    with db.write() as tx:
        service = reported(tx, "nova-compute", "host1", "compute", seen)
        if "disabled" in changes:
            tx.services.set_disabled(service.id, True, None)
        if "forced_down" in changes:
            tx.services.set_forced_down(service.id, True)
    assert shown(server_api, uuid, at=16, token="admin")["host_status"] == status


def test_server_groups_are_shown_of_one_and_not_in_lists(
    server_api: Api, db: Database
) -> None:
    (uuid,) = add_servers(db, server_row(server_group=_GROUP))
    assert shown(server_api, uuid, at=71)["server_groups"] == [_GROUP]
    (listed,) = server_api.get("/servers/detail", at=71).json["servers"]
    assert "server_groups" not in listed


def test_every_version_renders() -> None:
    row = server_row()
    from nova.api.compute.servers_view import Scene
    from nova.objects.instance import Instance

    instance = Instance(id=1, **{key: row[key] for key in row})
    flags = frozenset({"whole", "groups", "attributes", "host_status", "extra_specs"})
    scene = Scene("http://a/v2.1", "http://a", "nova", "UP", flags, "ACTIVE")
    for minor in range(1, MAXIMUM + 1):
        assert msgspec.json.encode(SERVER.at(minor, flags)(instance, scene))
