# SPDX-License-Identifier: Apache-2.0
"""Filters by the metadata of the aggregates that a host is in."""

from __future__ import annotations

from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.base import Attempt, Filter
from nova.scheduler.filters.extra_specs import matches
from nova.scheduler.filters.image import image_properties
from nova.scheduler.table import AggregateSet, HostTable, Mask


class _ByAggregates(Filter):
    """A verdict for each set of aggregates, spread over the hosts in it."""

    fixed = True

    def passes(self, aggregates: AggregateSet, spec: RequestSpec) -> bool:
        """Whether hosts in these aggregates may take the server."""
        raise NotImplementedError

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows in aggregates that pass."""
        return table.by_aggregates([self.passes(each, spec) for each in table.aggregate_sets])


class AggregateInstanceExtraSpecsFilter(_ByAggregates):
    """Aggregates meet the flavor's extra specs without a scope or under
    ``aggregate_instance_extra_specs:``.
    """

    def applies(self, spec: RequestSpec) -> bool:
        """Only for flavors with extra specs."""
        return bool(spec.flavor.extra_specs)

    def passes(self, aggregates: AggregateSet, spec: RequestSpec) -> bool:
        """Every such extra spec is met by one value of an aggregate."""
        for key, requirement in spec.flavor.extra_specs.items():
            scope, separator, name = key.partition(":")
            if separator and scope != "aggregate_instance_extra_specs":
                continue
            values = aggregates.words(name if separator else key)
            if not any(matches(value, requirement) for value in values):
                return False
        return True


class AggregateImagePropertiesIsolation(_ByAggregates):
    """An image property that an aggregate names too has one of the aggregate's values."""

    def passes(self, aggregates: AggregateSet, spec: RequestSpec) -> bool:
        """No property of the image contradicts the aggregates."""
        properties = image_properties(spec.image)
        namespace = self.section.aggregate_image_properties_isolation_namespace
        separator = self.section.aggregate_image_properties_isolation_separator
        prefix = f"{namespace}{separator}" if namespace else ""
        for key in aggregates.keys():  # noqa: SIM118 - not a mapping
            if not key.startswith(prefix):
                continue
            value = properties.get(key)
            if value and str(value) not in aggregates.words(key):
                return False
        return True


class AggregateMultiTenancyIsolation(_ByAggregates):
    """Aggregates with ``filter_tenant_id`` (or keys that begin so) take only those projects'
    servers.
    """

    def passes(self, aggregates: AggregateSet, spec: RequestSpec) -> bool:
        """The project is among those named, or none is."""
        projects: set[str] = set()
        for key in aggregates.keys():  # noqa: SIM118 - not a mapping
            if key.startswith("filter_tenant_id"):
                projects |= aggregates.words(key)
        return not projects or spec.project_id in projects


class AggregateTypeAffinityFilter(_ByAggregates):
    """Aggregates with ``instance_type`` take only flavors of those names."""

    def passes(self, aggregates: AggregateSet, spec: RequestSpec) -> bool:
        """The flavor is among those named, or none is."""
        names = aggregates.words("instance_type")
        return not names or spec.flavor.name in names
