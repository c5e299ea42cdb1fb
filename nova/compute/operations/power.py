# SPDX-License-Identifier: Apache-2.0
"""Actions that switch a server on, off or in between, and its password."""

from __future__ import annotations

from nova.compute.operations.core import OperationsCore, begin
from nova.objects.context import RequestContext
from nova.objects.instance import Instance


def start(core: OperationsCore, context: RequestContext, instance: Instance) -> None:
    """Start a stopped server."""
    begin(core, context, instance, "start")


def stop(core: OperationsCore, context: RequestContext, instance: Instance) -> None:
    """Stop a running server."""
    begin(core, context, instance, "stop")


def reboot(
    core: OperationsCore, context: RequestContext, instance: Instance, hard: bool
) -> None:
    """Restart a server, softly or hard."""
    begin(core, context, instance, "reboot_hard" if hard else "reboot_soft")


def pause(core: OperationsCore, context: RequestContext, instance: Instance) -> None:
    """Freeze a server."""
    begin(core, context, instance, "pause")


def unpause(core: OperationsCore, context: RequestContext, instance: Instance) -> None:
    """Thaw a server."""
    begin(core, context, instance, "unpause")


def suspend(core: OperationsCore, context: RequestContext, instance: Instance) -> None:
    """Save a server's memory and stop it."""
    begin(core, context, instance, "suspend")


def resume(core: OperationsCore, context: RequestContext, instance: Instance) -> None:
    """Start a suspended server."""
    begin(core, context, instance, "resume")


def change_password(
    core: OperationsCore, context: RequestContext, instance: Instance, password: str
) -> None:
    """Set the administrator's password inside a running server."""
    begin(core, context, instance, "change_password", {"admin_password": password})


def crash_dump(core: OperationsCore, context: RequestContext, instance: Instance) -> None:
    """Let the server's kernel dump."""
    begin(core, context, instance, "crash_dump")
