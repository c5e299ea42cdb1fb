# SPDX-License-Identifier: Apache-2.0
"""Builds a small guest from the machine's own packages: its kernel and busybox.

The guest says what it sees on its serial console, one line ``MARK ...`` a fact, follows the power button,
and opens a shell on port 2222 (a test network only).
"""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import subprocess
from pathlib import Path

MODULES = (
    "virtio_pci", "virtio_blk", "virtio_net", "e1000", "evdev", "button", "virtio_balloon", "isofs", "vfat",
    "nls_iso8859-1", "nls_ascii", "nls_cp437", "cdrom", "sr_mod", "ata_piix", "acpiphp", "ext4",
)

_SCRIPTS = Path(__file__).parent / "guest"
_POWER_BUTTON = """\
#!/bin/sh
echo "MARK power-button" >/dev/console
poweroff -f
"""

_SYSLINUX = """\
SERIAL 0 115200
DEFAULT l
PROMPT 0
TIMEOUT 1
LABEL l
 KERNEL vmlinuz
 INITRD initrd
 APPEND console=tty0 console=ttyS0 panic=1 quiet
"""


def kernel_release() -> str | None:
    """The newest installed kernel that has its image and its modules; None where there is none."""
    found = [
        path.name for path in Path("/lib/modules").glob("*")
        if (path / "kernel").is_dir() and kernel_file(path.name).exists()
    ]
    return max(found, default=None)


def kernel_file(release: str) -> Path:
    """A kernel's image: in /boot, or with its modules as Rocky has it."""
    boot = Path(f"/boot/vmlinuz-{release}")
    return boot if boot.exists() else Path(f"/lib/modules/{release}/vmlinuz")


def build(directory: Path, release: str) -> Path:
    """A bootable qcow2 in ``directory``; about a second."""
    initrd = directory / "initrd"
    build_initrd(initrd, directory / "tree", release)
    raw, image = directory / "guest.raw", directory / "guest.qcow2"
    with raw.open("wb") as file:
        file.truncate(24 << 20)
    config = directory / "syslinux.cfg"
    config.write_text(_SYSLINUX)
    _run("mformat", "-i", str(raw), "-v", "GUEST", "-T", "49152", "-h", "16", "-s", "63", "::")
    for source, name in ((kernel_file(release), "vmlinuz"), (initrd, "initrd"), (config, "syslinux.cfg")):
        _run("mcopy", "-i", str(raw), str(source), f"::{name}")
    _run("syslinux", "--install", str(raw))
    _run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(image))
    return image


def container_image(directory: Path) -> Path:
    """A file system without partitions that holds a container: busybox and a first program."""
    tree = directory / "container"
    for name in ("bin", "sbin", "proc", "sys", "dev", "etc", "tmp", "run"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, tree / "bin/busybox")
    for applet in ("sh", "echo", "ls", "sleep", "tr", "grep"):
        (tree / "bin" / applet).symlink_to("busybox")
    _script(tree / "sbin/init", (_SCRIPTS / "container-init").read_text())
    image = directory / "container.raw"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    _run("mkfs.ext4", "-q", "-F", "-d", str(tree), str(image))
    return image


def build_initrd(target: Path, tree: Path, release: str) -> None:
    """An initramfs that is the whole guest."""
    busybox = shutil.which("busybox")
    assert busybox is not None
    for name in ("bin", "sbin", "proc", "sys", "dev", "etc/acpi/PWRF", "run", "tmp", "mnt", "lib/modules"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(busybox, tree / "bin/busybox")
    for applet in _run(busybox, "--list").split():
        if applet != "busybox":
            (tree / "bin" / applet).symlink_to("busybox")
    order: list[str] = []
    for module in MODULES:
        shown = subprocess.run(
            ["modprobe", "-S", release, "--show-depends", module], capture_output=True, text=True,
            check=False,
        ).stdout
        for line in shown.splitlines():
            if not line.startswith("insmod"):
                continue
            path = Path(line.split()[1])
            if path.name not in order:
                shutil.copy(path, tree / "lib/modules")
                order.append(path.name)
    (tree / "lib/modules/order").write_text("\n".join(order) + "\n")
    _script(tree / "init", (_SCRIPTS / "init").read_text())
    _script(tree / "etc/udhcpc.sh", (_SCRIPTS / "udhcpc.sh").read_text())
    _script(tree / "etc/acpi/PWRF/00000080", _POWER_BUTTON)
    names = "\n".join(
        str(path.relative_to(tree)) for path in sorted(tree.rglob("*"))
    )
    packed = subprocess.run(
        ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=tree, input=names.encode(),
        capture_output=True, check=True,
    ).stdout
    target.write_bytes(gzip.compress(packed, 1))


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def _run(*command: str) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, check=True,
        env=os.environ | {"MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C"},
    ).stdout
