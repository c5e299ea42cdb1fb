# SPDX-License-Identifier: Apache-2.0
"""What projects and users may use, and what they use now."""

from __future__ import annotations

import msgspec

#: Resources counted for a project, in the order of the columns of ``project_usages``.
COUNTED = (
    "instances", "cores", "ram", "floating_ips", "security_groups", "server_groups",
)


class ProjectUsage(msgspec.Struct, frozen=True):
    """What a project uses now; ``ram`` is MiB."""

    project_id: str
    instances: int = 0
    cores: int = 0
    ram: int = 0
    floating_ips: int = 0
    security_groups: int = 0
    server_groups: int = 0


class CardUsage(msgspec.Struct, frozen=True):
    """Network cards and fixed addresses of a project, and the cards that servers wait for."""

    cards: int
    addresses: int
    to_come: int


class LimitRecord(msgspec.Struct, frozen=True):
    """Limits as they were set: of the default class, of the project, of one user in it.

    Each holds only what was set there; the nearest one counts, -1 is no limit.
    """

    of_class: dict[str, int]
    of_project: dict[str, int]
    of_user: dict[str, int]
