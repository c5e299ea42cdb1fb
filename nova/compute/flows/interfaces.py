# SPDX-License-Identifier: Apache-2.0
"""Network cards of a guest: added and removed. Both can be repeated.

The API asks for this itself and waits (``plug_interface``, ``unplug_interface``); these steps are run where
it died meanwhile.
"""

from __future__ import annotations

import contextlib

from nova.compute.flows.host import FlowHost
from nova.compute.undo import Undo
from nova.errors import GuestNotFound
from nova.objects.instance import Vif
from nova.objects.operation import StepResult, StepTask


def _card(task: StepTask) -> Vif | None:
    return next((vif for vif in task.instance.network_info if vif.id == task.payload["card"]), None)


def plug(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Give the guest its card; a guest that is made anew gets all that its server has."""
    card = _card(task)
    if card is not None:
        undo.add(host.driver.unplug, task.instance, card)
        host.prepare_network(task.instance)
        with contextlib.suppress(GuestNotFound):
            host.driver.plug(task.instance, card)
    return StepResult()


def unplug(host: FlowHost, task: StepTask, undo: Undo) -> StepResult:
    """Take the card away."""
    card = _card(task)
    if card is not None:
        with contextlib.suppress(GuestNotFound):
            host.driver.unplug(task.instance, card)
    return StepResult()
