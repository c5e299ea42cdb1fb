# SPDX-License-Identifier: Apache-2.0
"""The samples of flavors, images, key pairs, quotas, server groups and other things of projects."""

from __future__ import annotations

from tests.api.samples import server_cases
from tests.api.samples.stage import KEY, Case, Stage


def new_flavor(stage: Stage) -> None:
    """A flavor of an id and a name that no other sample took."""
    unique = stage.project[:12]
    stage.texts['"id": "10"'] = f'"id": "{unique}"'
    stage.texts["test_flavor"] = f"flavor-{unique}"


def flavor(stage: Stage) -> None:
    """A flavor with an extra spec."""
    new_flavor(stage)
    unique = stage.project[:12]
    stage.must("POST", "/flavors", {"flavor": {
        "name": f"flavor-{unique}", "ram": 512, "vcpus": 1, "disk": 1, "id": unique,
        "os-flavor-access:is_public": False, "description": "a flavor",
    }})
    stage.must("POST", f"/flavors/{unique}/os-extra_specs", {"extra_specs": {"hw:numa_nodes": "1"}})
    stage.names["flavor"] = unique


def accessible(stage: Stage) -> None:
    """A private flavor that two projects may use."""
    flavor(stage)
    for tenant in ("fake_tenant", "openstack"):
        stage.must("POST", f"/flavors/{stage.names['flavor']}/action", {
            "addTenantAccess": {"tenant": tenant},
        })


def inaccessible(stage: Stage) -> None:
    """A private flavor that one other project may use."""
    flavor(stage)
    stage.must("POST", f"/flavors/{stage.names['flavor']}/action", {
        "addTenantAccess": {"tenant": "openstack"},
    })


def image(stage: Stage) -> None:
    """A snapshot of a server, with all that samples show of an image."""
    server_cases.running(stage)
    made = stage.must("POST", f"/servers/{stage.names['server']}/action", {
        "createImage": {"name": "fakeimage", "metadata": {
            "kernel_id": "nokernel", "ramdisk_id": "nokernel", "auto_disk_config": "True",
            "Label": "Image",
        }},
    })
    stage.names["image"] = made["image_id"]
    stage.until_task_ends(stage.names["server"])


def _key(stage: Stage, user: str) -> None:
    name = f"keypair-{user}"
    stage.must("POST", "/os-keypairs", {"keypair": {
        "name": name, "type": "ssh", "public_key": KEY, "user_id": user,
    }})
    stage.names["key"] = name


def own_key(stage: Stage) -> None:
    """A key pair of the caller."""
    _key(stage, stage.user)


def others_key(stage: Stage) -> None:
    """A key pair, of another user from 2.10 on."""
    if stage.minor >= 10:
        stage.user = "fake"
    _key(stage, stage.user)


def keys(stage: Stage) -> None:
    """Two key pairs of the caller."""
    own_key(stage)
    stage.must("POST", "/os-keypairs", {"keypair": {
        "name": "second", "type": "ssh", "public_key": KEY,
    }})


def new_user(stage: Stage) -> None:
    """A user whose key pairs nobody took the names of."""
    stage.texts['"fake"'] = f'"{stage.user}"'


def group(stage: Stage) -> None:
    """A server group without members."""
    made = stage.must("POST", "/os-server-groups", {"server_group": {
        "name": "test", "policy": "anti-affinity", "rules": {"max_server_per_host": 3},
    }})
    stage.names["group"] = made["server_group"]["id"]


def security_group(stage: Stage) -> None:
    """A server, and the security group ``test``."""
    server_cases.running(stage)
    made = stage.must("POST", "/os-security-groups", {"security_group": {
        "name": "test", "description": "test",
    }}, at=35)
    stage.names["security_group"] = str(made["security_group"]["id"])
    stage.texts['"d6f86d8c-06ef-4bef-8e7c-8bf8f9ba9b7a"'] = f'"{stage.names["security_group"]}"'


def secured(stage: Stage) -> None:
    """A server that is in ``test``."""
    security_group(stage)
    stage.act({"addSecurityGroup": {"name": "test"}})


def usage(stage: Stage) -> None:
    """A server that has run."""
    server_cases.running(stage)


#: nova-network numbers its groups; the samples show a network service's uuids.
_NUMBERED = frozenset({"id", "parent_group_id"})
_QUOTA = "/os-quota-sets/{project}"
_QUOTA_USER = "/os-quota-sets/{project}?user_id={user}"
_CLASS = "/os-quota-class-sets/test_class"

CASES: tuple[Case, ...] = (
    Case("flavors/flavor-get-resp", "GET", "/flavors/6"),
    Case("flavors/flavors-detail-resp", "GET", "/flavors/detail"),
    Case("flavors/flavors-list-resp", "GET", "/flavors"),
    Case("flavor-manage/flavor-create-post-resp", "POST", "/flavors", new_flavor,
         request="flavor-manage/flavor-create-post-req"),
    Case("flavor-manage/flavor-update-resp", "PUT", "/flavors/{flavor}", flavor,
         request="flavor-manage/flavor-update-req"),
    Case(None, "POST", "/flavors", new_flavor, request="flavor-access/flavor-create-req"),
    Case("flavor-access/flavor-access-add-tenant-resp", "POST", "/flavors/{flavor}/action",
         flavor, request="flavor-access/flavor-access-add-tenant-req"),
    Case("flavor-access/flavor-access-remove-tenant-resp", "POST", "/flavors/{flavor}/action",
         accessible, request="flavor-access/flavor-access-remove-tenant-req"),
    Case("flavor-access/flavor-access-list-resp", "GET", "/flavors/{flavor}/os-flavor-access",
         accessible),
    Case("flavor-extra-specs/flavor-extra-specs-create-resp", "POST",
         "/flavors/{flavor}/os-extra_specs", flavor,
         request="flavor-extra-specs/flavor-extra-specs-create-req"),
    Case("flavor-extra-specs/flavor-extra-specs-update-resp", "PUT",
         "/flavors/{flavor}/os-extra_specs/hw:numa_nodes", flavor,
         request="flavor-extra-specs/flavor-extra-specs-update-req"),
    Case("flavor-extra-specs/flavor-extra-specs-get-resp", "GET",
         "/flavors/{flavor}/os-extra_specs/hw:numa_nodes", flavor),
    Case("flavor-extra-specs/flavor-extra-specs-list-resp", "GET",
         "/flavors/{flavor}/os-extra_specs", flavor),

    Case("images/image-get-resp", "GET", "/images/{image}"),
    Case("images/images-details-get-resp", "GET", "/images/detail", by="member"),
    Case("images/images-list-get-resp", "GET", "/images"),
    Case("images/image-metadata-get-resp", "GET", "/images/{image}/metadata", image),
    Case("images/image-metadata-post-resp", "POST", "/images/{image}/metadata", image,
         request="images/image-metadata-post-req"),
    Case("images/image-metadata-put-resp", "PUT", "/images/{image}/metadata", image,
         request="images/image-metadata-put-req"),
    Case("images/image-meta-key-get", "GET", "/images/{image}/metadata/kernel_id", image),
    Case("images/image-meta-key-put-resp", "PUT", "/images/{image}/metadata/auto_disk_config",
         image, request="images/image-meta-key-put-req"),

    Case("os-keypairs/keypairs-get-resp", "GET", "/os-keypairs/{key}", own_key),
    Case("os-keypairs/keypairs-list-resp", "GET", "/os-keypairs", keys,
         path_at=((35, "/os-keypairs?limit=1"),)),
    Case("os-keypairs/keypairs-list-user1-resp", "GET", "/os-keypairs?user_id={user}", keys),
    Case("os-keypairs/keypairs-list-user2-resp", "GET",
         "/os-keypairs?user_id={user}&limit=1&marker={key}", keys),
    Case("os-keypairs/keypairs-post-resp", "POST", "/os-keypairs", new_user,
         request="os-keypairs/keypairs-post-req", status={1: 200, 2: 201}),
    Case("os-keypairs/keypairs-import-post-resp", "POST", "/os-keypairs", new_user,
         request="os-keypairs/keypairs-import-post-req", status={1: 200, 2: 201}),

    Case("limits/limit-get-resp", "GET", "/limits"),
    Case("os-quota-sets/quotas-show-get-resp", "GET", _QUOTA),
    Case("os-quota-sets/quotas-show-defaults-get-resp", "GET", _QUOTA + "/defaults"),
    Case("os-quota-sets/quotas-show-detail-get-resp", "GET", _QUOTA + "/detail"),
    Case("os-quota-sets/quotas-update-post-resp", "PUT", _QUOTA,
         request="os-quota-sets/quotas-update-post-req"),
    Case("os-quota-sets/quotas-update-force-post-resp", "PUT", _QUOTA,
         request="os-quota-sets/quotas-update-force-post-req"),
    Case("os-quota-sets/user-quotas-show-get-resp", "GET", _QUOTA_USER),
    Case("os-quota-sets/user-quotas-update-post-resp", "PUT", _QUOTA_USER,
         request="os-quota-sets/user-quotas-update-post-req"),
    *(
        Case(f"os-quota-sets-noop/{name}-resp", method, path, request=request)
        for name, method, path, request in (
            ("quotas-show-get", "GET", _QUOTA, None),
            ("quotas-show-defaults-get", "GET", _QUOTA + "/defaults", None),
            ("quotas-show-detail-get", "GET", _QUOTA + "/detail", None),
            ("user-quotas-show-get", "GET", _QUOTA_USER, None),
            ("quotas-update-post", "PUT", _QUOTA, "os-quota-sets-noop/quotas-update-post-req"),
            ("quotas-update-force-post", "PUT", _QUOTA,
             "os-quota-sets-noop/quotas-update-force-post-req"),
            ("user-quotas-update-post", "PUT", _QUOTA_USER,
             "os-quota-sets-noop/user-quotas-update-post-req"),
        )
    ),
    Case("os-quota-class-sets/quota-classes-show-get-resp", "GET", _CLASS),
    Case("os-quota-class-sets/quota-classes-update-post-resp", "PUT", _CLASS,
         request="os-quota-class-sets/quota-classes-update-post-req"),

    Case("os-server-groups/server-groups-get-resp", "GET", "/os-server-groups/{group}", group),
    Case("os-server-groups/server-groups-list-resp", "GET", "/os-server-groups", group),
    Case("os-server-groups/server-groups-post-resp", "POST", "/os-server-groups",
         request="os-server-groups/server-groups-post-req"),

    Case("os-security-groups/security-groups-create-resp", "POST", "/os-security-groups",
         request="os-security-groups/security-group-post-req", free=_NUMBERED),
    Case("os-security-groups/security-groups-get-resp", "GET",
         "/os-security-groups/{security_group}", security_group, free=_NUMBERED),
    Case("os-security-groups/security-groups-list-get-resp", "GET", "/os-security-groups",
         security_group, free=_NUMBERED),
    Case("os-security-groups/server-security-groups-list-resp", "GET",
         "/servers/{server}/os-security-groups", server_cases.running, free=_NUMBERED),
    Case("os-security-groups/security-group-rules-post-resp", "POST", "/os-security-group-rules",
         security_group, request="os-security-groups/security-group-rules-post-req",
         free=_NUMBERED),
    Case(None, "POST", "/servers/{server}/action", security_group, status=202,
         request="os-security-groups/security-group-add-post-req"),
    Case(None, "POST", "/servers/{server}/action", secured, status=202,
         request="os-security-groups/security-group-remove-post-req"),

    Case("os-simple-tenant-usage/simple-tenant-usage-get", "GET",
         "/os-simple-tenant-usage?detailed=0", usage,
         path_at=((40, "/os-simple-tenant-usage?detailed=0&limit=1"),)),
    Case("os-simple-tenant-usage/simple-tenant-usage-get-detail", "GET",
         "/os-simple-tenant-usage?detailed=1", usage,
         path_at=((40, "/os-simple-tenant-usage?detailed=1&limit=1"),)),
    Case("os-simple-tenant-usage/simple-tenant-usage-get-all", "GET",
         "/os-simple-tenant-usage?detailed=1", usage),
    Case("os-simple-tenant-usage/simple-tenant-usage-get-specific", "GET",
         "/os-simple-tenant-usage/{project}", usage,
         path_at=((40, "/os-simple-tenant-usage/{project}?limit=1"),)),

    Case("extension-info/extensions-get-resp", "GET", "/extensions/os-agents"),
    Case("extension-info/extensions-list-resp", "GET", "/extensions"),
    Case("extension-info/extensions-list-resp-v21-compatible", "GET", "/extensions"),
    Case("versions/versions-get-resp", "GET", "//"),
    Case("versions/v2-version-get-resp", "GET", "//v2/"),
    Case("versions/v21-version-get-resp", "GET", "//v2.1/"),
)
