# SPDX-License-Identifier: Apache-2.0
"""Actions that give access to a server's console: its log, and the console URLs up to 2.5."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from nova import errors
from nova.api.compute.bodies import Body
from nova.api.compute.policies import MEMBER_OR_ADMIN
from nova.api.compute.remote_consoles import RULE as CONSOLES_RULE
from nova.api.compute.request import ApiRequest
from nova.api.compute.server_action_table import ActionHandler, ServerAction
from nova.objects.instance import Instance
from nova.policy import Rule

_OUTPUT = "os_compute_api:os-console-output"

RULES: tuple[Rule, ...] = (
    Rule(_OUTPUT, MEMBER_OR_ADMIN, "Read a server's console log."),
)


class GetConsoleOutput(msgspec.Struct, frozen=True):
    """How many lines of the end; null, or -1, is all of them."""

    length: Annotated[int, Meta(ge=-1, le=2147483647)] | None = None


def console_output(request: ApiRequest, instance: Instance, body: GetConsoleOutput) -> Any:
    """The end of the console log."""
    length = None if body.length == -1 else body.length
    return {"output": request.cloud.operations.console_output(request.caller, instance, length)}


class ConsoleType(msgspec.Struct, frozen=True):
    """The type of console."""

    type: str


def _console(types: tuple[str, ...]) -> ActionHandler:
    def handler(request: ApiRequest, instance: Instance, body: ConsoleType) -> Any:
        if body.type not in types:
            raise errors.InvalidInput("type", f"It has to be {' or '.join(types)}.", body.type)
        url = request.cloud.operations.open_console(request.caller, instance, body.type)
        return {"console": {"type": body.type, "url": url}}

    return handler


def _console_action(key: str, *types: str) -> ServerAction:
    return ServerAction(
        key, _console(types), CONSOLES_RULE, success=200,
        body=Body(key, ConsoleType), until=5,
    )


ACTIONS: tuple[ServerAction, ...] = (
    ServerAction(
        "os-getConsoleOutput", console_output, _OUTPUT, success=200,
        body=Body("os-getConsoleOutput", GetConsoleOutput),
    ),
    _console_action("os-getVNCConsole", "novnc", "xvpvnc"),
    _console_action("os-getSPICEConsole", "spice-html5"),
    _console_action("os-getRDPConsole", "rdp-html5"),
    _console_action("os-getSerialConsole", "serial"),
)
