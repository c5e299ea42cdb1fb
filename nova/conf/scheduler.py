# SPDX-License-Identifier: Apache-2.0
"""[filter_scheduler]: which hosts may take a server, and which is best."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "filter_scheduler"

DEFAULT_FILTERS = (
    "ComputeFilter",
    "AvailabilityZoneFilter",
    "RamFilter",
    "CoreFilter",
    "DiskFilter",
    "ComputeCapabilitiesFilter",
    "ImagePropertiesFilter",
    "SameHostFilter",
    "DifferentHostFilter",
    "ServerGroupAntiAffinityFilter",
    "ServerGroupAffinityFilter",
    "NUMATopologyFilter",
    "PciPassthroughFilter",
)


@dataclasses.dataclass(frozen=True)
class SchedulerSection:
    """Options of the scheduler."""

    enabled_filters: tuple[str, ...] = option(
        DEFAULT_FILTERS,
        "Filters, in order; names of built-in ones or dotted paths of classes.",
        old=("DEFAULT.scheduler_default_filters",),
    )
    available_filters: tuple[str, ...] = option(
        ("nova.scheduler.filters.all_filters",),
        "Filters that enabled_filters may name without a path: all_filters for the built-in ones, "
        "and dotted paths of classes.",
        old=("DEFAULT.scheduler_available_filters",),
    )
    weight_classes: tuple[str, ...] = option(
        (
            "LoadAndHashWeigher",
            "ServerGroupSoftAffinityWeigher",
            "ServerGroupSoftAntiAffinityWeigher",
        ),
        "Weighers; names of built-in ones, dotted paths, or nova.scheduler.weights.all_weighers.",
        old=("DEFAULT.scheduler_weight_classes",),
    )
    host_subset_size: int = option(
        1, "Choose at random among this many best hosts.", minimum=1,
        old=("DEFAULT.scheduler_host_subset_size",),
    )
    max_alternates: int = option(3, "Alternate hosts kept with a choice.", minimum=0)
    ram_weight_multiplier: float = option(
        1.0, "Weight of free memory.", old=("DEFAULT.ram_weight_multiplier",)
    )
    cpu_weight_multiplier: float = option(1.0, "Weight of free virtual CPUs.")
    disk_weight_multiplier: float = option(1.0, "Weight of free disk.")
    io_ops_weight_multiplier: float = option(
        -1.0, "Weight of the builds and moves under way.", old=("DEFAULT.io_ops_weight_multiplier",)
    )
    num_instances_weight_multiplier: float = option(0.0, "Weight of the number of servers.")
    hypervisor_version_weight_multiplier: float = option(1.0, "Weight of newer hypervisors.")
    build_failure_weight_multiplier: float = option(
        1000000.0, "Weight against hosts whose last builds failed.", minimum=0.0
    )
    pci_weight_multiplier: float = option(
        1.0, "Weight of hosts with few free PCI devices: others are kept for those who need them.",
        minimum=0.0,
    )
    image_props_weight_multiplier: float = option(
        0.0, "Weight of hosts whose servers come from images with the same properties; negative spreads "
        "them.",
    )
    image_props_weight_setting: tuple[str, ...] = option(
        (), "ImagePropertiesWeigher: the properties that count and how much, as name=weight; all alike "
        "where not set.",
    )
    load_hash_weight_multiplier: float = option(
        1.0, "Weight of LoadAndHashWeigher where other weighers are on as well."
    )
    metrics_weight_multiplier: float = option(
        1.0, "Weight of metrics.", old=("metrics.weight_multiplier",)
    )
    metrics_weight_setting: tuple[str, ...] = option(
        (), "Metrics that are weighed and their ratios, as name=ratio.",
        old=("metrics.weight_setting",),
    )
    metrics_weight_of_unavailable: float = option(
        -10000.0, "Weight of hosts that lack one of the metrics.",
        old=("metrics.weight_of_unavailable",),
    )
    soft_affinity_weight_multiplier: float = option(1.0, "Weight of soft affinity.", minimum=0.0)
    soft_anti_affinity_weight_multiplier: float = option(
        1.0, "Weight of soft anti-affinity.", minimum=0.0
    )
    max_io_ops_per_host: int = option(
        8, "IoOpsFilter: most builds and moves on a host.", old=("DEFAULT.max_io_ops_per_host",)
    )
    max_instances_per_host: int = option(
        50, "NumInstancesFilter: most servers on a host.", old=("DEFAULT.max_instances_per_host",)
    )
    isolated_hosts: tuple[str, ...] = option(
        (), "IsolatedHostsFilter: the hosts.", old=("DEFAULT.isolated_hosts",)
    )
    isolated_images: tuple[str, ...] = option(
        (), "IsolatedHostsFilter: the images.", old=("DEFAULT.isolated_images",)
    )
    restrict_isolated_hosts_to_isolated_images: bool = option(
        True, "Keep other images off isolated hosts.",
        old=("DEFAULT.restrict_isolated_hosts_to_isolated_images",),
    )
    image_properties_default_architecture: str | None = option(
        None, "ImagePropertiesFilter: the architecture of images that name none."
    )
    aggregate_image_properties_isolation_namespace: str | None = option(
        None, "Prefix of the aggregate metadata that isolates images.",
        old=("DEFAULT.aggregate_image_properties_isolation_namespace",),
    )
    aggregate_image_properties_isolation_separator: str = option(
        ".", "What ends the prefix.",
        old=("DEFAULT.aggregate_image_properties_isolation_separator",),
    )
    load_hash_bucket: float = option(
        0.05,
        "LoadAndHashWeigher: hosts whose load differs by less than this part of what one more server "
        "of the size asked for adds are equals, and a hash chooses among them. Below 1, equal servers "
        "are counted exactly; 5 lets hosts differ by five.",
        minimum=0.0001,
    )
    load_hash_vcpu: float = option(1.0, "LoadAndHashWeigher: part of claimed virtual CPUs.")
    load_hash_ram: float = option(1.0, "LoadAndHashWeigher: part of claimed memory.")
    load_hash_instances: float = option(1.0, "LoadAndHashWeigher: part of the number of servers.")
    load_hash_building: float = option(
        1.0, "LoadAndHashWeigher: part of the builds under way beyond what is usual."
    )
    load_hash_measured: float = option(
        1.0, "LoadAndHashWeigher: part of the CPU and memory in use that hosts measure beyond what their "
        "servers explain."
    )
