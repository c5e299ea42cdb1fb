# SPDX-License-Identifier: Apache-2.0
"""Guests of hypervisors that this machine lacks, started by the driver inside a machine of their own.

The machine is emulated with this one's files (``tests/network/nested.py``). With KVM it has emulated SVM,
with Xen it runs Debian's hypervisor and this machine's kernel as the first domain.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import msgspec

from tests.api.cloud_process import ROOT
from tests.network import nested

#: Debian's hypervisor, and its tools that live outside of the path.
XEN = Path("/boot/xen-4.17-amd64.gz")
XEN_TOOLS = Path("/usr/lib/xen-4.17/bin")

_KVM = """
modprobe -a kvm_amd vhost_net tun bridge veth af_packet
chmod 666 /dev/kvm /dev/vhost-net
"""
#: Without udev and an init system: the store, what describes the first domain in it, the consoles.
_XEN = f"""
modprobe -a xen-evtchn xen-gntdev xen-gntalloc xenfs xen-privcmd xen-netback xen-blkback bridge tun loop \
    veth af_packet
mount -t xenfs xenfs /proc/xen
mkdir -p /run/xen /run/xenstored /var/lib/xenstored /var/log/xen /var/lib/xen
export PATH={XEN_TOOLS}:$PATH
oxenstored --pid-file /run/xenstore.pid || xenstored --pid-file /run/xenstore.pid
xen-init-dom0
# Its tools give it a minute to start; a second start is quicker.
/usr/libexec/xen-qemu-system-i386 --version
xenconsoled --pid-file=/run/xenconsoled.pid
"""
_RUN = """
hostname nested
mkdir -p /sys/fs/cgroup; mount -t cgroup2 c /sys/fs/cgroup
cd {root}
export PYTHONPATH={root} PYTHONDONTWRITEBYTECODE=1
timeout {seconds} {command} >/run/exchange/result 2>/run/exchange/errors
tail -n 80 /run/exchange/errors
for f in /var/log/xen/qemu*.log /var/log/libvirt/libxl/*; do [ -e $f ] && echo "== $f" && tail -n 25 $f; done
"""


def missing(kind: str) -> list[str]:
    """What is not on this machine."""
    lacking = nested.missing()
    if kind == "xen":
        lacking += [str(each) for each in (XEN, XEN_TOOLS) if not each.exists()]
    return lacking


def run(kind: str, *files: Path, seconds: int) -> tuple[dict[str, Any], str]:
    """Start a guest of ``kind`` from these files; returns (what came about, everything that was said)."""
    command = shlex.join([sys.executable, "-m", "tests.host.nested_guest", kind, *map(str, files)])
    script = (_XEN if kind == "xen" else _KVM) + _RUN.format(root=ROOT, seconds=seconds, command=command)
    result, console = nested.run_inside(
        script, seconds + 120, memory=2048,
        # libvirt knows no host CPU that is like QEMU's own models, and Xen crashes with the largest one.
        cpu="Nehalem" if kind == "xen" else "max", xen=XEN if kind == "xen" else None,
    )
    try:
        said: dict[str, Any] = msgspec.json.decode(result.splitlines()[-1])
    except (IndexError, msgspec.DecodeError):
        said = {"error": "it ended without an answer"}
    return said, f"{result}\n{console}"
