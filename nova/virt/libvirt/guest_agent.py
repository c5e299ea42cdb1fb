# SPDX-License-Identifier: Apache-2.0
"""QEMU's guest agent: what an image has to announce of it, passwords, and file systems held still.

What the agent answers is the guest's word; that it answers at all is bounded in time.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import libvirt

from nova.errors import VirtError
from nova.objects.instance import Instance

if TYPE_CHECKING:
    from nova.virt.libvirt.parts import DriverParts

LOG = logging.getLogger(__name__)

_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
#: Seconds that an agent may take for one thing.
_ANSWER_SECONDS = 30


def announced(instance: Instance) -> bool:
    """Whether the image says that it holds an agent (``hw_qemu_guest_agent``)."""
    return _true(instance, "hw_qemu_guest_agent")


def set_password(parts: DriverParts, instance: Instance, password: str) -> None:
    """Set the password of ``os_admin_user``, else of root, or Administrator of a Windows.

    Raises ``VirtError`` where there is no agent to do it.
    """
    _require_machine(parts, "No password can be set")
    if not announced(instance):
        raise VirtError(
            "No password can be set: the image does not announce a guest agent (property "
            "hw_qemu_guest_agent)."
        )
    properties = instance.image_properties or {}
    user = "Administrator" if properties.get("os_type") == "windows" else "root"
    domain = parts.connection.domain(instance.uuid)
    with parts.connection.translated():
        _bound(domain)
        domain.setUserPassword(str(properties.get("os_admin_user") or user), password, 0)


@contextlib.contextmanager
def quiesced(parts: DriverParts, domain: Any, instance: Instance) -> Iterator[None]:
    """Hold the file systems of a running guest still, where its image announces an agent.

    Where that fails a snapshot is taken all the same, unless the image says ``os_require_quiesce``: then it
    is a ``VirtError``.
    """
    required = _true(instance, "os_require_quiesce")
    if required:
        _require_machine(parts, "The image requires snapshots to be quiesced (os_require_quiesce)")
        if not announced(instance):
            raise VirtError(
                "The image requires snapshots to be quiesced (os_require_quiesce) and does not announce "
                "a guest agent (hw_qemu_guest_agent)."
            )
    if not announced(instance):
        yield
        return
    frozen = False
    try:
        _bound(domain)
        LOG.info("guest %s: %d file systems are frozen", instance.uuid, domain.fsFreeze())
        frozen = True
    except libvirt.libvirtError as error:
        # Some may have been frozen before it failed.
        _thaw(domain, instance)
        if required:
            raise VirtError(
                "The image requires snapshots to be quiesced (os_require_quiesce), but the guest's "
                f"agent does not: {error}"
            ) from error
        LOG.warning("guest %s is not quiesced for its snapshot: %s", instance.uuid, error)
    try:
        yield
    finally:
        if frozen:
            _thaw(domain, instance, complain=True)


def _thaw(domain: Any, instance: Instance, *, complain: bool = False) -> None:
    try:
        domain.fsThaw()
    except libvirt.libvirtError as error:
        if complain:
            LOG.error("the file systems of guest %s stay frozen: %s", instance.uuid, error)


def _bound(domain: Any) -> None:
    """A hostile or broken agent must not hold the host's work for ever."""
    domain.agentSetResponseTimeout(_ANSWER_SECONDS, 0)


def _require_machine(parts: DriverParts, wish: str) -> None:
    kind = parts.section.virt_type
    if kind not in ("kvm", "qemu"):
        raise VirtError(f"{wish}, but guests of {kind} have no agent.")


def _true(instance: Instance, name: str) -> bool:
    return str((instance.image_properties or {}).get(name)).lower() in _TRUE
