# SPDX-License-Identifier: Apache-2.0
"""What the conductor's parts share."""

from __future__ import annotations

import dataclasses

from nova.compute.images import Images
from nova.conductor.dispatch import Dispatcher
from nova.conductor.host_services import HostServices
from nova.conf import Config
from nova.db.engine import Database
from nova.network.allocation import NetworkAllocator
from nova.volume.absent import no_volumes
from nova.volume.interface import BlockStorage


@dataclasses.dataclass(frozen=True)
class ConductorCore:
    """The conductor's object graph."""

    config: Config
    db: Database
    dispatcher: Dispatcher
    networks: NetworkAllocator
    images: Images
    hosts: HostServices
    volumes: BlockStorage = dataclasses.field(default_factory=no_volumes)
