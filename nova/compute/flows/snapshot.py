# SPDX-License-Identifier: Apache-2.0
"""Snapshots into images, for createImage, createBackup and shelve."""

from __future__ import annotations

from nova.compute.flows.host import FlowHost
from nova.compute.undo import Undo
from nova.objects.operation import StepResult, StepTask
from nova.objects.states import (
    ACTIVE,
    IMAGE_PENDING_UPLOAD,
    IMAGE_UPLOADING,
    SHELVING_IMAGE_PENDING_UPLOAD,
    SHELVING_IMAGE_UPLOADING,
)


def take(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Read the root disk and upload it to the image that the request made."""
    return _take(host, task, IMAGE_PENDING_UPLOAD, IMAGE_UPLOADING)


def shelve(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Stop the guest and keep its root disk as an image."""
    if task.instance.vm_state == ACTIVE:
        undo.add(host.driver.power_on, task.instance)
    state = host.driver.power_off(task.instance)
    if task.payload.get("image_id"):
        _take(host, task, SHELVING_IMAGE_PENDING_UPLOAD, SHELVING_IMAGE_UPLOADING)
    return StepResult(power_state=state)


def _take(host: FlowHost, task: StepTask, pending: str, uploading: str) -> StepResult:
    data = host.driver.snapshot(task.instance)
    host.conductor.progress(task.operation_id, pending)
    host.conductor.progress(task.operation_id, uploading)
    host.images.upload(task, task.payload["image_id"], data.chunks)
    return StepResult()
