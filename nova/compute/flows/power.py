# SPDX-License-Identifier: Apache-2.0
"""Switching guests on, off and in between. Each is safe to repeat."""

from __future__ import annotations

from nova.compute.flows.host import FlowHost
from nova.compute.undo import Undo
from nova.errors import GuestNotFound
from nova.objects.operation import StepResult, StepTask


def start(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Start."""
    return StepResult(power_state=host.driver.power_on(task.instance))


def stop(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Stop."""
    return StepResult(power_state=host.driver.power_off(task.instance))


def set_aside(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Stop the guest of a server that waits for its deletion; one without a guest waits as well."""
    try:
        return StepResult(power_state=host.driver.power_off(task.instance))
    except GuestNotFound:
        return StepResult(power_state=0)


def reboot(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Restart, softly or hard."""
    hard = task.flow == "reboot_hard"
    return StepResult(power_state=host.driver.reboot(task.instance, hard=hard))


def pause(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Freeze."""
    return StepResult(power_state=host.driver.pause(task.instance))


def unpause(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Thaw."""
    return StepResult(power_state=host.driver.unpause(task.instance))


def suspend(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Save memory and stop."""
    return StepResult(power_state=host.driver.suspend(task.instance))


def resume(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Start with memory."""
    return StepResult(power_state=host.driver.resume(task.instance))
