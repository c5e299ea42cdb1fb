# SPDX-License-Identifier: Apache-2.0
"""What only a host with KVM can judge of guests' hardware: runs in the nested machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt

from nova.virt.libvirt import qemu_img
from tests.unit.virt.guests import UUID, instance
from tests.unit.virt.hardware_wishes import HONOURED, described, guest_of, missing

#: What KVM guests alone have, in one guest.
_PROPERTIES = {
    "hw_machine_type": "q35", "os_type": "windows", "img_hide_hypervisor_id": "true",
    "hw_viommu_model": "intel", "hw_time_hpet": "true", "hw_pmu": "false",
}


def judged(connection: Any, place: Path) -> dict[str, Any]:
    """What libvirt refused or lost of KVM guests' wishes, and what a started one has."""
    guest = place / UUID
    guest.mkdir(parents=True)
    qemu_img.create(guest / "disk", "qcow2", 1 << 30)
    (guest / "disk.config").write_bytes(bytes(1 << 20))
    said: dict[str, Any] = {"tried": 0, "wrong": []}
    for wish in HONOURED:
        if "kvm" not in wish.virt_types or wish.names == ("hw_machine_type",):
            continue
        said["tried"] += 1
        text = described(guest_of(wish), place, virt_type="kvm", spice=wish.spice, cpu_mode=wish.cpu_mode)
        try:
            domain = connection.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        except libvirt.libvirtError as error:
            said["wrong"].append(f"{wish}: {error}")
            continue
        said["wrong"] += missing(domain.XMLDesc(), wish)
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
    text = described(
        instance(image_properties=_PROPERTIES, memory_mb=96, vcpus=1), place, virt_type="kvm", bridge=False
    )
    domain = connection.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    running = ElementTree.fromstring(domain.XMLDesc())
    domain.destroy()
    domain.undefine()
    said["running"] = sorted(each.tag for each in running.findall("features/hyperv/*[@state='on']"))
    iommu = running.find("devices/iommu/driver")
    said["iommu"] = {} if iommu is None else dict(iommu.attrib)
    return said
