# SPDX-License-Identifier: Apache-2.0
"""What real guests find on their disks: after snapshots, resizes, rescues and crashes of the cloud."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

from tests.api.cloud_process import wait_for
from tests.host.cloud import GuestCloud
from tests.host.hypervisor import PrivateLibvirt

_GIB_SECTORS = 1 << 21


def _writing(text: str) -> str:
    """A script that leaves a text on the root disk, where the guest looks at every boot."""
    return (
        f"printf '%s' {text} | dd of=/dev/vda bs=512 seek=40000 conv=notrunc 2>/dev/null\n"
        "sync; echo MARK wrote\n"
    )


def test_a_running_guest_is_snapshotted_and_the_image_boots(
    cloud: GuestCloud, hypervisor: PrivateLibvirt
) -> None:
    uuid = cloud.boot("original", script=_writing("precious"))
    cloud.reach(uuid, "ACTIVE")
    cloud.says(uuid, "MARK ready")
    assert "MARK wrote" in cloud.console(uuid)
    image_id = cloud.act(uuid, "createImage", {"name": "kept"}).json["image_id"]
    cloud.reach(uuid, "ACTIVE")
    image = cloud.call("image", "GET", f"/v2/images/{image_id}").json
    assert (image["status"], image["disk_format"]) == ("active", "qcow2")
    assert cloud.console(uuid).count("MARK start") == 1, "the guest must not stop for it"
    assert not list((cloud.state / "instances/snapshots").iterdir())
    cloud.remove(uuid)

    copy = cloud.boot("copy", image=image_id)
    cloud.reach(copy, "ACTIVE")
    cloud.says(copy, "MARK kept vda precious")
    # Of a guest that is off the disk is read as it lies there.
    cloud.act(copy, "os-stop")
    cloud.reach(copy, "SHUTOFF")
    cold = cloud.act(copy, "createImage", {"name": "cold"}).json["image_id"]
    cloud.reach(copy, "SHUTOFF")
    assert cloud.call("image", "GET", f"/v2/images/{cold}").json["status"] == "active"
    cloud.remove(copy)


def test_a_resize_on_the_same_host_grows_the_disk_and_can_be_taken_back(cloud: GuestCloud) -> None:
    uuid = cloud.boot("growing", script=_writing("steady"))
    cloud.reach(uuid, "ACTIVE")
    cloud.says(uuid, "MARK wrote")
    cloud.act(uuid, "resize", {"flavorRef": cloud.flavors["large"]})
    cloud.reach(uuid, "VERIFY_RESIZE")
    cloud.says(uuid, "MARK cpus 2")
    cloud.says(uuid, f"MARK block vda {2 * _GIB_SECTORS}")
    cloud.act(uuid, "revertResize")
    cloud.reach(uuid, "ACTIVE")
    cloud.says(uuid, "MARK kept vda steady")
    assert not cloud.files(f"{uuid}_resize").exists()
    assert _virtual_size(cloud, uuid) == 1 << 30

    cloud.act(uuid, "resize", {"flavorRef": cloud.flavors["large"]})
    cloud.reach(uuid, "VERIFY_RESIZE")
    assert cloud.files(f"{uuid}_resize").exists()
    cloud.act(uuid, "confirmResize")
    cloud.reach(uuid, "ACTIVE")
    wait_for(lambda: not cloud.files(f"{uuid}_resize").exists(), lambda: "the old disk is still there")
    assert _virtual_size(cloud, uuid) == 2 << 30
    cloud.remove(uuid)


def test_a_rescued_guest_has_its_own_disk_second(cloud: GuestCloud) -> None:
    uuid = cloud.boot("broken", script=_writing("patient"))
    cloud.reach(uuid, "ACTIVE")
    cloud.says(uuid, "MARK wrote")
    cloud.act(uuid, "rescue", {"adminPass": "secret"})
    cloud.reach(uuid, "RESCUE")
    cloud.says(uuid, "MARK kept vdb patient")
    cloud.act(uuid, "unrescue")
    cloud.reach(uuid, "ACTIVE")
    assert not (cloud.files(uuid) / "disk.rescue").exists()
    cloud.says(uuid, "MARK kept vda patient")
    # Rebuilt, it begins with a fresh disk.
    cloud.act(uuid, "rebuild", {"imageRef": cloud.image_id, "user_data": None})
    cloud.reach(uuid, "ACTIVE")
    cloud.remove(uuid)


def test_an_image_that_is_not_what_it_says_fails_the_boot_with_the_reason(cloud: GuestCloud) -> None:
    data = (cloud.image_path).read_bytes()
    image = cloud.upload("liar", data, "raw")
    uuid = cloud.boot("cheated", image=image)
    server = cloud.reach(uuid, "ERROR")
    assert "declared as raw, but its content is qcow2" in server["fault"]["message"]
    assert not cloud.files(uuid).exists()
    cloud.remove(uuid)


def test_a_cloud_killed_while_it_makes_a_guest_ends_the_boot_after_its_start(
    cloud: GuestCloud, hypervisor: PrivateLibvirt
) -> None:
    """The image is new, so that the host is busy fetching it when the process dies."""
    data = cloud.image_path.read_bytes()
    image = cloud.upload("fresh", data, "qcow2")
    uuid = cloud.boot("interrupted", image=image)
    wait_for(lambda: cloud.files(uuid).exists(), lambda: "the boot did not begin")
    os.kill(cloud.process.pid, signal.SIGKILL)
    cloud.wait()
    cloud.start()
    cloud.reach(uuid, "ACTIVE")
    cloud.says(uuid, "MARK ready")
    assert not list((cloud.state / "instances/_base").glob("*.part"))
    assert hypervisor.domains().count(uuid) == 1
    cloud.remove(uuid)


def _virtual_size(cloud: GuestCloud, uuid: str) -> int:
    output = subprocess.run(
        ["qemu-img", "info", "-U", "--output=json", str(cloud.files(uuid) / "disk")],
        capture_output=True, check=True,
    ).stdout
    found: dict[str, Any] = json.loads(output)
    return int(found["virtual-size"])
