# SPDX-License-Identifier: Apache-2.0
"""The built-in filters by name, and how the names in options become filters."""

from __future__ import annotations

from nova.scheduler.filters import BaseHostFilter
from nova.scheduler.filters.affinity import (
    DifferentHostFilter,
    SameHostFilter,
    ServerGroupAffinityFilter,
    ServerGroupAntiAffinityFilter,
    SimpleCIDRAffinityFilter,
    TypeAffinityFilter,
)
from nova.scheduler.filters.aggregates import (
    AggregateImagePropertiesIsolation,
    AggregateInstanceExtraSpecsFilter,
    AggregateMultiTenancyIsolation,
    AggregateTypeAffinityFilter,
)
from nova.scheduler.filters.base import AllHostsFilter, Filter, Surroundings
from nova.scheduler.filters.capabilities import ComputeCapabilitiesFilter
from nova.scheduler.filters.capacity import (
    AggregateCoreFilter,
    AggregateDiskFilter,
    AggregateRamFilter,
    CoreFilter,
    DiskFilter,
    ExactCoreFilter,
    ExactDiskFilter,
    ExactRamFilter,
    RamFilter,
)
from nova.scheduler.filters.image import ImagePropertiesFilter
from nova.scheduler.filters.isolation import IsolatedHostsFilter
from nova.scheduler.filters.json import JsonFilter
from nova.scheduler.filters.service import (
    AggregateIoOpsFilter,
    AggregateNumInstancesFilter,
    ComputeFilter,
    IoOpsFilter,
    MetricsFilter,
    NumInstancesFilter,
    RetryFilter,
)
from nova.scheduler.filters.topology import NUMATopologyFilter, PciPassthroughFilter
from nova.scheduler.filters.zones import AvailabilityZoneFilter
from nova.scheduler.plugins import HostFilterAdapter, load_class

BUILT_IN: dict[str, type[Filter]] = {
    each.__name__: each
    for each in (
        AggregateCoreFilter,
        AggregateDiskFilter,
        AggregateImagePropertiesIsolation,
        AggregateInstanceExtraSpecsFilter,
        AggregateIoOpsFilter,
        AggregateMultiTenancyIsolation,
        AggregateNumInstancesFilter,
        AggregateRamFilter,
        AggregateTypeAffinityFilter,
        AllHostsFilter,
        AvailabilityZoneFilter,
        ComputeCapabilitiesFilter,
        ComputeFilter,
        CoreFilter,
        DifferentHostFilter,
        DiskFilter,
        ExactCoreFilter,
        ExactDiskFilter,
        ExactRamFilter,
        ImagePropertiesFilter,
        IoOpsFilter,
        IsolatedHostsFilter,
        JsonFilter,
        MetricsFilter,
        NUMATopologyFilter,
        NumInstancesFilter,
        PciPassthroughFilter,
        RamFilter,
        RetryFilter,
        SameHostFilter,
        ServerGroupAffinityFilter,
        ServerGroupAntiAffinityFilter,
        SimpleCIDRAffinityFilter,
        TypeAffinityFilter,
    )
}

_PACKAGE = "nova.scheduler.filters."


def make_filters(surroundings: Surroundings) -> list[Filter]:
    """The filters of ``enabled_filters``, in order.

    A name is that of a built-in filter, of a class listed by dotted path in ``available_filters``,
    or a dotted path itself; the original's module paths
    (``nova.scheduler.filters.ram_filter.RamFilter``) mean the built-in of that name. Raises
    ``ValueError`` for a name that is none.
    """
    section = surroundings.section
    available: dict[str, str] = {
        path.rpartition(".")[2]: path
        for path in section.available_filters
        if path.rpartition(".")[2] not in (*BUILT_IN, "all_filters", "standard_filters")
    }
    return [_make(available.get(name, name), surroundings) for name in section.enabled_filters]


def _make(name: str, surroundings: Surroundings) -> Filter:
    last = name.rpartition(".")[2]
    if (name == last or name.startswith(_PACKAGE)) and last in BUILT_IN:
        return BUILT_IN[last](surroundings)
    if "." not in name:
        raise ValueError(f"enabled_filters: there is no filter {name}")
    found = load_class(name, "enabled_filters")
    if issubclass(found, Filter):
        return found(surroundings)
    if issubclass(found, BaseHostFilter) or hasattr(found, "host_passes"):
        return HostFilterAdapter(found(), surroundings)
    raise ValueError(f"enabled_filters: {name} has no host_passes")
