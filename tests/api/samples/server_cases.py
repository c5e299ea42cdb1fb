# SPDX-License-Identifier: Apache-2.0
"""The samples of servers themselves and of what is done to them."""

from __future__ import annotations

import datetime
from typing import Any

from tests.api.samples.stage import KEY, Case, Setup, Stage

GROUP = "f3d86fe6-4246-4be8-b87c-eb894626c741"
NETWORK = "3cb9bc59-5699-4588-a4b1-b87f96708bc6"


def network(stage: Stage) -> None:
    """The network that requests name."""
    with stage.cloud.db.read() as tx:
        found = next(each for each in tx.networks.every() if each.label == "private")
    stage.texts[NETWORK] = found.uuid
    stage.texts["e1882e38-38c2-4239-ade7-35d644cb963a"] = found.uuid


def group(stage: Stage) -> None:
    """The server group that a hint names."""
    made = stage.must("POST", "/os-server-groups", {"server_group": {
        "name": "test", "policy": "affinity",
    }})
    stage.texts[GROUP] = made["server_group"]["id"]


def networked(stage: Stage) -> None:
    """The network and the group that a create sample may name."""
    network(stage)
    group(stage)


def running(stage: Stage) -> None:
    """A server as the create sample makes it."""
    group(stage)
    stage.boot()


def with_volumes(stage: Stage) -> None:
    """A server with two volumes."""
    running(stage)
    stage.volumes(
        "a07f71dc-8151-4e7d-a0cc-cd24a3f11113", "a07f71dc-8151-4e7d-a0cc-cd24a3f11114"
    )


def shown(stage: Stage) -> None:
    """A server with volumes; locked with a reason where the sample shows one."""
    with_volumes(stage)
    if stage.minor == 73:
        stage.act({"lock": {"locked_reason": "I don't want to work"}})


def listed(stage: Stage) -> None:
    """Two servers, so that a page of one has a next."""
    if stage.minor != 73:
        group(stage)
        stage.boot("second")
    shown(stage)


def keyed(stage: Stage) -> None:
    """A server, and the key pair that a rebuild names."""
    running(stage)
    stage.must("POST", "/os-keypairs", {"keypair": {
        "name": "new-key", "type": "ssh", "public_key": KEY,
    }})
    if stage.minor == 26:
        stage.must("PUT", f"/servers/{stage.names['server']}/tags", {"tags": ["tag1", "tag2"]})


def before(stage: Stage) -> None:
    """Servers, and a time after them."""
    listed(stage)
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)
    stage.names["later"] = later.strftime("%Y-%m-%dT%H:%M:%SZ")


def after(*bodies: tuple[Any, str]) -> Setup:
    """A server after actions, each with the status it leads to."""

    def setup(stage: Stage) -> None:
        running(stage)
        for body, status in bodies:
            stage.act(body, until=status)

    return setup


def resized(stage: Stage) -> None:
    """A server that waits for its resize to be confirmed."""
    running(stage)
    stage.act({"resize": {"flavorRef": "2"}}, until="VERIFY_RESIZE")


def floating(stage: Stage) -> None:
    """A server, its fixed address, and a floating IP of the project."""
    running(stage)
    floating_addresses(stage)
    server = stage.show(stage.names["server"])
    stage.texts["192.168.1.30"] = server["addresses"]["private"][0]["addr"]


def floating_addresses(stage: Stage) -> None:
    """A floating IP of the project, from a pool of its own."""
    number = int(stage.project[:4], 16)
    pool = f"pool-{stage.project[:8]}"
    first = f"100.{64 + number % 64}.{number // 256}.{int(stage.project[4:6], 16) & 252}"
    stage.must("POST", "/os-floating-ips-bulk", {"floating_ips_bulk_create": {
        "ip_range": f"{first}/30", "pool": pool, "interface": "eth0",
    }}, at=35)
    stage.names["pool"] = pool
    stage.texts["public"] = pool
    made = stage.must("POST", "/os-floating-ips", {"pool": pool}, at=35)
    stage.names["floating"] = str(made["floating_ip"]["id"])
    stage.texts["10.10.10.10"] = stage.texts["172.16.10.7"] = made["floating_ip"]["ip"]


def floated(stage: Stage) -> None:
    """A server that has a floating IP."""
    floating(stage)
    stage.act({"addFloatingIp": {"address": stage.texts["10.10.10.10"]}}, at=35)


def elsewhere(stage: Stage) -> None:
    """A server, and the name of another host."""
    running(stage)
    other = stage.other_host()
    for name in ("openstack-node-01", "testHost", "host1", "b419863b7d814906a68fb31703c0dbd6"):
        stage.texts[name] = other
    stage.texts["01c0cadef72d47e28a672a76060d492c"] = other
    stage.texts["c3d5bed5d0d14dca8dd4d9f6d2d5dd5a"] = other


def a_host(stage: Stage) -> None:
    """The host that a create names."""
    stage.texts["openstack-node-01"] = stage.cloud.managers[0].name


def shelved(stage: Stage) -> None:
    """A server that is shelved, and the name of a host."""
    running(stage)
    stage.texts["server01"] = stage.texts["host01"] = stage.cloud.managers[0].name
    stage.act({"shelve": None}, until="SHELVED")


def offloaded(stage: Stage) -> None:
    """A server that is shelved and on no host."""
    shelved(stage)
    stage.act({"shelveOffload": None}, until="SHELVED_OFFLOADED")


def soft_deleted(stage: Stage) -> None:
    """A server that can be restored."""
    running(stage)
    stage.must("DELETE", f"/servers/{stage.names['server']}")
    stage.until(stage.names["server"], "SOFT_DELETED")


def pair(stage: Stage) -> None:
    """A server with metadata, and a tag."""
    running(stage)
    server = stage.names["server"]
    stage.must("POST", f"/servers/{server}/metadata", {"metadata": {"foo": "Foo Value"}})
    stage.must("PUT", f"/servers/{server}/tags", {"tags": ["tag1", "tag2"]})


def with_token(stage: Stage) -> None:
    """A token of a server's console."""
    running(stage)
    kind = ("spice", "spice-direct") if stage.minor >= 99 else ("serial", "serial")
    made = stage.must("POST", f"/servers/{stage.names['server']}/remote-consoles", {
        "remote_console": {"protocol": kind[0], "type": kind[1]},
    }, at=99)
    stage.names["token"] = made["remote_console"]["url"].rpartition("token=")[2]


stopped = after(({"os-stop": None}, "SHUTOFF"))

_ACTION = "/servers/{server}/action"
_CONSOLES = "/servers/{server}/remote-consoles"
_MEMBER = (90, 94, 96, 98, 100)

CASES: tuple[Case, ...] = (
    # The samples of 2.90, 2.94 and 2.96 on show what a plain member sees.
    Case("servers/server-create-resp", "POST", "/servers", networked,
         request="servers/server-create-req", body=Stage.create_body, status=202),
    Case(None, "POST", "/servers", request="servers/server-create-req-v237", status=202, at=37),
    Case(None, "POST", "/servers", request="servers/server-create-req-v257", status=202, at=57),
    *(
        Case("servers/server-create-resp", "POST", "/servers", a_host, request=f"servers/{name}",
             status=202)
        for name in (
            "server-create-req-with-host-and-node", "server-create-req-with-only-host",
            "server-create-req-with-only-node",
        )
    ),
    Case("servers/server-get-resp", "GET", "/servers/{server}", shown, members=_MEMBER),
    Case("servers/servers-details-resp", "GET", "/servers/detail?limit=1", listed,
         members=_MEMBER, path_at=((73, "/servers/detail"), (90, "/servers/detail?limit=1"))),
    Case("servers/servers-list-resp", "GET", "/servers?limit=1", listed),
    Case("servers/servers-list-status-resp", "GET", "/servers?status=ACTIVE&limit=1", listed),
    Case("servers-sort/server-sort-keys-list-resp", "GET",
         "/servers?sort_key=display_name&sort_dir=asc", running),
    Case("servers/servers-list-with-changes-before", "GET",
         "/servers?changes-before={later}", before),
    Case("servers/servers-details-with-changes-before", "GET",
         "/servers/detail?changes-before={later}", before),
    Case("servers/server-update-resp", "PUT", "/servers/{server}", with_volumes,
         request="servers/server-update-req", members=(*_MEMBER, 104)),
    Case("servers/server-put-resp", "PUT", "/servers/{server}", running,
         request="servers/server-put-req"),
    Case("servers/server-groups-post-resp", "POST", "/os-server-groups",
         request="servers/server-groups-post-req"),
    Case("servers/server-action-rebuild-resp", "POST", _ACTION, keyed,
         request="servers/server-action-rebuild", status=202, members=_MEMBER),
    Case("servers/server-action-create-image-resp", "POST", _ACTION, running,
         request="servers/server-action-create-image", status=202),
    Case(None, "POST", _ACTION, running, request="servers/server-action-create-image",
         status=202),
    *(
        Case(None, "POST", _ACTION, setup, request=f"servers/{name}", status=status)
        for name, setup, status in (
            ("server-action-reboot", running, 202),
            ("server-action-resize", running, 202),
            ("server-action-confirm-resize", resized, 204),
            ("server-action-revert-resize", resized, 202),
            ("server-action-start", after(({"os-stop": None}, "SHUTOFF")), 202),
            ("server-action-stop", running, 202),
            ("server-action-trigger-crash-dump", running, 202),
            ("server-action-addfloatingip-req", floating, 202),
            ("server-action-removefloatingip-req", floated, 202),
            ("lock-server-with-reason", running, 202),
        )
    ),
    *(
        Case(None, "POST", _ACTION, setup, request=name, status=status)
        for name, setup, status in (
            ("os-admin-actions/admin-actions-inject-network-info", running, 202),
            ("os-admin-actions/admin-actions-reset-server-state", running, 202),
            ("os-admin-password/admin-password-change-password", running, 202),
            ("os-create-backup/create-backup-req", running, 202),
            ("os-deferred-delete/force-delete-post-req", running, 202),
            ("os-deferred-delete/restore-post-req", soft_deleted, 202),
            ("os-lock-server/lock-server", running, 202),
            ("os-lock-server/lock-server-with-reason", running, 202),
            ("os-lock-server/unlock-server", after(({"lock": None}, "ACTIVE")), 202),
            ("os-migrate-server/live-migrate-server", elsewhere, 202),
            ("os-migrate-server/migrate-server", elsewhere, 202),
            ("os-migrate-server/migrate-server-null", running, 202),
            ("os-pause-server/pause-server", running, 202),
            ("os-pause-server/unpause-server", after(({"pause": None}, "PAUSED")), 202),
            ("os-suspend-server/server-suspend", running, 202),
            ("os-suspend-server/server-resume", after(({"suspend": None}, "SUSPENDED")), 202),
            ("os-shelve/os-shelve", running, 202),
            ("os-shelve/os-shelve-offload", shelved, 202),
            ("os-shelve/os-unshelve", shelved, 202),
            ("os-shelve/os-unshelve-az", offloaded, 202),
            ("os-shelve/os-unshelve-az-host", offloaded, 202),
            ("os-shelve/os-unshelve-host", offloaded, 202),
            ("os-shelve/os-unshelve-host-and-unpin-az", offloaded, 202),
            ("os-shelve/os-unshelve-unpin-az", offloaded, 202),
            ("os-rescue/server-unrescue-req", after(({"rescue": None}, "RESCUE")), 202),
        )
    ),
    Case("os-create-backup/create-backup-resp", "POST", _ACTION, running,
         request="os-create-backup/create-backup-req", status=202),
    Case("os-console-output/console-output-post-resp", "POST", _ACTION, running,
         request="os-console-output/console-output-post-req"),
    *(
        Case(f"os-remote-consoles/get-{kind}-console-post-resp", "POST", _ACTION, running,
             request=f"os-remote-consoles/get-{kind}-console-post-req")
        for kind in ("vnc", "spice", "serial")
    ),
    *(
        Case(f"os-remote-consoles/create-{kind}-console-resp", "POST", _CONSOLES, running,
             request=f"os-remote-consoles/create-{kind}-console-req")
        for kind in ("vnc", "mks", "spice-direct")
    ),
    *(
        Case(None, "POST", _CONSOLES, running,
             request=f"os-console-auth-tokens/create-{kind}-console-req")
        for kind in ("serial", "spice-direct")
    ),
    # The simulated consoles have no path, as those of VMware's guests have.
    Case("os-console-auth-tokens/get-console-connect-info-get-resp", "GET",
         "/os-console-auth-tokens/{token}", with_token, free=frozenset({"internal_access_path"})),
    Case("os-rescue/server-rescue", "POST", _ACTION, running,
         request="os-rescue/server-rescue-req"),
    Case("os-rescue/server-rescue", "POST", _ACTION, running,
         request="os-rescue/server-rescue-req-with-image-ref"),
    Case("os-rescue/server-get-resp-rescue", "GET", "/servers/{server}",
         after(({"rescue": None}, "RESCUE")), by="member"),
    Case("os-rescue/server-get-resp-unrescue", "GET", "/servers/{server}",
         after(({"rescue": None}, "RESCUE"), ({"unrescue": None}, "ACTIVE")), by="member"),
    Case("os-preserve-ephemeral-rebuild/server-action-rebuild-preserve-ephemeral-resp", "POST",
         _ACTION, running, status=202,
         request="os-preserve-ephemeral-rebuild/server-action-rebuild-preserve-ephemeral"),
    Case("os-multiple-create/multiple-create-post-resp", "POST", "/servers",
         request="os-multiple-create/multiple-create-post-req", status=202),
    Case("os-multiple-create/multiple-create-no-resv-post-resp", "POST", "/servers",
         request="os-multiple-create/multiple-create-no-resv-post-req", status=202),
    Case("server-metadata/server-metadata-all-resp", "PUT", "/servers/{server}/metadata", pair,
         request="server-metadata/server-metadata-all-req"),
    Case("server-metadata/server-metadata-resp", "PUT", "/servers/{server}/metadata/foo", pair,
         request="server-metadata/server-metadata-req"),
    Case("os-server-tags/server-tags-index-resp", "GET", "/servers/{server}/tags", pair),
    Case("os-server-tags/server-tags-put-all-resp", "PUT", "/servers/{server}/tags", running,
         request="os-server-tags/server-tags-put-all-req"),
    Case("os-server-tags/server-tags-show-details-resp", "GET", "/servers/{server}", pair,
         by="member"),
    Case("os-server-tags/servers-tags-details-resp", "GET", "/servers/detail", pair,
         by="member"),
)
