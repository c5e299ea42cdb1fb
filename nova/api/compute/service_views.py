# SPDX-License-Identifier: Apache-2.0
"""What several resources say of services: whether they are up, their zone, their status."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping

from nova.api.compute.request import ApiRequest
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.objects.host import Service

COMPUTE = "nova-compute"


@dataclasses.dataclass(frozen=True)
class ServiceScene:
    """What views need beside a service, read once for a request."""

    moment: datetime.datetime
    down_after: float
    zones: Mapping[str, str]
    default_zone: str
    internal_zone: str

    def is_up(self, service: Service) -> bool:
        """Whether it reported lately and is not forced down."""
        return service.is_up(self.moment, self.down_after)

    def state(self, service: Service) -> str:
        """``up`` or ``down``."""
        return "up" if self.is_up(service) else "down"

    def zone(self, service: Service) -> str:
        """A compute service is in the zone of its host, every other one in the internal zone."""
        if service.binary != COMPUTE:
            return self.internal_zone
        return self.zones.get(service.host, self.default_zone)


def status(service: Service) -> str:
    """``enabled`` or ``disabled``."""
    return "disabled" if service.disabled else "enabled"


def service_scene(request: ApiRequest, tx: Transaction) -> ServiceScene:
    """The scene of this moment."""
    options = request.cloud.config.default
    return ServiceScene(
        moment=now(), down_after=options.service_down_time,
        zones=tx.aggregates.zones_of_hosts(),
        default_zone=options.default_availability_zone,
        internal_zone=options.internal_service_availability_zone,
    )


def tell_services_changed(request: ApiRequest, tx: Transaction) -> None:
    """Once committed, have the cloud forget what it knew of services."""
    tx.after_commit(request.cloud.host_statuses.forget)
    tx.after_commit(request.cloud.events.services_changed)


def tell_aggregates_changed(request: ApiRequest, tx: Transaction) -> None:
    """Once committed, have the cloud forget what it knew of aggregates and zones."""
    tx.after_commit(request.cloud.zones.forget)
    tx.after_commit(request.cloud.events.aggregates_changed)
