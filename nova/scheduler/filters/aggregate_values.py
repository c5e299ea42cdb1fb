# SPDX-License-Identifier: Apache-2.0
"""Numbers that operators set in the metadata of aggregates."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from nova.scheduler.table import AggregateSet, Floats, HostTable

LOG = logging.getLogger(__name__)


def number_of(aggregates: AggregateSet, key: str) -> float | None:
    """The lowest value of ``key`` over the aggregates; ``None`` if none has it or one is no
    number.
    """
    values = aggregates.values(key)
    if not values:
        return None
    try:
        return min(float(value) for value in values)
    except ValueError:
        LOG.warning("aggregate metadata %s has a value that is no number: %s", key, sorted(values))
        return None


def number_by_aggregates(table: HostTable, key: str, default: Any) -> Floats:
    """``key`` in each row by its host's aggregates, the lowest; ``default`` where there is none."""
    if not any(key in each.metadata for each in table.aggregates):
        return np.broadcast_to(np.asarray(default, dtype=np.float64), (len(table),))
    numbers = [number_of(aggregates, key) for aggregates in table.aggregate_sets]
    spread = table.by_aggregates(
        [np.nan if number is None else number for number in numbers], np.float64
    )
    return np.where(np.isnan(spread), default, spread)
