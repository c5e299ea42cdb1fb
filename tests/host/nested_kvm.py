# SPDX-License-Identifier: Apache-2.0
"""A real KVM guest with vhost and a queue for each vCPU, started by the driver in a nested machine.

    make test-kvm
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.host import guest_image, nested_machine
from tests.host.conftest import _refuse


@pytest.mark.timeout(900)
def test_a_kvm_guest_has_vhost_with_a_queue_for_each_vcpu(parts: None) -> None:
    if missing := nested_machine.missing("kvm"):
        _refuse(f"{', '.join(missing)} not installed (make system-parts)")
    release = guest_image.kernel_release()
    assert release is not None
    directory = Path(tempfile.mkdtemp(prefix="nova-nested-kvm-"))
    try:
        said, console = nested_machine.run("kvm", guest_image.build(directory, release), seconds=600)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    assert "error" not in said, console[-6000:]
    assert said["hypervisor"].startswith("kvm guests by QEMU")
    assert said["type"] == "kvm"
    assert said["nic"] == {"name": "vhost", "queues": "2"}
    assert said["vhost devices"] == 2, "QEMU has the kernel's half of the NIC open once for each queue"
    assert "rx=2 tx=2" in said["console"]
    assert "MARK lease 10.9.0.3" in said["console"]
    assert said["ping"] == 0
    assert said["pause"] == [3, 1]
    # The second vCPU of another guest is to run in real time on a CPU of its own.
    assert said["real time"] == {"CPU 0/KVM": ["other", "0"], "CPU 1/KVM": ["fifo", "1"]}
    # What images and flavors ask of KVM guests' hardware.
    assert said["wishes"]["wrong"] == []
    assert said["wishes"]["tried"] > 90
    assert {"relaxed", "vapic", "spinlocks"} <= set(said["wishes"]["running"])
    assert said["wishes"]["iommu"]["intremap"] == "on"
    assert said["left"] == []
