# SPDX-License-Identifier: Apache-2.0
"""Actions that switch a server on, off or in between, and its password."""

from __future__ import annotations

from nova.compute.operations.core import OperationsCore, begin
from nova.errors import Conflict
from nova.objects.context import RequestContext
from nova.objects.instance import Instance

_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})


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
    """Set the administrator's password inside a running server.

    Raises ``Conflict`` where it is known before that nothing inside can do it.
    """
    refused = _no_agent(core, instance)
    if refused is not None:
        raise Conflict(refused)
    begin(core, context, instance, "change_password", {"admin_password": password})


def _no_agent(core: OperationsCore, instance: Instance) -> str | None:
    """Why the guests of a libvirt host cannot be given a password; None where they may."""
    with core.db.read() as tx:
        kinds = {node.hypervisor_type for node in tx.nodes.by_host(instance.host or "")}
    if kinds & {"LXC", "Xen"}:
        return f"Failed to set admin password on {instance.uuid}: its hypervisor has no guest agent."
    announced = (instance.image_properties or {}).get("hw_qemu_guest_agent")
    if "QEMU" in kinds and str(announced).lower() not in _TRUE:
        return (
            "QEMU guest agent is not enabled: the server's image does not announce one "
            "(property hw_qemu_guest_agent)."
        )
    return None


def crash_dump(core: OperationsCore, context: RequestContext, instance: Instance) -> None:
    """Let the server's kernel dump."""
    begin(core, context, instance, "crash_dump")
