# SPDX-License-Identifier: Apache-2.0
"""``/os-console-auth-tokens/{token}``: what a console token leads to, for console proxies."""

from __future__ import annotations

from typing import Any

from nova import errors
from nova.api.compute.policies import ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Query, Route
from nova.objects.console import SPICE_DIRECT
from nova.policy import Rule

_RULE = "os_compute_api:os-console-auth-tokens"
RULES: tuple[Rule, ...] = (Rule(_RULE, ADMIN, "See what a console token leads to."),)


def show_rdp(_request: ApiRequest) -> Any:
    """Up to 2.30 this was for RDP consoles alone, which no driver has any more."""
    raise errors.BadRequest("The requested console type details are not accessible")


def show(request: ApiRequest) -> Any:
    """Where the console is that a token opens."""
    found = request.cloud.operations.console_of_token(request.path["token"])
    endpoint = found.endpoint
    console: dict[str, Any] = {
        "instance_uuid": found.instance_uuid, "host": endpoint.host, "port": endpoint.port,
        "internal_access_path": endpoint.internal_access_path,
    }
    if found.console_type == SPICE_DIRECT and request.features.spice_direct_consoles:
        console["tls_port"] = endpoint.tls_port
    return {"console": console}


ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-console-auth-tokens/{token}", show_rdp, rule=_RULE, until=30),
    Route(
        "GET", "/os-console-auth-tokens/{token}", show, rule=_RULE, since=31,
        query=Query(strict=99),
    ),
)
