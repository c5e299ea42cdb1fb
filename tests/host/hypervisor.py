# SPDX-License-Identifier: Apache-2.0
"""A private libvirt: own network, mount and host name, own configuration, state and log directories.

It needs root and does not touch the machine's own libvirt. Only what was started here is ended here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from tests.processes import end

_START_SECONDS = 60.0

#: A program, and where it comes from when it is missing.
PROGRAMS = (
    "libvirtd", "virtlogd", "virsh", "qemu-system-x86_64", "qemu-img", "genisoimage", "busybox", "modprobe",
    "cpio", "syslinux", "mcopy", "unshare", "ip",
)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: Cgroup version 1 hierarchies have to be mounted again behind a new /sys; version 2 must not be added.
_SCRIPT = r"""
set -e
ip link set lo up
mount -t sysfs sys /sys
if ! grep -q ' /sys/fs/cgroup cgroup2 ' /proc/1/mounts 2>/dev/null; then
    mount -t tmpfs -o mode=755 cg /sys/fs/cgroup
    for c in $(awk 'NR>1 && $4==1 && $2!=0{print $1}' /proc/cgroups); do
        mkdir -p /sys/fs/cgroup/$c
        mount -t cgroup -o $c $c /sys/fs/cgroup/$c 2>/dev/null || rmdir /sys/fs/cgroup/$c
    done
    mkdir -p /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd systemd /sys/fs/cgroup/systemd || rmdir /sys/fs/cgroup/systemd
else
    mount -t cgroup2 cg /sys/fs/cgroup || true
fi
mkdir -p /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt
mount --bind $R/etc /etc/libvirt
mount --bind $R/run /run/libvirt
mount --bind $R/lib /var/lib/libvirt
mount --bind $R/log /var/log/libvirt
mount --bind $R/cache /var/cache/libvirt
hostname $N
exec sleep infinity
"""


class MissingPart(Exception):
    """Something that real guests need is not on this machine."""


def require_parts() -> None:
    """``MissingPart`` names everything that is missing."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing:
        raise MissingPart(f"{', '.join(missing)} not installed (make system-parts)")
    if os.geteuid() != 0:
        raise MissingPart("real guests need root here: a private libvirtd in namespaces of its own")


class PrivateLibvirt:
    """One libvirtd with its virtlogd in namespaces that ``start`` makes."""

    _started: ClassVar[list[PrivateLibvirt]] = []

    def __init__(self, name: str) -> None:
        self.name = name
        self.root = Path(tempfile.mkdtemp(prefix=f"nova-host-{name}-"))
        self.root.chmod(0o711)
        self._holder: subprocess.Popen[bytes] | None = None
        self._daemons: list[subprocess.Popen[bytes]] = []

    @property
    def uri(self) -> str:
        """Where it is reached from any namespace."""
        return f"qemu:///system?socket={self.root}/run/libvirt-sock"

    def start(self, configuration: str = "", *arguments: str) -> None:
        """Make the namespaces and start the daemons, libvirtd with these arguments."""
        for name in ("run", "lib", "log", "cache"):
            (self.root / name).mkdir()
        (self.root / "lib").chmod(0o755)
        shutil.copytree("/etc/libvirt", self.root / "etc")
        shutil.rmtree(self.root / "etc/qemu/networks", ignore_errors=True)
        with (self.root / "etc/libvirtd.conf").open("a") as file:
            file.write(f"\n{configuration}\n")
        # What QEMU can do is asked anew by every libvirtd, which takes seconds, unless it is known.
        for known in [*(each.root / "cache/qemu" for each in self._started), Path("/var/cache/libvirt/qemu")]:
            if known.is_dir():
                shutil.copytree(known, self.root / "cache/qemu", dirs_exist_ok=True)
                break
        self._holder = subprocess.Popen(
            ["unshare", "-m", "-n", "-u", "--propagation", "private", "bash", "-c", _SCRIPT],
            env={"PATH": _PATH, "R": str(self.root), "N": self.name}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=(self.root / "namespace.log").open("wb"),
        )
        deadline = time.monotonic() + _START_SECONDS
        while Path(f"/proc/{self._holder.pid}/comm").read_text().strip() != "sleep":
            assert self._holder.poll() is None, (self.root / "namespace.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self._daemon("virtlogd")
        self.start_libvirtd(*arguments)
        self._started.append(self)

    @property
    def holder(self) -> int:
        """The process that holds the namespaces."""
        assert self._holder is not None
        return self._holder.pid

    def start_libvirtd(self, *arguments: str) -> None:
        """Start libvirtd, as after a crash of it."""
        self._daemon("libvirtd", *arguments)
        deadline = time.monotonic() + _START_SECONDS
        while self.virsh("version", check=False).returncode:
            assert self._daemons[-1].poll() is None, (self.root / "libvirtd.log").read_text()
            assert time.monotonic() < deadline, "libvirtd does not answer"
            time.sleep(0.1)

    def kill_libvirtd(self) -> None:
        """End libvirtd without warning; guests go on."""
        daemon = self._daemons.pop()
        daemon.kill()
        daemon.wait()

    def virsh(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One virsh command."""
        return subprocess.run(
            ["virsh", "-c", self.uri, *arguments], capture_output=True, text=True, check=check, timeout=60,
            env={"PATH": _PATH, "LC_ALL": "C"},
        )

    def domains(self) -> list[str]:
        """The uuids of all domains."""
        return self.virsh("list", "--all", "--uuid").stdout.split()

    def enter(self, *command: str) -> list[str]:
        """A command as it is run in the namespaces."""
        assert self._holder is not None
        return ["nsenter", "-t", str(self._holder.pid), "-m", "-n", "-u", "--", *command]

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command in the namespaces."""
        return subprocess.run(
            self.enter(*command), capture_output=True, text=True, check=check, timeout=60,
            env={"PATH": _PATH, "LC_ALL": "C"},
        ).stdout

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """This thread, and what it starts meanwhile, lives in the network namespace."""
        assert self._holder is not None
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        other = os.open(f"/proc/{self._holder.pid}/ns/net", os.O_RDONLY)
        try:
            _set_namespace(other)
            yield
        finally:
            _set_namespace(own)
            os.close(own)
            os.close(other)

    def stop(self) -> None:
        """End guests and daemons, and remove the files."""
        if self in self._started:
            self._started.remove(self)
        if self._daemons and self._daemons[-1].poll() is None:
            for uuid in self.virsh("list", "--uuid", check=False).stdout.split():
                self.virsh("destroy", uuid, check=False)
        for path in (self.root / "run/qemu").glob("*.pid"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(path.read_text()), signal.SIGKILL)
        for process in (*reversed(self._daemons), self._holder):
            if process is not None:
                end(process, 10)
        shutil.rmtree(self.root, ignore_errors=True)

    def _daemon(self, name: str, *arguments: str) -> None:
        self._daemons.append(
            subprocess.Popen(
                self.enter(name, "-p", f"{self.root}/{name}.pid", *arguments),
                stdin=subprocess.DEVNULL, start_new_session=True,
                stdout=subprocess.DEVNULL, stderr=(self.root / f"{name}.log").open("ab"),
                env={"PATH": _PATH, "LC_ALL": "C"},
            )
        )


def _set_namespace(descriptor: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, 0x40000000):
        raise OSError(ctypes.get_errno(), "setns")


def program_missing(names: Sequence[str]) -> list[str]:
    """Those of ``names`` that are not installed."""
    return [name for name in names if shutil.which(name, path=_PATH) is None]
