# SPDX-License-Identifier: Apache-2.0
"""Where networks are an external service's: its things are asked of it, and are not here as well."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Handler, Route
from nova.errors import NotFound, NotImplementedByDriver

#: What nova-network keeps in its own tables. (The original handed some of it on to Neutron until 2.35.)
_OWN = frozenset(
    {
        "os-networks", "os-tenant-networks", "os-fixed-ips", "os-floating-ips", "os-floating-ips-bulk",
        "os-floating-ip-pools", "os-security-groups",
        "os-security-group-rules", "os-security-group-default-rules", "os-virtual-ips",
    }
)


#: What Neutron never had an equal of: the original refuses it otherwise.
_NAMES = "os-floating-ip-dns"


def without_own_networks(routes: Iterable[Route]) -> tuple[Route, ...]:
    """The routes, with those to nova-network's own things refused."""
    return tuple(
        route if refuse is None
        else dataclasses.replace(route, handler=refuse, body=None, query=None)
        for route, refuse in ((each, _refusal(each)) for each in routes)
    )


def _refusal(route: Route) -> Handler | None:
    parts = route.path.split("/")
    if _NAMES in parts:
        return _refuse_names
    return None if _OWN.isdisjoint(parts) else _refuse


def _refuse_names(_request: ApiRequest) -> Any:
    raise NotImplementedByDriver("Names of floating addresses are not managed where networks are external.")


def _refuse(_request: ApiRequest) -> Any:
    raise NotFound(
        "The networks of this cloud are those of its network service: ask that (service type network)."
    )
