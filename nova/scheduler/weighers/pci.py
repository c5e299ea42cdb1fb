# SPDX-License-Identifier: Apache-2.0
"""The weigher that keeps hosts with PCI devices for those who need them."""

from __future__ import annotations

import numpy as np

from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.base import Attempt
from nova.scheduler.table import Floats, HostTable, Integers
from nova.scheduler.weighers.base import Weigher

#: Hosts with more free devices than this are alike.
MOST_DEVICES = 99


class PCIWeigher(Weigher):
    """Fewest free PCI devices: servers without devices avoid such hosts, servers with some are stacked."""

    option = "pci_weight_multiplier"

    def weigh(
        self, table: HostTable, rows: Integers, spec: RequestSpec, attempt: Attempt
    ) -> Floats:
        """100 less the free devices, at most 99 of them."""
        free = table.rooms.free_devices[table.room_of[rows]].astype(np.float64)
        weights: Floats = MOST_DEVICES + 1 - np.minimum(free, MOST_DEVICES)
        return weights
