# SPDX-License-Identifier: Apache-2.0
"""Making and removing guests."""

from __future__ import annotations

from nova.compute.flows.host import FlowHost, guest_spec, placed
from nova.compute.undo import Undo
from nova.objects.operation import StepResult, StepTask


def spawn(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Create the guest of a boot, an unshelve or an evacuation."""
    undo.add(host.driver.destroy, task.instance.uuid)
    host.prepare_network(task.instance)
    spec = guest_spec(
        host, task, instance=placed(task),
        root_image=task.instance.system_metadata.get("shelved_image_id"),
    )
    state = host.driver.spawn(spec)
    host.volumes_done(task)
    return StepResult(power_state=state)


def destroy(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Remove the guest and its disks."""
    host.driver.destroy(task.instance.uuid)
    return StepResult(power_state=0)
