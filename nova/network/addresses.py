# SPDX-License-Identifier: Apache-2.0
"""MAC addresses, and the addresses that follow from them."""

from __future__ import annotations

import ipaddress
import os
from functools import lru_cache


def random_macs(count: int) -> list[str]:
    """Different MACs in the range fa:16:3e that the original gives its instances."""
    chosen: dict[str, None] = {}
    while len(chosen) < count:
        noise = os.urandom(3 * (count - len(chosen))).hex()
        for start in range(0, len(noise), 6):
            part = noise[start : start + 6]
            chosen[f"fa:16:3e:{part[:2]}:{part[2:4]}:{part[4:]}"] = None
    return list(chosen)


@lru_cache(maxsize=1024)
def _prefix(cidr: str) -> int:
    return int(ipaddress.IPv6Network(cidr, strict=False).network_address)


def slaac_address(cidr: str, mac: str) -> str:
    """The IPv6 address that a card forms by itself in a network (RFC 4862 with RFC 4291, appendix
    A).
    """
    number = int(mac.replace(":", ""), 16)
    identifier = (
        ((number >> 24) ^ 0x020000) << 40 | 0xFFFE << 24 | (number & 0xFFFFFF)
    )
    host_bits = (1 << 64) - 1
    return str(ipaddress.IPv6Address(_prefix(cidr) & ~host_bits | identifier))
