# SPDX-License-Identifier: Apache-2.0
"""Disks beside the root disk, raw disks, and what a host keeps to itself, with real guests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.host.cloud import GuestCloud
from tests.host.hypervisor import PrivateLibvirt

_GIB_SECTORS = 1 << 21
_MIB_SECTORS = 1 << 11

#: Says what is on the second disk and whether the third is swap space; leaves a file on the second.
_LOOK = """
for l in ephemeral0 config-2; do echo "MARK label $l $(findfs LABEL=$l)"; done
if mount -t ext4 /dev/vdb /tmp 2>/dev/null; then
  echo "MARK found $(cat /tmp/file 2>/dev/null)"; echo treasure >/tmp/file; sync; umount /tmp
fi
swapon /dev/vdc && echo "MARK swap $(awk '/SwapTotal/{print int($2/1024)}' /proc/meminfo)"
"""


def test_ephemeral_and_swap_disks_follow_the_flavor_there_and_back(cloud: GuestCloud) -> None:
    before = cloud.flavor("scratch", ephemeral=1, swap=64)
    larger = cloud.flavor("scratch-large", disk=2, ephemeral=2, swap=96)
    smaller = cloud.flavor("scratch-small", ephemeral=0, swap=64)
    held = _used(cloud)
    uuid = cloud.boot("hoarder", flavor=before, script=_LOOK)
    cloud.reach(uuid, "ACTIVE")
    # Root and ephemeral disk and the swap space, which counts as a whole GiB.
    assert _used(cloud) - held == 3
    cloud.says(uuid, "MARK ready")
    text = cloud.console(uuid)
    assert f"MARK block vdb {_GIB_SECTORS}" in text
    assert f"MARK block vdc {64 * _MIB_SECTORS}" in text
    assert "MARK label ephemeral0 /dev/vdb" in text
    assert "MARK swap 63" in text

    cloud.act(uuid, "resize", {"flavorRef": larger})
    cloud.reach(uuid, "VERIFY_RESIZE")
    cloud.says(uuid, f"MARK block vdb {2 * _GIB_SECTORS}")
    cloud.says(uuid, "MARK found treasure")
    cloud.says(uuid, "MARK swap 95")
    cloud.act(uuid, "revertResize")
    cloud.reach(uuid, "ACTIVE")
    # Its console too is what was kept: it knows nothing of the boot in the other size.
    cloud.says(uuid, "MARK found treasure")
    cloud.says(uuid, "MARK swap 63", times=2)
    assert _virtual_size(cloud.files(uuid) / "disk.eph0") == 1 << 30

    cloud.act(uuid, "resize", {"flavorRef": smaller})
    assert "disks are never made smaller" in cloud.fault(uuid, "resize")
    cloud.reach(uuid, "ACTIVE")
    cloud.remove(uuid)
    assert not cloud.files(uuid).exists()
    assert _used(cloud) == held


@pytest.fixture
def keeping(hypervisor: PrivateLibvirt, image: Path) -> Iterator[GuestCloud]:
    """A cloud with raw disks, config drives that are disks, and a host that keeps a part of itself."""
    made = GuestCloud(hypervisor, image, arguments=[
        "--set", "libvirt.images_type=default", "--set", "use_cow_images=false",
        "--set", "preallocate_images=space", "--set", "config_drive_format=vfat",
        "--set", "force_config_drive=true", "--set", "vcpu_pin_set=0",
        "--set", "reserved_host_memory_mb=700", "--set", "reserved_host_disk_mb=3000",
        "--set", "ram_allocation_ratio=1.0",
    ])
    try:
        made.begin()
        yield made
    finally:
        made.end()


def test_a_host_keeps_its_part_and_starts_what_ran_before_it_went_down(
    keeping: GuestCloud, hypervisor: PrivateLibvirt
) -> None:
    cloud = keeping
    (node,) = cloud.compute("GET", "/os-hypervisors/detail", by="admin", version="2.53").json["hypervisors"]
    assert node["vcpus"] == 1
    assert node["memory_mb_used"] == 700
    assert node["local_gb_used"] == 3
    least = node["disk_available_least"]
    # What is left of the host without its own part does not go to guests.
    for name, facts in (
        ("all-memory", {"ram": node["memory_mb"] - 699}), ("all-disk", {"disk": node["local_gb"] - 2}),
    ):
        greedy = cloud.boot(name, flavor=cloud.flavor(name, **facts))
        assert "No valid host" in cloud.reach(greedy, "ERROR")["fault"]["message"]
        cloud.remove(greedy)

    uuid = cloud.boot("rawly", script=_LOOK)
    quiet = cloud.boot("quiet")
    cloud.reach(uuid, "ACTIVE")
    disk = cloud.files(uuid) / "disk"
    domain = ElementTree.fromstring(hypervisor.virsh("dumpxml", uuid).stdout)
    assert [each.get("type") for each in domain.findall("devices/disk/driver")] == ["raw", "raw"]
    assert [each.get("device") for each in domain.findall("devices/disk")] == ["disk", "disk"]
    vcpu = domain.find("vcpu")
    assert vcpu is not None
    assert vcpu.get("cpuset") == "0"
    allowed = hypervisor.virsh("vcpupin", uuid).stdout.split()
    assert allowed[-1] == "0"
    assert disk.stat().st_size == 1 << 30
    assert disk.stat().st_blocks * 512 >= 1 << 30, "its room is taken at once"
    # On a CPU that much else runs on.
    cloud.says(uuid, "MARK ready", timeout=240)
    text = cloud.console(uuid)
    assert f"MARK block vda {_GIB_SECTORS}" in text
    assert "MARK label config-2 /dev/vdb" in text
    assert f"MARK config-drive {uuid}" in text

    # The host goes down with all on it; one guest was stopped before that.
    cloud.reach(quiet, "ACTIVE")
    hypervisor.virsh("destroy", quiet)
    cloud.reach(quiet, "SHUTOFF")
    for times, option in ((2, "start_guests_on_host_boot"), (3, "resume_guests_state_on_host_boot")):
        os.kill(cloud.process.pid, signal.SIGKILL)
        cloud.wait()
        hypervisor.virsh("destroy", uuid)
        begun = cloud.arguments
        cloud.arguments = [*begun, "--set", f"{option}=true"]
        cloud.start()
        cloud.arguments = begun
        cloud.says(uuid, "MARK start", times=times, timeout=240)
        cloud.reach(uuid, "ACTIVE")
        assert cloud.server(quiet)["status"] == "SHUTOFF"
    (node,) = cloud.compute("GET", "/os-hypervisors/detail", by="admin", version="2.53").json["hypervisors"]
    assert node["disk_available_least"] < least
    for each in (uuid, quiet):
        cloud.remove(each)


def _used(cloud: GuestCloud) -> int:
    """GiB of the host's disk that its guests' flavors take."""
    shown = cloud.compute("GET", "/os-hypervisors/detail", by="admin", version="2.53").json
    return int(shown["hypervisors"][0]["local_gb_used"])


def _virtual_size(path: Path) -> int:
    output = subprocess.run(
        ["qemu-img", "info", "-U", "--output=json", str(path)], capture_output=True, check=True,
    ).stdout
    found: dict[str, Any] = json.loads(output)
    return int(found["virtual-size"])

