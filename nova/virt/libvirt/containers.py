# SPDX-License-Identifier: Apache-2.0
"""What containers need besides a machine's parts: their root file system mounted, their console read.

The image of a container is a file system without partitions. It is mounted on the host, without devices and
set-user-id programs, while the container runs.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt

from nova.virt.libvirt import qemu_img
from nova.virt.libvirt.files import GuestDirectory

#: Bytes kept of a container's console.
_CONSOLE = 1 << 20


def mount_root(directory: GuestDirectory) -> None:
    """Mount the root disk at ``rootfs``; no error where it is mounted."""
    root = directory.file("rootfs")
    root.mkdir(mode=0o755, exist_ok=True)
    root.chmod(0o755)
    if not os.path.ismount(root):
        qemu_img.run(
            ["mount", "-o", "loop,nodev,nosuid", str(directory.file("disk")), str(root)], timeout=60
        )


def unmount_root(directory: GuestDirectory) -> None:
    """Undo ``mount_root``; no error where nothing is mounted."""
    if os.path.ismount(directory.file("rootfs")):
        qemu_img.run(["umount", str(directory.file("rootfs"))], timeout=60)


def read_console(domain: Any, log: Path) -> None:
    """Add what waits on a guest's terminal to its log: libvirt writes none for containers and Xen."""
    with contextlib.suppress(libvirt.libvirtError, OSError):
        console = ElementTree.fromstring(domain.XMLDesc(0)).find("devices/console")  # noqa: S314
        terminal = console.get("tty") if console is not None else None
        if not terminal:
            return
        descriptor = os.open(terminal, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            with log.open("ab") as file, contextlib.suppress(BlockingIOError):
                while file.tell() < _CONSOLE and (piece := os.read(descriptor, 4096)):
                    file.write(piece.replace(b"\r\n", b"\n"))
        finally:
            os.close(descriptor)
