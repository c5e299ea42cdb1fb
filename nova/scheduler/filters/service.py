# SPDX-License-Identifier: Apache-2.0
"""Filters by the state of the host's service, and by how much it has to do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nova.conf.scheduler import SchedulerSection
from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.aggregate_values import number_by_aggregates
from nova.scheduler.filters.base import Attempt, Filter
from nova.scheduler.table import HostTable, Mask


def metric_ratios(section: SchedulerSection) -> dict[str, float]:
    """The metrics of ``metrics_weight_setting`` with their ratios. Raises ``ValueError``."""
    return ratios_of(section.metrics_weight_setting, "metrics_weight_setting")


def ratios_of(parts: Sequence[str], option: str) -> dict[str, float]:
    """What an option of name=ratio says. Raises ``ValueError``."""
    ratios: dict[str, float] = {}
    for part in parts:
        name, _, ratio = part.partition("=")
        try:
            ratios[name.strip()] = float(ratio)
        except ValueError as error:
            raise ValueError(f"{option}: {part} is not name=ratio") from error
    return ratios


class ComputeFilter(Filter):
    """The compute service is up and not disabled."""

    fixed = True

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows whose service takes servers."""
        return table.up & ~table.disabled

    def reason(self, table: HostTable, spec: RequestSpec, left: Mask) -> str:
        """How many are disabled and how many down."""
        disabled = int(np.count_nonzero(table.disabled & left))
        down = int(np.count_nonzero(~table.up & ~table.disabled & left))
        return f"{disabled} disabled, {down} down"


class RetryFilter(Filter):
    """Not a host that failed for this server already (hosts to ignore are always left out)."""

    fixed = True

    def applies(self, spec: RequestSpec) -> bool:
        """Only with such hosts."""
        return bool(spec.ignore_hosts)

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows of other hosts."""
        return ~table.mask_of_hosts(spec.ignore_hosts)


class IoOpsFilter(Filter):
    """Fewer builds and moves under way than ``max_io_ops_per_host``."""

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows with little to do."""
        mask: Mask = table.building < self.section.max_io_ops_per_host
        return mask

    def reason(self, table: HostTable, spec: RequestSpec, left: Mask) -> str:
        """The fewest under way."""
        return f"at least {int(table.building[left].min())} builds and moves are under way on each"


class AggregateIoOpsFilter(IoOpsFilter):
    """``IoOpsFilter`` with ``max_io_ops_per_host`` of the host's aggregates where set."""

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows with little to do."""
        most = number_by_aggregates(table, "max_io_ops_per_host", self.section.max_io_ops_per_host)
        mask: Mask = table.building < most
        return mask


class NumInstancesFilter(Filter):
    """Fewer servers on the host than ``max_instances_per_host``."""

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows with few servers."""
        mask: Mask = table.instances < self.section.max_instances_per_host
        return mask

    def reason(self, table: HostTable, spec: RequestSpec, left: Mask) -> str:
        """The fewest that one has."""
        return f"the emptiest holds {int(table.instances[left].min())} servers"


class AggregateNumInstancesFilter(NumInstancesFilter):
    """``NumInstancesFilter`` with ``max_instances_per_host`` of the host's aggregates where set."""

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows with few servers."""
        most = number_by_aggregates(
            table, "max_instances_per_host", self.section.max_instances_per_host
        )
        mask: Mask = table.instances < most
        return mask


class MetricsFilter(Filter):
    """The host reports every metric that the metrics weigher is set to weigh."""

    fixed = True

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows with all metrics."""
        names = set(metric_ratios(self.section))
        return np.array([names <= node.metrics.keys() for node in table.nodes], dtype=bool)
