# SPDX-License-Identifier: Apache-2.0
"""What a network service needs of the kernel without being root (capabilities(7))."""

from __future__ import annotations

import os
from pathlib import Path

from nova.errors import NetworkNotReady

#: Bits of linux/capability.h, and what each is for.
NEEDED = {
    "CAP_NET_BIND_SERVICE": (10, "DHCP and DNS have ports below 1024"),
    "CAP_NET_ADMIN": (12, "bridges, VLANs, addresses and filters"),
    "CAP_NET_RAW": (13, "ARP"),
}


def missing(status: str, *, root: bool) -> list[str]:
    """The capabilities that a process lacks, from the text of /proc/PID/status.

    Those of a process that is not root must be ambient too, or dnsmasq does not get them.
    """
    sets = {
        name: int(value, 16)
        for name, _, value in (line.partition(":\t") for line in status.splitlines())
        if name in ("CapEff", "CapAmb")
    }
    have = sets.get("CapEff", 0) & (-1 if root else sets.get("CapAmb", 0))
    return [name for name, (bit, _why) in NEEDED.items() if not have >> bit & 1]


def check_capabilities() -> None:
    """Raise ``NetworkNotReady`` naming what this process lacks."""
    lacking = missing(Path("/proc/self/status").read_text(), root=os.geteuid() == 0)
    if lacking:
        why = "; ".join(f"{name} ({NEEDED[name][1]})" for name in lacking)
        raise NetworkNotReady(
            f"This process lacks {why}. Run it as root, or give them in the unit file: "
            f"AmbientCapabilities={' '.join(NEEDED)}."
        )
