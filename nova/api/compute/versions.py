# SPDX-License-Identifier: Apache-2.0
"""Every microversion of the compute API, once, newest last.

A version is known by its minor number: 2.37 is 37. Fields and routes carry their own ``since`` and
``until``; what else a version changes is a named boolean of ``Features``, switched on by a row of this
table. (API reference, "REST API Version History".)
"""

from __future__ import annotations

import dataclasses
from functools import cache


@dataclasses.dataclass(frozen=True)
class Features:
    """What behaves differently from some version on; all false at 2.1."""

    keypair_types: bool = False
    keypair_created_status: bool = False
    keypair_users: bool = False
    keypair_paging: bool = False
    refuse_access_to_public_flavor: bool = False
    mks_consoles: bool = False
    soft_group_policies: bool = False
    actions_of_deleted: bool = False
    block_migration_auto: bool = False
    server_description: bool = False
    detach_shelved_volumes: bool = False
    version_header: bool = False
    cpu_info_object: bool = False
    asynchronous_live_migration_checks: bool = False
    networks_required: bool = False
    refuse_unknown_status: bool = False
    no_image_metadata_quota: bool = False
    image_id_in_body: bool = False
    request_id_header: bool = False
    embedded_flavor: bool = False
    standard_diagnostics: bool = False
    events_for_everyone: bool = False
    volume_extended_event: bool = False
    multiattach_volumes: bool = False
    attachment_ids: bool = False
    uuid_identifiers: bool = False
    action_paging: bool = False
    migration_paging: bool = False
    usage_paging: bool = False
    hypervisor_paging: bool = False
    abort_queued_migrations: bool = False
    single_group_policy: bool = False
    sort_by_lock: bool = False
    strict_queries: bool = False
    full_server_after_update: bool = False
    swap_default_zero: bool = False
    hypervisor_servers_always: bool = False
    power_update_event: bool = False
    accelerator_event: bool = False
    member_filters: bool = False
    update_attachments: bool = False
    validate_extra_specs: bool = False
    rescue_volume_backed: bool = False
    unpin_zone: bool = False
    no_generated_keys: bool = False
    rebuild_volume_backed: bool = False
    volume_reimaged_event: bool = False
    dotted_hostnames: bool = False
    evacuated_stopped: bool = False
    spice_direct_consoles: bool = False
    attach_volume_accepted: bool = False
    strict_queries_everywhere: bool = False


@dataclasses.dataclass(frozen=True)
class Microversion:
    """One row: the minor number, what changed, which features it switches on."""

    minor: int
    summary: str
    features: tuple[str, ...] = ()


_V = Microversion
MICROVERSIONS: tuple[Microversion, ...] = (
    _V(1, "The data of v2 with strict validation of bodies"),
    _V(2, "Key pair types; created with 201, deleted with 204",
       ("keypair_types", "keypair_created_status")),
    _V(3, "Extended server attributes; delete_on_termination of attached volumes"),
    _V(4, "reserved of a fixed IP"),
    _V(5, "ip6 filter for everyone"),
    _V(6, "remote-consoles in place of the os-get*Console actions"),
    _V(7, "Access to a public flavor is refused", ("refuse_access_to_public_flavor",)),
    _V(8, "mks consoles", ("mks_consoles",)),
    _V(9, "locked in server views"),
    _V(10, "Key pairs of other users", ("keypair_users",)),
    _V(11, "forced_down of services"),
    _V(12, "net_id of virtual interfaces"),
    _V(13, "project_id and user_id of server groups"),
    _V(14, "evacuate without onSharedStorage, answer without adminPass"),
    _V(15, "Soft affinity and anti-affinity", ("soft_group_policies",)),
    _V(16, "host_status in server views"),
    _V(17, "trigger_crash_dump"),
    _V(18, "No project in the path"),
    _V(19, "description of servers", ("server_description",)),
    _V(20, "Volumes of shelved servers", ("detach_shelved_volumes",)),
    _V(21, "Instance actions of deleted servers", ("actions_of_deleted",)),
    _V(22, "force_complete of a live migration"),
    _V(23, "Live migrations of a server; migration_type"),
    _V(24, "Abort of a live migration"),
    _V(25, "block_migration auto; no disk_over_commit", ("block_migration_auto",)),
    _V(26, "Server tags"),
    _V(27, "OpenStack-API-Version header", ("version_header",)),
    _V(28, "cpu_info is an object", ("cpu_info_object",)),
    _V(29, "evacuate force"),
    _V(30, "live migrate force"),
    _V(31, "Console auth tokens of every type"),
    _V(32, "Device tags"),
    _V(33, "Hypervisor paging; block device tags lost", ("hypervisor_paging",)),
    _V(34, "Live migration checks are asynchronous", ("asynchronous_live_migration_checks",)),
    _V(35, "Key pair paging", ("keypair_paging",)),
    _V(36, "Proxies to other services are gone"),
    _V(37, "networks is required; auto and none", ("networks_required",)),
    _V(38, "Unknown status filters are refused", ("refuse_unknown_status",)),
    _V(39, "Image metadata proxy is gone", ("no_image_metadata_quota",)),
    _V(40, "Usage paging", ("usage_paging",)),
    _V(41, "uuid of aggregates"),
    _V(42, "Device tags are back"),
    _V(43, "os-hosts is gone"),
    _V(44, "Fixed and floating IP actions and os-virtual-interfaces are gone"),
    _V(45, "createImage answers image_id", ("image_id_in_body",)),
    _V(46, "X-OpenStack-Request-ID header", ("request_id_header",)),
    _V(47, "The flavor is embedded in servers", ("embedded_flavor",)),
    _V(48, "Standard diagnostics", ("standard_diagnostics",)),
    _V(49, "tag when attaching"),
    _V(50, "Quota classes of server groups, without networks"),
    _V(51, "volume-extended; events for everyone", ("events_for_everyone", "volume_extended_event",)),
    _V(52, "tags when creating servers"),
    _V(53, "Services and hypervisors are known by uuid", ("uuid_identifiers",)),
    _V(54, "key_name in rebuild"),
    _V(55, "description of flavors"),
    _V(56, "host of a cold migration"),
    _V(57, "No personality; user_data in rebuild"),
    _V(58, "Paging of instance actions; updated_at", ("action_paging",)),
    _V(59, "Paging of migrations; uuid", ("migration_paging",)),
    _V(60, "Multi-attach volumes", ("multiattach_volumes",)),
    _V(61, "extra_specs in flavor views"),
    _V(62, "host and hostId of instance action events"),
    _V(63, "trusted_image_certificates"),
    _V(64, "policy and rules of server groups", ("single_group_policy",)),
    _V(65, "Abort of queued live migrations", ("abort_queued_migrations",)),
    _V(66, "changes-before"),
    _V(67, "volume_type of block devices"),
    _V(68, "No force in live migrate and evacuate"),
    _V(69, "Answers while a cell is down"),
    _V(70, "tag of attachments"),
    _V(71, "server_groups of a server"),
    _V(72, "Ports with resource requests"),
    _V(73, "Reason of a lock", ("sort_by_lock",)),
    _V(74, "host and hypervisor_hostname when creating servers"),
    _V(75, "Unknown keys are refused; update and rebuild answer the whole server",
       ("strict_queries", "full_server_after_update", "swap_default_zero",
        "hypervisor_servers_always")),
    _V(76, "power-update event", ("power_update_event",)),
    _V(77, "availability_zone of unshelve"),
    _V(78, "Topology of a server"),
    _V(79, "delete_on_termination of attachments"),
    _V(80, "user_id and project_id of migrations"),
    _V(81, "Image cache of aggregates"),
    _V(82, "accelerator-request-bound event", ("accelerator_event",)),
    _V(83, "More list filters for everyone", ("member_filters",)),
    _V(84, "details of instance action events"),
    _V(85, "Update of delete_on_termination", ("update_attachments",)),
    _V(86, "Known extra specs are validated", ("validate_extra_specs",)),
    _V(87, "Rescue of volume-backed servers", ("rescue_volume_backed",)),
    _V(88, "Hypervisors without capacity, with uptime"),
    _V(89, "attachment_id and bdm_uuid of attachments", ("attachment_ids",)),
    _V(90, "hostname"),
    _V(91, "unshelve to a host", ("unpin_zone",)),
    _V(92, "Key pairs are no longer generated", ("no_generated_keys",)),
    _V(93, "Rebuild of volume-backed servers", ("rebuild_volume_backed", "volume_reimaged_event",)),
    _V(94, "hostname may be fully qualified", ("dotted_hostnames",)),
    _V(95, "Evacuated servers stay stopped", ("evacuated_stopped",)),
    _V(96, "pinned_availability_zone"),
    _V(97, "Shares"),
    _V(98, "Image properties in servers"),
    _V(99, "spice-direct consoles", ("spice_direct_consoles",)),
    _V(100, "scheduler_hints in servers"),
    _V(101, "Attaching a volume answers 202", ("attach_volume_accepted",)),
    _V(102, "Flavor name filter; no rxtx_factor; unknown query keys are refused everywhere",
       ("strict_queries_everywhere",)),
    _V(103, "os-volumes_boot is gone"),
    _V(104, "Update of pinned_availability_zone"),
)

MINIMUM = 1
MAXIMUM = MICROVERSIONS[-1].minor


@cache
def features_at(minor: int) -> Features:
    """All that is switched on at a version."""
    on = {name: True for row in MICROVERSIONS if row.minor <= minor for name in row.features}
    return Features(**on)
