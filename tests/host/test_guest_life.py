# SPDX-License-Identifier: Apache-2.0
"""A real guest through the API: what it does is read from its own console."""

from __future__ import annotations

from tests.api.cloud_process import wait_for
from tests.host.cloud import PATIENCE, GuestCloud
from tests.host.hypervisor import PrivateLibvirt


def test_a_guest_lives_through_every_power_action(
    cloud: GuestCloud, hypervisor: PrivateLibvirt
) -> None:
    uuid = cloud.boot("lively", script="echo MARK user data ran")
    cloud.reach(uuid, "ACTIVE")
    cloud.says(uuid, "MARK ready")
    text = cloud.console(uuid)
    assert "MARK cpus 1 memory" in text
    assert f"MARK config-drive {uuid}" in text
    assert "MARK user data ran" in text
    assert f"MARK block vda {1 << 21}" in text  # 1 GiB, in sectors
    assert "MARK lease 10.0.2.15" in text       # QEMU's user-mode network

    found = cloud.compute("GET", f"/servers/{uuid}/diagnostics", by="admin").json
    assert found["state"] == "running"
    assert found["num_cpus"] == 1
    assert found["disk_details"][0]["read_bytes"] > 1 << 20

    cloud.act(uuid, "pause")
    assert cloud.reach(uuid, "PAUSED")["OS-EXT-STS:power_state"] == 3
    assert "paused" in hypervisor.virsh("domstate", uuid).stdout
    cloud.act(uuid, "unpause")
    cloud.reach(uuid, "ACTIVE")

    cloud.act(uuid, "suspend")
    cloud.reach(uuid, "SUSPENDED")
    assert "shut off" in hypervisor.virsh("domstate", uuid).stdout
    cloud.act(uuid, "resume")
    cloud.reach(uuid, "ACTIVE")
    assert cloud.console(uuid).count("MARK start") == 1, "a resumed guest must not boot"

    cloud.act(uuid, "reboot", {"type": "SOFT"})
    cloud.reach(uuid, "ACTIVE")
    cloud.says(uuid, "MARK power-button")
    cloud.says(uuid, "MARK ready", times=2)

    cloud.act(uuid, "os-stop")
    assert cloud.reach(uuid, "SHUTOFF")["OS-EXT-STS:power_state"] == 4
    assert cloud.console(uuid).count("MARK power-button") == 2, "it was not asked to shut down"
    cloud.act(uuid, "os-start")
    cloud.reach(uuid, "ACTIVE")
    cloud.says(uuid, "MARK start", times=3)
    cloud.act(uuid, "reboot", {"type": "HARD"})
    cloud.reach(uuid, "ACTIVE")
    cloud.says(uuid, "MARK start", times=4)

    cloud.remove(uuid)
    assert uuid not in hypervisor.domains()
    assert not cloud.files(uuid).exists()


def test_a_guest_that_stops_by_itself_shows_as_stopped(
    cloud: GuestCloud, hypervisor: PrivateLibvirt
) -> None:
    uuid = cloud.boot("quitter")
    cloud.reach(uuid, "ACTIVE")
    # The periodic comparison comes every ten minutes: what is seen before was told by an event.
    hypervisor.virsh("destroy", uuid)
    cloud.reach(uuid, "SHUTOFF")
    hypervisor.virsh("start", uuid)
    cloud.reach(uuid, "ACTIVE")
    cloud.remove(uuid)


def test_a_restart_of_libvirtd_is_survived(cloud: GuestCloud, hypervisor: PrivateLibvirt) -> None:
    uuid = cloud.boot("steady")
    cloud.reach(uuid, "ACTIVE")
    hypervisor.kill_libvirtd()
    answer = cloud.compute("GET", f"/servers/{uuid}/diagnostics", by="admin")
    assert answer.status == 503, answer.body
    hypervisor.start_libvirtd()
    wait_for(
        lambda: cloud.compute("GET", f"/servers/{uuid}/diagnostics", by="admin").status == 200,
        lambda: "the driver did not find libvirtd again", PATIENCE,
    )
    # Events come again too. The first change may be seen by the comparison that follows a return.
    hypervisor.virsh("destroy", uuid)
    cloud.reach(uuid, "SHUTOFF")
    hypervisor.virsh("start", uuid)
    cloud.reach(uuid, "ACTIVE")
    cloud.remove(uuid)
