# SPDX-License-Identifier: Apache-2.0
"""A real container through libvirt's LXC driver, from an image that is a file system."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid as uuids
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.guest_image import container_image
from tests.host.hypervisor import PrivateLibvirt
from tests.host.test_guest_moves import Host
from tests.unit.virt.guests import VIF, instance


@pytest.fixture
def host(hypervisor: PrivateLibvirt) -> Iterator[Host]:
    """The hypervisor's LXC side."""
    if not any(Path(place, "libvirt_lxc").exists() for place in ("/usr/lib/libvirt", "/usr/libexec")):
        reason = "libvirt's LXC driver is not installed (make system-parts)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    directory = Path(tempfile.mkdtemp(prefix="nova-host-container-"))
    directory.chmod(0o711)
    hypervisor.run("ip", "link", "add", "br100", "type", "bridge", check=False)
    try:
        yield Host(hypervisor, "boxes", container_image(directory))
    finally:
        hypervisor.run("ip", "link", "del", "br100", check=False)
        shutil.rmtree(directory, ignore_errors=True)


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

    deadline = time.monotonic() + 20
    while True:
        text = base64.b64decode(json.loads(host.call("console_output", guest, more=more))).decode()  # type: ignore[arg-type]
        if "MARK" in text or time.monotonic() > deadline:
            return text
        time.sleep(0.3)
