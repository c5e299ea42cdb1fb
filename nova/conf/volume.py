# SPDX-License-Identifier: Apache-2.0
"""[volume]: the built-in block storage service."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "volume"


@dataclasses.dataclass(frozen=True)
class VolumeSection:
    """Options of the built-in block storage service."""

    enabled: bool = option(
        True,
        "Serve block storage and list it in the catalogue. Without it there are no volumes, unless an "
        "external block storage service is configured.",
    )
    listen_port: int = option(8776, "Port of the block storage API.", minimum=1, maximum=65535)
    backend: str | None = option(
        None,
        "What volumes are: files is one file a volume in volumes_path; simulated is a record without any "
        "data, for clouds whose guests are simulated too. Where not set: files if volumes_path is set or "
        "the guests are real, else simulated.",
        choices=("files", "simulated"),
    )
    volumes_path: str | None = option(
        None,
        "Directory of the volumes' files; $state_path/volumes where not set. Compute hosts have to see it "
        "under the same path: the same machine, or a shared file system.",
    )
    volume_format: str = option(
        "raw",
        "Format of new volumes' files: raw (sparse), or qcow2, which needs qemu-img.",
        choices=("raw", "qcow2"),
    )
    volume_name_template: str = option(
        "volume-%s", "Name of a volume's file; %s is its id.", old=("DEFAULT.volume_name_template",)
    )
    snapshot_name_template: str = option(
        "snapshot-%s", "Name of a snapshot's file; %s is its id."
    )
    default_volume_type: str = option(
        "__DEFAULT__", "Type of volumes that are asked for without one; it is made where it is missing.",
        old=("DEFAULT.default_volume_type",),
    )
    availability_zone: str = option(
        "nova", "Zone of all volumes.", old=("DEFAULT.storage_availability_zone",)
    )
    backend_host: str = option(
        "nova@builtin#builtin", "Host that administrators see at volumes, as host@backend#pool."
    )
    quota_volumes: int = option(
        10, "Volumes of a project; -1 is no limit.", minimum=-1, old=("DEFAULT.quota_volumes",)
    )
    quota_snapshots: int = option(
        10, "Snapshots of a project; -1 is no limit.", minimum=-1, old=("DEFAULT.quota_snapshots",)
    )
    quota_gigabytes: int = option(
        1000, "GiB of a project's volumes and snapshots; -1 is no limit.", minimum=-1,
        old=("DEFAULT.quota_gigabytes",),
    )
    per_volume_size_limit: int = option(
        -1, "GiB of one volume; -1 is no limit.", minimum=-1, old=("DEFAULT.per_volume_size_limit",)
    )
    osapi_max_limit: int = option(
        1000, "Most volumes or snapshots on a page of a list.", minimum=1
    )
    workers: int = option(
        4, "Volumes that are filled, copied or deleted at the same time by one process.", minimum=1
    )
    task_lease: int = option(
        40, "Seconds after which another process takes up the work of one that died.", minimum=5
    )
