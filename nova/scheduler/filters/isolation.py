# SPDX-License-Identifier: Apache-2.0
"""The filter that keeps chosen images on chosen hosts."""

from __future__ import annotations

from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.base import Attempt, Filter
from nova.scheduler.table import HostTable, Mask


class IsolatedHostsFilter(Filter):
    """Isolated images go to isolated hosts only, and other images to other hosts only unless
    ``restrict_isolated_hosts_to_isolated_images`` is off.
    """

    fixed = True

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows on the image's side."""
        isolated = table.mask_of_hosts(self.section.isolated_hosts)
        if spec.image.get("id") in self.section.isolated_images:
            return isolated
        if self.section.restrict_isolated_hosts_to_isolated_images:
            return ~isolated
        return isolated | ~isolated
