# SPDX-License-Identifier: Apache-2.0
"""Ranges of addresses as operators write them: checked, and carved into subnets."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TypeVar

from nova.errors import Conflict, InvalidInput

Range4 = ipaddress.IPv4Network
Range6 = ipaddress.IPv6Network
_Range = TypeVar("_Range", ipaddress.IPv4Network, ipaddress.IPv6Network)


class RangeTaken(Conflict):
    """A range overlaps that of a network that is there."""



def unscoped(text: str) -> str:
    """The text of an address or a range. Raises ``ValueError`` for one with a scope (RFC 4007, section 11).

    A scope may hold whatever text, lines of a configuration file too, and tells other hosts nothing.
    """
    if "%" in text:
        raise ValueError(text)
    return text


def parse_v4(field: str, text: str) -> Range4:
    """The IPv4 range of ``text``; bits behind the prefix are dropped. Raises ``InvalidInput``."""
    try:
        return ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        raise InvalidInput(field, f"{text} is not a valid ip network.", text) from None


def parse_v6(field: str, text: str) -> Range6:
    """The IPv6 range of ``text``; bits behind the prefix are dropped. Raises ``InvalidInput``."""
    try:
        return ipaddress.IPv6Network(unscoped(text), strict=False)
    except ValueError:
        raise InvalidInput(field, f"{text} is not a valid IPv6 network.", text) from None


def check_address(field: str, text: str | None) -> None:
    """Refuse, with ``InvalidInput``, what is neither None nor an address without a scope."""
    if text is None:
        return
    try:
        ipaddress.ip_address(unscoped(text))
    except ValueError:
        raise InvalidInput(field, "It must be an IP address.", text) from None


def member_address(field: str, text: str, subnet: Range4) -> int:
    """The number of an address that a host of ``subnet`` can have; ``InvalidInput`` for another."""
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise InvalidInput(field, "It must be an IPv4 address.", text) from None
    if address not in subnet:
        raise InvalidInput(field, f"{text} is not within {subnet}.", text)
    if address in (subnet.network_address, subnet.broadcast_address):
        raise InvalidInput(
            field, f"{text} is the network or broadcast address of {subnet}.", text
        )
    return int(address)


def carve(whole: _Range, prefix: int, count: int, used: Sequence[_Range]) -> list[_Range]:
    """The first ``count`` subnets of ``whole`` with that prefix that overlap none of ``used``.

    Raises ``Conflict``, naming the first two ranges that overlap, where there are not enough.
    """
    size = 1 << (whole.max_prefixlen - prefix)
    start, end = int(whole.network_address), int(whole.broadcast_address)
    spans = sorted((int(each.network_address), int(each.broadcast_address), each) for each in used)
    chosen: list[_Range] = []
    clash: tuple[_Range, _Range] | None = None
    while len(chosen) < count and start + size - 1 <= end:
        candidate = type(whole)((start, prefix))
        taken = next(
            (span for span in spans if span[0] <= start + size - 1 and span[1] >= start), None
        )
        if taken is None:
            chosen.append(candidate)
            start += size
            continue
        if clash is None:
            clash = (candidate, taken[2])
        # Past the whole of what is taken, at the next border of a subnet.
        start += ((taken[1] - start) // size + 1) * size
    if len(chosen) < count:
        assert clash is not None, "the caller makes sure that the range holds count subnets"
        raise RangeTaken(
            f"Requested cidr ({clash[0]}) conflicts with existing cidr ({clash[1]})."
        )
    return chosen


def host_addresses(field: str, text: str) -> list[str]:
    """The addresses of a range: one address, or all hosts of a CIDR of at least four addresses.

    Raises ``InvalidInput`` for a smaller CIDR, whose addresses must be given one by one, for one of
    more than 65,536 addresses, and for anything else.
    """
    try:
        return [str(ipaddress.ip_address(unscoped(text)))]
    except ValueError:
        pass
    try:
        network = ipaddress.ip_network(unscoped(text), strict=False)
    except ValueError:
        raise InvalidInput(field, "It must be an address or a CIDR.", text) from None
    if network.num_addresses < 4:
        raise InvalidInput(
            field,
            f"/{network.prefixlen} should be specified as single address(es) not in cidr format",
            text,
        )
    if network.num_addresses > 65536:
        raise InvalidInput(field, "It must have at most 65536 addresses.", text)
    return [str(address) for address in network.hosts()]
