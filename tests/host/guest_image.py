# SPDX-License-Identifier: Apache-2.0
"""Builds a small guest from the machine's own packages: its kernel and busybox.

The guest says what it sees on its serial console, one line ``MARK ...`` a fact, follows the power button,
and opens a shell on port 2222 (a test network only).
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.unpacked_kernel import unpacked

MODULES = (
    "virtio_pci", "virtio_blk", "virtio_net", "e1000", "evdev", "button", "virtio_balloon", "isofs", "vfat",
    "nls_iso8859-1", "nls_ascii", "nls_cp437", "cdrom", "sr_mod", "ata_piix", "acpiphp", "ext4",
)

#: Modules that a guest with ``extras`` loads when its script says so: ``load NAME``.
EXTRA_MODULES = (
    "virtio_console", "virtio_rng", "i6300esb", "virtio_scsi", "sd_mod", "ahci", "e1000e", "efivarfs",
)

_SCRIPTS = Path(__file__).parent / "guest"
#: The program that makes a kernel one that UEFI starts.
EFI_STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
#: What the agent calls; Debian's busybox has none.
_CHANGE_PASSWORD = """\
#!/bin/sh
IFS=: read -r user password
hash=$(echo "$password" | mkpasswd -m sha512 -P 0)
echo "$user:$hash:19000:0:99999:7:::" >/etc/shadow
"""
_LOAD = """\
#!/bin/sh
for m in $(cat /lib/modules/$1.order); do insmod /lib/modules/$m 2>/dev/null; done
"""
_POWER_BUTTON = """\
#!/bin/sh
echo "MARK power-button" >/dev/console
poweroff -f
"""

#: An emulated guest on a busy machine may get so little time that its kernel takes the timer for broken.
_KERNEL_LINE = "console=tty0 console=ttyS0 panic=1 no_timer_check cryptomgr.notests mitigations=off quiet"
_SYSLINUX = f"""\
SERIAL 0 115200
DEFAULT l
PROMPT 0
TIMEOUT 1
LABEL l
 KERNEL vmlinuz
 INITRD initrd
 APPEND {_KERNEL_LINE}
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


def build(directory: Path, release: str, *, extras: bool = False) -> Path:
    """A bootable qcow2 in ``directory``; some seconds. Its sector 160000 belongs to no file.

    With ``extras`` the guest can load more modules, has the guest agent of Debian's package, and starts from
    UEFI too.
    """
    initrd = directory / "initrd"
    build_initrd(initrd, directory / "tree", release, extras=extras)
    raw, image = directory / "guest.raw", directory / "guest.qcow2"
    sectors = 1 << 18 if extras else 163840
    with raw.open("wb") as file:
        file.truncate(sectors * 512)
    config, kernel = directory / "syslinux.cfg", directory / "vmlinuz"
    config.write_text(_SYSLINUX)
    kernel.write_bytes(unpacked(kernel_file(release)))
    _run("mformat", "-i", str(raw), "-v", "GUEST", "-T", str(sectors), "-h", "16", "-s", "63", "::")
    for source, name in ((kernel, "vmlinuz"), (initrd, "initrd"), (config, "syslinux.cfg")):
        _run("mcopy", "-i", str(raw), str(source), f"::{name}")
    if extras:
        loader = directory / "loader.efi"
        _unified(loader, kernel_file(release), initrd)
        _run("mmd", "-i", str(raw), "::EFI", "::EFI/BOOT")
        _run("mcopy", "-i", str(raw), str(loader), "::EFI/BOOT/BOOTX64.EFI")
    _run("syslinux", "--install", str(raw))
    # Not compressed: a loader reads little at a time, and every time a whole cluster would be unpacked.
    _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image))
    return image


def container_image(directory: Path) -> Path:
    """A file system without partitions that holds a container: busybox and a first program."""
    tree = directory / "container"
    for name in ("bin", "sbin", "proc", "sys", "dev", "etc", "tmp", "run"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, tree / "bin/busybox")
    for applet in ("sh", "echo", "ls", "sleep", "tr", "grep", "ip", "udhcpc", "wget", "timeout"):
        (tree / "bin" / applet).symlink_to("busybox")
    _script(tree / "etc/udhcpc.sh", (_SCRIPTS / "udhcpc.sh").read_text())
    _script(tree / "sbin/init", (_SCRIPTS / "container-init").read_text())
    image = directory / "container.raw"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    _run("mkfs.ext4", "-q", "-F", "-d", str(tree), str(image))
    return image


def build_initrd(
    target: Path, tree: Path, release: str, *, extras: bool = False, modules: Sequence[str] = MODULES
) -> None:
    """An initramfs that is the whole guest."""
    busybox = shutil.which("busybox")
    assert busybox is not None
    for name in ("bin", "sbin", "proc", "sys", "dev", "etc/acpi/PWRF", "run", "tmp", "mnt", "lib/modules"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(busybox, tree / "bin/busybox")
    for applet in _run(busybox, "--list").split():
        if applet != "busybox":
            (tree / "bin" / applet).symlink_to("busybox")
    (tree / "lib/modules/order").write_text("\n".join(_modules(tree, release, modules)) + "\n")
    if extras:
        for module in EXTRA_MODULES:
            (tree / f"lib/modules/{module}.order").write_text("\n".join(_modules(tree, release, [module])))
        _script(tree / "bin/load", _LOAD)
        _agent(tree)
    _script(tree / "init", (_SCRIPTS / "init").read_text())
    _script(tree / "etc/udhcpc.sh", (_SCRIPTS / "udhcpc.sh").read_text())
    _script(tree / "etc/acpi/PWRF/00000080", _POWER_BUTTON)
    # What the kernel runs when Xen asks it to end.
    _script(tree / "sbin/poweroff", _POWER_BUTTON.replace("poweroff -f", "/bin/poweroff -f"))
    names = "\n".join(
        str(path.relative_to(tree)) for path in sorted(tree.rglob("*"))
    )
    packed = subprocess.run(
        ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=tree, input=names.encode(),
        capture_output=True, check=True,
    ).stdout
    target.write_bytes(gzip.compress(packed, 1))


def _modules(tree: Path, release: str, names: Sequence[str]) -> list[str]:
    """Put modules and what they need into the tree; returns the order in which they are loaded."""
    order: list[str] = []
    for module in names:
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
    return order


def _agent(tree: Path) -> None:
    """QEMU's guest agent with its libraries, and the accounts whose passwords it sets."""
    agent = shutil.which("qemu-ga", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert agent is not None
    shutil.copy(agent, tree / "sbin/qemu-ga")
    _script(tree / "sbin/chpasswd", _CHANGE_PASSWORD)
    for library in re.findall(r"(/\S+) \(0x", _run("ldd", agent)):
        target = tree / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    (tree / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (tree / "etc/shadow").write_text("root:*:19000:0:99999:7:::\n")
    (tree / "etc/group").write_text("root:x:0:\n")


def _unified(target: Path, kernel: Path, initrd: Path) -> None:
    """Kernel, command line and initramfs as one program that UEFI starts."""
    line = target.with_suffix(".cmdline")
    line.write_text(_KERNEL_LINE)
    # The sections go behind those of the stub, whose own end the headers tell.
    places = re.findall(r"^\s*\d+ \S+\s+(\w+)\s+(\w+)", _run("objdump", "-h", str(EFI_STUB)), re.MULTILINE)
    where = (max(int(start, 16) + int(size, 16) for size, start in places) + 0xFFFFF) & ~0xFFFFF
    command = ["objcopy"]
    for name, file in ((".cmdline", line), (".linux", kernel), (".initrd", initrd)):
        command += ["--add-section", f"{name}={file}", "--change-section-vma", f"{name}={where:#x}"]
        where = (where + file.stat().st_size + 0xFFFFF) & ~0xFFFFF
    _run(*command, str(EFI_STUB), str(target))


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def _run(*command: str) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, check=True,
        env=os.environ | {"MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C"},
    ).stdout
