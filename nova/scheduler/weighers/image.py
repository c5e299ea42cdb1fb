# SPDX-License-Identifier: Apache-2.0
"""The weigher by the images of the servers that hosts have."""

from __future__ import annotations

import numpy as np

from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.base import Attempt, Surroundings
from nova.scheduler.filters.image import image_properties
from nova.scheduler.filters.service import ratios_of
from nova.scheduler.table import Floats, HostTable, Integers
from nova.scheduler.weighers.base import Weigher

#: What a server remembers of its image that is none of its properties.
_NOT_PROPERTIES = frozenset({"min_disk", "min_ram", "disk_format", "container_format"})


class ImagePropertiesWeigher(Weigher):
    """Most servers on the host whose images have the same properties; off while its multiplier is 0.

    ``image_props_weight_setting`` says which properties count and how much, or all count alike.
    """

    option = "image_props_weight_multiplier"

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._setting = ratios_of(
            self.section.image_props_weight_setting, "image_props_weight_setting"
        )

    def weigh(
        self, table: HostTable, rows: Integers, spec: RequestSpec, attempt: Attempt
    ) -> Floats:
        """Properties that servers on the host share with the image, each as often as it is there."""
        look_up = self.surroundings.image_properties_by_host
        if look_up is None or not np.any(self.multiplier(table, rows)):
            return np.zeros(len(rows))
        wanted = {
            (key, str(value)): self._setting.get(key, 0.0) if self._setting else 1.0
            for key, value in image_properties(spec.image).items()
            if key not in _NOT_PROPERTIES
        }
        there = look_up()
        weights = []
        for row in rows:
            counts = there.get(table.nodes[row].host, {})
            weights.append(sum(ratio * counts.get(pair, 0) for pair, ratio in wanted.items()))
        return np.array(weights, dtype=np.float64)
