# SPDX-License-Identifier: Apache-2.0
"""The filter by availability zone."""

from __future__ import annotations

from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.base import Attempt, Filter
from nova.scheduler.table import ZONE, HostTable, Mask


class AvailabilityZoneFilter(Filter):
    """The host is in the zone asked for; a host in no zone is in the default one."""

    fixed = True

    def applies(self, spec: RequestSpec) -> bool:
        """Only where a zone is asked for."""
        return bool(spec.availability_zone)

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows in the zone."""
        zone = spec.availability_zone
        default = self.surroundings.default_zone
        return table.by_aggregates(
            [zone in (each.words(ZONE) or {default}) for each in table.aggregate_sets]
        )

    def reason(self, table: HostTable, spec: RequestSpec, left: Mask) -> str:
        """The zone asked for."""
        return f"none is in zone '{spec.availability_zone}'"
