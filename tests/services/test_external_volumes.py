# SPDX-License-Identifier: Apache-2.0
"""Compute with the block storage service of another cloud, over its API, from a second process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.cloud_process import CloudProcess, wait_for

pytest.importorskip("keystonemiddleware", reason="the extra external is not installed")


class Outside:
    """``storage`` has users and volumes; ``compute`` has neither of its own."""

    def __init__(self, directory: Path) -> None:
        self.storage = CloudProcess(directory / "storage").start()
        facts = self.storage.environment("admin")
        template = self.storage.url("volume") + "/v3/%(project_id)s"
        self.compute = CloudProcess(
            directory / "compute", arguments=[
                "--set", f"keystone_authtoken.auth_url={self.storage.url('identity')}/v3",
                "--set", f"keystone_authtoken.username={facts['OS_USERNAME']}",
                "--set", f"keystone_authtoken.password={facts['OS_PASSWORD']}",
                "--set", f"keystone_authtoken.project_name={facts['OS_PROJECT_NAME']}",
                "--set", f"cinder.endpoint_template={template}",
            ],
        ).start()

    def stop(self) -> None:
        self.compute.stop()
        self.storage.stop()

    def ask(self, method: str, path: str, body: Any = None, *, by: str = "demo") -> Any:
        """Of the compute API, with a token of the other cloud's."""
        token = self.storage.login(by)[0]
        answer = self.compute.call(
            "compute", method, f"/v2.1{path}", body, by=token,
            headers={"OpenStack-API-Version": "compute latest"},
        )
        assert answer.status < 400, answer.body
        return answer.json if answer.body else None

    def volume(self, **facts: Any) -> str:
        project = self.storage.login("demo")[1]
        made = self.storage.call("volume", "POST", f"/v3/{project}/volumes", {"volume": {"size": 1, **facts}})
        assert made.status == 202, made.body
        volume = str(made.json["volume"]["id"])
        self.reach(volume, "available")
        return volume

    def status(self, volume: str) -> str:
        project = self.storage.login("demo")[1]
        shown = self.storage.call("volume", "GET", f"/v3/{project}/volumes/{volume}")
        return "gone" if shown.status == 404 else str(shown.json["volume"]["status"])

    def reach(self, volume: str, status: str) -> None:
        wait_for(
            lambda: self.status(volume) == status,
            lambda: f"volume {volume} is {self.status(volume)}, not {status}", 60.0,
        )

    def boot(self, **facts: Any) -> str:
        flavor = self.ask("GET", "/flavors")["flavors"][0]["id"]
        made = self.ask("POST", "/servers", {"server": {
            "name": "outside", "flavorRef": flavor, "networks": "none", **facts,
        }})
        server = str(made["server"]["id"])
        self.until(server, "ACTIVE")
        return server

    def until(self, server: str, status: str) -> None:
        def shown() -> str:
            found = self.ask("GET", f"/servers/{server}")["server"]
            assert status == "ERROR" or found["status"] != "ERROR", found.get("fault")
            return f"{found['status']} {found['OS-EXT-STS:task_state']}"

        wait_for(lambda: shown() == f"{status} None", shown, 60.0)

    def attachments(self) -> list[Any]:
        project = self.storage.login("demo")[1]
        answer = self.storage.call(
            "volume", "GET", f"/v3/{project}/attachments",
            headers={"OpenStack-API-Version": "volume 3.44"},
        )
        return list(answer.json["attachments"])


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    made = Outside(tmp_path_factory.mktemp("outside"))
    yield made
    made.stop()


def test_volumes_of_another_cloud_are_attached_moved_and_given_back(outside: Outside) -> None:
    data, root = outside.volume(), outside.volume(imageRef=_image(outside))
    server = outside.boot(imageRef="", block_device_mapping_v2=[
        {"boot_index": 0, "uuid": root, "source_type": "volume", "destination_type": "volume",
         "delete_on_termination": True},
    ])
    outside.reach(root, "in-use")
    outside.ask(
        "POST", f"/servers/{server}/os-volume_attachments", {"volumeAttachment": {"volumeId": data}}
    )
    outside.reach(data, "in-use")
    _takes_part_in_a_snapshot(outside, data)
    outside.ask("POST", f"/servers/{server}/action", {"migrate": None}, by="admin")
    outside.until(server, "VERIFY_RESIZE")
    outside.ask("POST", f"/servers/{server}/action", {"confirmResize": None})
    outside.until(server, "ACTIVE")
    wait_for(
        lambda: len(outside.attachments()) == 2, lambda: str(outside.attachments()), 60.0
    )
    outside.ask("DELETE", f"/servers/{server}/os-volume_attachments/{data}")
    outside.reach(data, "available")
    outside.ask("POST", f"/servers/{server}/action", {"shelve": None})
    outside.until(server, "SHELVED_OFFLOADED")
    outside.reach(root, "reserved")
    outside.ask("DELETE", f"/servers/{server}")
    outside.reach(root, "gone")
    assert outside.attachments() == []


def _takes_part_in_a_snapshot(outside: Outside, volume: str) -> None:
    """The other cloud waits for a snapshot, asks for a host's part in it, and is told of its end."""
    storage = outside.storage
    admin = storage.login("admin")[1]
    storage.become_service()
    project = storage.login("demo")[1]
    made = storage.call("volume", "POST", f"/v3/{project}/snapshots",
                        {"snapshot": {"volume_id": volume, "force": True}})
    assert made.status == 202, made.body
    snapshot = made.json["snapshot"]["id"]

    def shown() -> tuple[str, str]:
        found = storage.call("volume", "GET", f"/v3/{project}/snapshots/{snapshot}").json["snapshot"]
        return found["status"], found["os-extended-snapshot-attributes:progress"]

    wait_for(lambda: shown()[0] == "available", lambda: str(shown()), 60.0)

    def act(action: str, **facts: str) -> None:
        answer = storage.call("volume", "POST", f"/v3/{admin}/snapshots/{snapshot}/action", {action: facts},
                              by="admin")
        assert answer.status == 202, answer.body

    act("os-reset_status", status="creating")
    outside.ask("POST", "/os-assisted-volume-snapshots", {"snapshot": {
        "volume_id": volume, "create_info": {"snapshot_id": snapshot, "type": "qcow2", "new_file": "new"},
    }}, by="admin")
    wait_for(lambda: shown() == ("creating", "90%"), lambda: str(shown()), 60.0)
    act("os-force_delete")


def test_a_new_volume_is_the_callers_own(outside: Outside) -> None:
    server = outside.boot(imageRef="", block_device_mapping_v2=[
        {"boot_index": 0, "uuid": _bootable_snapshot(outside), "source_type": "snapshot",
         "destination_type": "volume", "delete_on_termination": True},
    ])
    made = outside.ask("GET", f"/servers/{server}")["server"]["os-extended-volumes:volumes_attached"]
    assert outside.status(made[0]["id"]) == "in-use"
    outside.ask("DELETE", f"/servers/{server}")
    outside.reach(made[0]["id"], "gone")


def test_what_the_other_cloud_refuses_is_refused_here(outside: Outside) -> None:
    token = outside.storage.login("demo")[0]
    headers = {"OpenStack-API-Version": "compute 2.1"}
    missing = outside.compute.call(
        "compute", "GET", "/v2.1/os-volumes/5f1a3c9e-8f0c-4c39-bb1f-1c7d3ab6a001", by=token, headers=headers
    )
    assert missing.status == 404
    listed = outside.compute.call("compute", "GET", "/v2.1/os-volumes", by=token, headers=headers)
    assert {each["status"] for each in listed.json["volumes"]} <= {"available", "in-use"}


def _image(outside: Outside) -> str:
    images = outside.storage.call("image", "GET", "/v2/images").json["images"]
    return str(images[0]["id"])


def _bootable_snapshot(outside: Outside) -> str:
    project = outside.storage.login("demo")[1]
    made = outside.storage.call("volume", "POST", f"/v3/{project}/snapshots", {
        "snapshot": {"volume_id": outside.volume(imageRef=_image(outside))}
    })
    assert made.status == 202, made.body
    return str(made.json["snapshot"]["id"])
