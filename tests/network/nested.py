# SPDX-License-Identifier: Apache-2.0
"""A machine in the machine, with a kernel that has VLAN devices, KVM and vhost, or with Xen below it.

The root file system is this machine's, read only over 9p with memory over it; a second share carries a
script in and its result out. Emulated, so it needs no more rights than QEMU.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.unpacked_kernel import unpacked

PROGRAMS = ("qemu-system-x86_64", "busybox", "modprobe", "cpio")
_PROCESSORS = ("-accel", "tcg,thread=multi", "-smp", "2")
_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")

_INIT = """#!/bin/sh
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
for m in $(cat /lib/modules/order); do insmod /lib/modules/$m; done
O=trans=virtio,version=9p2000.L,msize=262144
mount -t 9p -o $O,ro,cache=loose hostroot /lower || poweroff -f
mount -t tmpfs -o size=50% t /rw; mkdir /rw/u /rw/w
mount -t overlay -o lowerdir=/lower,upperdir=/rw/u,workdir=/rw/w o /root || poweroff -f
for d in proc sys dev run tmp; do mkdir -p /root/$d; done
mount -t tmpfs t /root/run; mkdir -p /root/run/lock /root/run/netns /root/run/exchange
mount -t 9p -o $O,rw,cache=none work /root/run/exchange
for d in proc sys dev; do mount -o move /$d /root/$d; done
mkdir -p /root/dev/pts /root/dev/shm; mount -t devpts d /root/dev/pts; mount -t tmpfs t /root/dev/shm
exec switch_root /root /bin/sh /run/exchange/run.sh </dev/console >/dev/console 2>&1
"""


def missing() -> list[str]:
    """What is not on this machine."""
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    return lacking if lacking or kernel() else ["a kernel with modules"]


def kernel() -> tuple[Path, str] | None:
    """A kernel image and its release, newest first."""
    for modules in sorted(Path("/lib/modules").glob("*"), reverse=True):
        for image in (Path(f"/boot/vmlinuz-{modules.name}"), modules / "vmlinuz"):
            if image.exists() and (modules / "kernel").is_dir():
                return image, modules.name
    return None


def run_inside(
    script: str, timeout: float = 100, *, memory: int = 1024, cpu: str = "max", xen: Path | None = None
) -> tuple[str, str]:
    """Run a shell script as the first process of a new machine; returns (its result, the console).

    The script writes its result to ``/run/exchange/result``. ``memory`` is MiB. With ``xen``, a hypervisor as
    Debian packs it, the script runs in the first domain on top.
    """
    found = kernel()
    assert found is not None
    image, release = found
    with tempfile.TemporaryDirectory(prefix="nova-nested-") as name:
        directory = Path(name)
        work = directory / "work"
        work.mkdir()
        end = "\nsync\necho o >/proc/sysrq-trigger\nsleep 60\n"
        (work / "run.sh").write_text("export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root\n" + script + end)
        _initramfs(directory / "initramfs", release)
        share = "security_model=none,multidevs=remap"
        command = [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", "pc",
            "-cpu", cpu, "-m", str(memory), "-display", "none", "-no-reboot", "-serial", "stdio",
            *_starting(directory, image, memory, xen),
            "-virtfs", f"local,path=/,mount_tag=hostroot,readonly=on,{share}",
            "-virtfs", f"local,path={work},mount_tag=work,{share}",
        ]
        console = directory / "console"
        with console.open("wb") as file, contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=timeout, check=False
            )
        result = work / "result"
        said = result.read_text() if result.exists() else ""
        return said, console.read_text(errors="replace")


def _starting(directory: Path, image: Path, memory: int, xen: Path | None) -> list[str]:
    """What QEMU loads: the kernel, or Xen with the kernel as its first module."""
    initramfs = directory / "initramfs"
    if xen is None:
        begins_at_once = directory / "kernel"
        begins_at_once.write_bytes(unpacked(image))
        return [
            *_PROCESSORS, "-kernel", str(begins_at_once), "-initrd", str(initramfs),
            "-append", "console=ttyS0 cryptomgr.notests quiet panic=-1",
        ]
    hypervisor = directory / "xen"
    hypervisor.write_bytes(gzip.decompress(xen.read_bytes()))
    line = (
        f"console=com1 com1=115200,8n1 dom0_mem={memory // 2}M dom0=pv loglvl=warning guest_loglvl=warning "
        "noreboot"
    )
    return [
        *_PROCESSORS, "-kernel", str(hypervisor), "-append", line,
        "-initrd", f"{image} console=hvc0 quiet panic=-1,{initramfs}",
    ]


def _initramfs(out: Path, release: str) -> None:
    with tempfile.TemporaryDirectory(prefix="nova-initramfs-") as name:
        top = Path(name)
        for each in ("bin", "proc", "sys", "dev", "lib/modules", "lower", "rw", "root"):
            (top / each).mkdir(parents=True)
        busybox = shutil.which("busybox")
        assert busybox is not None
        shutil.copy(busybox, top / "bin/busybox")
        for each in ("sh", "mount", "insmod", "mkdir", "switch_root", "cat", "poweroff"):
            (top / "bin" / each).symlink_to("busybox")
        order: list[str] = []
        for module in _MODULES:
            shown = subprocess.run(
                ["modprobe", "-S", release, "--show-depends", module], capture_output=True, text=True,
                check=True,
            ).stdout
            for line in shown.splitlines():
                words = line.split()
                if words[:1] == ["insmod"] and Path(words[1]).name not in order:
                    order.append(Path(words[1]).name)
                    shutil.copy(words[1], top / "lib/modules")
        (top / "lib/modules/order").write_text("\n".join(order))
        (top / "init").write_text(_INIT)
        (top / "init").chmod(0o755)
        names = "\n".join(str(path.relative_to(top)) for path in sorted(top.rglob("*")))
        archive = subprocess.run(
            ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], input=names.encode(), cwd=top,
            capture_output=True, check=True,
        ).stdout
        out.write_bytes(gzip.compress(archive, 1))


def can_run() -> bool:
    """Whether this machine has all that it takes."""
    return not missing() and os.geteuid() == 0
