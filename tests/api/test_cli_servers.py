# SPDX-License-Identifier: Apache-2.0
"""A member's servers through the unmodified ``openstack`` command line."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.api.cloud_process import CloudProcess
from tests.api.public_clients import Commands

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAg+vHD56beGq3JROX3Cz4PmI96DCNUT57zL1SYKwkBq"

Boot = Callable[..., str]


def test_a_server_waited_for_shows_everything_it_was_made_with(
    cloud: CloudProcess, demo: Commands, boot: Boot, tmp_path: Path
) -> None:
    script = "#!/bin/sh\necho 你好 > /etc/motd\n"
    (tmp_path / "user-data").write_text(script)
    (tmp_path / "key.pub").write_text(PUBLIC_KEY + " jemand@rechner\n")
    demo("keypair", "create", "--public-key", str(tmp_path / "key.pub"), "waited")
    try:
        shown = demo.json(
            "server", "create", "--wait", "--flavor", "m1.tiny", "--image", "nova-test",
            "--nic", "none", "--key-name", "waited", "--property", "city=北京",
            "--property", "empty=", "--user-data", str(tmp_path / "user-data"),
            "--tag", "蓝", "--tag", "web", "--description", "测试 服务器", "--hostname", "web-1",
            "服务器 é",
        )
    finally:
        demo("keypair", "delete", "waited")
    uuid = shown["id"]
    assert shown["status"] == "ACTIVE"
    assert shown["adminPass"]
    assert shown["name"] == "服务器 é"
    assert shown["properties"] == {"city": "北京", "empty": ""}
    assert shown["description"] == "测试 服务器"
    assert sorted(shown["tags"]) == ["web", "蓝"]
    assert shown["key_name"] == "waited"
    assert shown["OS-EXT-SRV-ATTR:hostname"] == "web-1"
    assert not shown["addresses"]
    user_data = cloud.server(uuid)["OS-EXT-SRV-ATTR:user_data"]
    assert base64.b64decode(user_data).decode() == script

    (row,) = [each for each in demo.json("server", "list", "--long") if each["ID"] == uuid]
    assert row["Name"] == "服务器 é"
    assert row["Image Name"] == "nova-test"
    assert row["Flavor"] == "m1.tiny"
    assert row["Properties"] == {"city": "北京", "empty": ""}
    for filters in (["--name", "服务器"], ["--tags", "蓝"], ["--status", "ACTIVE"]):
        found = demo("server", "list", *filters, "-f", "value", "-c", "ID")
        assert uuid in found, filters
    assert uuid not in demo("server", "list", "--not-tags", "web", "-f", "value", "-c", "ID")

    demo("server", "set", "--name", "新", "--property", "p=q", "--tag", "neu", uuid)
    demo("server", "unset", "--property", "city", "--tag", "web", "--description", uuid)
    after = demo.json("server", "show", "新")
    assert after["id"] == uuid
    assert after["properties"] == {"p": "q", "empty": ""}
    assert sorted(after["tags"]) == ["neu", "蓝"]
    assert not after["description"]

    demo("server", "delete", "--wait", "新")
    assert "No Server found for 新" in demo.refused("server", "show", "新")


def test_power_and_every_pause_of_it(cloud: CloudProcess, demo: Commands, boot: Boot) -> None:
    uuid = boot("power")
    for command, status in [
        (["stop"], "SHUTOFF"), (["start"], "ACTIVE"), (["reboot"], "ACTIVE"),
        (["reboot", "--hard"], "ACTIVE"), (["pause"], "PAUSED"), (["unpause"], "ACTIVE"),
        (["suspend"], "SUSPENDED"), (["resume"], "ACTIVE"), (["rescue"], "RESCUE"),
        (["unrescue"], "ACTIVE"), (["shelve"], "SHELVED_OFFLOADED"), (["unshelve"], "ACTIVE"),
    ]:
        demo("server", *command, uuid)
        cloud.until(uuid, status)
        assert demo.value("server", "show", uuid, column="status") == status
    events = [each["Action"] for each in demo.json("server", "event", "list", uuid)]
    assert events == [
        "unshelve", "shelve", "unrescue", "rescue", "resume", "suspend", "unpause", "pause",
        "reboot", "reboot", "start", "stop", "create",
    ]


def test_what_is_wrong_for_the_state_is_refused_and_changes_nothing(
    cloud: CloudProcess, demo: Commands, boot: Boot
) -> None:
    uuid = boot("states")
    for command in ("start", "unpause", "resume", "unrescue"):
        assert "409" in demo.refused("server", command, uuid), command
    assert "409" in demo.refused("server", "resize", "confirm", uuid)
    assert "409" in demo.refused("server", "resize", "revert", uuid)
    cloud.until(uuid, "ACTIVE")
    demo("server", "stop", uuid)
    cloud.until(uuid, "SHUTOFF")
    complaint = demo.refused("server", "pause", uuid)
    assert "Cannot 'pause' instance" in complaint
    assert "stopped" in complaint


def test_a_locked_server_is_left_alone(cloud: CloudProcess, demo: Commands, boot: Boot) -> None:
    uuid = boot("locked")
    demo("server", "lock", "--reason", "维护", uuid)
    shown = demo.json("server", "show", uuid)
    assert (shown["locked"], shown["locked_reason"]) == (True, "维护")
    for command in ("stop", "reboot", "delete"):
        assert "is locked" in demo.refused("server", command, uuid)
    assert uuid in demo("server", "list", "--locked", "-f", "value", "-c", "ID")
    demo("server", "unlock", uuid)
    demo("server", "stop", uuid)
    cloud.until(uuid, "SHUTOFF")


def test_a_rebuilt_server_keeps_its_address(
    cloud: CloudProcess, demo: Commands, boot: Boot
) -> None:
    uuid = boot("rebuilt", "--property", "old=1", nic="auto")
    before = demo.json("server", "show", uuid)["addresses"]
    shown = demo.json(
        "server", "rebuild", "--image", "nova-test", "--name", "重建", "--property", "new=2",
        "--password", "geheim-9", "--description", "again", uuid,
    )
    assert shown["adminPass"] == "geheim-9"
    cloud.until(uuid, "ACTIVE")
    after = demo.json("server", "show", uuid)
    assert after["addresses"] == before
    assert after["name"] == "重建"
    assert after["properties"] == {"new": "2"}
    assert after["description"] == "again"


def test_a_resize_is_confirmed_or_reverted(
    cloud: CloudProcess, demo: Commands, admin: Commands, boot: Boot
) -> None:
    uuid = boot("resized", nic="auto")
    flavor = cloud.compute("GET", f"/servers/{uuid}").json["server"]["flavor"]
    assert flavor["original_name"] == "m1.tiny"
    addresses = demo.json("server", "show", uuid)["addresses"]
    for answer, expected in (("revert", "m1.tiny"), ("confirm", "m1.small")):
        demo("server", "resize", "--flavor", "m1.small", uuid)
        cloud.until(uuid, "VERIFY_RESIZE")
        demo("server", "resize", answer, uuid)
        shown = cloud.until(uuid, "ACTIVE")
        assert shown["flavor"]["original_name"] == expected
    assert demo.json("server", "show", uuid)["addresses"] == addresses
    migrations = admin.json("server", "migration", "list", "--server", uuid)
    assert sorted(each["Status"] for each in migrations) == ["confirmed", "reverted"]
    assert {each["Type"] for each in migrations} == {"resize"}


def test_images_and_backups_of_a_server(cloud: CloudProcess, demo: Commands, boot: Boot) -> None:
    uuid = boot("pictured")
    image = demo.json("server", "image", "create", "--wait", "--name", "快照", uuid)
    assert image["name"] == "快照"
    assert demo.value("image", "show", "快照", column="status") == "active"
    from_image = demo.value(
        "server", "create", "--flavor", "m1.tiny", "--image", "快照", "--nic", "none", "copy"
    )
    cloud.until(from_image, "ACTIVE")
    demo("server", "delete", from_image)
    for number in range(3):
        demo("server", "backup", "create", "--name", f"backup-{number}", "--type", "daily",
             "--rotate", "2", uuid)
        cloud.until(uuid, "ACTIVE")
    demo("server", "backup", "create", "--name", "untyped", uuid)
    cloud.until(uuid, "ACTIVE")
    demo("image", "delete", "untyped")
    images = demo("image", "list", "-f", "value", "-c", "Name").split()
    assert [each for each in images if each.startswith("backup")] == ["backup-1", "backup-2"]
    demo("image", "delete", "快照", "backup-1", "backup-2")


def test_console_and_events(cloud: CloudProcess, demo: Commands, boot: Boot) -> None:
    uuid = boot("talks")
    log = demo("console", "log", "show", uuid)
    assert log.strip()
    last = demo("console", "log", "show", "--lines", "1", uuid)
    assert last.strip() == log.strip().splitlines()[-1].strip()
    (event,) = demo.json("server", "event", "list", uuid)
    detail = demo.json("server", "event", "show", uuid, event["Request ID"])
    assert detail["action"] == "create"
    assert [each["result"] for each in detail["events"]] == ["Success"]
    assert demo.json("server", "volume", "list", uuid) == []


def test_servers_boot_from_volumes_images_and_snapshots_of_them(demo: Commands) -> None:
    new = ("--flavor", "m1.tiny", "--nic", "none", "--wait")
    demo("server", "create", *new, "--image", "nova-test", "--boot-from-volume", "1", "from-volume")
    shown = demo.json("server", "show", "from-volume")
    assert "booted from volume" in shown["image"]
    (root,) = shown["volumes_attached"]
    assert demo.json("volume", "show", root["id"])["status"] == "in-use"
    refused = demo.refused("server", "remove", "volume", "from-volume", root["id"])
    assert "root device volume" in refused

    demo("server", "image", "create", "--name", "picture", "from-volume")
    assert demo.json("image", "show", "picture")["size"] == 0
    demo("server", "create", *new, "--image", "picture", "from-picture")
    (copied,) = demo.json("server", "show", "from-picture")["volumes_attached"]
    snapshot = demo.json("volume", "show", copied["id"])["snapshot_id"]
    demo("server", "create", *new, "--snapshot", snapshot, "from-snapshot")
    demo(
        "server", "create", *new, "--image", "nova-test", "--block-device",
        "source_type=blank,destination_type=volume,volume_size=1,delete_on_termination=true", "scratch",
    )
    (scratch,) = demo.json("server", "show", "scratch")["volumes_attached"]
    assert scratch["delete_on_termination"] is True
    (listed,) = demo.json("server", "volume", "list", "scratch")
    assert (listed["Volume ID"], listed["Device"]) == (scratch["id"], "/dev/vdb")
    servers = ("from-volume", "from-picture", "from-snapshot", "scratch")
    demo("server", "delete", "--wait", *servers)
    left = {each["ID"]: each["Status"] for each in demo.json("volume", "list")}
    assert scratch["id"] not in left
    assert left[root["id"]] == left[copied["id"]] == "available"
    demo("volume", "snapshot", "delete", snapshot)
    demo("image", "delete", "picture")
    demo("volume", "delete", *left)


def test_key_pairs_are_made_by_the_client_or_brought(demo: Commands, tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(PUBLIC_KEY)
    private = demo("keypair", "create", "generated")
    assert private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    brought = demo.json(
        "keypair", "create", "--public-key", str(tmp_path / "key.pub"), "brought"
    )
    assert brought["fingerprint"] == "ac:c4:32:cf:84:fb:d7:a0:d0:7d:fe:26:0d:2b:59:f2"
    assert demo("keypair", "show", "--public-key", "brought").strip() == PUBLIC_KEY
    listed = {each["Name"]: each for each in demo.json("keypair", "list")}
    assert {"generated", "brought"} <= set(listed)
    assert listed["brought"]["Fingerprint"] == brought["fingerprint"]
    (tmp_path / "bad.pub").write_text("no key at all")
    assert "400" in demo.refused("keypair", "create", "--public-key", str(tmp_path / "bad.pub"), "b")
    assert "409" in demo.refused(
        "keypair", "create", "--public-key", str(tmp_path / "key.pub"), "brought"
    )
    demo("keypair", "delete", "generated", "brought")
    assert demo.json("keypair", "list") == []


def test_server_groups_keep_servers_apart(
    cloud: CloudProcess, demo: Commands, boot: Boot
) -> None:
    group = demo.json("server", "group", "create", "--policy", "anti-affinity", "分开")
    assert group["policy"] == "anti-affinity"
    try:
        made = [boot(f"apart-{n}", "--hint", f"group={group['id']}") for n in range(2)]
        hosts = {cloud.server(uuid)["OS-EXT-SRV-ATTR:host"] for uuid in made}
        assert len(hosts) == 2
        shown = demo.json("server", "group", "show", "分开")
        assert sorted(shown["members"]) == sorted(made)
        assert [each["Name"] for each in demo.json("server", "group", "list")] == ["分开"]
    finally:
        demo("server", "group", "delete", "分开")


def test_several_servers_in_one_command(cloud: CloudProcess, demo: Commands) -> None:
    demo("server", "create", "--flavor", "m1.tiny", "--image", "nova-test", "--nic", "none",
         "--min", "3", "--max", "3", "many")

    def rows() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = demo.json("server", "list", "--name", "^many")
        return found

    made = [each["ID"] for each in rows()]
    assert sorted(each["Name"] for each in rows()) == ["many-1", "many-2", "many-3"]
    for uuid in made:
        cloud.until(uuid, "ACTIVE")
    demo("server", "delete", *made)
    for uuid in made:
        cloud.until_gone(uuid)
    assert rows() == []


def test_limits_and_usage_of_ones_own_project(demo: Commands, boot: Boot) -> None:
    def used() -> dict[str, int]:
        return {each["Name"]: each["Value"] for each in demo.json("limits", "show", "--absolute")}

    before = used()
    boot("counted")
    after = used()
    assert after["total_instances_used"] == before["total_instances_used"] + 1
    assert after["total_ram_used"] == before["total_ram_used"] + 512
    assert after["max_total_instances"] == 10
    assert float(demo.json("usage", "show")["RAM MB-Hours"]) >= 0
    assert demo.json("quota", "show", "--compute")
