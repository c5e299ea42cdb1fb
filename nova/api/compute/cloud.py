# SPDX-License-Identifier: Apache-2.0
"""What the compute API is built on, put together once by the composition root."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING

from nova.api.compute.server_fragments import FragmentCache
from nova.compute.cloud_events import CloudEvents
from nova.compute.flavor_cache import FlavorCache
from nova.compute.limit_cache import LimitCache
from nova.compute.projects import Projects
from nova.compute.zones import HostStatusMap, ZoneMap

if TYPE_CHECKING:
    from nova.compute.images import Images
    from nova.compute.operations import Operations
    from nova.conf import Config
    from nova.db.engine import Database
    from nova.network.allocation import NetworkAllocator
    from nova.policy import Policy


@dataclasses.dataclass(frozen=True)
class Cloud:
    """The parts that handlers use. ``operations`` is the only way to change an instance."""

    config: Config
    db: Database
    policy: Policy
    images: Images
    operations: Operations
    networks: NetworkAllocator
    flavors: FlavorCache
    limits: LimitCache
    events: CloudEvents = dataclasses.field(default_factory=CloudEvents)
    projects: Projects = dataclasses.field(default_factory=Projects)

    @cached_property
    def zones(self) -> ZoneMap:
        """The zones of hosts."""
        return ZoneMap(self.db, self.config.default.default_availability_zone)

    @cached_property
    def host_statuses(self) -> HostStatusMap:
        """What ``host_status`` shows of hosts."""
        return HostStatusMap(self.db, self.config.default.service_down_time)

    @cached_property
    def server_fragments(self) -> FragmentCache:
        """Servers as they were rendered."""
        return FragmentCache()
