# SPDX-License-Identifier: Apache-2.0
"""Where networks are an external service's: its things are asked of it, and are not here as well."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.errors import NotFound

#: What nova-network keeps in its own tables. (The original handed some of it on to Neutron until 2.35.)
_OWN = frozenset(
    {
        "os-networks", "os-tenant-networks", "os-fixed-ips", "os-floating-ips", "os-floating-ips-bulk",
        "os-floating-ip-pools", "os-floating-ip-dns", "os-security-groups",
        "os-security-group-rules", "os-security-group-default-rules", "os-virtual-ips",
    }
)


def without_own_networks(routes: Iterable[Route]) -> tuple[Route, ...]:
    """The routes, with those to nova-network's own things refused."""
    return tuple(
        dataclasses.replace(route, handler=_refuse, body=None, query=None)
        if not _OWN.isdisjoint(route.path.split("/")) else route
        for route in routes
    )


def _refuse(_request: ApiRequest) -> Any:
    raise NotFound(
        "The networks of this cloud are those of its network service: ask that (service type network)."
    )
