# SPDX-License-Identifier: Apache-2.0
"""What real guests find on their disks: after snapshots, resizes, rescues and crashes of the cloud."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.api.cloud_process import wait_for
from tests.host.cloud import PATIENCE, GuestCloud
from tests.host.hypervisor import PrivateLibvirt

_GIB_SECTORS = 1 << 21


def _writing(text: str) -> str:
    """A script that leaves a text on the root disk, where the guest looks at every boot."""
    return (
        f"printf '%s' {text} | dd of=/dev/vda bs=512 seek=160000 conv=notrunc 2>/dev/null\n"
        "sync; echo MARK wrote\n"
    )


@pytest.fixture(scope="module")
def writer(cloud: GuestCloud) -> Iterator[str]:
    """A guest that wrote on its disk and runs, before and after each test with it."""
    uuid = cloud.boot("writer", script=_writing("precious"))
    cloud.reach(uuid, "ACTIVE")
    cloud.says(uuid, "MARK ready")
    assert "MARK wrote" in cloud.console(uuid)
    yield uuid
    cloud.remove(uuid)


def _says_again(cloud: GuestCloud, uuid: str, pattern: str, act: Callable[[], object]) -> None:
    """Do something, and wait until the guest says once more what it may have said before."""
    before = len(re.findall(pattern, cloud.console(uuid)))
    act()
    cloud.says(uuid, pattern, times=before + 1)


def test_a_running_guest_is_snapshotted_and_the_image_boots(cloud: GuestCloud, writer: str) -> None:
    uuid = writer
    image_id = cloud.act(uuid, "createImage", {"name": "kept"}).json["image_id"]
    cloud.reach(uuid, "ACTIVE")
    image = cloud.call("image", "GET", f"/v2/images/{image_id}").json
    assert (image["status"], image["disk_format"]) == ("active", "qcow2")
    assert cloud.console(uuid).count("MARK start") == 1, "the guest must not stop for it"
    assert not list((cloud.state / "instances/snapshots").iterdir())

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


def test_a_rescued_guest_has_its_own_disk_second(
    cloud: GuestCloud, hypervisor: PrivateLibvirt, writer: str
) -> None:
    uuid = writer
    cloud.act(uuid, "rescue", {"adminPass": "secret"})
    cloud.reach(uuid, "RESCUE")
    cloud.says(uuid, "MARK kept vdb precious")

    def unrescue() -> None:
        cloud.act(uuid, "unrescue")
        cloud.reach(uuid, "ACTIVE")
        assert not (cloud.files(uuid) / "disk.rescue").exists()

    _says_again(cloud, uuid, "MARK kept vda precious", unrescue)
    # An image that names a place for the rescue disk leaves the others where they are.
    image = cloud.upload(
        "ambulance", cloud.image_path.read_bytes(), "qcow2", hw_rescue_bus="virtio", hw_rescue_device="disk",
    )

    def rescue() -> None:
        cloud.act(uuid, "rescue", {"rescue_image_ref": image})
        cloud.reach(uuid, "RESCUE")

    _says_again(cloud, uuid, "MARK kept vda precious", rescue)
    domain = ElementTree.fromstring(hypervisor.virsh("dumpxml", uuid).stdout)
    first = [
        str(target.get("dev")) for disk in domain.findall("devices/disk")
        if disk.find("boot") is not None and (target := disk.find("target")) is not None
    ]
    assert first == ["vdb"]
    _says_again(cloud, uuid, "MARK kept vda precious", unrescue)


def test_a_resize_on_the_same_host_grows_the_disk_and_can_be_taken_back(
    cloud: GuestCloud, writer: str
) -> None:
    uuid = writer

    def resize_and_revert() -> None:
        cloud.act(uuid, "resize", {"flavorRef": cloud.flavors["large"]})
        cloud.reach(uuid, "VERIFY_RESIZE")
        cloud.says(uuid, "MARK cpus 2")
        cloud.says(uuid, f"MARK block vda {2 * _GIB_SECTORS}")
        # With the disk of before comes the console's text of before.
        cloud.act(uuid, "revertResize")
        cloud.reach(uuid, "ACTIVE")

    _says_again(cloud, uuid, "MARK kept vda precious", resize_and_revert)
    assert not cloud.files(f"{uuid}_resize").exists()
    assert _virtual_size(cloud, uuid) == 1 << 30

    cloud.act(uuid, "resize", {"flavorRef": cloud.flavors["large"]})
    cloud.reach(uuid, "VERIFY_RESIZE")
    assert cloud.files(f"{uuid}_resize").exists()
    cloud.act(uuid, "confirmResize")
    cloud.reach(uuid, "ACTIVE")
    wait_for(
        lambda: not cloud.files(f"{uuid}_resize").exists(), lambda: "the old disk is still there", PATIENCE
    )
    assert _virtual_size(cloud, uuid) == 2 << 30
    # Rebuilt, it begins with a fresh disk.
    cloud.act(uuid, "rebuild", {"imageRef": cloud.image_id, "user_data": None})
    cloud.reach(uuid, "ACTIVE")


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
    wait_for(lambda: cloud.files(uuid).exists(), lambda: "the boot did not begin", PATIENCE)
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
