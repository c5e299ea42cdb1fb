# SPDX-License-Identifier: Apache-2.0
"""Known extra specs and what their values may be (2.86; user guide, "Extra Specs").

A name without a colon, and one of a namespace that is not here, is anybody's own and not checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from nova.errors import BadRequest

_Check = Callable[[str], str | None]

_TRUTH = frozenset(
    {"1", "t", "true", "on", "y", "yes", "0", "f", "false", "off", "n", "no"}
)
_GROUP = r"(?:[a-zA-Z0-9_-]{1,64})?"
_CPUS = r"\^?\d+(?:-\d+)?(?:,\^?\d+(?:-\d+)?)*"


def _boolean(value: str) -> str | None:
    known = value.strip().lower() in _TRUTH
    return None if known else f"'{value}' is not a valid boolean-like value."


def _number(least: int | None = None, most: int | None = None) -> _Check:
    def check(value: str) -> str | None:
        try:
            number = int(value)
        except ValueError:
            return f"'{value}' is not a valid integer value."
        if most is not None and number > most:
            return f"'{value}' is greater than the max value of '{most}'."
        if least is not None and number < least:
            return f"'{value}' is less than the min value of '{least}'."
        return None

    return check


def _one_of(*choices: str) -> _Check:
    def check(value: str) -> str | None:
        return None if value in choices else f"'{value}' is not one of: {', '.join(choices)}."

    return check


def _like(pattern: str) -> _Check:
    matches = re.compile(pattern).fullmatch

    def check(value: str) -> str | None:
        return None if matches(value) else f"'{value}' is not of the format '{pattern}'."

    return check


def _anything(_value: str) -> str | None:
    return None


def _each(names: Iterable[str], check: _Check, prefix: str) -> dict[str, _Check]:
    return {f"{prefix}{name}": check for name in names}


_EXACT: dict[str, _Check] = {
    "accel:device_profile": _anything,
    "hide_hypervisor_id": _boolean,
    "group_policy": _one_of("isolate", "none"),
    "hw_rng:allowed": _boolean,
    "hw_rng:rate_bytes": _number(0),
    "hw_rng:rate_period": _number(0),
    "hw_video:ram_max_mb": _number(0),
    "os:secure_boot": _one_of("disabled", "required"),
    "pci_passthrough:alias": _like(r"[^:]+:\d+(?:\s*,\s*[^:]+:\d+)*"),
    "vmware:hw_version": _anything,
    "vmware:storage_policy": _anything,
    **_each(
        (
            "cpu_realtime", "hide_hypervisor_id", "locked_memory", "boot_menu",
            "vif_multiqueue_enabled", "mem_encryption", "pmu", "virtio_packed_ring",
            "ephemeral_encryption",
        ),
        _boolean, "hw:",
    ),
    **_each(
        (
            "numa_nodes", "cpu_sockets", "cpu_cores", "cpu_threads", "cpu_max_sockets",
            "cpu_max_cores", "cpu_max_threads",
        ),
        _number(1), "hw:",
    ),
    "hw:cpu_realtime_mask": _like(_CPUS),
    "hw:cpu_dedicated_mask": _like(_CPUS),
    "hw:cpu_policy": _one_of("dedicated", "shared", "mixed"),
    "hw:cpu_thread_policy": _one_of("prefer", "isolate", "require"),
    "hw:emulator_threads_policy": _one_of("isolate", "share"),
    "hw:mem_page_size": _like(r"large|small|any|\d+(?:[kKMGT]i?)?(?:b|bit|B)?"),
    "hw:pci_numa_affinity_policy": _one_of("required", "preferred", "legacy", "socket"),
    "hw:mem_encryption_model": _one_of("amd-sev", "amd-sev-es", "amd-sev-snp"),
    "hw:pmem": _like(r"[a-zA-Z0-9_]+(?:,[a-zA-Z0-9_]+)*,?"),
    "hw:serial_port_count": _number(0),
    "hw:tpm_model": _one_of("tpm-tis", "tpm-crb"),
    "hw:tpm_version": _one_of("1.2", "2.0"),
    "hw:tpm_secret_security": _one_of("user", "host", "deployment"),
    "hw:watchdog_action": _one_of("none", "pause", "poweroff", "reset", "disabled"),
    "hw:viommu_model": _one_of("intel", "smmuv3", "virtio", "auto"),
    "hw:sound_model": _one_of(
        "sb16", "es1370", "pcspk", "ac97", "ich6", "ich9", "usb", "virtio"
    ),
    "hw:usb_model": _one_of("none", "nec-xhci", "qemu-xhci"),
    "hw:redirected_usb_ports": _number(0, 15),
    "hw:ephemeral_encryption_format": _one_of("plain", "luks", "luksv2"),
    **_each(("cpu_limit", "memory_limit", "disk_io_limit", "vif_limit"), _number(0), "quota:"),
    **_each(
        ("cpu_reservation", "memory_reservation", "disk_io_reservation", "vif_reservation"),
        _number(), "quota:",
    ),
    **_each(
        ("cpu_shares_level", "memory_shares_level", "disk_io_shares_level", "vif_shares_level"),
        _one_of("custom", "high", "normal", "low"), "quota:",
    ),
    **_each(
        (
            "cpu_shares_share", "memory_shares_share", "disk_io_shares_share",
            "vif_shares_share", "cpu_shares", "cpu_period",
        ),
        _number(0), "quota:",
    ),
    "quota:cpu_quota": _number(),
    **_each(
        (
            f"disk_{what}_{unit}_sec"
            for what in ("read", "write", "total")
            for unit in ("bytes", "iops")
        ),
        _number(0), "quota:",
    ),
    **_each(
        (
            f"vif_{direction}_{rate}"
            for direction in ("inbound", "outbound")
            for rate in ("average", "peak", "burst")
        ),
        _number(0), "quota:",
    ),
}

_RESOURCE_CLASSES = "|".join(
    (
        "VCPU", "PCPU", "MEMORY_MB", "DISK_GB", "PCI_DEVICE", "SRIOV_NET_VF", "NUMA_SOCKET",
        "NUMA_CORE", "NUMA_THREAD", "NUMA_MEMORY_MB", "IPV4_ADDRESS", "VGPU", "VGPU_DISPLAY_HEAD",
        "PGPU", "FPGA", "MEM_ENCRYPTION_CONTEXT", "NET_BW_(?:EGR|IGR)_KILOBIT_PER_SEC",
        "NET_PACKET_RATE_(?:EGR_|IGR_)?KILOPACKET_PER_SEC", "CUSTOM_[A-Z0-9_]+",
    )
)
_PLAIN_CAPABILITIES = "|".join(
    (
        "id", "uuid", "service_id", "host", "vcpus", "memory_mb", "local_gb", "vcpus_used",
        "memory_mb_used", "local_gb_used", "hypervisor_type", "hypervisor_version",
        "hypervisor_hostname", "free_ram_mb", "free_disk_gb", "current_workload", "running_vms",
        "disk_available_least", "host_ip", "mapped", "cpu_allocation_ratio",
        "ram_allocation_ratio", "disk_allocation_ratio", "total_usable_ram_mb",
        "total_usable_disk_gb", "disk_mb_used", "free_disk_mb", "vcpus_total", "num_instances",
        "num_io_ops", "failed_builds", "aggregates", "cell_uuid", "updated",
    )
)
_NESTED_CAPABILITIES = "|".join(
    (
        "cpu_info", "metrics", "stats", "numa_topology", "supported_hv_specs",
        "pci_device_pools", "nodename", "pci_stats", "supported_instances", "limits", "instances",
    )
)
_PATTERNS: tuple[tuple[re.Pattern[str], _Check], ...] = (
    (re.compile(r"hw:numa_cpus\.\d+"), _like(_CPUS)),
    (re.compile(r"hw:numa_mem\.\d+"), _number(1)),
    (re.compile(rf"resources{_GROUP}:(?:{_RESOURCE_CLASSES})"), _number()),
    (
        re.compile(rf"trait{_GROUP}:(?:COMPUTE|CUSTOM|HW|MISC|OWNER|STORAGE)_[A-Z0-9_]+"),
        _one_of("required", "forbidden"),
    ),
    (re.compile(r"aggregate_instance_extra_specs:.+"), _anything),
    (re.compile(rf"capabilities:(?:{_PLAIN_CAPABILITIES})"), _anything),
    (re.compile(rf"capabilities:(?:{_NESTED_CAPABILITIES})(?::\w+)*"), _anything),
)

_NAMESPACES = re.compile(
    r"accel|hw|hw_rng|hw_video|os|pci_passthrough|quota|vmware|aggregate_instance_extra_specs|"
    rf"capabilities|resources{_GROUP}|trait{_GROUP}"
)


def check_extra_spec(name: str, value: str) -> None:
    """Raise ``BadRequest`` for a value that a known extra spec cannot have.

    So does an unknown name in a known namespace, which is most often a typing error.
    """
    check = _EXACT.get(name)
    if check is None:
        check = next((rule for pattern, rule in _PATTERNS if pattern.fullmatch(name)), None)
    if check is not None:
        reason = check(value)
        if reason is not None:
            raise BadRequest(f"Validation failed; {reason}")
        return
    namespace, colon, _ = name.partition(":")
    if colon and _NAMESPACES.fullmatch(namespace):
        raise BadRequest(
            f"Validation failed; extra spec '{name}' does not appear to be a valid extra spec."
        )
