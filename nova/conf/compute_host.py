# SPDX-License-Identifier: Apache-2.0
"""Options of compute hosts that Kilo has in [DEFAULT]."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "DEFAULT"


@dataclasses.dataclass(frozen=True)
class ComputeHostSection:
    """Where guests are kept on a host and how they are treated there."""

    instances_path: str | None = option(
        None, "Directory of the guests' disks; $state_path/instances where not set."
    )
    force_raw_images: bool = option(True, "Keep cached images as raw files.")
    use_cow_images: bool = option(
        True, "Keep disks as qcow2 over a cached image where [libvirt] images_type says nothing; raw copies "
        "otherwise."
    )
    preallocate_images: str = option(
        "none", "When disks take their room on the host: as they fill (none) or at once (space).",
        choices=("none", "space"),
    )
    vcpu_pin_set: str | None = option(
        None, "Host CPUs that guests may run on, such as 4-12,^8,15; all where not set."
    )
    reserved_huge_pages: tuple[str, ...] = option(
        (), "Huge pages that guests may not have, as node:0,size:2048,count:64 or size:1GB. May be given "
        "several times.", multi=True,
    )
    force_config_drive: bool = option(False, "Give every guest a config drive.")
    config_drive_format: str = option(
        "iso9660", "Kind of config drives: iso9660, a CD, or vfat, a disk.", choices=("iso9660", "vfat")
    )
    mkisofs_cmd: str = option("genisoimage", "Program that builds config drives of kind iso9660.")
    default_ephemeral_format: str = option(
        "ext4", "File system of ephemeral disks.", choices=("ext4", "ext3", "ext2", "xfs", "none")
    )
    shutdown_timeout: int = option(
        60, "Seconds that a guest gets to shut down before it is switched off.", minimum=0
    )
    resume_guests_state_on_host_boot: bool = option(
        False, "Start the guests that ran when the host went down.",
    )
    start_guests_on_host_boot: bool = option(
        False, "Another name of resume_guests_state_on_host_boot."
    )
    vnc_enabled: bool = option(True, "Give every guest a VNC console.", old=("vnc.enabled",))
    vncserver_listen: str = option(
        "127.0.0.1", "Address that guests' VNC servers listen on.",
        old=("vnc.server_listen", "vnc.vncserver_listen"),
    )
    remove_unused_base_images: bool = option(
        True, "Remove cached images that no guest uses."
    )
    remove_unused_original_minimum_age_seconds: int = option(
        86400, "Seconds that a cached image is kept after its last use.", minimum=0
    )
