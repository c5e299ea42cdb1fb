# SPDX-License-Identifier: Apache-2.0
"""Config drives as files: an ISO 9660 image, or a disk with a FAT file system. Nothing is mounted."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from nova.virt.libvirt import qemu_img

#: The label by which guests find the drive.
LABEL = "config-2"
#: Size of a drive that is a disk, KiB.
_DISK_KIB = 64 * 1024


def is_disk(path: Path) -> bool:
    """Whether a drive was made as a disk, by its size: what a running guest has may be unreadable to us."""
    try:
        return path.stat().st_size == _DISK_KIB * 1024
    except FileNotFoundError:
        return False


def make_drive(path: Path, files: Mapping[str, bytes], kind: str, mkisofs: str) -> None:
    """Make the drive of ``kind`` (``iso9660`` or ``vfat``) at ``path`` from paths and their contents."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="config-drive-") as tree:
        for name, content in files.items():
            file = Path(tree, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        if kind == "vfat":
            path.unlink(missing_ok=True)
            qemu_img.run(["mkfs.vfat", "-n", LABEL, "-C", str(path), str(_DISK_KIB)], timeout=120)
            tops = sorted(str(each) for each in Path(tree).iterdir())
            qemu_img.run(["mcopy", "-s", "-Q", "-i", str(path), *tops, "::"], timeout=120)
        else:
            qemu_img.run(
                [mkisofs, "-o", str(path), "-ldots", "-allow-lowercase", "-allow-multidot", "-l",
                 "-publisher", "OpenStack Nova", "-quiet", "-J", "-r", "-V", LABEL, tree],
                timeout=120,
            )
