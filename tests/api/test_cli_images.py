# SPDX-License-Identifier: Apache-2.0
"""Images through the unmodified ``openstack`` command line."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tests.api.cloud_process import CloudProcess
from tests.api.public_clients import Commands


def test_an_image_from_upload_to_delete(
    cloud: CloudProcess, demo: Commands, tmp_path: Path
) -> None:
    data = os.urandom(300_000)
    (tmp_path / "disk.raw").write_bytes(data)
    made = demo.json(
        "image", "create", "--file", str(tmp_path / "disk.raw"), "--disk-format", "raw",
        "--container-format", "bare", "--min-disk", "1", "--property", "os_distro=红旗",
        "--tag", "标签", "映像 1",
    )
    shown = demo.json("image", "show", "映像 1")
    assert shown["id"] == made["id"]
    assert (shown["status"], shown["size"]) == ("active", len(data))
    assert shown["checksum"] == hashlib.md5(data).hexdigest()
    assert shown["properties"]["os_distro"] == "红旗"
    assert shown["tags"] == ["标签"]
    demo("image", "save", "--file", str(tmp_path / "back.raw"), "映像 1")
    assert (tmp_path / "back.raw").read_bytes() == data

    demo("image", "set", "--name", "映像 2", "--property", "p=q", "--tag", "neu", "--protected",
         "--min-ram", "64", "映像 1")
    demo("image", "unset", "--property", "os_distro", "--tag", "标签", "映像 2")
    shown = demo.json("image", "show", "映像 2")
    assert (shown["min_ram"], shown["tags"], shown["protected"]) == (64, ["neu"], True)
    assert shown["properties"]["p"] == "q"
    assert "os_distro" not in shown["properties"]
    assert "403" in demo.refused("image", "delete", "映像 2")
    for filters in (["--tag", "neu"], ["--property", "p=q"], ["--name", "映像 2"], ["--private"]):
        names = demo("image", "list", *filters, "-f", "value", "-c", "Name").splitlines()
        assert (names == ["映像 2"]) == (filters != ["--private"]), filters
    demo("image", "set", "--unprotected", "映像 2")
    demo("image", "delete", "映像 2")
    assert "No Image found" in demo.refused("image", "show", made["id"])


def test_an_image_is_shared_with_one_project(
    cloud: CloudProcess, demo: Commands, admin: Commands, tmp_path: Path
) -> None:
    (tmp_path / "disk.raw").write_bytes(b"x" * 1000)
    made = demo.value(
        "image", "create", "--file", str(tmp_path / "disk.raw"), "--disk-format", "raw", "--shared",
        "geteilt",
    )
    project = admin.value("project", "create", "andere")
    try:
        demo("image", "add", "project", made, project)
        (member,) = demo.json("image", "member", "list", made)
        assert (member["Member ID"], member["Status"]) == (project, "pending")
        admin("image", "set", "--project", project, "--accept", made)
        (member,) = demo.json("image", "member", "list", made)
        assert member["Status"] == "accepted"
        demo("image", "remove", "project", made, project)
        assert demo.json("image", "member", "list", made) == []
    finally:
        admin("project", "delete", project)
        demo("image", "delete", made)


def test_a_server_of_an_image_that_asks_for_more_than_its_flavor_is_refused(
    demo: Commands, tmp_path: Path
) -> None:
    (tmp_path / "disk.raw").write_bytes(b"x" * 1000)
    demo("image", "create", "--file", str(tmp_path / "disk.raw"), "--disk-format", "raw",
         "--min-ram", "4096", "hungrig")
    try:
        complaint = demo.refused("server", "create", "--flavor", "m1.tiny", "--image", "hungrig",
                                 "--nic", "none", "no")
        assert "400" in complaint
        assert "memory" in complaint
    finally:
        demo("image", "delete", "hungrig")
