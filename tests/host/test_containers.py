# SPDX-License-Identifier: Apache-2.0
"""A real container through libvirt's LXC driver, from an image that is a file system."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
import uuid as uuids
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.cloud_process import ROOT
from tests.host.cloud import GuestCloud
from tests.host.conftest import _refuse
from tests.host.guest_image import container_image
from tests.host.hypervisor import PrivateLibvirt, program_missing
from tests.host.test_guest_moves import Host
from tests.unit.virt.guests import VIF, instance


@pytest.fixture(scope="module")
def box(parts: None) -> Iterator[Path]:
    """The image of a container."""
    if not any(Path(place, "libvirt_lxc").exists() for place in ("/usr/lib/libvirt", "/usr/libexec")):
        _refuse("libvirt's LXC driver is not installed (make system-parts)")
    directory = Path(tempfile.mkdtemp(prefix="nova-host-container-"))
    directory.chmod(0o711)
    try:
        yield container_image(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def host(hypervisor: PrivateLibvirt, box: Path) -> Iterator[Host]:
    """The hypervisor's LXC side."""
    hypervisor.run("ip", "link", "add", "br100", "type", "bridge", check=False)
    try:
        yield Host(hypervisor, "boxes", box)
    finally:
        hypervisor.run("ip", "link", "del", "br100", check=False)


@pytest.fixture
def cloud_of_boxes(hypervisor: PrivateLibvirt, box: Path) -> Iterator[GuestCloud]:
    """A cloud of containers in the hypervisor's namespaces, whose network it sets up."""
    if missing := program_missing(["dnsmasq", "nft"]):
        _refuse(f"{', '.join(missing)} not installed (make system-parts)")
    with hypervisor.network():
        cloud = GuestCloud(
            hypervisor, box, image_format="raw", prefix=hypervisor.enter("env", f"PYTHONPATH={ROOT}"),
            arguments=[
                "--set", "libvirt.virt_type=lxc", "--set", "libvirt.connection_uri=lxc:///system",
                "--set", "network_driver=nova.network.linux_net", "--set", "fake_network=false",
            ],
        )
        try:
            cloud.begin()
            yield cloud
        finally:
            pids = [path.read_text().strip() for path in (cloud.state / "networks").glob("*.pid")]
            cloud.end()
            for pid in pids:
                hypervisor.run("kill", pid, check=False)
            hypervisor.run("ip", "link", "del", "br100", check=False)


def test_a_container_of_the_api_has_a_network_and_metadata_and_goes_without_a_trace(
    cloud_of_boxes: GuestCloud, hypervisor: PrivateLibvirt
) -> None:
    cloud = cloud_of_boxes
    uuid = cloud.boot("lådan")
    server = cloud.reach(uuid, "ACTIVE")
    address = next(iter(server["addresses"].values()))[0]["addr"]
    cloud.says(uuid, f"MARK lease {address}")
    told = cloud.says(uuid, "MARK metadata (.*)").group(1)
    assert f'"uuid":"{uuid}"' in told, cloud.console(uuid)
    subprocess.run(["busybox", "ping", "-c", "1", "-W", "5", address], capture_output=True, check=True)

    def state() -> str:
        return hypervisor.run("virsh", "-c", "lxc:///system", "domstate", uuid).strip()

    cloud.act(uuid, "pause")
    assert cloud.reach(uuid, "PAUSED")["OS-EXT-STS:power_state"] == 3
    assert state() == "paused"
    cloud.act(uuid, "unpause")
    cloud.reach(uuid, "ACTIVE")
    # There is nothing that could set a password.
    answer = cloud.compute(
        "POST", f"/servers/{uuid}/action", {"changePassword": {"adminPass": "secret"}}
    )
    assert answer.status == 409, answer.body
    cloud.act(uuid, "os-stop")
    assert cloud.reach(uuid, "SHUTOFF")["OS-EXT-STS:power_state"] == 4
    assert state() == "shut off"
    cloud.act(uuid, "os-start")
    cloud.reach(uuid, "ACTIVE")
    cloud.says(uuid, "MARK ready", times=2)
    cloud.remove(uuid)
    assert uuid not in hypervisor.run("virsh", "-c", "lxc:///system", "list", "--all", "--uuid")
    assert not cloud.files(uuid).exists()


def test_a_container_lives(host: Host) -> None:
    guest = instance(
        uuid=str(uuids.uuid4()), id=int(time.monotonic() * 1000) % 10**6, memory_mb=64, vcpus=1,
        name="box", network_info=(VIF,),
    )
    place = host.image.parent / "instances"
    more = {
        "libvirt.virt_type": "lxc", "DEFAULT.instances_path": str(place), "DEFAULT.shutdown_timeout": 5,
    }

    def domains() -> str:
        return host.libvirt.run("virsh", "-c", "lxc:///system", "list", "--all")

    assert host.call("spawn", guest, with_spec=True, more=more) == "1"
    assert "running" in domains()
    assert (place / guest.uuid / "disk").exists()
    assert "MARK container nics=eth0" in _console(host, guest, more)
    assert host.call("pause", guest, more=more) == "3"
    assert "paused" in domains()
    assert host.call("unpause", guest, more=more) == "1"
    assert host.call("reboot", guest, more=more, hard=True) == "1"
    assert host.call("power_off", guest, more=more) == "4"
    assert "shut off" in domains()
    assert host.call("power_on", guest, more=more) == "1"
    host.call("destroy", guest, more=more)
    assert guest.uuid not in host.libvirt.run("virsh", "-c", "lxc:///system", "list", "--all", "--uuid")
    assert not (place / guest.uuid).exists()


def _console(host: Host, guest: object, more: dict[str, object]) -> str:
    import base64
    import json

    deadline = time.monotonic() + 60
    text = ""
    while True:
        read = json.loads(host.call("console_output", guest, more=more))  # type: ignore[arg-type]
        text += base64.b64decode(read).decode()
        if re.search("MARK container .*\n", text) or time.monotonic() > deadline:
            return text
        time.sleep(0.3)
