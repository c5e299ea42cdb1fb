# SPDX-License-Identifier: Apache-2.0
"""The samples of the legacy v2 with Kilo's extensions.

Most folders show one extension alone; all of them are on here, so that an answer may have more keys.
"""

from __future__ import annotations

from typing import Any

from tests.api.samples import (
    host_cases,
    network_cases,
    resource_cases,
    server_cases,
    volume_cases,
)
from tests.api.samples.stage import Case, Setup, Stage

_SERVER = "/servers/{server}"
_ACTION = "/servers/{server}/action"
_QUOTA = "/os-quota-sets/{project}"
_CLASS = "/os-quota-class-sets/test_class"


def _answer(name: str, path: str, setup: Setup = server_cases.running, **more: object) -> Case:
    return Case(name, "GET", path, setup, more=True, **more)  # type: ignore[arg-type]


def own_network(stage: Stage) -> None:
    """A server, its address, and the number of its network."""
    network_cases.fixed(stage)
    stage.texts["10.0.0.2"] = stage.names["address"]
    with stage.cloud.db.read() as tx:
        found = next(each for each in tx.networks.every() if each.label == "private")
    stage.texts['"networkId": 1'] = f'"networkId": "{found.uuid}"'


def pool(stage: Stage) -> None:
    """A pool of floating IPs, under the name that requests use."""
    server_cases.floating_addresses(stage)
    stage.texts['"nova"'] = f'"{stage.names["pool"]}"'


def other_flavor(stage: Stage) -> None:
    """A flavor of an id and a name that no other sample took."""
    resource_cases.new_flavor(stage)
    stage.texts["flavortest"] = f"flavor-{stage.project[:12]}"
    stage.texts['"id": "100"'] = f'"id": "{stage.project[:12]}"'


def specified(stage: Stage) -> None:
    """A flavor with the extra spec ``key1``."""
    resource_cases.flavor(stage)
    stage.must("POST", f"/flavors/{stage.names['flavor']}/os-extra_specs", {
        "extra_specs": {"key1": "value1", "key2": "value2"},
    }, at=1)


def elsewhere(stage: Stage) -> None:
    """A server, and the name of another host."""
    server_cases.elsewhere(stage)
    for name in ("0443e9a1254044d8b99f35eace132080", "TargetHost"):
        stage.texts[name] = stage.texts["testHost"]


def downed(stage: Stage) -> None:
    """A server whose host is down."""
    host_cases.downed(stage)
    stage.texts["TargetHost"] = stage.texts["testHost"]


def without_shared_storage(stage: Stage) -> Any:
    """The evacuation of the sample, with disks that are not there any more."""
    return {"evacuate": {
        "host": stage.texts["TargetHost"], "adminPass": "MySecretPass", "onSharedStorage": "False",
    }}


def held_network(stage: Stage) -> None:
    """A VLAN network of a project, with a host."""
    network_cases.spare_network(stage)
    network = stage.names["network"]
    stage.must("POST", "/os-networks/add", {"id": network}, at=35)
    stage.must("POST", f"/os-networks/{network}/action", {"associate_host": "testHost"}, at=35)
    with stage.cloud.db.write() as tx:
        tx.networks.change(
            tx.networks.get(network).id, {"vpn_public_address": "203.0.113.1"}
        )


_SHOWN = (
    "OS-DCF", "OS-EXT-AZ", "OS-EXT-IPS", "OS-EXT-IPS-MAC", "OS-EXT-SRV-ATTR", "OS-EXT-STS",
    "OS-SRV-USG", "os-hide-server-addresses", "servers",
)
_DETAILED = (
    "OS-EXT-AZ/servers-detail-resp", "OS-EXT-IPS/servers-detail-resp",
    "OS-EXT-IPS-MAC/servers-detail-resp", "OS-EXT-SRV-ATTR/servers-detail-resp",
    "OS-EXT-STS/servers-detail-resp", "OS-SRV-USG/servers-detail-resp",
    "os-hide-server-addresses/servers-details-resp", "servers/servers-details-resp",
    "OS-DCF/list-servers-detail-get", "os-config-drive/servers-config-drive-details-resp",
)
_CREATED = (
    ("OS-DCF/server-post", True), ("OS-SCH-HNT/scheduler-hints-post", True),
    ("os-availability-zone/availability-zone-post", True), ("os-user-data/userdata-post", True),
    ("os-security-groups/server-post", True), ("servers/server-post", True),
    ("all_extensions/server-post", False),
    ("os-multiple-create/multiple-create-post", True),
    ("os-multiple-create/multiple-create-no-resv-post", True),
)
_PAUSED = server_cases.after(({"pause": None}, "PAUSED"))
_SUSPENDED = server_cases.after(({"suspend": None}, "SUSPENDED"))
_LOCKED = server_cases.after(({"lock": None}, "ACTIVE"))
_RESCUED = server_cases.after(({"rescue": None}, "RESCUE"))

_SERVERS: tuple[Case, ...] = (
    Case("all_extensions/server-get-resp", "GET", _SERVER, server_cases.running),
    Case("all_extensions/servers-details-resp", "GET", "/servers/detail", server_cases.running),
    Case("all_extensions/servers-list-resp", "GET", "/servers", server_cases.running),
    *(_answer(f"{folder}/server-get-resp", _SERVER) for folder in _SHOWN),
    _answer("os-config-drive/server-config-drive-get-resp", _SERVER),
    _answer("os-extended-volumes/server-get-resp", _SERVER, server_cases.with_volumes),
    _answer("os-extended-volumes/servers-detail-resp", "/servers/detail",
            server_cases.with_volumes),
    *(_answer(name, "/servers/detail") for name in _DETAILED),
    *(_answer(name, "/servers") for name in (
        "servers/servers-list-resp", "os-hide-server-addresses/servers-list-resp",
    )),
    _answer("os-server-list-multi-status/servers-list-resp",
            "/servers?status=ACTIVE&status=ERROR"),
    _answer("os-server-sort-keys/server-sort-keys-list-resp",
            "/servers?sort_key=display_name&sort_dir=asc"),
    *(
        Case(f"{name}-resp", "POST", "/servers", request=f"{name}-req", status=202, more=more)
        for name, more in _CREATED
    ),
    Case("OS-DCF/server-update-put-resp", "PUT", _SERVER, server_cases.running, more=True,
         request="OS-DCF/server-update-put-req"),
    *(
        Case(f"{name}-resp", "POST", _ACTION, server_cases.running, more=True,
             request=f"{name}{ending}", status=202)
        for name, ending in (
            ("OS-DCF/server-action-rebuild", "-req"), ("servers/server-action-rebuild", ""),
            ("all_extensions/server-action-rebuild", ""),
            ("os-preserve-ephemeral-rebuild/server-action-rebuild", ""),
        )
    ),
    *(
        Case(None, "POST", _ACTION, setup, request=f"{folder}/server-action-{name}",
             status=status)
        for folder in ("servers", "all_extensions")
        for name, setup, status in (
            ("changepassword", server_cases.running, 202),
            ("createimage", server_cases.running, 202), ("reboot", server_cases.running, 202),
            ("resize", server_cases.running, 202),
            ("confirmresize", server_cases.resized, 204),
            ("revertresize", server_cases.resized, 202),
        )
    ),
    *(
        Case(None, "POST", _ACTION, setup, request=name, status=202)
        for name, setup in (
            ("OS-DCF/server-resize-post-req", server_cases.running),
            ("NMN/multinic-add-fixed-ip-req", own_network),
            ("NMN/multinic-remove-fixed-ip-req", own_network),
            ("os-admin-actions/admin-actions-backup-server", server_cases.running),
            ("os-admin-actions/admin-actions-inject-network-info", server_cases.running),
            ("os-admin-actions/admin-actions-live-migrate", elsewhere),
            ("os-admin-actions/admin-actions-lock-server", server_cases.running),
            ("os-admin-actions/admin-actions-lock", server_cases.running),
            ("os-admin-actions/admin-actions-migrate", server_cases.running),
            ("os-admin-actions/admin-actions-pause", server_cases.running),
            ("os-admin-actions/admin-actions-reset-network", server_cases.running),
            ("os-admin-actions/admin-actions-reset-server-state", server_cases.running),
            ("os-admin-actions/admin-actions-resume", _SUSPENDED),
            ("os-admin-actions/admin-actions-suspend", server_cases.running),
            ("os-admin-actions/admin-actions-unlock-server", _LOCKED),
            ("os-admin-actions/admin-actions-unlock", _LOCKED),
            ("os-admin-actions/admin-actions-unpause", _PAUSED),
            ("os-deferred-delete/force-delete-post-req", server_cases.running),
            ("os-deferred-delete/restore-post-req", server_cases.soft_deleted),
            ("os-rescue/server-unrescue-req", _RESCUED),
            ("os-security-groups/security-group-add-post-req", resource_cases.security_group),
            ("os-security-groups/security-group-remove-post-req", resource_cases.secured),
            ("os-server-start-stop/server_start_stop", server_cases.running),
            ("os-shelve/os-shelve", server_cases.running),
            ("os-shelve/os-shelve-offload", server_cases.shelved),
            ("os-shelve/os-unshelve", server_cases.shelved),
        )
    ),
    *(
        Case(f"os-consoles/get-{kind}-console-post-resp", "POST", _ACTION, server_cases.running,
             request=f"os-consoles/get-{kind}-console-post-req")
        for kind in ("vnc", "spice", "serial")
    ),
    Case("os-console-output/console-output-post-resp", "POST", _ACTION, server_cases.running,
         request="os-console-output/console-output-post-req"),
    *(
        Case(f"{folder}/server-rescue", "POST", _ACTION, server_cases.running,
             request=f"{folder}/server-rescue-req")
        for folder in ("os-rescue", "os-extended-rescue-with-image")
    ),
    *(
        _answer(f"{folder}/server-get-resp-rescue", _SERVER, _RESCUED)
        for folder in ("os-rescue", "os-extended-rescue-with-image")
    ),
    _answer("os-rescue/server-get-resp-unrescue", _SERVER,
            server_cases.after(({"rescue": None}, "RESCUE"), ({"unrescue": None}, "ACTIVE"))),
    Case("os-evacuate/server-evacuate-resp", "POST", _ACTION, downed, cloud="evacuated",
         request="os-evacuate/server-evacuate-req", body=without_shared_storage),
    Case("os-extended-evacuate-find-host/server-evacuate-find-host-resp", "POST", _ACTION, downed,
         cloud="evacuated",
         request="os-extended-evacuate-find-host/server-evacuate-find-host-req"),
    _answer("servers/server-ips-resp", "/servers/{server}/ips"),
    _answer("servers/server-ips-network-resp", "/servers/{server}/ips/private"),
    Case("servers/server-metadata-all-resp", "PUT", "/servers/{server}/metadata",
         server_cases.pair, request="servers/server-metadata-all-req"),
    Case("servers/server-metadata-resp", "PUT", "/servers/{server}/metadata/foo",
         server_cases.pair, request="servers/server-metadata-req"),
    _answer("os-server-password/get-password-resp", "/servers/{server}/os-server-password"),
    Case("os-server-diagnostics/server-diagnostics-get-resp", "GET",
         "/servers/{server}/diagnostics", server_cases.running, maps=frozenset({""})),
    _answer("os-virtual-interfaces/vifs-list-resp", "/servers/{server}/os-virtual-interfaces"),
    Case("OS-EXT-VIF-NET/vifs-list-resp", "GET", "/servers/{server}/os-virtual-interfaces",
         server_cases.running),
    _answer("os-attach-interfaces/attach-interfaces-list-resp", "/servers/{server}/os-interface",
            network_cases.interface),
    _answer("os-attach-interfaces/attach-interfaces-show-resp",
            "/servers/{server}/os-interface/{port}", network_cases.interface),
)

#: One folder writes the size as text; the others and the original's code have a number.
_SIZE = frozenset({"OS-EXT-IMG-SIZE:size"})
#: Rates were limited by api_rate_limit alone, which was off.
_UNLIMITED = frozenset({"rate"})

_PROJECTS: tuple[Case, ...] = (
    Case("all_extensions/extensions-get-resp", "GET", "/extensions"),
    Case("all_extensions/flavor-get-resp", "GET", "/flavors/1"),
    Case("all_extensions/flavors-list-resp", "GET", "/flavors"),
    Case("flavors/flavor-get-resp", "GET", "/flavors/1", more=True),
    Case("flavors/flavors-list-resp", "GET", "/flavors", more=True),
    Case("os-flavor-access/flavor-access-show-resp", "GET", "/flavors/1", more=True),
    Case("os-flavor-access/flavor-access-detail-resp", "GET", "/flavors/detail", more=True),
    Case("os-flavor-access/flavor-access-list-resp", "GET",
         "/flavors/{flavor}/os-flavor-access", resource_cases.accessible),
    Case("os-flavor-access/flavor-access-create-resp", "POST", "/flavors",
         resource_cases.new_flavor, request="os-flavor-access/flavor-access-create-req",
         more=True),
    Case("os-flavor-access/flavor-access-add-tenant-resp", "POST", "/flavors/{flavor}/action",
         resource_cases.flavor, request="os-flavor-access/flavor-access-add-tenant-req"),
    Case("os-flavor-access/flavor-access-remove-tenant-resp", "POST",
         "/flavors/{flavor}/action", resource_cases.accessible,
         request="os-flavor-access/flavor-access-remove-tenant-req"),
    Case("os-flavor-rxtx/flavor-rxtx-get-resp", "GET", "/flavors/1", more=True),
    Case("os-flavor-rxtx/flavor-rxtx-list-resp", "GET", "/flavors/detail", more=True),
    Case("os-flavor-rxtx/flavor-rxtx-post-resp", "POST", "/flavors", other_flavor, more=True,
         request="os-flavor-rxtx/flavor-rxtx-post-req"),
    Case("os-flavor-manage/flavor-create-post-resp", "POST", "/flavors",
         resource_cases.new_flavor, more=True, request="os-flavor-manage/flavor-create-post-req"),
    *(
        Case(f"os-flavor-extra-specs/flavor-extra-specs-{name}-resp", method,
             f"/flavors/{{flavor}}/os-extra_specs{path}", specified,
             request=f"os-flavor-extra-specs/flavor-extra-specs-{name}-req" if sent else None)
        for name, method, path, sent in (
            ("list", "GET", "", False), ("get", "GET", "/key1", False),
            ("create", "POST", "", True), ("update", "PUT", "/key1", True),
        )
    ),
    *(
        Case(name, "GET", path, by="member", more=True, free=_SIZE)
        for name, path in (
            ("images/image-get-resp", "/images/{image}"),
            ("OS-DCF/image-get-resp", "/images/{image}"),
            ("OS-EXT-IMG-SIZE/image-get-resp", "/images/{image}"),
            ("images/images-details-get-resp", "/images/detail"),
            ("images/images-details-resp", "/images/detail"),
            ("OS-DCF/image-list-resp", "/images/detail?name=fakeimage7"),
            ("OS-EXT-IMG-SIZE/images-details-get-resp", "/images/detail"),
            ("images/images-list-get-resp", "/images"), ("images/images-list-resp", "/images"),
        )
    ),
    *(
        Case(f"images/image-{name}", method, f"/images/{{image}}/metadata{path}",
             resource_cases.image, request=sent)
        for name, method, path, sent in (
            ("metadata-get-resp", "GET", "", None), ("metadata-resp", "GET", "", None),
            ("meta-key-get", "GET", "/kernel_id", None),
            ("metadata-post-resp", "POST", "", "images/image-metadata-post-req"),
            ("metadata-put-resp", "PUT", "", "images/image-metadata-put-req"),
            ("meta-key-put-resp", "PUT", "/auto_disk_config", "images/image-meta-key-put-req"),
        )
    ),
    Case("limits/limit-get-resp", "GET", "/limits", more=True, free=_UNLIMITED),
    Case("os-server-group-quotas/limit-get-resp", "GET", "/limits", more=True, free=_UNLIMITED),
    Case("os-server-group-quotas/usedlimits-get-resp", "GET", "/limits", more=True, free=_UNLIMITED),
    Case("os-used-limits/usedlimits-get-resp", "GET", "/limits", more=True, free=_UNLIMITED),
    Case("os-used-limits-for-admin/usedlimitsforadmin-get-resp", "GET",
         "/limits?tenant_id={project}", more=True, free=_UNLIMITED),
    *(
        Case(f"{folder}/{name}-resp", method, path, more=True, request=sent and f"{folder}/{sent}")
        for folder, name, method, path, sent in (
            ("os-quota-sets", "quotas-show-get", "GET", _QUOTA, None),
            ("os-quota-sets", "quotas-show-defaults-get", "GET", f"{_QUOTA}/defaults", None),
            ("os-quota-sets", "quotas-update-post", "PUT", _QUOTA, "quotas-update-post-req"),
            ("os-extended-quotas", "quotas-update-post", "PUT", _QUOTA,
             "quotas-update-post-req"),
            ("os-server-group-quotas", "quotas-show-get", "GET", _QUOTA, None),
            ("os-server-group-quotas", "quotas-show-defaults-get", "GET", f"{_QUOTA}/defaults",
             None),
            ("os-server-group-quotas", "quotas-update-post", "PUT", _QUOTA,
             "quotas-update-post-req"),
            ("os-server-group-quotas", "quota-classes-show-get", "GET", _CLASS, None),
            ("os-server-group-quotas", "quota-classes-update-post", "PUT", _CLASS,
             "quota-classes-update-post-req"),
            ("os-user-quotas", "user-quotas-show-get", "GET", f"{_QUOTA}?user_id={{user}}",
             None),
            ("os-user-quotas", "user-quotas-update-post", "PUT", f"{_QUOTA}?user_id={{user}}",
             "user-quotas-update-post-req"),
        )
    ),
    Case("os-keypairs/keypairs-get-resp", "GET", "/os-keypairs/{key}", resource_cases.own_key),
    Case("os-keypairs/keypairs-list-resp", "GET", "/os-keypairs", resource_cases.keys),
    *(
        Case(f"os-keypairs/keypairs-{name}-resp", "POST", "/os-keypairs",
             request=f"os-keypairs/keypairs-{name}-req")
        for name in ("post", "import-post")
    ),
    Case("os-server-groups/server-groups-get-resp", "GET", "/os-server-groups/{group}",
         resource_cases.group),
    Case("os-server-groups/server-groups-list-resp", "GET", "/os-server-groups",
         resource_cases.group),
    Case("os-server-groups/server-groups-post-resp", "POST", "/os-server-groups",
         request="os-server-groups/server-groups-post-req"),
    Case("os-security-groups/security-groups-create-resp", "POST", "/os-security-groups",
         request="os-security-groups/security-group-post-req"),
    Case("os-security-groups/security-groups-get-resp", "GET",
         "/os-security-groups/{security_group}", resource_cases.security_group),
    Case("os-security-groups/security-groups-list-get-resp", "GET", "/os-security-groups",
         resource_cases.security_group),
    Case("os-security-groups/server-security-groups-list-resp", "GET",
         "/servers/{server}/os-security-groups", server_cases.running),
    Case("os-simple-tenant-usage/simple-tenant-usage-get", "GET",
         "/os-simple-tenant-usage", server_cases.running),
    Case("os-simple-tenant-usage/simple-tenant-usage-get-specific", "GET",
         "/os-simple-tenant-usage/{project}", server_cases.running),
)

#: The first network of the list is everybody's, on no host.
_SHARED = frozenset({"host", "project_id", "updated_at", "vpn_public_address"})

_CLOUD: tuple[Case, ...] = (
    Case("versions/versions-get-resp", "GET", "//"),
    *(
        Case(f"os-hypervisors/hypervisors-{name}-resp", "GET", f"/os-hypervisors{path}",
             host_cases.hypervisor, more=True)
        for name, path in (
            ("list", ""), ("detail", "/detail"), ("search", "/fake-/search"),
            ("servers", "/{host}/servers"), ("show", "/{hypervisor}"),
            ("statistics", "/statistics"), ("uptime", "/{hypervisor}/uptime"),
        )
    ),
    Case("os-extended-hypervisors/hypervisors-show-with-ip-resp", "GET",
         "/os-hypervisors/{hypervisor}", host_cases.hypervisor, more=True),
    Case("os-hypervisor-status/hypervisors-show-with-status-resp", "GET",
         "/os-hypervisors/{hypervisor}", host_cases.hypervisor, more=True),
    *(
        Case(name, "GET", "/os-services?host={host}", host_cases.disabled, more=True)
        for name in (
            "os-services/services-get-resp", "os-services/services-list-get-resp",
            "os-extended-services-delete/services-get-resp",
        )
    ),
    *(
        Case(f"os-services/service-{name}-put-resp", "PUT", path, host_cases.service, more=True,
             request=f"os-services/service-{name}-put-req")
        for name, path in (
            ("disable-log", "/os-services/disable-log-reason"),
            ("disable", "/os-services/disable"), ("enable", "/os-services/enable"),
        )
    ),
    Case("os-server-external-events/event-create-resp", "POST", "/os-server-external-events",
         host_cases.event, request="os-server-external-events/event-create-req"),
    *(
        Case(f"os-extended-floating-ips/floating-ips-{name}-resp", method,
             f"/os-floating-ips{path}", setup, more=True,
             request="os-extended-floating-ips/floating-ips-create-req" if method == "POST"
             else None)
        for name, method, path, setup in (
            ("create", "POST", "", pool), ("get", "GET", "/{floating}", pool),
            ("list", "GET", "", pool), ("list-empty", "GET", "", resource_cases.new_user),
        )
    ),
    Case("os-fixed-ips/fixedips-get-resp", "GET", "/os-fixed-ips/{address}", network_cases.fixed),
    Case(None, "POST", "/os-fixed-ips/{address}/action", network_cases.fixed,
         request="os-fixed-ips/fixedip-post-req", status=202),
    *(
        Case(f"{folder}/{name}-resp", method, path, setup, more=True,
             request=f"{folder}/{name}-req" if method == "POST" else None,
             cloud="plain" if method == "POST" else "vlan",
             free=_SHARED if name == "networks-list" else frozenset())
        for folder in ("os-networks", "os-extended-networks")
        for name, method, path, setup in (
            ("network-create", "POST", "/os-networks", network_cases.free_network),
            ("network-show", "GET", "/os-networks/{network}", held_network),
            ("networks-list", "GET", "/os-networks", held_network),
        )
    ),
    Case(None, "POST", "/os-networks/add", network_cases.spare_network, status=202, cloud="vlan",
         request="os-networks/network-add-req"),
    *(
        Case(None, "POST", "/os-networks/{network}/action", network_cases.spare_network,
             status=202, request=name)
        for name in (
            "os-networks/networks-disassociate-req",
            "os-networks-associate/network-associate-host-req",
            "os-networks-associate/network-disassociate-host-req",
            "os-networks-associate/network-disassociate-project-req",
            "os-networks-associate/network-disassociate-req",
        )
    ),
    _answer("os-volumes/list-volume-attachments-resp", "/servers/{server}/os-volume_attachments",
            server_cases.with_volumes),
    _answer("os-volumes/volume-attachment-detail-resp",
            "/servers/{server}/os-volume_attachments/a07f71dc-8151-4e7d-a0cc-cd24a3f11113",
            server_cases.with_volumes),
)

CASES: tuple[Case, ...] = (*volume_cases.KILO, *_SERVERS, *_PROJECTS, *_CLOUD)
