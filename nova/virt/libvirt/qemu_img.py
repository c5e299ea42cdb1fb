# SPDX-License-Identifier: Apache-2.0
"""Runs qemu-img and the makers of file systems: formats always named, time and memory bounded."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nova.errors import VirtError
from nova.virt.libvirt.files import supports_direct_io

#: What a look at a file that a user made may take: seconds of CPU and bytes of memory.
_CPU_LIMIT = 30
_MEMORY_LIMIT = 1 << 30
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(command: Sequence[str], *, timeout: float = 3600.0, bounded: bool = False) -> bytes:
    """Run a program; ``VirtError`` with the end of what it said where it fails or is missing."""
    if bounded:
        command = ["prlimit", f"--cpu={_CPU_LIMIT}", f"--as={_MEMORY_LIMIT}", *command]
    try:
        done = subprocess.run(  # noqa: S603 - a list, no shell
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False,
            env={"LC_ALL": "C", "PATH": _PATH},
        )
    except FileNotFoundError:
        raise VirtError(f"{command[0]} is not installed on this host.") from None
    except subprocess.TimeoutExpired:
        raise VirtError(f"{command[0]} did not end within {timeout:g} seconds.") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise VirtError(f"{command[0]} failed: {said or done.returncode}")
    return done.stdout


def info(path: Path, disk_format: str) -> dict[str, Any]:
    """What qemu-img says of a file itself, read as ``disk_format``; files it refers to stay closed."""
    output = run(
        ["qemu-img", "info", "-U", "-f", disk_format, "--output=json", str(path)],
        timeout=60, bounded=True,
    )
    found: dict[str, Any] = json.loads(output)
    return found


def create(path: Path, disk_format: str, size: int) -> None:
    """A new empty disk of ``size`` bytes."""
    run(["qemu-img", "create", "-q", "-f", disk_format, str(path), str(size)], timeout=60)


def create_overlay(path: Path, base: Path, base_format: str, size: int) -> None:
    """A qcow2 disk of ``size`` bytes that begins as ``base``."""
    run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-o",
         f"backing_file={str(base).replace(',', ',,')},backing_fmt={base_format}", str(path),
         str(size)],
        timeout=60,
    )


def rebase(path: Path, base: Path, base_format: str) -> None:
    """Write down another base for a qcow2 disk; nothing is read or compared."""
    run(
        ["qemu-img", "rebase", "-q", "-u", "-f", "qcow2", "-b", str(base), "-F", base_format,
         str(path)], timeout=60,
    )


def convert(source: Path, source_format: str, target: Path, target_format: str) -> None:
    """A flat copy in another format; nothing but ``source`` and our own base files is read."""
    run(
        ["qemu-img", "convert", "-q", "-U", "-t", "none" if _direct(target) else "writeback",
         "-f", source_format, "-O", target_format, str(source), str(target)]
    )


def resize(path: Path, disk_format: str, size: int) -> None:
    """Make a disk larger."""
    run(["qemu-img", "resize", "-q", "-f", disk_format, str(path), str(size)], timeout=60)


def _direct(target: Path) -> bool:
    return supports_direct_io(target.parent)
