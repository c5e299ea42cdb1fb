# SPDX-License-Identifier: Apache-2.0
"""What the scheduler is asked for."""

from __future__ import annotations

from typing import Any

import msgspec

from nova.objects.flavor import Flavor
from nova.objects.topology import TopologyRequest


class RequestSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Where may one instance go? Everything the filters and weighers look at.

    ``hints`` are the request's scheduler hints, values always lists. ``group_hosts`` are the hosts
    that members of the server group are on. ``force_host``/``force_node`` skip the filters
    (``zone:host:node``); ``wanted_host``/``wanted_node`` keep them (2.74). ``ignore_hosts`` are
    those that failed already. ``topology`` follows from the flavor and the image.
    """

    instance_uuid: str
    project_id: str
    flavor: Flavor
    user_id: str = ""
    image: dict[str, Any] = {}
    availability_zone: str | None = None
    hints: dict[str, list[str]] = {}
    group_uuid: str | None = None
    group_policy: str | None = None
    group_rules: dict[str, Any] = {}
    group_hosts: tuple[str, ...] = ()
    force_host: str | None = None
    force_node: str | None = None
    wanted_host: str | None = None
    wanted_node: str | None = None
    ignore_hosts: tuple[str, ...] = ()
    same_host: tuple[str, ...] = ()
    different_host: tuple[str, ...] = ()
    root_on_volume: bool = False
    topology: TopologyRequest | None = None

    @property
    def disk_gb(self) -> int:
        """Local disk that the instance claims, GiB: root (unless on a volume), ephemeral and swap.
        """
        root = 0 if self.root_on_volume else self.flavor.root_gb
        return root + self.flavor.ephemeral_gb + -(-self.flavor.swap // 1024)


class Selection(msgspec.Struct, frozen=True):
    """A host chosen for an instance, the alternates behind it, best first: (node id, host, node).
    """

    node_id: int
    host: str
    node: str
    alternates: tuple[tuple[int, str, str], ...] = ()
