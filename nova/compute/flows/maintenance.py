# SPDX-License-Identifier: Apache-2.0
"""Rescue, rebuild, password, crash dump."""

from __future__ import annotations

import msgspec

from nova.compute.flows.host import FlowHost, guest_spec
from nova.compute.undo import Undo
from nova.decoding import convert
from nova.errors import GuestNotFound
from nova.objects.operation import StepResult, StepTask
from nova.objects.rescue_disk import RescueDisk


def rescue(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Start from a rescue image."""
    spec = guest_spec(host, task, power_on=True)
    wanted = task.payload.get("rescue_disk")
    if wanted is not None:
        spec = msgspec.structs.replace(spec, rescue_disk=convert(wanted, RescueDisk))
    return StepResult(power_state=host.driver.rescue(spec, task.payload.get("image_ref")))


def unrescue(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Start from the own disk."""
    return StepResult(power_state=host.driver.unrescue(task.instance))


def rebuild(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Replace the root disk by the image the instance row names now."""
    state = host.driver.rebuild(
        guest_spec(host, task), preserve_ephemeral=bool(task.payload.get("preserve_ephemeral"))
    )
    host.volumes_done(task)
    return StepResult(power_state=state)


def halt(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Stop the guest whose root volume is to be written anew; one that is gone is made again later."""
    try:
        return StepResult(power_state=host.driver.power_off(task.instance))
    except GuestNotFound:
        return StepResult(power_state=0)


def change_password(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Set the administrator's password."""
    host.driver.set_password(task.instance, task.payload["admin_password"])
    return StepResult()


def crash_dump(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Let the guest's kernel dump."""
    host.driver.crash_dump(task.instance)
    return StepResult()
