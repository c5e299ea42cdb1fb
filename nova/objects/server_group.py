# SPDX-License-Identifier: Apache-2.0
"""Server groups: servers that belong together, or apart."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec


class ServerGroup(msgspec.Struct, frozen=True):
    """A server group. ``policy`` is affinity, anti-affinity, soft-affinity or soft-anti-affinity.

    ``rules`` may hold ``max_server_per_host``. The first fields are the table's columns in their
    order; ``members`` are uuids of live servers.
    """

    id: int
    uuid: str
    project_id: str
    user_id: str
    name: str
    policy: str
    rules: dict[str, Any]
    created_at: datetime.datetime
    updated_at: datetime.datetime | None = None
    members: tuple[str, ...] = ()
