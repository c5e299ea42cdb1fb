# SPDX-License-Identifier: Apache-2.0
"""A real paravirtual guest on Xen, started by the driver through libvirt's xl driver in a nested machine.

    make test-xen
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from nova.objects.states import POWER_PAUSED, POWER_SUSPENDED, RUNNING, SHUTDOWN
from tests.host import guest_image, nested_machine
from tests.host.conftest import _refuse
from tests.unit.virt.guests import UUID


@pytest.mark.timeout(1800)
def test_a_xen_guest_lives(parts: None) -> None:
    if missing := nested_machine.missing("xen"):
        _refuse(
            f"{', '.join(missing)} not installed (xen-hypervisor-4.17-amd64, xen-utils-4.17, xenstore-utils, "
            "qemu-system-xen, libvirt-daemon-driver-xen)"
        )
    release = guest_image.kernel_release()
    assert release is not None
    directory = Path(tempfile.mkdtemp(prefix="nova-nested-xen-"))
    try:
        image = guest_image.build(directory, release)
        ramdisk = directory / "ramdisk"
        guest_image.build_initrd(
            ramdisk, directory / "xen-tree", release,
            modules=(*guest_image.MODULES, "xen-netfront", "xen-blkfront"),
        )
        said, console = nested_machine.run(
            "xen", image, guest_image.kernel_file(release), ramdisk, seconds=1500
        )
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(said)
    assert "error" not in said, console[-8000:]
    assert said["hypervisor"].startswith("xen guests by Xen 4.17")
    assert said["type"] == ["xen", "linux"]
    assert any("instance-0000002a" in line for line in said["xl"])
    assert "MARK lease 10.9.0.3" in said["console"]
    assert "MARK block xvda" in said["console"]
    assert said["ping"] == 0
    assert said["pause"] == [POWER_PAUSED, RUNNING]
    assert said["diagnostics"] == "running"
    assert [said["reboot"], said["second console"]] == [RUNNING, 2]
    assert [said["power off"], said["power on"], said["third console"]] == [SHUTDOWN, RUNNING, 3]
    assert [said["suspend"], said["resume"]] == [POWER_SUSPENDED, RUNNING]
    assert said["guests"] == {UUID: RUNNING}
    assert said["running"] == 1
    assert [said["destroy"], said["left"]] == [None, ["Domain-0"]]
