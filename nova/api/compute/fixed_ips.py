# SPDX-License-Identifier: Apache-2.0
"""``os-fixed-ips``: addresses of networks and who has them (until 2.35)."""

from __future__ import annotations

import ipaddress
from typing import Any

import msgspec
from msgspec import UNSET

from nova.api.compute.bodies import Body
from nova.api.compute.fields import Field, View, attribute
from nova.api.compute.policies import ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.db.engine import Transaction
from nova.errors import BadRequest
from nova.policy import Rule

_FIXED = "os_compute_api:os-fixed-ips"

RULES: tuple[Rule, ...] = (
    Rule(_FIXED, ADMIN, "Show, reserve and release fixed addresses."),
)

VIEW = View(
    Field("address", lambda detail, _scene: detail.fixed_ip.address),
    Field("cidr", attribute("cidr")),
    Field("hostname", attribute("hostname")),
    Field("host", attribute("instance_host")),
    Field("reserved", lambda detail, _scene: detail.fixed_ip.reserved, since=4),
)


class FixedIPAction(msgspec.Struct):
    """The body of POST …/action: one of these, with any value."""

    reserve: Any = UNSET
    unreserve: Any = UNSET


def address_of(text: str) -> str:
    """An address of a path in its usual form; ``BadRequest`` where it is none."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise BadRequest(f"Fixed IP {text[:64]} has invalid format.") from None


def show(request: ApiRequest) -> Any:
    """Show an address, and the server that has it; or what answered for it on the wire, and when."""
    address = address_of(request.path["fixed_ip"])
    with request.cloud.db.read() as tx:
        detail = tx.fixed_ips.detail(address)
    shown = VIEW.at(request.minor)(detail, None)
    if detail.fixed_ip.used_elsewhere:
        # Not a field of the original's: it never looked.
        shown["used_elsewhere"] = {
            "mac": detail.fixed_ip.seen_mac, "seen_at": detail.fixed_ip.seen_at,
        }
    return {"fixed_ip": shown}


def act(request: ApiRequest) -> Any:
    """Reserve an address, or let the allocator have it again."""
    body: FixedIPAction = request.body
    if (body.reserve is UNSET) == (body.unreserve is UNSET):
        raise BadRequest("There must be exactly one action in the body.")
    address = address_of(request.path["fixed_ip"])

    def write(tx: Transaction) -> None:
        if body.reserve is not UNSET:
            tx.fixed_ips.reserve(address)
        else:
            tx.fixed_ips.unreserve(address)
        tx.after_commit(request.cloud.events.networks_changed)

    request.cloud.db.run(write)


ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-fixed-ips/{fixed_ip}", show, rule=_FIXED, until=35),
    Route("POST", "/os-fixed-ips/{fixed_ip}/action", act, 202, rule=_FIXED, until=35,
          body=Body(None, FixedIPAction)),
)
