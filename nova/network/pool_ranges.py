# SPDX-License-Identifier: Apache-2.0
"""Allocation pools that somebody names: within their subnet, apart from each other and from its gateway.

The refusals and their types are Neutron's (neutron, ``db/ipam_backend_mixin``; neutron-lib, ``exceptions``).
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Sequence

from nova.errors import BadRequest, Conflict

#: First and last address.
Pool = tuple[str, str]


class PoolInvalid(BadRequest):
    """A pool's addresses are in the wrong order, or of another IP version."""

    network_type = "InvalidAllocationPool"


class PoolOutOfBounds(BadRequest):
    """A pool has addresses that no guest of the subnet can have."""

    network_type = "OutOfBoundsAllocationPool"


class PoolsOverlap(Conflict):
    """Two pools share addresses."""

    network_type = "OverlappingAllocationPools"


class GatewayInPool(Conflict):
    """The gateway's address is in a pool."""

    network_type = "GatewayConflictWithAllocationPools"


def check_pools(pools: Sequence[Pool], cidr: str, gateway: str | None) -> None:
    """Refuse pools that cannot be those of a subnet with that gateway; raises this module's errors."""
    subnet = ipaddress.ip_network(cidr)
    lowest, highest = int(subnet.network_address), int(subnet.broadcast_address)
    if subnet.version == 6 or subnet.prefixlen <= 30:
        lowest += 1
    if subnet.version == 4 and subnet.prefixlen <= 30:
        highest -= 1
    spans: list[tuple[int, int, str]] = []
    for start, end in pools:
        first, last = ipaddress.ip_address(start), ipaddress.ip_address(end)
        shown = f"{start}-{end}"
        if {first.version, last.version} != {subnet.version} or int(first) > int(last):
            raise PoolInvalid(f"The allocation pool {shown} is not valid.")
        if int(first) < lowest or int(last) > highest:
            raise PoolOutOfBounds(f"The allocation pool {shown} spans beyond the subnet cidr {cidr}.")
        spans.append((int(first), int(last), shown))
    spans.sort()
    for before, after in itertools.pairwise(spans):
        if after[0] <= before[1]:
            raise PoolsOverlap(
                f"Found overlapping allocation pools: {before[2]} {after[2]} for subnet {cidr}."
            )
    if gateway is None or ipaddress.ip_address(gateway).version != subnet.version:
        return
    number = int(ipaddress.ip_address(gateway))
    for first_number, last_number, shown in spans:
        if first_number <= number <= last_number:
            raise GatewayInPool(f"Gateway ip {gateway} conflicts with allocation pool {shown}.")


def numbers_in(pools: Sequence[Pool]) -> set[int]:
    """The addresses of checked pools, as numbers."""
    return {
        number
        for start, end in pools
        for number in range(int(ipaddress.ip_address(start)), int(ipaddress.ip_address(end)) + 1)
    }
