# SPDX-License-Identifier: Apache-2.0
"""Flat copies of root disks: of guests that are off, and of guests that go on running."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

import libvirt

from nova.errors import VirtError
from nova.objects.instance import Instance
from nova.virt.libvirt import qemu_img
from nova.virt.libvirt.guest_agent import quiesced
from nova.virt.libvirt.storage import pieces_then_remove

if TYPE_CHECKING:
    from nova.virt.libvirt.parts import DriverParts

_POLL = 0.1


def take(parts: DriverParts, instance: Instance, disk_format: str) -> Iterator[bytes]:
    """The content of the root disk in a format, in pieces, as it is at one moment."""
    path = parts.storage.files.new_snapshot(instance.uuid)
    domain = parts.connection.find(instance.uuid)
    try:
        if domain is None or not domain.isActive():
            parts.storage.flat_copy(instance.uuid, path, disk_format)
        elif parts.section.virt_type in ("kvm", "qemu"):
            _copy_live(parts, instance, domain, path, disk_format)
        else:
            _copy_paused(parts, instance, domain, path, disk_format)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return pieces_then_remove(path)


def _copy_live(
    parts: DriverParts, instance: Instance, domain: Any, path: Path, disk_format: str
) -> None:
    """Mirror the disk until the copy is whole, then stop mirroring: the copy is the disk of that moment.

    The guest's own disk is never exchanged, so an interruption leaves nothing but a file to remove and
    a job that the next try ends.
    """
    disk = parts.storage.disks(instance)
    root = next(each for each in disk if os.path.basename(each.path) == "disk")
    qemu_img.create(path, disk_format, parts.storage.size(instance.uuid, "disk"))
    path.chmod(0o666)
    target = (
        f"<disk type='file'><source file={quoteattr(str(path))}/>"
        f"<driver type={quoteattr(disk_format)}/></disk>"
    )
    flags = libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
    with parts.connection.translated():
        if domain.blockJobInfo(root.target, 0):
            domain.blockJobAbort(root.target, 0)
        domain.blockCopy(root.target, target, {}, flags)
        try:
            _wait_for_copy(domain, root.target)
            with quiesced(parts, domain, instance):
                # A job that is ready ends with the copy as the disk is at this moment.
                domain.blockJobAbort(root.target, 0)
        finally:
            if domain.blockJobInfo(root.target, 0):
                domain.blockJobAbort(root.target, 0)


def _copy_paused(
    parts: DriverParts, instance: Instance, domain: Any, path: Path, disk_format: str
) -> None:
    """Where the hypervisor cannot mirror a disk the guest stands still for the copy."""
    with quiesced(parts, domain, instance), parts.connection.translated():
        running = domain.state()[0] != libvirt.VIR_DOMAIN_PAUSED
        if running:
            domain.suspend()
        try:
            parts.storage.flat_copy(instance.uuid, path, disk_format)
        finally:
            if running:
                domain.resume()


def _wait_for_copy(domain: Any, target: str) -> None:
    while True:
        job = domain.blockJobInfo(target, 0)
        if not job:
            raise VirtError("The copy of the disk ended before it was whole.")
        # An empty disk shows 0 of 0 before the job began.
        if job["end"] and job["cur"] == job["end"]:
            return
        time.sleep(_POLL)
