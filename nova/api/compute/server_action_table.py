# SPDX-License-Identifier: Apache-2.0
"""What a row of the table of server actions is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from nova.api.compute.bodies import Body
from nova.api.compute.request import ApiRequest
from nova.objects.instance import Instance

#: (request, server, body) -> the answer, as a route's handler gives it
ActionHandler = Callable[[ApiRequest, Instance, Any], Any]


@dataclasses.dataclass(frozen=True)
class ServerAction:
    """One key of ``POST /servers/{id}/action``, for a window of versions.

    ``body`` reads the value; without one the value is not looked at, and has to be null where
    ``null`` is set. ``rule`` is checked against the server's project and user.
    """

    key: str
    handler: ActionHandler
    rule: str
    success: int = 202
    body: Body[Any] | None = None
    null: bool = False
    since: int = 1
    until: int | None = None

    def serves(self, minor: int) -> bool:
        """Whether the action exists at that version."""
        return self.since <= minor and (self.until is None or minor <= self.until)
