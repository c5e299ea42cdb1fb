# SPDX-License-Identifier: Apache-2.0
"""The names of vm states, task states and power states, as the original spells them."""

from __future__ import annotations

from typing import Final

# vm states
ACTIVE: Final = "active"
BUILDING: Final = "building"
PAUSED: Final = "paused"
SUSPENDED: Final = "suspended"
STOPPED: Final = "stopped"
RESCUED: Final = "rescued"
RESIZED: Final = "resized"
SOFT_DELETED: Final = "soft-delete"
DELETED: Final = "deleted"
ERROR: Final = "error"
SHELVED: Final = "shelved"
SHELVED_OFFLOADED: Final = "shelved_offloaded"

# task states
SCHEDULING: Final = "scheduling"
BLOCK_DEVICE_MAPPING: Final = "block_device_mapping"
NETWORKING: Final = "networking"
SPAWNING: Final = "spawning"
IMAGE_SNAPSHOT_PENDING: Final = "image_snapshot_pending"
IMAGE_SNAPSHOT: Final = "image_snapshot"
IMAGE_PENDING_UPLOAD: Final = "image_pending_upload"
IMAGE_UPLOADING: Final = "image_uploading"
IMAGE_BACKUP: Final = "image_backup"
UPDATING_PASSWORD: Final = "updating_password"  # noqa: S105
RESIZE_PREP: Final = "resize_prep"
RESIZE_MIGRATING: Final = "resize_migrating"
RESIZE_MIGRATED: Final = "resize_migrated"
RESIZE_FINISH: Final = "resize_finish"
RESIZE_REVERTING: Final = "resize_reverting"
RESIZE_CONFIRMING: Final = "resize_confirming"
REBOOTING: Final = "rebooting"
REBOOT_PENDING: Final = "reboot_pending"
REBOOT_STARTED: Final = "reboot_started"
REBOOTING_HARD: Final = "rebooting_hard"
REBOOT_PENDING_HARD: Final = "reboot_pending_hard"
REBOOT_STARTED_HARD: Final = "reboot_started_hard"
PAUSING: Final = "pausing"
UNPAUSING: Final = "unpausing"
SUSPENDING: Final = "suspending"
RESUMING: Final = "resuming"
POWERING_OFF: Final = "powering-off"
POWERING_ON: Final = "powering-on"
RESCUING: Final = "rescuing"
UNRESCUING: Final = "unrescuing"
REBUILDING: Final = "rebuilding"
REBUILD_BLOCK_DEVICE_MAPPING: Final = "rebuild_block_device_mapping"
REBUILD_SPAWNING: Final = "rebuild_spawning"
MIGRATING: Final = "migrating"
DELETING: Final = "deleting"
SOFT_DELETING: Final = "soft-deleting"
RESTORING: Final = "restoring"
SHELVING: Final = "shelving"
SHELVING_IMAGE_PENDING_UPLOAD: Final = "shelving_image_pending_upload"
SHELVING_IMAGE_UPLOADING: Final = "shelving_image_uploading"
SHELVING_OFFLOADING: Final = "shelving_offloading"
UNSHELVING: Final = "unshelving"

# power states, as numbers on the wire
NOSTATE: Final = 0
RUNNING: Final = 1
POWER_PAUSED: Final = 3
SHUTDOWN: Final = 4
CRASHED: Final = 6
POWER_SUSPENDED: Final = 7

VM_STATES: Final = (
    ACTIVE, BUILDING, PAUSED, SUSPENDED, STOPPED, RESCUED, RESIZED, SOFT_DELETED, DELETED, ERROR,
    SHELVED, SHELVED_OFFLOADED,
)
