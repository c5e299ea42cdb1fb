# SPDX-License-Identifier: Apache-2.0
"""Volumes that real guests open over the network: an NBD server and an iSCSI target, in a host's namespaces.

qemu-nbd serves a file to several guests at once; tgtd is an iSCSI target in user space, which asks for a
password. An export is a file system that both hosts have mounted.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from nova.objects.volume_connection import VolumeConnection
from nova.virt.libvirt.volume_disks import mount_point
from tests.host.hypervisor import PrivateLibvirt, program_missing
from tests.processes import end

#: What the guests of these tests do all the time: a number that grows, on every disk but the first.
HEARTBEAT = """
( i=0; while :; do
  i=$((i+1))
  for n in vdb vdc vdd vde; do
    [ -b /dev/$n ] && echo "beat $i " | dd of=/dev/$n bs=512 seek=8 conv=notrunc,fsync 2>/dev/null
  done; sleep 1
done ) &
"""
SIZE = 4 << 20
_IQN = "iqn.2026-01.org.nova:volume"
_PORTS = {"nbd": 10809, "iscsi": 3260}
_SECONDS = 60.0


def connection(number: int, kind: str, **data: object) -> VolumeConnection:
    """A volume's connection, as its service would answer it to a host."""
    volume = f"00000000-0000-4000-8000-{number:012}"
    return VolumeConnection(
        bdm_uuid=f"bdm-{number}", volume_id=volume, attachment_id=f"attachment-{number}", volume_size=1,
        connection_info={"driver_volume_type": kind, "data": data},
    )


def empty(path: Path) -> Path:
    """A volume's file that every hypervisor may use."""
    with path.open("wb") as file:
        file.truncate(SIZE)
    path.chmod(0o666)
    return path


def beats(path: Path, disk_format: str = "raw") -> int:
    """How far the guest's number on a volume is; 0 before the first."""
    out = subprocess.run(
        ["qemu-img", "dd", "-U", "-f", disk_format, "-O", "raw", "bs=512", "skip=8", "count=9",
         f"if={path}", f"of={path}.seen"], capture_output=True, check=False, timeout=30,
    )
    assert out.returncode == 0, out.stderr
    found = re.match(rb"beat (\d+) ", Path(f"{path}.seen").read_bytes())
    return int(found[1]) if found else 0


def grows(*files: Path, disk_format: str = "raw") -> None:
    """Wait until the guest writes to volumes, by the files in which that has to end up."""
    deadline = time.monotonic() + 120
    before = {path: beats(path, disk_format) for path in files}
    while still := [path for path, seen in before.items() if beats(path, disk_format) <= seen]:
        assert time.monotonic() < deadline, f"the guest does not write to {still}; it was at {before}"
        time.sleep(0.2)


def _ready(host: PrivateLibvirt, address: str, port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _SECONDS
    with host.network():
        while True:
            assert process.poll() is None, "the server ended"
            with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
                return
            assert time.monotonic() < deadline, f"nothing answers on port {port}"
            time.sleep(0.05)


@contextlib.contextmanager
def _served(host: PrivateLibvirt, command: Sequence[str], address: str, port: int) -> Iterator[None]:
    process = subprocess.Popen(
        host.enter(*command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        _ready(host, address, port, process)
        yield
    finally:
        end(process, 5)


@contextlib.contextmanager
def nbd(host: PrivateLibvirt, address: str, file: Path, number: int) -> Iterator[VolumeConnection]:
    """A file as a volume of type nbd."""
    port = _PORTS["nbd"]
    command = [
        "qemu-nbd", "--persistent", "--shared=4", "--format=raw", f"--bind={address}", f"--port={port}",
        "--export-name=volume", str(file),
    ]
    with _served(host, command, address, port):
        yield connection(number, "nbd", host=address, port=port, name="volume")


def has_iscsi() -> bool:
    """Whether there is an iSCSI target here; with CI=true one has to be (``make system-parts``)."""
    missing = program_missing(["tgtd", "tgtadm"])
    assert not (missing and os.environ.get("CI") == "true"), f"{missing} not installed"
    return not missing


@contextlib.contextmanager
def iscsi(host: PrivateLibvirt, address: str, file: Path, number: int) -> Iterator[VolumeConnection]:
    """A file as a volume of type iscsi, with CHAP."""
    port = _PORTS["iscsi"]
    own = f"TGT_IPC_SOCKET={host.root}/tgtd"

    def tell(*words: str) -> None:
        host.run("env", own, "tgtadm", "--lld", "iscsi", *words)

    with _served(host, ["env", own, "tgtd", "-f", "--iscsi", f"portal={address}:{port}"], address, port):
        tell("--mode", "target", "--op", "new", "--tid", "1", "-T", _IQN)
        tell("--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", "1", "-b", str(file))
        tell("--mode", "target", "--op", "bind", "--tid", "1", "-I", "ALL")
        tell("--mode", "account", "--op", "new", "--user", "guest", "--password", "twelve-or-more")
        tell("--mode", "account", "--op", "bind", "--tid", "1", "--user", "guest")
        yield connection(
            number, "iscsi", target_portal=f"{address}:{port}", target_iqn=_IQN, target_lun=1,
            auth_method="CHAP", auth_username="guest", auth_password="twelve-or-more",
        )


def elsewhere(volume: VolumeConnection, **data: object) -> VolumeConnection:
    """The same volume as another host has it."""
    info = {**volume.connection_info, "data": {**volume.data, **data}}
    return msgspec.structs.replace(volume, connection_info=info)


@contextlib.contextmanager
def export(
    hosts: Sequence[PrivateLibvirt], mounts: Path, number: int
) -> Iterator[tuple[VolumeConnection, Path]]:
    """A file on an export that all hosts have mounted, and the directory where this process sees it.

    The export is a file system on a loop device, mounted where the driver looks for it: kernels of test
    machines know no NFS.
    """
    first = hosts[0]
    name = f"nas:/volumes-{number}"
    where = mount_point(mounts, name)
    where.mkdir(mode=0o711, parents=True, exist_ok=True)
    image = first.root / "export.img"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    first.run("mkfs.ext4", "-q", "-F", str(image))
    first.run("mount", "-o", "loop", str(image), str(where))
    device = next(
        line.split()[0] for line in first.run("cat", "/proc/mounts").splitlines() if f" {where} " in line
    )
    try:
        for other in hosts[1:]:
            other.run("mount", device, str(where))
        first.run("chmod", "0755", str(where))
        seen = Path(f"/proc/{first.holder}/root{where}")
        empty(seen / "volume")
        yield connection(number, "nfs", export=name, name="volume", format="raw"), seen
    finally:
        for each in reversed(hosts):
            each.run("umount", str(where), check=False)
        where.rmdir()
        with contextlib.suppress(OSError):
            mounts.rmdir()
