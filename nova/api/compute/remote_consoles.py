# SPDX-License-Identifier: Apache-2.0
"""``POST /servers/{id}/remote-consoles`` (from 2.6)."""

from __future__ import annotations

from typing import Any

import msgspec

from nova import errors
from nova.api.compute.bodies import Body
from nova.api.compute.policies import MEMBER_OR_ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.policy import Rule

RULE = "os_compute_api:os-remote-consoles"
RULES: tuple[Rule, ...] = (Rule(RULE, MEMBER_OR_ADMIN, "Open a server's console."),)

#: protocol -> its types; mks came with 2.8, spice-direct with 2.99.
_TYPES = {
    "vnc": ("novnc", "xvpvnc"), "spice": ("spice-html5", "spice-direct"),
    "serial": ("serial",), "rdp": ("rdp-html5",), "mks": ("webmks",),
}


class RemoteConsole(msgspec.Struct, frozen=True):
    """Which console."""

    protocol: str
    type: str


def create(request: ApiRequest) -> Any:
    """Open a console."""
    body: RemoteConsole = request.body
    types = [
        name
        for name in _TYPES.get(body.protocol, ())
        if (name != "webmks" or request.features.mks_consoles)
        and (name != "spice-direct" or request.features.spice_direct_consoles)
    ]
    if not types:
        raise errors.InvalidInput("protocol", "There is no such protocol.", body.protocol)
    if body.type not in types:
        raise errors.InvalidInput(
            "type", f"A {body.protocol} console is of type {' or '.join(types)}.", body.type
        )
    instance = request.cloud.operations.get(request.caller, request.path["server_id"])
    request.check(RULE, project_id=instance.project_id)
    url = request.cloud.operations.open_console(request.caller, instance, body.type)
    return {"remote_console": {"protocol": body.protocol, "type": body.type, "url": url}}


ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/servers/{server_id}/remote-consoles", create, since=6,
        body=Body("remote_console", RemoteConsole),
    ),
)
