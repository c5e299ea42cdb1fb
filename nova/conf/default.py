# SPDX-License-Identifier: Apache-2.0
"""[DEFAULT]: what operators have always set there."""

from __future__ import annotations

import dataclasses
import socket

from nova.conf.section import option

GROUP = "DEFAULT"


@dataclasses.dataclass(frozen=True)
class DefaultSection:
    """Options of the DEFAULT group."""

    host: str = option(socket.gethostname(), "Name of this host, unique in the cloud.")
    my_ip: str = option("127.0.0.1", "Address of this host on the management network.")
    state_path: str = option("/var/lib/nova", "Top directory for what Nova keeps.")
    compute_driver: str = option(
        "fake.FakeDriver",
        "Driver of the hypervisor: fake.FakeDriver, libvirt.LibvirtDriver, "
        "vmwareapi.VMwareVCDriver.",
    )
    osapi_compute_listen: str = option("127.0.0.1", "Address that the APIs listen on.")
    osapi_compute_listen_port: int = option(
        8774, "Port of the compute API.", minimum=1, maximum=65535
    )
    osapi_max_limit: int = option(
        1000, "Most items that one list answer holds.", minimum=1, old=("api.max_limit",)
    )
    enable_instance_password: bool = option(
        True, "Show adminPass in the answers of create, rebuild and rescue."
    )
    password_length: int = option(12, "Length of generated passwords.", minimum=0)
    service_down_time: int = option(
        60, "Seconds without a report after which a service counts as down.", minimum=1
    )
    report_interval: int = option(
        10, "Seconds between two reports of a service. A host with nothing new and nothing to do leaves out "
        "every second one where it gives three signs of life within service_down_time all the same.",
        minimum=1,
    )
    default_availability_zone: str = option(
        "nova", "Zone of compute hosts that are in no aggregate with a zone."
    )
    internal_service_availability_zone: str = option("internal", "Zone shown for other services.")
    default_schedule_zone: str | None = option(None, "Zone of boots that name none.")
    reclaim_instance_interval: int = option(
        0, "Seconds that deleted servers can be restored; 0 deletes at once.", minimum=0
    )
    shelved_offload_time: int = option(
        0, "Seconds until a shelved server leaves its host; 0 at once, -1 never."
    )
    allow_resize_to_same_host: bool = option(False, "Let a resize stay on its host.")
    max_concurrent_builds: int = option(
        10, "Most builds that a compute host does at a time; 0 is no limit.", minimum=0
    )
    resize_confirm_window: int = option(
        0, "Seconds after which resizes are confirmed by themselves; 0 never.", minimum=0
    )
    instance_build_timeout: int = option(
        0, "Seconds after which a server still building goes to ERROR; 0 never.", minimum=0
    )
    rescue_timeout: int = option(
        0, "Seconds after which rescued servers are unrescued; 0 never.", minimum=0
    )
    sync_power_state_interval: int = option(
        600, "Seconds between two comparisons of a host's guests with what should be there; 0 never.",
        minimum=0,
    )
    cpu_allocation_ratio: float = option(16.0, "Virtual CPUs per physical CPU.", minimum=0.0)
    ram_allocation_ratio: float = option(1.5, "Virtual per physical memory.", minimum=0.0)
    disk_allocation_ratio: float = option(1.0, "Virtual per physical disk.", minimum=0.0)
    reserved_host_memory_mb: int = option(512, "Memory kept for the host, MiB.", minimum=0)
    reserved_host_disk_mb: int = option(0, "Disk kept for the host, MiB.", minimum=0)
    instance_usage_audit: bool = option(
        False, "Record at the end of each period how many servers each host had in it."
    )
    instance_usage_audit_period: str = option(
        "month", "Period of the usage audit: hour, day, month or year, and where it begins, such as "
        "month@15, hour@30, day@18, year@7.",
    )
