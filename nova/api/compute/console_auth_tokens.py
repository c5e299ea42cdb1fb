# SPDX-License-Identifier: Apache-2.0
"""``/os-console-auth-tokens/{token}``: what a console token leads to, for console proxies."""

from __future__ import annotations

from typing import Any

from nova import errors
from nova.api.compute.policies import ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Query, Route
from nova.policy import Rule

_RULE = "os_compute_api:os-console-auth-tokens"
RULES: tuple[Rule, ...] = (Rule(_RULE, ADMIN, "See what a console token leads to."),)


def show_rdp(_request: ApiRequest) -> Any:
    """Up to 2.30 this was for RDP consoles alone, which no driver here has."""
    raise errors.BadRequest("The requested console type details are not accessible")


def show(_request: ApiRequest) -> Any:
    """No console proxy of this cloud hands out tokens, so that none is valid."""
    raise errors.NotFound("Token not found")


ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-console-auth-tokens/{token}", show_rdp, rule=_RULE, until=30),
    Route(
        "GET", "/os-console-auth-tokens/{token}", show, rule=_RULE, since=31,
        query=Query(strict=99),
    ),
)
