# SPDX-License-Identifier: Apache-2.0
"""Weighers for the soft policies of server groups.

Their weights are not scaled: one member more or less on a host counts as much as the multiplier,
which at 1 outweighs every difference of load.
"""

from __future__ import annotations

import numpy as np

from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.base import Attempt
from nova.scheduler.table import Floats, HostTable, Integers
from nova.scheduler.weighers.base import Weigher


def _members(table: HostTable, rows: Integers, attempt: Attempt) -> Floats:
    members = np.zeros(len(table))
    for host, count in attempt.group_hosts.items():
        members[table.rows_of_host(host)] = count
    return members[rows]


class ServerGroupSoftAffinityWeigher(Weigher):
    """Most members of the server group, under the policy ``soft-affinity``."""

    scaled = False
    option = "soft_affinity_weight_multiplier"

    def applies(self, spec: RequestSpec) -> bool:
        """Only for groups with that policy."""
        return spec.group_policy == "soft-affinity"

    def weigh(
        self, table: HostTable, rows: Integers, spec: RequestSpec, attempt: Attempt
    ) -> Floats:
        """Members on the host."""
        return _members(table, rows, attempt)


class ServerGroupSoftAntiAffinityWeigher(Weigher):
    """Fewest members of the server group, under the policy ``soft-anti-affinity``."""

    scaled = False
    option = "soft_anti_affinity_weight_multiplier"

    def applies(self, spec: RequestSpec) -> bool:
        """Only for groups with that policy."""
        return spec.group_policy == "soft-anti-affinity"

    def weigh(
        self, table: HostTable, rows: Integers, spec: RequestSpec, attempt: Attempt
    ) -> Floats:
        """Members on the host, as a negative number."""
        return -_members(table, rows, attempt)
