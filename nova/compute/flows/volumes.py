# SPDX-License-Identifier: Apache-2.0
"""Disks of a guest that are volumes: added, removed, exchanged, grown, in snapshots. All can be repeated."""

from __future__ import annotations

from nova.compute.flows.host import FlowHost
from nova.compute.undo import Undo
from nova.errors import GuestNotFound, VirtError
from nova.objects.operation import StepResult, StepTask
from nova.objects.volume_connection import VolumeConnection


def _opened(host: FlowHost, task: StepTask) -> VolumeConnection:
    found = host.open_volumes(task)
    if not found:
        raise VirtError("The server does not have the volume any more.")
    return found[0]


def attach(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Give the guest a disk, running or not."""
    volume = _opened(host, task)
    undo.add(host.driver.detach_volume, task.instance, volume.volume_id)
    host.driver.attach_volume(task.instance, volume)
    host.volumes_done(task)
    return StepResult()


def detach(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Take a disk away; a guest that is gone has let go of it."""
    try:
        host.driver.detach_volume(task.instance, task.payload["volume_id"])
    except GuestNotFound:
        return StepResult()
    return StepResult()


def swap(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Put another volume in a volume's place, with what is on it."""
    volume = _opened(host, task)
    host.driver.swap_volume(task.instance, task.payload["volume_id"], volume)
    host.volumes_done(task)
    return StepResult()


def extend(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Let the guest see that a volume has grown."""
    host.driver.extend_volume(
        task.instance, task.payload["volume_id"], task.payload["size_gb"] << 30
    )
    return StepResult()


def snapshot(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Let what the guest writes go to a new file, for a snapshot that the volume's service takes."""
    host.driver.snapshot_volume(task.instance, task.payload["volume_id"], task.payload["info"])
    return StepResult()


def delete_snapshot(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Merge the files of a snapshot that the volume's service deletes."""
    host.driver.delete_volume_snapshot(
        task.instance, task.payload["volume_id"], task.payload["info"]
    )
    return StepResult()
