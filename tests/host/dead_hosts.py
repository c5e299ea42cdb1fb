# SPDX-License-Identifier: Apache-2.0
"""Real guests whose host dies, with disks of its own and with shared ones: minutes, not in ``make test``.

``make test-host LONG=1`` runs it.
"""

from __future__ import annotations

import contextlib
import os

import pytest

from tests.host.guest_cluster import GuestCluster, GuestHost
from tests.host.test_two_hosts import cloud as cloud
from tests.host.test_two_hosts import guests as guests
from tests.host.test_two_hosts import has_its_volume, keep

pytestmark = pytest.mark.timeout(900)


def _die(cloud: GuestCluster, host: GuestHost) -> None:
    """A host that is cut off: no service, no hypervisor, no guest."""
    host.kill_compute()
    host.libvirt.kill_libvirtd()
    for file in (host.libvirt.root / "run/qemu").glob("*.pid"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(file.read_text()), 9)
    cloud.until(lambda: not cloud.up(host), "the host counts as down")


def test_guests_of_a_dead_host_are_evacuated(cloud: GuestCluster, guests: tuple[str, str]) -> None:
    first, second = guests
    if cloud.host_of(first) is cloud.host_of(second):
        cloud.migrate_live(second)
        cloud.reach(second, "ACTIVE", on=cloud.other(cloud.host_of(first)))
    dead = cloud.host_of(first)
    alive = cloud.other(dead)
    _die(cloud, dead)
    cloud.act(first, "evacuate", {})
    cloud.reach(first, "ACTIVE", on=alive)
    cloud.says(first, "MARK ready")
    assert "MARK kept vda precious" not in cloud.console(first), "its disk was lost with its host"
    has_its_volume(cloud, first)
    # What is left on the dead host goes when it is back.
    dead.libvirt.start_libvirtd("--listen")
    dead.compute.start()
    cloud.until(lambda: cloud.up(dead), "the host is back")
    cloud.until(lambda: dead.files(first) == [], "its leftovers are gone")
    cloud.until(lambda: first not in dead.libvirt.domains(), "its description is gone")
    assert cloud.server(first)["OS-EXT-SRV-ATTR:host"] == alive.name
    has_its_volume(cloud, first)


def test_on_shared_disks_guests_move_and_outlive_their_host(
    cloud: GuestCluster, guests: tuple[str, str]
) -> None:
    """A guest of its own: the others' disks are out of sight meanwhile."""
    owner = cloud.host_of(guests[0])
    cloud.other(owner).use(owner)
    try:
        uuid = cloud.boot("shared", owner)
        cloud.reach(uuid, "ACTIVE")
        cloud.says(uuid, "MARK ready")
        keep(cloud, uuid, "steady")
        migration = cloud.migrate_live(uuid)
        assert cloud.api.ask("DELETE", f"/servers/{uuid}/migrations/{migration['id']}")[0] == 202
        cloud.reach(uuid, "ACTIVE", on=owner)
        assert cloud.move_of(uuid)["status"] == "cancelled"
        cloud.migrate_live(uuid)
        dest = cloud.other(owner)
        cloud.reach(uuid, "ACTIVE", on=dest)
        assert dest.files(uuid) == [uuid]
        _die(cloud, dest)
        cloud.act(uuid, "evacuate", {})
        cloud.reach(uuid, "ACTIVE", on=owner)
        cloud.says(uuid, "MARK kept vda steady")
        dest.libvirt.start_libvirtd("--listen")
        dest.compute.start()
        cloud.until(lambda: cloud.up(dest), "the host is back")
        cloud.until(lambda: uuid not in dest.libvirt.domains(), "its description is gone")
        assert owner.files(uuid) == [uuid], "the disks are the other host's by now"
        assert "running" in owner.libvirt.virsh("domstate", uuid).stdout
        cloud.remove(uuid)
    finally:
        cloud.other(owner).use(cloud.other(owner))
