# SPDX-License-Identifier: Apache-2.0
"""What a host is and how busy it is: sizes, CPU, load, for the scheduler and the hypervisors API."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

_KIB_PER_MIB = 1024


def cpu_info(capabilities: str) -> dict[str, Any]:
    """The host's CPU from libvirt's capabilities."""
    cpu = ElementTree.fromstring(capabilities).find("host/cpu")  # noqa: S314 - libvirtd's own text
    if cpu is None:
        return {}
    topology = cpu.find("topology")
    return {
        "arch": cpu.findtext("arch"), "model": cpu.findtext("model"),
        "vendor": cpu.findtext("vendor"),
        "features": sorted(str(each.get("name")) for each in cpu.findall("feature")),
        "topology": {
            name: int(topology.get(name) or 1) for name in ("sockets", "cores", "threads")
        } if topology is not None else {},
    }


def supported_instances(capabilities: str) -> list[list[str]]:
    """[architecture, hypervisor, kind] of what the host can run."""
    found: list[list[str]] = []
    for guest in ElementTree.fromstring(capabilities).findall("guest"):  # noqa: S314
        kind = guest.findtext("os_type") or ""
        for arch in guest.findall("arch"):
            found += [
                [str(arch.get("name")), str(domain.get("type")), kind]
                for domain in arch.findall("domain")
            ]
    return found


def host_uuid(capabilities: str) -> str:
    """The host's uuid as libvirt knows it."""
    return ElementTree.fromstring(capabilities).findtext("host/uuid") or ""  # noqa: S314


def host_arch(capabilities: str) -> str:
    """The host's architecture."""
    found = ElementTree.fromstring(capabilities).findtext("host/cpu/arch")  # noqa: S314
    return found or os.uname().machine


def memory_mib(meminfo: str) -> tuple[int, int]:
    """(total, used) MiB from the text of /proc/meminfo; what the kernel can give back is not used.

    Not libvirt's node information: that tells of the first NUMA cell only on some hosts.
    """
    values = {
        name: int(rest.split()[0])
        for name, _colon, rest in (line.partition(":") for line in meminfo.splitlines()) if rest
    }
    total = values["MemTotal"]
    free = values.get("MemAvailable", values.get("MemFree", 0))
    return total // _KIB_PER_MIB, (total - free) // _KIB_PER_MIB


class CpuMeter:
    """The share of CPU time in use between two looks, percent."""

    def __init__(self) -> None:
        self._last: tuple[int, int] = (0, 0)

    def percent(self) -> float:
        """Since the last look; since boot at the first."""
        fields = [int(value) for value in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        total, idle = sum(fields), fields[3] + fields[4]
        last_total, last_idle = self._last
        self._last = (total, idle)
        passed = total - last_total
        return round(100.0 * (1 - (idle - last_idle) / passed), 1) if passed > 0 else 0.0


def disk_gib(path: Path) -> tuple[int, int]:
    """(total, free) GiB of the file system that holds a directory."""
    room = os.statvfs(path)
    return (room.f_blocks * room.f_frsize) >> 30, (room.f_bavail * room.f_frsize) >> 30


def uptime_text() -> str:
    """As the ``uptime`` command tells it."""
    seconds = int(float(Path("/proc/uptime").read_text().split()[0]))
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return (
        f" {time.strftime('%H:%M:%S')} up {seconds // 86400} days, "
        f"{seconds // 3600 % 24:2d}:{seconds // 60 % 60:02d},  0 users,  load average: {load}"
    )
