# SPDX-License-Identifier: Apache-2.0
"""[libvirt]: the libvirt driver, under the names of Kilo."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "libvirt"


@dataclasses.dataclass(frozen=True)
class LibvirtSection:
    """Options of the libvirt driver."""

    virt_type: str = option(
        "kvm", "Kind of guests.", choices=("kvm", "qemu", "lxc", "xen"), old=("DEFAULT.libvirt_type",)
    )
    connection_uri: str = option(
        "", "Where libvirt is; qemu:///system, lxc:///system or xen:///system by virt_type where empty.",
        old=("DEFAULT.libvirt_uri",),
    )
    images_type: str = option(
        "default", "How disks are kept: qcow2 (over a cached image, the default) or raw.",
        choices=("default", "qcow2", "raw"),
    )
    cpu_mode: str | None = option(
        None, "CPU of guests; host-model for kvm and none for others where not set.",
        choices=("host-model", "host-passthrough", "custom", "none"),
    )
    cpu_model: str | None = option(None, "The model for cpu_mode=custom.")
    disk_cachemodes: tuple[str, ...] = option(
        (), "Cache modes, such as file=writeback; none where the file system has direct I/O, else "
        "writethrough.",
    )
    hw_disk_discard: str | None = option(
        None, "What becomes of discarded blocks.", choices=("ignore", "unmap")
    )
    hw_machine_type: tuple[str, ...] = option(
        (), "Machine type for each architecture, such as x86_64=q35."
    )
    use_virtio_for_bridges: bool = option(True, "Give NICs the model virtio where the image says none.")
    max_queues: int | None = option(
        None, "Most queues of a NIC; what the kernel allows where not set.", minimum=1
    )
    rng_dev_path: str = option("/dev/urandom", "Source of guests' random numbers.")
    mem_stats_period_seconds: int = option(
        10, "Seconds between two reports of a guest's memory use; 0 is none.", minimum=0
    )
    wait_soft_reboot_seconds: int = option(
        120, "Seconds that a guest gets to shut down in a soft reboot.", minimum=1
    )
    unknown_domains: str = option(
        "report", "What is done with a running domain that no server has: report it, or stop it as well. "
        "Nothing of it is undefined or deleted.", choices=("report", "stop"),
    )
    rescue_image_id: str | None = option(None, "Image that servers are rescued with.")
    snapshots_directory: str | None = option(
        None, "Directory for snapshots on their way; $instances_path/snapshots where not set."
    )
    live_migration_uri: str = option(
        "qemu+tcp://%s/system", "Where another host's libvirt is; %s is the host's name."
    )
    live_migration_inbound_addr: str | None = option(
        None, "Address that migrations to this host go to; the host's name where not set."
    )
    live_migration_bandwidth: int = option(
        0, "Most MiB a second that a live migration uses; 0 is no limit.", minimum=0
    )
    live_migration_downtime: int = option(
        500, "Most milliseconds that a guest stands still at the end of its migration.", minimum=100
    )
