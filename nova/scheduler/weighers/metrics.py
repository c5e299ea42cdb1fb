# SPDX-License-Identifier: Apache-2.0
"""The weigher by what hosts measure."""

from __future__ import annotations

import numpy as np

from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.base import Attempt, Surroundings
from nova.scheduler.filters.service import metric_ratios
from nova.scheduler.table import Floats, HostTable, Integers
from nova.scheduler.weighers.base import Weigher


class MetricsWeigher(Weigher):
    """The sum of metrics times their ratios (``metrics_weight_setting``)."""

    option = "metrics_weight_multiplier"

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._ratios = metric_ratios(self.section)

    def applies(self, spec: RequestSpec) -> bool:
        """Only if metrics are set."""
        return bool(self._ratios)

    def weigh(
        self, table: HostTable, rows: Integers, spec: RequestSpec, attempt: Attempt
    ) -> Floats:
        """The sum; for hosts without one of the metrics what is set for them."""
        setting = self._ratios
        missing = self.section.metrics_weight_of_unavailable
        weights = []
        for row in rows:
            metrics = table.nodes[row].metrics
            if setting.keys() <= metrics.keys():
                weights.append(sum(metrics[name] * ratio for name, ratio in setting.items()))
            else:
                weights.append(missing)
        return np.array(weights, dtype=np.float64)
