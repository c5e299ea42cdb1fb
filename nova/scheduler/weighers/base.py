# SPDX-License-Identifier: Apache-2.0
"""What a weigher is: a vector over the candidate rows. The pipeline alone scales and multiplies."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.aggregate_values import number_by_aggregates
from nova.scheduler.filters.base import Attempt, Surroundings
from nova.scheduler.table import Floats, HostTable, Integers


class Weigher:
    """A built-in weigher: higher is better.

    ``minval``/``maxval`` fix the ends of the scale; otherwise the candidates' lowest and highest
    are 0 and 1. ``scaled`` is false for weights that count as they are.
    """

    minval: ClassVar[float | None] = None
    maxval: ClassVar[float | None] = None
    scaled: ClassVar[bool] = True
    #: The option with its multiplier; the metadata of aggregates may override it by the same name.
    option: ClassVar[str | None] = None

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.section = surroundings.section

    @property
    def name(self) -> str:
        """The name by which operators know it."""
        return type(self).__name__

    def applies(self, spec: RequestSpec) -> bool:
        """Whether this weigher has any say about such a request."""
        return True

    def weigh(
        self, table: HostTable, rows: Integers, spec: RequestSpec, attempt: Attempt
    ) -> Floats:
        """The raw weight of each candidate row."""
        raise NotImplementedError

    def multiplier(self, table: HostTable, rows: Integers) -> float | Floats:
        """The option's value, or each row's own where an aggregate sets it."""
        if self.option is None:
            return 1.0
        default = float(getattr(self.section, self.option))
        if not any(self.option in each.metadata for each in table.aggregates):
            return default
        return number_by_aggregates(table, self.option, default)[rows]

    def score(self, table: HostTable, rows: Integers, spec: RequestSpec, attempt: Attempt) -> Any:
        """What this weigher adds to the candidates' totals: scaled weights times multipliers."""
        weights = self.weigh(table, rows, spec, attempt)
        if self.scaled:
            weights = scale(weights, self.minval, self.maxval)
        return weights * self.multiplier(table, rows)


def scale(weights: Floats, minval: float | None = None, maxval: float | None = None) -> Floats:
    """Weights as 0..1 between the lowest and highest or the ends given; 0 if those are equal."""
    if not len(weights):
        return weights
    if minval is not None:
        weights = np.maximum(weights, minval)
    if maxval is not None:
        weights = np.minimum(weights, maxval)
    low = float(weights.min()) if minval is None else minval
    high = float(weights.max()) if maxval is None else maxval
    if low == high:
        return np.zeros(len(weights))
    scaled: Floats = (weights - low) / (high - low)
    return scaled
