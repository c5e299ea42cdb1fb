# SPDX-License-Identifier: Apache-2.0
"""Every image property and extra spec about a guest's hardware, and what the libvirt driver makes of it.

docs/operators/guest-hardware.md lists the same; the unit test compares both, and libvirt's schema and a real
libvirtd (tests/host) judge the descriptions.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec

from nova.conf import load
from nova.objects.instance import Instance
from nova.objects.topology import GuestCell, GuestDevice, GuestTopology
from nova.virt.libvirt.domain_xml import domain_xml
from nova.virt.libvirt.files import HostFiles
from nova.virt.libvirt.guest_config import GuestHost, domain_config
from nova.virt.libvirt.image_cache import ImageCache
from nova.virt.libvirt.storage import GuestStorage, StorageOptions
from nova.virt.libvirt.vif import NicHost, nic_config
from tests.unit.virt.guests import instance

#: The real host of the tests has one NUMA cell, two CPUs and no device to give away.
_PLACE = GuestTopology(
    cells=(
        GuestCell(cpus=(0,), memory_mb=256, host_cell=0, pool_kb=2048, page_kb=2048, pinning=((0, 0),)),
        GuestCell(cpus=(1,), memory_mb=256, host_cell=0, pool_kb=2048, page_kb=2048, float_over=(1,)),
    ),
    devices=(GuestDevice(address="0000:03:00.0", alias="card", vendor_id="8086", product_id="10fb"),),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked for, and where the description shows it: (path, attributes), or (path, text)."""

    properties: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    specs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    shows: tuple[tuple[str, Mapping[str, str] | str], ...]
    #: What these names say is shown; the others of ``properties`` and ``specs`` only go with them.
    names: tuple[str, ...]
    virt_types: tuple[str, ...] = ("kvm", "qemu")
    placed: bool = False
    spice: bool = False
    cpu_mode: str | None = None

    def __str__(self) -> str:
        return self.names[0]


def _image(
    shows: tuple[str, Mapping[str, str] | str], /, *, together: Mapping[str, Any] | None = None,
    specs: Mapping[str, str] | None = None, virt_types: tuple[str, ...] = ("kvm", "qemu"),
    spice: bool = False, cpu_mode: str | None = None, **properties: Any,
) -> Wish:
    """Properties of an image that are shown in one place."""
    return Wish(
        properties={**properties, **(together or {})}, specs=specs or {}, shows=(shows,),
        names=tuple(properties), virt_types=virt_types, spice=spice, cpu_mode=cpu_mode,
    )


def _flavor(
    *shows: tuple[str, Mapping[str, str] | str], together: Mapping[str, Any] | None = None,
    virt_types: tuple[str, ...] = ("kvm", "qemu"), spice: bool = False, cpu_mode: str | None = None,
    **specs: str,
) -> Wish:
    """Extra specs; ``hw__x`` stands for ``hw:x``."""
    named = {name.replace("__", ":"): value for name, value in specs.items()}
    return Wish(
        specs=named, properties=together or {}, shows=shows, names=tuple(named), virt_types=virt_types,
        spice=spice, cpu_mode=cpu_mode,
    )


_UEFI = {"hw_firmware_type": "uefi"}
_Q35 = {"hw_machine_type": "q35"}
_RATES = {"average": "1000", "peak": "2000", "burst": "512"}
_DISK = "devices/disk[@device='disk']/"

#: One each that the description shows.
HONOURED: tuple[Wish, ...] = (
    # disks
    *(
        _image((f"{_DISK}target[@dev='{target}']", {"bus": bus}), hw_disk_bus=bus,
               together=_Q35 if bus == "sata" else None)
        for bus, target in (
            ("virtio", "vda"), ("scsi", "sda"), ("sata", "sda"), ("usb", "sda"), ("ide", "hda"),
        )
    ),
    *(
        _image(("devices/disk[@device='cdrom']/target", {"bus": bus}), hw_cdrom_bus=bus)
        for bus in ("scsi", "ide", "sata", "usb")
    ),
    *(
        _image(("devices/controller[@type='scsi']", {"model": model}), hw_scsi_model=model,
               together={"hw_disk_bus": "scsi"})
        for model in ("virtio-scsi", "lsilogic", "lsisas1068", "lsisas1078", "vmpvscsi")
    ),
    *(
        Wish(
            specs={(name := f"quota:disk_{kind}_{unit}_sec"): "1000000"}, names=(name,),
            shows=((f"{_DISK}iotune/{kind}_{unit}_sec", "1000000"),),
        )
        for kind in ("read", "write", "total") for unit in ("bytes", "iops")
    ),
    # NICs
    *(
        _image(("devices/interface/model", {"type": model}), hw_vif_model=model)
        for model in ("virtio", "e1000", "e1000e", "ne2k_pci", "pcnet", "rtl8139", "vmxnet3")
    ),
    _image(("devices/interface/driver", {"queues": "2"}), hw_vif_multiqueue_enabled="true"),
    _flavor(("devices/interface/driver", {"queues": "2"}), hw__vif_multiqueue_enabled="true"),
    *(
        Wish(
            specs={f"quota:vif_{way}_{name}": value for name, value in _RATES.items()},
            names=tuple(f"quota:vif_{way}_{name}" for name in _RATES),
            shows=((f"devices/interface/bandwidth/{way}", _RATES),),
        )
        for way in ("inbound", "outbound")
    ),
    _image(("devices/interface/driver", {"packed": "on"}), hw_virtio_packed_ring="true"),
    _flavor(("devices/interface/driver", {"packed": "on"}), (f"{_DISK}driver", {"packed": "on"}),
            hw__virtio_packed_ring="true"),
    # machine, firmware, start
    *(_image(("os/type", {"machine": machine}), hw_machine_type=machine) for machine in ("q35", "pc")),
    _image(("os", {"firmware": "efi"}), hw_firmware_type="uefi"),
    _image(("os/firmware/feature[@name='enrolled-keys']", {"enabled": "yes"}), os_secure_boot="required",
           together={**_UEFI, **_Q35}),
    _flavor(("os/firmware/feature[@name='secure-boot']", {"enabled": "yes"}), os__secure_boot="required",
            together={**_UEFI, **_Q35}),
    _image(("os/loader", {"stateless": "yes"}), hw_firmware_stateless="true", together=_UEFI),
    _image(("os/bootmenu", {"enable": "yes"}), hw_boot_menu="true"),
    _flavor(("os/bootmenu", {"enable": "yes"}), hw__boot_menu="true"),
    _image(("os/cmdline", "quiet"), os_command_line="quiet", together={"kernel": "yes"}),
    # CPUs
    _image(("cpu/topology", {"sockets": "1", "cores": "1", "threads": "2"}), hw_cpu_sockets="1",
           hw_cpu_cores="1", hw_cpu_threads="2"),
    _flavor(("cpu/topology", {"sockets": "1", "cores": "1", "threads": "2"}), hw__cpu_sockets="1",
            hw__cpu_cores="1", hw__cpu_threads="2"),
    _image(("cpu/topology", {"sockets": "1", "cores": "2", "threads": "1"}), hw_cpu_max_sockets="1",
           hw_cpu_max_cores="2", hw_cpu_max_threads="1"),
    _flavor(("cpu/topology", {"sockets": "1", "cores": "2", "threads": "1"}), hw__cpu_max_sockets="1",
            hw__cpu_max_cores="2", hw__cpu_max_threads="1"),
    _flavor(("cputune/shares", "512"), quota__cpu_shares="512"),
    _flavor(("cputune/period", "50000"), ("cputune/quota", "25000"), quota__cpu_period="50000",
            quota__cpu_quota="25000"),
    _image(("cpu/maxphysaddr", {"mode": "emulate", "bits": "40"}), hw_maxphysaddr_mode="emulate",
           hw_maxphysaddr_bits="40", cpu_mode="host-model"),
    _flavor(("cpu/maxphysaddr", {"mode": "passthrough"}), hw__maxphysaddr_mode="passthrough",
            cpu_mode="host-passthrough"),
    _flavor(("cpu/maxphysaddr", {"bits": "40"}), hw__maxphysaddr_mode="emulate", hw__maxphysaddr_bits="40",
            cpu_mode="host-model"),
    _image(("features/pmu", {"state": "off"}), hw_pmu="false"),
    _flavor(("features/pmu", {"state": "off"}), hw__pmu="false"),
    _image(("features/kvm/hidden", {"state": "on"}), img_hide_hypervisor_id="true", virt_types=("kvm",)),
    _flavor(("features/kvm/hidden", {"state": "on"}), hw__hide_hypervisor_id="true", virt_types=("kvm",)),
    _flavor(("features/kvm/hidden", {"state": "on"}), hide_hypervisor_id="true", virt_types=("kvm",)),
    # where a guest is; what the scheduler made of the wishes is in ``_PLACE``
    Wish(
        specs={
            "hw:numa_nodes": "2", "hw:numa_cpus.0": "0", "hw:numa_cpus.1": "1", "hw:numa_mem.0": "256",
            "hw:numa_mem.1": "256", "hw:cpu_policy": "mixed", "hw:cpu_realtime": "yes",
            "hw:cpu_realtime_mask": "0", "hw:mem_page_size": "2048", "hw:locked_memory": "true",
            "hw:cpu_dedicated_mask": "0", "hw:cpu_thread_policy": "prefer",
            "hw:emulator_threads_policy": "share",
            "pci_passthrough:alias": "card:1", "hw:pci_numa_affinity_policy": "preferred",
        },
        properties={
            "hw_numa_nodes": "2", "hw_numa_cpus.0": "0", "hw_numa_cpus.1": "1", "hw_numa_mem.0": "256",
            "hw_numa_mem.1": "256", "hw_cpu_policy": "mixed", "hw_cpu_realtime_mask": "0",
            "hw_mem_page_size": "2048", "hw_locked_memory": "true", "hw_cpu_thread_policy": "prefer",
            "hw_pci_numa_affinity_policy": "preferred",
        },
        shows=(
            ("cputune/vcpupin[@vcpu='0']", {"cpuset": "0"}), ("cputune/vcpusched", {"scheduler": "fifo"}),
            ("cpu/numa/cell[@id='1']", {"cpus": "1", "memory": "262144"}),
            ("memoryBacking/hugepages/page", {"size": "2048"}), ("memoryBacking/locked", {}),
            ("numatune/memnode[@cellid='1']", {"nodeset": "0"}),
            ("devices/hostdev/source/address", {"bus": "0x03"}),
        ),
        names=(
            "hw:numa_nodes", "hw:numa_cpus.N", "hw:numa_mem.N", "hw:cpu_policy", "hw:cpu_realtime",
            "hw:cpu_realtime_mask", "hw:mem_page_size", "hw:locked_memory", "hw:cpu_dedicated_mask",
            "hw:cpu_thread_policy", "hw:emulator_threads_policy", "pci_passthrough:alias",
            "hw:pci_numa_affinity_policy", "hw_numa_nodes", "hw_numa_cpus.N", "hw_numa_mem.N",
            "hw_cpu_policy", "hw_cpu_realtime_mask", "hw_mem_page_size", "hw_locked_memory",
            "hw_cpu_thread_policy", "hw_pci_numa_affinity_policy",
        ),
        placed=True,
    ),
    # screens, inputs, sound, USB
    *(
        _image(("devices/video/model", {"type": model}), hw_video_model=model)
        for model in ("vga", "cirrus", "vmvga", "qxl", "virtio", "bochs", "none")
    ),
    Wish(
        properties={"hw_video_model": "vga", "hw_video_ram": "16"}, specs={"hw_video:ram_max_mb": "32"},
        shows=(("devices/video/model", {"vram": "16384"}),), names=("hw_video_ram", "hw_video:ram_max_mb"),
    ),
    *(
        _image(("devices/input[@type='keyboard']", {"bus": bus}), hw_input_bus=bus)
        for bus in ("usb", "virtio")
    ),
    _image(("devices/input[@type='tablet']", {"bus": "usb"}), hw_pointer_model="usbtablet"),
    *(
        _image(("devices/sound", {"model": model}), hw_sound_model=model)
        for model in ("sb16", "es1370", "pcspk", "ac97", "ich6", "ich9", "usb")
    ),
    _flavor(("devices/sound", {"model": "ich9"}), hw__sound_model="ich9"),
    *(
        _image(("devices/controller[@type='usb']", {"model": model}), hw_usb_model=model)
        for model in ("none", "nec-xhci", "qemu-xhci")
    ),
    _flavor(("devices/controller[@type='usb']", {"model": "qemu-xhci"}), hw__usb_model="qemu-xhci"),
    _image(("devices/redirdev[2]", {"type": "spicevmc"}), hw_redirected_usb_ports="2", spice=True),
    _flavor(("devices/redirdev[3]", {"type": "spicevmc"}), hw__redirected_usb_ports="3", spice=True),
    # the rest of the machine
    _image(("devices/serial[2]/target", {"port": "1"}), hw_serial_port_count="2"),
    _flavor(("devices/serial[1]/target", {"port": "0"}), ("devices/serial[4]/target", {"port": "3"}),
            hw__serial_port_count="4"),
    Wish(
        properties={"hw_rng_model": "virtio"},
        specs={"hw_rng:allowed": "true", "hw_rng:rate_bytes": "100", "hw_rng:rate_period": "500"},
        shows=(("devices/rng/rate", {"bytes": "100", "period": "500"}),),
        names=("hw_rng_model", "hw_rng:allowed", "hw_rng:rate_bytes", "hw_rng:rate_period"),
    ),
    *(
        _image(("devices/watchdog", {"model": "i6300esb", "action": action}), hw_watchdog_action=action)
        for action in ("reset", "poweroff", "pause", "none")
    ),
    _flavor(("devices/watchdog", {"action": "pause"}), hw__watchdog_action="pause"),
    _image(("devices/channel/target", {"name": "org.qemu.guest_agent.0"}), hw_qemu_guest_agent="yes"),
    _image(("clock/timer[@name='hpet']", {"present": "yes"}), hw_time_hpet="true"),
    _image(("clock", {"offset": "localtime"}), os_type="windows"),
    _image(("features/hyperv/spinlocks", {"retries": "8191"}), os_type="windows", virt_types=("kvm",)),
    *(
        _image(("devices/iommu", {"model": shown}), hw_viommu_model=model, together=_Q35)
        for model, shown in (("intel", "intel"), ("virtio", "virtio"), ("auto", "virtio"))
    ),
    _flavor(("devices/iommu", {"model": "intel"}), hw__viommu_model="intel", together=_Q35),
)

#: Honoured elsewhere than in the guest's description: by the scheduler, the API, or a verb of the driver.
HONOURED_ELSEWHERE = frozenset({
    "hw_architecture", "architecture", "hw_emulation_architecture", "img_hv_type", "hypervisor_type",
    "img_hv_requested_version", "hypervisor_version_requires", "hw_vm_mode", "vm_mode",
    "os_admin_user", "os_require_quiesce", "os_shutdown_timeout", "img_config_drive",
    "hw_rescue_bus", "hw_rescue_device", "resources:VCPU", "resources:PCPU", "trait:HW_CPU_HYPERTHREADING",
    "capabilities:…", "aggregate_instance_extra_specs:…",
})

#: (name, value) that no guest gets. Their groups (``resources1:``) and other classes and traits are the same.
REFUSED: tuple[tuple[str, str], ...] = (
    ("hw_tpm_model", "tpm-crb"), ("hw_tpm_version", "2.0"), ("hw:tpm_model", "tpm-crb"),
    ("hw:tpm_version", "2.0"), ("hw:tpm_secret_security", "user"),
    ("hw_mem_encryption", "true"), ("hw:mem_encryption", "true"),
    ("hw_ephemeral_encryption", "true"), ("hw:ephemeral_encryption", "true"),
    ("hw:pmem", "4GB"), ("accel:device_profile", "card"), ("resources:VGPU", "1"),
    ("resources1:CUSTOM_BAREMETAL", "1"), ("trait:HW_CPU_X86_AVX2", "required"),
    ("trait1:CUSTOM_GOLD", "required"),
)

#: Values that cannot be given of what is honoured otherwise: (properties, extra specs, the refusal's words).
REFUSED_VALUES: tuple[tuple[Mapping[str, Any], Mapping[str, str], str], ...] = (
    ({"hw_disk_bus": "fdc"}, {}, "hw_disk_bus: fdc"),
    ({"hw_cdrom_bus": "xen"}, {}, "hw_cdrom_bus: xen"),
    ({"hw_scsi_model": "buslogic"}, {}, "hw_scsi_model: buslogic"),
    ({"hw_vif_model": "netfront"}, {}, "hw_vif_model: netfront"),
    ({"hw_video_model": "gop"}, {}, "hw_video_model: gop"),
    ({"hw_firmware_type": "openfirmware"}, {}, "neither bios nor uefi"),
    ({"hw_firmware_stateless": "true"}, {}, "hw_firmware_stateless needs hw_firmware_type=uefi"),
    ({"os_secure_boot": "required"}, {}, "secure boot without"),
    ({"hw_video_ram": "64"}, {}, "hw_video_ram=64 is more than the flavor's hw_video:ram_max_mb=0"),
    ({"hw_video_ram": "64"}, {"hw_video:ram_max_mb": "32"}, "hw_video_ram=64 is more than"),
    ({"hw_input_bus": "ps2"}, {}, "hw_input_bus: ps2"),
    ({"hw_pointer_model": "ps2mouse"}, {}, "hw_pointer_model: ps2mouse"),
    ({"hw_sound_model": "gus"}, {}, "hw_sound_model: gus"),
    ({"hw_sound_model": "ich6"}, {"hw:sound_model": "ich9"}, "contradict each other"),
    ({"hw_virtio_packed_ring": "true"}, {"hw:virtio_packed_ring": "false"}, "contradict each other"),
    ({"hw_usb_model": "uhci"}, {}, "hw_usb_model: uhci"),
    ({"hw_usb_model": "none", "hw_pointer_model": "usbtablet"}, {}, "no USB for hw_pointer_model"),
    ({"hw_usb_model": "none", "hw_disk_bus": "usb"}, {}, "no USB for hw_disk_bus"),
    ({"hw_redirected_usb_ports": "16"}, {}, "not between 0 and 15"),
    ({"hw_redirected_usb_ports": "1"}, {}, "needs SPICE"),
    ({"hw_serial_port_count": "3"}, {"hw:serial_port_count": "2"}, "hw_serial_port_count=3 is more than"),
    ({}, {"hw:serial_port_count": "5"}, "not between 1 and 4"),
    ({"hw_serial_port_count": "many"}, {}, "many is no whole number"),
    ({"hw_maxphysaddr_mode": "emulate"}, {}, "needs hw_maxphysaddr_bits"),
    ({"hw_maxphysaddr_bits": "40"}, {}, "needs hw_maxphysaddr_mode"),
    ({"hw_maxphysaddr_mode": "passthrough"}, {}, "host-passthrough"),
    ({"hw_viommu_model": "intel"}, {}, "intel and virtio need q35"),
    ({"hw_viommu_model": "smmuv3", "hw_machine_type": "q35"}, {}, "smmuv3 needs aarch64"),
    ({"hw_watchdog_action": "explode"}, {}, "Watchdog action explode"),
    ({"hw_cpu_max_sockets": "1", "hw_cpu_max_cores": "1", "hw_cpu_max_threads": "1"}, {}, "do not make 2"),
    ({"hw_numa_nodes": "2"}, {}, "hw_numa_nodes"),
    ({"hw_emulation_architecture": "ppc64"}, {}, "architecture ppc64"),
    ({"trait:HW_CPU_X86_AVX2": "required"}, {}, "image property trait:HW_CPU_X86_AVX2"),
    ({}, {"quota:disk_read_iops_sec": "few"}, "few is no whole number"),
    ({}, {"quota:vif_inbound_average": "few"}, "few is no whole number"),
)

#: Of other hypervisors, of the image or for a reader alone; a guest is the same with and without.
NO_EFFECT: tuple[tuple[str, str], ...] = (
    ("hw_auto_disk_config", "true"), ("hw_device_id", "2"), ("hw_disk_type", "preallocated"),
    ("hw_floppy_bus", "fdc"), ("hw_ipxe_boot", "true"), ("img_bittorrent", "true"), ("img_bdm_v2", "true"),
    ("img_block_device_mapping", "[]"), ("img_cache_in_nova", "true"), ("img_compression_level", "1"),
    ("img_linked_clone", "true"), ("img_mappings", "[]"), ("img_owner_id", "someone"),
    ("img_root_device_name", "/dev/vdb"), ("img_use_agent", "true"), ("img_version", "1"),
    ("img_signature", "AA"), ("img_signature_hash_method", "SHA-256"),
    ("img_signature_certificate_uuid", "6f4c9a0e-5d0c-4a55-9d62-6b0a3b1a7c11"),
    ("img_signature_key_type", "RSA-PSS"), ("os_distro", "debian"),
    ("os_skip_agent_inject_files_at_boot", "true"), ("os_skip_agent_inject_ssh", "true"),
    ("hw_mem_encryption_model", "amd-sev"), ("hw:mem_encryption_model", "amd-sev"),
    ("hw_ephemeral_encryption_format", "luks"), ("hw:ephemeral_encryption_format", "luks"),
    ("hw_ephemeral_encryption_secret_uuid", "6f4c9a0e-5d0c-4a55-9d62-6b0a3b1a7c11"),
    ("group_policy", "none"), ("resources:MEMORY_MB", "512"), ("resources:DISK_GB", "1"),
    ("resources:VGPU", "0"), ("trait:CUSTOM_GOLD", "forbidden"),
    ("vmware:hw_version", "13"), ("vmware:storage_policy", "gold"),
    *(
        (f"quota:{what}_{limit}", value) for what in ("cpu", "memory", "disk_io", "vif")
        for limit, value in (("limit", "10"), ("reservation", "10"), ("shares_level", "custom"),
                             ("shares_share", "10"))
    ),
)


def guest_of(wish: Wish) -> Instance:
    """The instance that asks for it."""
    guest = instance(specs=dict(wish.specs), image_properties=dict(wish.properties))
    return msgspec.structs.replace(guest, topology=_PLACE if wish.placed else None)


@functools.cache
def _options(virt_type: str) -> StorageOptions:
    config = load(overrides={("libvirt", "virt_type"): virt_type})
    return StorageOptions(config.libvirt, config.compute_host, "novalocal")


def described(
    guest: Instance, place: Path, *, virt_type: str = "qemu", bridge: bool = True, spice: bool = False,
    cpu_mode: str | None = None,
) -> str:
    """The domain XML of a guest with a root disk and a config drive in ``place``, as the driver makes it."""
    files = HostFiles(place, place / "snapshots", "one")
    storage = GuestStorage(files, ImageCache(files, force_raw=True), _options(virt_type))
    directory = files.guest(guest.uuid)
    directory.make()
    for name, kind in (("disk", "qcow2"), ("disk.config", "raw")):
        directory.record(name, kind)
    host = GuestHost(
        virt_type=virt_type, arch="x86_64", host_uuid="17f0e2a8-8b8c-4d7f-9f0e-000000000001",
        vnc_listen="127.0.0.1", spice_listen="127.0.0.1" if spice else None, cpu_mode=cpu_mode,
    )
    nics = NicHost(virt_type=virt_type, tap_queues=256, vhost=False, user_network=True)
    return domain_xml(
        domain_config(
            guest, host, disks=storage.disks(guest),
            nics=tuple(nic_config(guest, vif, nics, has_bridge=bridge) for vif in guest.network_info),
            console_log=str(directory.console_log), nvram=str(directory.file("nvram")),
            kernel=str(directory.file("kernel")) if "kernel" in (guest.image_properties or {}) else None,
        )
    )


def missing(text: str, wish: Wish) -> list[str]:
    """What of a wish the description does not show."""
    domain = ElementTree.fromstring(text)
    lacking = []
    for path, wanted in wish.shows:
        found = domain.find(path)
        if found is None:
            lacking.append(path)
        elif isinstance(wanted, str):
            if found.text != wanted:
                lacking.append(f"{path}: {found.text}")
        elif any(found.get(name) != value for name, value in wanted.items()):
            lacking.append(f"{path}: {found.attrib}")
    return lacking
