# SPDX-License-Identifier: Apache-2.0
"""From an instance to its domain: which image properties and extra specs are honoured, and how.

What is required and not honoured is refused, never ignored (docs/operators/libvirt.md lists both).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from nova import __version__
from nova.errors import VirtError
from nova.objects.instance import Instance
from nova.topology.requests import realtime_cpus
from nova.virt.libvirt.cpu_topology import cpu_topology
from nova.virt.libvirt.domain_xml import (
    BootConfig,
    CpuConfig,
    DiskConfig,
    DomainConfig,
    Facts,
    NicConfig,
    RngConfig,
)
from nova.virt.libvirt.hardware import hardware_config, is_true
from nova.virt.libvirt.hardware_xml import HardwareConfig
from nova.virt.libvirt.topology_xml import PlaceConfig, place_config

#: Image properties that ask for something this driver does not give.
_REFUSED_PROPERTIES = ("hw_tpm_model", "hw_tpm_version")
#: Extra specs that do.
_REFUSED_SPECS = re.compile(r"hw:(?:pmem|tpm_\w+)|accel:device_profile")
#: What is given by the place on the host that the scheduler chose, and cannot be without one.
_NEEDS_PLACE = re.compile(
    r"hw[:_](?:numa_\w+(?:\.\d+)?|cpu_thread_policy|cpu_realtime_mask|emulator_threads_policy|cpu_dedicated_mask"
    r"|locked_memory|pci_numa_affinity_policy)|pci_passthrough:alias"
)
#: What a scheduler with an inventory of resources and traits would look for; here there is none. Those that
#: are known are read by it (nova/topology/requests.py) or are the flavor's own sizes.
_TRAIT = re.compile(r"trait(?:_?\w+)?:(?!HW_CPU_HYPERTHREADING$)\w+")
_RESOURCE = re.compile(r"resources(?:_?\w+)?:(?!(?:VCPU|PCPU|MEMORY_MB|DISK_GB)$)\w+")
_WATCHDOG = frozenset({"disabled", "reset", "poweroff", "pause", "none"})
_CPU_TUNING = {
    "quota:cpu_shares": "shares", "quota:cpu_period": "period", "quota:cpu_quota": "quota",
}
DISK_TUNING = {
    f"quota:disk_{name}": name for name in (
        "total_bytes_sec", "read_bytes_sec", "write_bytes_sec", "total_iops_sec",
        "read_iops_sec", "write_iops_sec",
    )
}


@dataclasses.dataclass(frozen=True)
class GuestHost:
    """What of the host and its options a guest's description depends on."""

    virt_type: str
    arch: str
    host_uuid: str = ""
    emulator: str | None = None
    cpuset: str | None = None
    shared_cpus: str | None = None
    cpu_mode: str | None = None
    cpu_model: str | None = None
    machine: str | None = None
    vnc_listen: str | None = None
    spice_listen: str | None = None
    rng_source: str = "/dev/urandom"
    balloon_period: int = 0


def domain_config(
    instance: Instance,
    host: GuestHost,
    *,
    disks: tuple[DiskConfig, ...],
    nics: tuple[NicConfig, ...],
    console_log: str,
    serial: tuple[str, int] | None = None,
    kernel: str | None = None,
    ramdisk: str | None = None,
    nvram: str | None = None,
    root_directory: str | None = None,
) -> DomainConfig:
    """The whole description of a guest; ``VirtError`` names what cannot be given."""
    machine = host.virt_type in ("kvm", "qemu")
    refuse_unsupported(instance, host.arch, with_place=machine and instance.topology is not None)
    if not machine:
        _refuse_on(host.virt_type, instance)
    properties = instance.image_properties or {}
    specs = instance.flavor.extra_specs
    return DomainConfig(
        virt_type=host.virt_type, uuid=instance.uuid, name=instance.internal_name,
        memory_kib=instance.memory_mb * 1024, vcpus=instance.vcpus, facts=_facts(instance),
        boot=_boot(instance, host, kernel, ramdisk, nvram), cpu=_cpu(instance, host),
        cpuset=None if instance.topology is not None and instance.topology.cells else host.cpuset,
        place=place_of(instance, host) if machine else PlaceConfig(),
        cpu_tuning={
            element: _whole(key, specs[key]) for key, element in _CPU_TUNING.items() if key in specs
        },
        disks=disks, scsi_model=_scsi_model(properties), nics=nics, root_directory=root_directory,
        emulator=host.emulator, console_log=console_log, host_uuid=host.host_uuid,
        vnc_listen=host.vnc_listen if host.virt_type != "lxc" else None,
        spice_listen=host.spice_listen if machine else None, serial=serial if machine else None,
        video=_video(properties) if machine and (host.vnc_listen or host.spice_listen) else None,
        rng=_rng(properties, specs, host) if machine else None,
        watchdog=_watchdog(properties, specs) if machine else None,
        agent=machine and is_true(properties.get("hw_qemu_guest_agent")),
        balloon_period=host.balloon_period if machine else 0,
        pmu=_pmu(properties, specs) if machine else None,
        hardware=_hardware(instance, host) if machine else HardwareConfig(),
        hidden=host.virt_type == "kvm" and (
            is_true(specs.get("hw:hide_hypervisor_id", specs.get("hide_hypervisor_id")))
            or is_true(properties.get("img_hide_hypervisor_id"))
        ),
    )


def place_of(instance: Instance, host: GuestHost) -> PlaceConfig:
    """Where on its host the guest goes."""
    if instance.topology is None:
        return PlaceConfig()
    properties = instance.image_properties or {}
    locked = instance.flavor.extra_specs.get(
        "hw:locked_memory", properties.get("hw_locked_memory", "")
    )
    return place_config(
        instance.topology, shared=host.shared_cpus, locked=is_true(locked),
        realtime=realtime_cpus(instance.flavor, properties),
    )


def refuse_unsupported(instance: Instance, arch: str, *, with_place: bool = False) -> None:
    """``VirtError`` for a property or extra spec that requires what is not given.

    ``with_place`` is for a guest that the scheduler gave a place on the host.
    """
    properties = instance.image_properties or {}
    specs = instance.flavor.extra_specs
    refused = [f"image property {name}" for name in _REFUSED_PROPERTIES if name in properties]
    refused += [f"extra spec {name}" for name in specs if _REFUSED_SPECS.fullmatch(name)]
    if not with_place:
        refused += _refused_without_place(properties, specs)
    for source, what in ((properties, "image property"), (specs, "extra spec")):
        refused += [
            f"{what} {name}" for name, value in source.items()
            if (_TRAIT.fullmatch(name) and value == "required")
            or (_RESOURCE.fullmatch(name) and value != "0")
        ]
    for wish in ("mem_encryption", "ephemeral_encryption"):
        if is_true(properties.get(f"hw_{wish}")):
            refused.append(f"image property hw_{wish}")
        if is_true(specs.get(f"hw:{wish}")):
            refused.append(f"extra spec hw:{wish}")
    if _secure_boot(properties, specs) and properties.get("hw_firmware_type") != "uefi":
        refused.append("secure boot without image property hw_firmware_type=uefi")
    wanted = (
        properties.get("hw_emulation_architecture") or properties.get("hw_architecture")
        or properties.get("architecture")
    )
    if wanted and _arch(str(wanted)) != arch:
        refused.append(f"architecture {wanted}")
    if refused:
        raise VirtError(f"The libvirt driver does not give: {', '.join(refused)}.")


def _refuse_on(virt_type: str, instance: Instance) -> None:
    """``VirtError`` for what only guests of QEMU have."""
    properties = instance.image_properties or {}
    specs = instance.flavor.extra_specs
    refused = [f"extra spec {name}" for name in specs if name in DISK_TUNING]
    if properties.get("hw_firmware_type") == "uefi":
        refused.append("image property hw_firmware_type=uefi")
    if _watchdog(properties, specs) is not None:
        refused.append("a watchdog")
    if refused:
        raise VirtError(f"Guests of {virt_type} do not get: {', '.join(refused)}.")


def _refused_without_place(
    properties: Mapping[str, Any], specs: Mapping[str, str]
) -> list[str]:
    refused = [f"image property {name}" for name in properties if _NEEDS_PLACE.fullmatch(name)]
    refused += [f"extra spec {name}" for name in specs if _NEEDS_PLACE.fullmatch(name)]
    for name, source in (("image property hw_cpu_policy", properties.get("hw_cpu_policy")),
                         ("extra spec hw:cpu_policy", specs.get("hw:cpu_policy"))):
        if source not in (None, "shared"):
            refused.append(f"{name}={source}")
    for name, size in (("image property hw_mem_page_size", properties.get("hw_mem_page_size")),
                       ("extra spec hw:mem_page_size", specs.get("hw:mem_page_size"))):
        if size not in (None, "small", "any"):
            refused.append(f"{name}={size}")
    if is_true(specs.get("hw:cpu_realtime")):
        refused.append("extra spec hw:cpu_realtime")
    return refused


def disk_tuning(instance: Instance) -> dict[str, int]:
    """The limits of a disk that the flavor sets."""
    specs = instance.flavor.extra_specs
    return {
        element: _whole(key, specs[key]) for key, element in DISK_TUNING.items() if key in specs
    }


def needs_config_drive(instance: Instance, *, forced: bool) -> bool:
    """Whether the request, the host or the image wants one."""
    wanted = (instance.image_properties or {}).get("img_config_drive")
    return forced or bool(instance.config_drive) or wanted == "mandatory"


def _arch(name: str) -> str:
    return {"amd64": "x86_64", "i386": "i686", "arm64": "aarch64"}.get(name, name)


def _whole(key: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise VirtError(f"Extra spec {key}: {value} is no whole number.") from None


def _facts(instance: Instance) -> Facts:
    return Facts(
        package=__version__, name=instance.name,
        created=instance.created_at.strftime("%Y-%m-%d %H:%M:%S"),
        flavor_name=instance.flavor.name, memory_mb=instance.memory_mb, disk_gb=instance.root_gb,
        swap_mb=instance.flavor.swap, ephemeral_gb=instance.ephemeral_gb, vcpus=instance.vcpus,
        user_id=instance.user_id, project_id=instance.project_id, image_id=instance.image_ref,
    )


def _boot(
    instance: Instance, host: GuestHost, kernel: str | None, ramdisk: str | None, nvram: str | None
) -> BootConfig:
    properties = instance.image_properties or {}
    if host.virt_type == "lxc":
        return BootConfig(os_type="exe", init="/sbin/init")
    if host.virt_type == "xen":
        if kernel:
            line = properties.get("os_command_line") or "ro root=/dev/xvda"
            return BootConfig(os_type="xen", kernel=kernel, initrd=ramdisk, command_line=line)
        return BootConfig(os_type="hvm")
    firmware = properties.get("hw_firmware_type") or "bios"
    if firmware not in ("bios", "uefi"):
        raise VirtError(f"Image property hw_firmware_type: {firmware} is neither bios nor uefi.")
    line = properties.get("os_command_line")
    if kernel and not line:
        line = f"root={instance.root_device_name or '/dev/vda'} console=tty0 console=ttyS0"
    specs = instance.flavor.extra_specs
    menu = specs.get("hw:boot_menu", properties.get("hw_boot_menu"))
    return BootConfig(
        arch=host.arch, machine=_machine_type(instance, host),
        firmware="efi" if firmware == "uefi" else None, secure=_secure_boot(properties, specs),
        nvram=nvram if firmware == "uefi" else None,
        kernel=kernel, initrd=ramdisk,
        command_line=line if kernel else None, menu=is_true(menu),
    )


def _secure_boot(properties: Mapping[str, Any], specs: Mapping[str, str]) -> bool:
    """Whether the guest may start signed programs only. Where it is optional it may start any."""
    return "required" in (properties.get("os_secure_boot"), specs.get("os:secure_boot"))


def _cpu_mode(host: GuestHost) -> str | None:
    mode = host.cpu_mode or ("host-model" if host.virt_type == "kvm" else "none")
    return None if mode == "none" else mode


def _cpu(instance: Instance, host: GuestHost) -> CpuConfig:
    if host.virt_type not in ("kvm", "qemu"):
        return CpuConfig()
    return CpuConfig(mode=_cpu_mode(host), model=host.cpu_model, topology=cpu_topology(instance))


def _machine_type(instance: Instance, host: GuestHost) -> str | None:
    return (instance.image_properties or {}).get("hw_machine_type") or host.machine


def _hardware(instance: Instance, host: GuestHost) -> HardwareConfig:
    return hardware_config(
        instance, arch=host.arch, machine=_machine_type(instance, host), cpu_mode=_cpu_mode(host),
        spice=host.spice_listen is not None,
    )


def _video(properties: Mapping[str, Any]) -> str:
    model = str(properties.get("hw_video_model") or "cirrus")
    if model not in ("vga", "cirrus", "vmvga", "qxl", "virtio", "none", "bochs"):
        raise VirtError(f"Image property hw_video_model: {model} is no model of this driver.")
    return model


def _scsi_model(properties: Mapping[str, Any]) -> str:
    model = str(properties.get("hw_scsi_model") or "virtio-scsi")
    if model not in ("virtio-scsi", "lsilogic", "lsisas1068", "lsisas1078", "vmpvscsi"):
        raise VirtError(f"Image property hw_scsi_model: {model} is no model of this driver.")
    return model


def _rng(
    properties: Mapping[str, Any], specs: Mapping[str, str], host: GuestHost
) -> RngConfig | None:
    """The image asks, the flavor has to allow (Kilo)."""
    if properties.get("hw_rng_model") != "virtio" or not is_true(specs.get("hw_rng:allowed")):
        return None
    if "hw_rng:rate_bytes" not in specs:
        return RngConfig(source=host.rng_source)
    return RngConfig(
        source=host.rng_source,
        rate=(
            _whole("hw_rng:rate_bytes", specs["hw_rng:rate_bytes"]),
            _whole("hw_rng:rate_period", specs.get("hw_rng:rate_period", "1000")),
        ),
    )


def _pmu(properties: Mapping[str, Any], specs: Mapping[str, str]) -> bool | None:
    """Whether the guest has performance counters; None leaves it to the hypervisor."""
    wanted = specs.get("hw:pmu", properties.get("hw_pmu"))
    return None if wanted is None else is_true(wanted)


def _watchdog(properties: Mapping[str, Any], specs: Mapping[str, str]) -> str | None:
    action = properties.get("hw_watchdog_action") or specs.get("hw:watchdog_action") or "disabled"
    if action not in _WATCHDOG:
        raise VirtError(f"Watchdog action {action} is none of {', '.join(sorted(_WATCHDOG))}.")
    return None if action == "disabled" else str(action)
