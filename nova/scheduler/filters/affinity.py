# SPDX-License-Identifier: Apache-2.0
"""Filters by what else is on a host: server groups, hosts named, flavors, addresses."""

from __future__ import annotations

import ipaddress

import numpy as np

from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.base import Attempt, Filter, Surroundings
from nova.scheduler.table import HostTable, Mask


class SameHostFilter(Filter):
    """On a host that has one of the servers of the ``same_host`` hint."""

    fixed = True

    def applies(self, spec: RequestSpec) -> bool:
        """Only with the hint."""
        return bool(spec.hints.get("same_host")) or bool(spec.same_host)

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows of those hosts; none if the servers are on no host."""
        return table.mask_of_hosts(spec.same_host)


class DifferentHostFilter(Filter):
    """On no host that has one of the servers of the ``different_host`` hint."""

    fixed = True

    def applies(self, spec: RequestSpec) -> bool:
        """Only with the hint."""
        return bool(spec.different_host)

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows of other hosts."""
        return ~table.mask_of_hosts(spec.different_host)


class ServerGroupAffinityFilter(Filter):
    """On a host that members of the group are on, under the policy ``affinity``."""

    def applies(self, spec: RequestSpec) -> bool:
        """Only for groups with that policy."""
        return spec.group_policy == "affinity"

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows of the members' hosts; all if there is no member yet."""
        if not attempt.group_hosts:
            return np.ones(len(table), dtype=bool)
        return table.mask_of_hosts(attempt.group_hosts)


class ServerGroupAntiAffinityFilter(Filter):
    """On a host with fewer members than ``max_server_per_host`` (1), under ``anti-affinity``."""

    def applies(self, spec: RequestSpec) -> bool:
        """Only for groups with that policy."""
        return spec.group_policy == "anti-affinity"

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows of hosts with room for one more member."""
        most = int(spec.group_rules.get("max_server_per_host") or 1)
        return ~table.mask_of_hosts(
            host for host, members in attempt.group_hosts.items() if members >= most
        )


class TypeAffinityFilter(Filter):
    """Only hosts whose servers, if any, all have this flavor."""

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        if surroundings.flavors_by_host is None:
            raise ValueError("TypeAffinityFilter needs to know the flavors on each host")
        self._flavors_by_host = surroundings.flavors_by_host

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows of hosts without another flavor."""
        wanted = spec.flavor.flavorid
        return ~table.mask_of_hosts(
            host
            for host, flavors in self._flavors_by_host().items()
            if any(flavor != wanted for flavor in flavors)
        )


class SimpleCIDRAffinityFilter(Filter):
    """On a host whose address is in the network of ``build_near_host_ip`` and ``cidr``."""

    fixed = True

    def applies(self, spec: RequestSpec) -> bool:
        """Only with the hint."""
        return bool(spec.hints.get("build_near_host_ip"))

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows whose address is in the network; none if the hints make no network."""
        cidr = (spec.hints.get("cidr") or ["/24"])[0]
        try:
            near = ipaddress.ip_network(
                f"{spec.hints['build_near_host_ip'][0]}/{cidr.lstrip('/')}", strict=False
            )
        except ValueError:
            return np.zeros(len(table), dtype=bool)
        return np.array([_within(node.host_ip, near) for node in table.nodes], dtype=bool)


def _within(address: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        return ipaddress.ip_address(address) in network
    except ValueError:
        return False
