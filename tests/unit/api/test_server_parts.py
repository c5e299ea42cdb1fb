# SPDX-License-Identifier: Apache-2.0
"""What hangs below a server: metadata, tags, NICs, volumes, shares, migrations, and the rest."""

from __future__ import annotations

from typing import Any

import pytest

from nova import errors
from nova.db.engine import Database
from nova.objects.instance import Address, BlockDevice, Vif
from nova.objects.migration import Migration, MigrationProgress
from nova.objects.topology import GuestCell, GuestTopology
from nova.virt.driver import Diagnostics, DiskDiagnostics, NicDiagnostics
from tests.unit.api.conftest import OTHER_PROJECT, Api, message, same_shape, sample
from tests.unit.api.server_rows import OperationsProbe, add_servers, server_row

VOLUME = "a26887c6-c47b-4654-abb5-dfadf7d3f803"
SHARE = "e8debdc0-447a-4376-a10a-4cd9122d7986"


@pytest.fixture
def uuid(db: Database) -> str:
    return add_servers(
        db,
        server_row(
            metadata={"a": "1", "ü": "ä"}, tags=["one", "zwei ü"],
            block_devices=(
                BlockDevice(
                    source_type="volume", destination_type="volume", volume_id=VOLUME,
                    device_name="/dev/vdb", attachment_id=SHARE, bdm_uuid=SHARE, tag="t",
                ),
                BlockDevice(source_type="image", destination_type="local"),
            ),
        ),
    )[0]


PARTS = [
    ("GET", "/metadata", 1), ("GET", "/metadata/a", 1), ("GET", "/ips", 1),
    ("GET", "/ips/private", 1), ("GET", "/tags", 26), ("GET", "/tags/one", 26),
    ("GET", "/os-interface", 1), ("GET", "/os-volume_attachments", 1),
    ("GET", f"/os-volume_attachments/{VOLUME}", 1), ("GET", "/os-server-password", 1),
    ("GET", "/topology", 78), ("GET", "/shares", 97),
]


@pytest.mark.parametrize(("method", "path", "at"), PARTS)
def test_parts_are_read_by_readers_of_the_project_from_their_version_on(
    server_api: Api, db: Database, uuid: str, method: str, path: str, at: int
) -> None:
    good = server_api.request(method, f"/servers/{uuid}{path}", at=at, token="reader")
    assert good.status_code in (200, 204), good.text
    if at > 1:
        early = server_api.request(method, f"/servers/{uuid}{path}", at=at - 1)
        assert early.status_code == 404
    other = server_api.request(method, f"/servers/{uuid}{path}", at=at, token="other")
    assert other.status_code == 404
    (foreign,) = add_servers(db, server_row(project_id=OTHER_PROJECT))
    assert server_api.get(f"/servers/{foreign}{path}", at=at).status_code == 404


def test_metadata_is_merged_replaced_and_deleted(
    server_api: Api, operations: OperationsProbe, uuid: str
) -> None:
    path = f"/servers/{uuid}/metadata"
    assert server_api.get(f"{path}/%C3%BC").json == {"meta": {"ü": "ä"}}
    answer = server_api.post(path, {"metadata": {"b": "2", "a": "x"}})
    assert (answer.status_code, answer.json["metadata"]) == (200, {"a": "x", "ü": "ä", "b": "2"})
    assert operations.calls[-1][1][1] == {"a": "x", "ü": "ä", "b": "2"}
    assert server_api.put(path, {"metadata": {}}).json == {"metadata": {}}
    assert operations.calls[-1][1][1] == {}
    assert server_api.put(f"{path}/c", {"meta": {"c": "ö"}}).json == {"meta": {"c": "ö"}}
    assert server_api.delete(f"{path}/a").status_code == 204
    assert operations.calls[-1][1][1] == {"ü": "ä"}
    assert server_api.delete(f"{path}/nothing").status_code == 404
    assert server_api.get(f"{path}/nothing").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", {}), ("POST", "", {"metadata": None}), ("POST", "", {"metadata": {"a": 1}}),
        ("POST", "", {"metadata": {"a/b": "x"}}), ("POST", "", {"metadata": {"": "x"}}),
        ("POST", "", {"metadata": {}, "more": 1}), ("PUT", "", {"meta": {"a": "x"}}),
        ("PUT", "", {"metadata": {"a": "x" * 256}}), ("PUT", "/a", {"meta": {"b": "x"}}),
        ("PUT", "/a", {"meta": {"a": "x", "b": "y"}}), ("PUT", "/a", {"meta": {}}),
        ("PUT", "/a", {"metadata": {"a": "x"}}), ("PUT", "/a", []),
    ],
)
def test_bad_metadata(
    server_api: Api, operations: OperationsProbe, uuid: str, method: str, path: str, body: Any
) -> None:
    answer = server_api.request(method, f"/servers/{uuid}/metadata{path}", body=body)
    assert answer.status_code == 400, answer.text
    assert operations.calls == []


def test_tags(server_api: Api, operations: OperationsProbe, uuid: str) -> None:
    path = f"/servers/{uuid}/tags"
    assert server_api.get(path, at=26).json == {"tags": ["one", "zwei ü"]}
    assert server_api.get(f"{path}/zwei%20%C3%BC", at=26).status_code == 204
    assert server_api.get(f"{path}/three", at=26).status_code == 404
    added = server_api.put(f"{path}/three", at=26)
    assert added.status_code == 201
    assert added.headers["location"].endswith(f"{path}/three")
    assert operations.calls[-1][1][1] == ["one", "zwei ü", "three"]
    assert server_api.put(f"{path}/one", at=26).status_code == 204
    assert server_api.put(path, {"tags": ["b", "a", "b"]}, at=26).json == {"tags": ["a", "b"]}
    assert server_api.delete(f"{path}/one", at=26).status_code == 204
    assert operations.calls[-1][1][1] == ["zwei ü"]
    assert server_api.delete(f"{path}/nothing", at=26).status_code == 404
    assert server_api.delete(path, at=26).status_code == 204
    assert operations.calls[-1][1][1] == []


@pytest.mark.parametrize(
    "tags", [None, "x", [1], [""], ["a,b"], ["a/b"], ["x" * 61], [f"t{n}" for n in range(51)]]
)
def test_bad_tags(server_api: Api, uuid: str, tags: Any) -> None:
    answer = server_api.put(f"/servers/{uuid}/tags", {"tags": tags}, at=26)
    assert answer.status_code == 400


def test_tags_of_a_full_or_building_server(server_api: Api, db: Database) -> None:
    full, building = add_servers(
        db, server_row(tags=[f"t{number}" for number in range(50)]),
        server_row(vm_state="building"),
    )
    assert server_api.put(f"/servers/{full}/tags/more", at=26).status_code == 400
    assert server_api.put(f"/servers/{building}/tags/more", at=26).status_code == 409
    assert server_api.put(f"/servers/{full}/tags/a,b", at=26).status_code == 400


def test_interfaces(server_api: Api, operations: OperationsProbe, uuid: str) -> None:
    path = f"/servers/{uuid}/os-interface"
    listed = server_api.get(path)
    same_shape(
        listed.json, sample("v2.1/os-attach-interfaces/attach-interfaces-list-resp.json")
    )
    assert "tag" in server_api.get(path, at=70).json["interfaceAttachments"][0]
    port = listed.json["interfaceAttachments"][0]["port_id"]
    assert server_api.get(f"{path}/{port}").status_code == 200
    assert server_api.get(f"{path}/nothing").status_code == 404
    operations.answers["attach_interface"] = Vif(
        id=port, mac="fa:16:3e:00:00:09", network_id=VOLUME, label="x",
        addresses=(Address("10.1.0.2"),),
    )
    body = {"interfaceAttachment": {"net_id": VOLUME, "fixed_ips": [{"ip_address": "10.1.0.2"}]}}
    answer = server_api.post(path, body)
    assert answer.json["interfaceAttachment"]["mac_addr"] == "fa:16:3e:00:00:09"
    assert operations.calls[-1][1][1].address == "10.1.0.2"
    assert server_api.post(path, {}).status_code == 200
    assert server_api.post(path).status_code == 200
    assert server_api.delete(f"{path}/{port}").status_code == 202
    assert operations.calls[-1][0] == "detach_interface"
    assert server_api.delete(f"{path}/nothing").status_code == 404


@pytest.mark.parametrize(
    "attachment",
    [
        {"net_id": VOLUME, "port_id": VOLUME}, {"fixed_ips": [{"ip_address": "1.2.3.4"}]},
        {"net_id": "x"}, {"port_id": "x"}, {"net_id": VOLUME, "fixed_ips": []},
        {"net_id": VOLUME, "fixed_ips": [{"ip_address": "x"}]}, {"tag": "x"}, {"nonsense": 1},
        {"net_id": VOLUME, "fixed_ips": [{}]},
    ],
)
def test_bad_interfaces(
    server_api: Api, operations: OperationsProbe, uuid: str, attachment: dict[str, Any]
) -> None:
    body = {"interfaceAttachment": attachment}
    assert server_api.post(f"/servers/{uuid}/os-interface", body).status_code == 400
    assert operations.calls == []


@pytest.mark.parametrize(
    ("folder", "at"),
    [("os-volume_attachments", 1), ("os-volume_attachments/v2.70", 70),
     ("os-volume_attachments/v2.79", 79), ("os-volume_attachments/v2.89", 89)],
)
def test_volumes_are_shown_as_in_the_samples(
    server_api: Api, uuid: str, folder: str, at: int
) -> None:
    listed = server_api.get(f"/servers/{uuid}/os-volume_attachments", at=at).json
    (found,) = listed["volumeAttachments"]
    wanted = sample(f"v2.1/{folder}/list-volume-attachments-resp.json")["volumeAttachments"][0]
    assert set(found) == set(wanted)
    one = server_api.get(f"/servers/{uuid}/os-volume_attachments/{VOLUME}", at=at).json
    assert one == {"volumeAttachment": found}


def test_a_volume_that_is_to_be_attached(
    server_api: Api, operations: OperationsProbe, db: Database, uuid: str
) -> None:
    path = f"/servers/{uuid}/os-volume_attachments"
    body = {"volumeAttachment": {"volumeId": SHARE, "device": "/dev/vdc"}}
    made = BlockDevice(
        source_type="volume", destination_type="volume", volume_id=SHARE, device_name="/dev/vdc"
    )
    operations.answers["attach_volume"] = made
    assert server_api.post(path, body).json == {"volumeAttachment": {
        "id": SHARE, "volumeId": SHARE, "serverId": uuid, "device": "/dev/vdc",
    }}
    answer = server_api.post(path, body, at=101)
    assert (answer.status_code, answer.content) == (202, b"")
    assert operations.calls[-1][2]["multiattach"]
    operations.answers["attach_volume"] = errors.VolumeNotFound(SHARE)
    answer = server_api.post(path, body, at=59)
    assert (answer.status_code, message(answer)) == (404, f"Volume {SHARE} could not be found.")
    assert not operations.calls[-1][2]["multiattach"]
    assert server_api.post(path, {"volumeAttachment": {}}).status_code == 400
    assert server_api.post(path, {"volumeAttachment": {"volumeId": "x"}}).status_code == 400
    bad = {"volumeAttachment": {"volumeId": SHARE, "device": "vdc"}}
    assert server_api.post(path, bad).status_code == 400
    building, shelved = add_servers(
        db, server_row(vm_state="building"), server_row(vm_state="shelved")
    )
    operations.answers["attach_volume"] = errors.InstanceInvalidState(
        "attach_volume", building, "vm_state", "building"
    )
    states = f"/servers/{building}/os-volume_attachments"
    assert server_api.post(states, body).status_code == 409
    operations.answers["attach_volume"] = errors.VolumeNotFound(SHARE)
    kept = f"/servers/{shelved}/os-volume_attachments"
    assert server_api.post(kept, body, at=19).status_code == 409
    assert server_api.post(kept, body, at=20).status_code == 404
    assert server_api.get(f"{path}/{SHARE}").status_code == 404
    operations.answers["detach_volume"] = errors.VolumeNotFound(SHARE)
    assert server_api.delete(f"{path}/{SHARE}").status_code == 404


def test_the_end_of_a_volume_with_its_server(
    server_api: Api, operations: OperationsProbe, uuid: str
) -> None:
    path = f"/servers/{uuid}/os-volume_attachments/{VOLUME}"
    body = {"volumeAttachment": {"volumeId": VOLUME, "delete_on_termination": True}}
    assert server_api.put(path, body, at=84).status_code == 400
    assert server_api.put(path, body, at=85).status_code == 202
    name, arguments, _options = operations.calls[-1]
    assert (name, arguments[1:]) == ("update_volume_attachment", (VOLUME, True))
    moved = {"volumeAttachment": {"volumeId": VOLUME, "device": "/dev/vdz"}}
    assert server_api.put(path, moved, at=85).status_code == 400
    swap = {"volumeAttachment": {"volumeId": SHARE}}
    assert server_api.put(path, swap, at=85).status_code == 403


def test_no_shares(server_api: Api, db: Database, uuid: str) -> None:
    (stopped,) = add_servers(db, server_row(vm_state="stopped"))
    body = {"share": {"share_id": SHARE}}
    assert server_api.get(f"/servers/{uuid}/shares", at=97).json == {"shares": []}
    assert server_api.post(f"/servers/{uuid}/shares", body, at=97).status_code == 409
    assert server_api.post(f"/servers/{stopped}/shares", body, at=97).status_code == 404
    bad = {"share": {"share_id": SHARE, "tag": "a b"}}
    assert server_api.post(f"/servers/{stopped}/shares", bad, at=97).status_code == 400
    assert server_api.get(f"/servers/{stopped}/shares/{SHARE}", at=97).status_code == 404
    assert server_api.delete(f"/servers/{stopped}/shares/{SHARE}", at=97).status_code == 404


@pytest.fixture
def migration(db: Database, uuid: str) -> Migration:
    with db.write() as tx:
        return tx.migrations.create(
            Migration(
                id=0, uuid="", instance_uuid=uuid, operation_id=None,
                migration_type="live-migration", status="running", source_compute="h1",
                dest_compute="h2", user_id="u", project_id="p",
                progress=MigrationProgress(memory_total=5),
            )
        )


@pytest.mark.parametrize(
    ("folder", "at"),
    [("server-migrations/v2.23", 23), ("server-migrations/v2.59", 59),
     ("server-migrations/v2.80", 80)],
)
def test_live_migrations_are_shown_as_in_the_samples(
    server_api: Api, uuid: str, migration: Migration, folder: str, at: int
) -> None:
    path = f"/servers/{uuid}/migrations"
    found = server_api.get(f"{path}/{migration.id}", at=at, token="admin").json
    same_shape(found, sample(f"v2.1/{folder}/migrations-get.json"))
    listed = server_api.get(path, at=at, token="manager").json["migrations"]
    assert listed[0]["source_compute"] is None
    assert server_api.get(path, at=at).status_code == 403
    assert server_api.get(f"{path}/99999999999999", at=at, token="admin").status_code == 404
    assert server_api.get(f"{path}/x", at=at, token="admin").status_code == 404


def test_ending_a_live_migration(
    server_api: Api, operations: OperationsProbe, uuid: str, migration: Migration
) -> None:
    path = f"/servers/{uuid}/migrations/{migration.id}"
    force = {"force_complete": None}
    assert server_api.post(f"{path}/action", force, at=21, token="admin").status_code == 404
    assert server_api.post(f"{path}/action", force, at=22, token="admin").status_code == 202
    assert server_api.post(f"{path}/action", {}, at=22, token="admin").status_code == 400
    assert server_api.delete(path, at=24, token="admin").status_code == 202
    assert server_api.delete(path, at=24).status_code == 403
    assert [call[0] for call in operations.calls] == [
        "live_migrate_force_complete", "live_migrate_abort",
    ]


def test_a_queued_live_migration_is_aborted_from_2_65_on(
    server_api: Api, db: Database, uuid: str, migration: Migration
) -> None:
    with db.write() as tx:
        tx.migrations.update(migration.id, status="queued")
    path = f"/servers/{uuid}/migrations/{migration.id}"
    assert server_api.delete(path, at=64, token="admin").status_code == 400
    assert server_api.delete(path, at=65, token="admin").status_code == 202


def test_diagnostics(server_api: Api, operations: OperationsProbe, uuid: str) -> None:
    operations.answers["diagnostics"] = Diagnostics(
        state="running", driver="libvirt", hypervisor="kvm", hypervisor_os="linux", uptime=9,
        config_drive=True, num_cpus=1, cpu_time=(17,), memory_maximum=512, memory_used=1,
        nics=(NicDiagnostics(mac="fa:16:3e:00:00:01"),), disks=(DiskDiagnostics(),),
    )
    path = f"/servers/{uuid}/diagnostics"
    assert server_api.get(path).status_code == 403
    flat = server_api.get(path, at=47, token="admin").json
    assert flat["memory"] == 524288
    assert flat["cpu0_time"] == 17
    assert "vda_read" in flat
    same_shape(
        server_api.get(path, at=48, token="admin").json,
        sample("v2.1/os-server-diagnostics/v2.48/server-diagnostics-get-resp.json"),
    )


def test_the_password_that_a_guest_left(server_api: Api, db: Database) -> None:
    (uuid,) = add_servers(db, server_row(system_metadata={"password": "abc=", "other": "x"}))
    path = f"/servers/{uuid}/os-server-password"
    assert server_api.get(path).json == {"password": "abc="}
    assert server_api.delete(path, token="reader").status_code == 403
    assert server_api.delete(path).status_code == 204
    assert server_api.get(path).json == {"password": ""}
    with db.read() as tx:
        instance = tx.instances.get(uuid)
    assert instance is not None
    assert instance.system_metadata == {"other": "x"}


def test_numa_topology(server_api: Api, db: Database) -> None:
    cell = GuestCell(
        cpus=(0,), host_cell=1, memory_mb=5, pool_kb=4, page_kb=4, pinning=((0, 3),), siblings=((0,),)
    )
    (uuid,) = add_servers(db, server_row(topology=GuestTopology(cells=(cell,), pinned=(3,))))
    shown = server_api.get(f"/servers/{uuid}/topology", at=78).json
    assert shown["pagesize_kb"] == 4
    assert "host_node" not in shown["nodes"][0]
    whole = server_api.get(f"/servers/{uuid}/topology", at=78, token="admin").json
    assert whole["nodes"] == [
        {"vcpu_set": [0], "siblings": [[0]], "memory_mb": 5, "host_node": 1, "cpu_pinning": {"0": 3}}
    ]
    (plain,) = add_servers(db, server_row())
    none = {"nodes": [], "pagesize_kb": None}
    assert server_api.get(f"/servers/{plain}/topology", at=78).json == none


def test_events_from_outside(
    server_api: Api, db: Database, operations: OperationsProbe, uuid: str
) -> None:
    (homeless,) = add_servers(db, server_row(host=None))
    path = "/os-server-external-events"
    unknown = SHARE
    body = {
        "events": [
            {"name": "network-changed", "server_uuid": uuid, "tag": "x"},
            {"name": "network-vif-plugged", "server_uuid": homeless},
            {"name": "network-vif-plugged", "server_uuid": unknown},
        ]
    }
    assert server_api.post(path, body).status_code == 403
    answer = server_api.post(path, body, token="admin")
    assert answer.status_code == 207
    assert [event["code"] for event in answer.json["events"]] == [200, 422, 404]
    assert operations.calls[-1][0] == "refresh_addresses"
    only = {"events": body["events"][2:]}
    assert server_api.post(path, only, token="admin").status_code == 207
    assert server_api.post(path, only, token="admin", at="v2").status_code == 404


@pytest.mark.parametrize(
    ("name", "first"),
    [("volume-extended", 51), ("power-update", 76), ("accelerator-request-bound", 82),
     ("volume-reimaged", 93)],
)
def test_later_events(server_api: Api, uuid: str, name: str, first: int) -> None:
    body = {"events": [{"name": name, "server_uuid": uuid, "tag": "x"}]}
    path = "/os-server-external-events"
    assert server_api.post(path, body, at=first - 1, token="admin").status_code == 400
    assert server_api.post(path, body, at=first, token="admin").status_code == 200


def test_who_may_say_that_a_volume_has_its_image(
    server_api: Api, db: Database, operations: OperationsProbe, uuid: str
) -> None:
    (homeless,) = add_servers(db, server_row(host=None))
    path = "/os-server-external-events"

    def events(*servers: str, **facts: str) -> dict[str, Any]:
        return {"events": [
            {"name": "volume-reimaged", "server_uuid": server, **facts} for server in servers
        ]}

    assert server_api.post(path, events(uuid, tag=VOLUME), at=93).status_code == 403
    assert server_api.post(path, events(uuid, tag=VOLUME), at=92, token="admin").status_code == 400
    assert server_api.post(path, events(uuid, status="done"), at=93, token="admin").status_code == 400
    assert not operations.calls
    answer = server_api.post(path, events(SHARE, homeless, tag=VOLUME), at=93, token="admin")
    assert answer.status_code == 207
    assert [(event["code"], event["status"]) for event in answer.json["events"]] == [
        (404, "failed"), (422, "failed"),
    ]
    assert not operations.calls
    # The tag may be left out, as in the original: it is the root volume that a rebuild waits for.
    for body in (events(uuid), events(uuid, tag=VOLUME, status="failed")):
        answer = server_api.post(path, body, at=93, token="admin")
        assert (answer.status_code, answer.json["events"][0]["status"]) == (200, "completed")
    assert [name for name, _arguments, _options in operations.calls] == ["volume_reimaged"] * 2


@pytest.mark.parametrize(
    "body",
    [{}, {"events": []}, {"events": [{}]}, {"events": [{"name": "x", "server_uuid": SHARE}]},
     {"events": [{"name": "network-changed", "server_uuid": "x"}]},
     {"events": [{"name": "network-changed", "server_uuid": SHARE, "status": "x"}]}],
)
def test_bad_events(server_api: Api, body: dict[str, Any]) -> None:
    answer = server_api.post("/os-server-external-events", body, token="admin")
    assert answer.status_code == 400


def test_console_tokens(server_api: Api, operations: OperationsProbe) -> None:
    operations.answers["console_of_token"] = errors.NotFound("Token not found")
    path = "/os-console-auth-tokens/x"
    assert server_api.get(path).status_code == 403
    assert server_api.get(path, at=30, token="admin").status_code == 400
    assert server_api.get(path, at=31, token="admin").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/tags", None), ("GET", "/tags/one", None), ("PUT", "/tags", {"tags": ["a"]}),
        ("PUT", "/tags/one", None), ("DELETE", "/tags", None), ("DELETE", "/tags/one", None),
        ("GET", f"/os-volume_attachments/{VOLUME}", None), ("POST", "/action", {"pause": None}),
        ("PUT", "", {"server": {"name": "n"}}), ("DELETE", "", None),
    ],
)
def test_queries_that_the_original_never_looks_at_are_ignored(
    server_api: Api, uuid: str, method: str, path: str, body: Any
) -> None:
    answer = server_api.request(method, f"/servers/{uuid}{path}?foo=1", at=104, body=body)
    assert answer.status_code < 300, answer.text
    for strict in ("", "/metadata", "/ips", "/os-volume_attachments", "/os-instance-actions"):
        assert server_api.get(f"/servers/{uuid}{strict}?foo=1", at=104).status_code == 400, strict
