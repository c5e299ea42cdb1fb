# SPDX-License-Identifier: Apache-2.0
"""What an external network service has still to be told."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec

#: Unbind or delete all ports of a server; ``kept`` are those to be unbound.
RELEASE = "release"
#: Take one ``port`` from a server; ``keep`` unbinds it only.
DETACH = "detach"
#: A card is being attached; comes due only where whoever attaches it died. ``port`` is one of before.
ATTACH = "attach"
#: The server is on another ``host``.
BIND = "bind"


class NetworkTask(msgspec.Struct, frozen=True):
    """One of them. The field order is that of the table's columns."""

    id: int
    instance_uuid: str
    kind: str
    facts: dict[str, Any] | None
    attempts: int
    due_at: datetime.datetime
    created_at: datetime.datetime
