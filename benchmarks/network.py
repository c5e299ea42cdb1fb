# SPDX-License-Identifier: Apache-2.0
"""The figures of a host's network, measured in network namespaces of its own (root, nftables).

``python benchmarks/network.py``
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path

import msgspec
from load import figure

sys.path.insert(0, str(Path(__file__).parents[1]))

from nova.network.linux.arp import probe_segment
from nova.network.linux.firewall import Firewall
from nova.objects.host_filters import (
    EVERYTHING,
    FilterGroup,
    FilterPort,
    FilterRule,
    GroupMembers,
    HostFilters,
)
from tests.network.namespaces import MISSING, Host

PORTS = 2000
GROUPS = 20
ROUNDS = 9

_SSH = FilterRule(protocol="tcp", first=22, last=22, cidr="0.0.0.0/0")
_PING = FilterRule(protocol="icmp", first=8, last=0, cidr="0.0.0.0/0")


def main() -> None:
    """Measure everything once."""
    if os.geteuid() != 0 or MISSING:
        raise SystemExit(f"needs root and {', '.join(MISSING) or 'nothing else'}")
    host = Host()
    try:
        with host:
            filters(host)
            members(host)
            probes(host)
    finally:
        host.close()


def filters(host: Host) -> None:
    """2,000 ports from nothing; then one rule more, and one port more."""
    state = _state()
    firewall = Firewall()
    firewall.start()
    began = time.perf_counter()
    firewall.set(state)
    figure("filters_2000_ports", time.perf_counter() - began, "s")
    began = time.perf_counter()
    Firewall().set(state)
    figure("filters_second_start", (time.perf_counter() - began) * 1e3, "ms")
    rules, ports = [], []
    for number in range(ROUNDS):
        more = msgspec.structs.replace(_SSH, first=30, last=30 + number)
        changed = msgspec.structs.replace(state.groups[0], rules=(*state.groups[0].rules, more))
        rules.append(
            _timed(firewall, msgspec.structs.replace(state, groups=(changed, *state.groups[1:])))
        )
        port = FilterPort(device=f"tapmore{number:07d}", groups=(1,), dhcp=("10.0.0.1",))
        ports.append(_timed(firewall, msgspec.structs.replace(state, ports=(*state.ports, port))))
    figure("filters_one_rule", statistics.median(rules) * 1e3, "ms")
    figure("filters_one_port", statistics.median(ports) * 1e3, "ms")
    firewall.remove()


def members(host: Host) -> None:
    """One member more in a group of 500 that rules of 100 ports here name."""
    crowd = tuple(f"10.8.{number // 250}.{number % 250 + 1}" for number in range(500))
    state = HostFilters(
        groups=(FilterGroup(1, (FilterRule(remote_group=1),), EVERYTHING),),
        members=(GroupMembers(1, crowd),),
        ports=tuple(FilterPort(device=f"tap{number:011d}", groups=(1,)) for number in range(100)),
    )
    firewall = Firewall()
    firewall.set(state)
    times = [
        _timed(
            firewall,
            msgspec.structs.replace(state, members=(GroupMembers(1, (*crowd, f"10.7.0.{number + 1}")),)),
        )
        for number in range(ROUNDS)
    ]
    figure("filters_one_member_of_500", statistics.median(times) * 1e3, "ms")
    firewall.remove()


def probes(host: Host) -> None:
    """All of a segment's 250 addresses, a few of them in use."""
    for number in (5, 77, 200):
        host.guest(number)
    addresses = [f"10.9.0.{number}" for number in range(2, 252)]
    began = time.perf_counter()
    answers = probe_segment(host.bridge, addresses, 0.5)
    figure("probe_250_addresses", time.perf_counter() - began, "s")
    assert sum(mac is not None for mac in answers.values()) == 3


def _timed(firewall: Firewall, state: HostFilters) -> float:
    began = time.perf_counter()
    assert firewall.set(state) > 0
    return time.perf_counter() - began


def _state() -> HostFilters:
    return HostFilters(
        groups=tuple(
            FilterGroup(number, (_SSH, _PING, FilterRule(remote_group=number)), EVERYTHING)
            for number in range(1, GROUPS + 1)
        ),
        members=tuple(
            GroupMembers(number, tuple(f"10.{number}.0.{each}" for each in range(1, 101)))
            for number in range(1, GROUPS + 1)
        ),
        ports=tuple(
            FilterPort(
                device=f"tap{number:011d}", groups=(number % GROUPS + 1,), dhcp=("10.0.0.1",)
            )
            for number in range(PORTS)
        ),
    )


if __name__ == "__main__":
    main()
