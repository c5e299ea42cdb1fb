# SPDX-License-Identifier: Apache-2.0
"""What images ask of a guest's devices, seen from inside: agent, watchdog, random numbers, UEFI, buses."""

from __future__ import annotations

import subprocess
from xml.etree import ElementTree

from tests.api.cloud_process import wait_for
from tests.host.cloud import PATIENCE, GuestCloud
from tests.host.hypervisor import PrivateLibvirt

_RUNNING, _PAUSED = 1, 3
#: Starts the agent, which says on the console when it freezes and thaws, and says when a password changes.
_AGENT = """
load virtio_console
mount -t ext4 /dev/vdb /tmp && echo kept >/tmp/file && echo "MARK ephemeral mounted"
cat >/etc/hook <<'HOOK'
#!/bin/sh
echo "MARK agent $1" >/dev/console
[ "$1" = thaw ] && [ -e /etc/alarmed ] && watchdog -T 2 -t 60 /dev/watchdog
exit 0
HOOK
chmod +x /etc/hook; touch /etc/alarmed
for p in /sys/class/virtio-ports/*; do
  grep -q guest_agent $p/name || continue
  qemu-ga -d -m virtio-serial -p /dev/$(basename $p) -t /run -F/etc/hook -f /run/ga.pid
done
(o='*'; while sleep 0.3; do
  n=$(sed -n 's/^root:\\([^:]*\\):.*/\\1/p' /etc/shadow)
  [ "$n" = "$o" ] || echo "MARK password $n" >/dev/console; o=$n
done) &
"""
_RANDOM = """
load virtio_rng
echo "MARK rng $(cat /sys/class/misc/hw_random/rng_current) $(head -c 8 /dev/hwrng | wc -c)"
"""
_WATCHDOG = """
load i6300esb
echo "MARK watchdog $(cat /sys/class/watchdog/watchdog0/identity 2>/dev/null)"
"""
#: Lets the watchdog run out once the guest has said all that it says of itself.
_HANGS = "(until pidof nc; do sleep 1; done; sleep 2; watchdog -T 2 -t 60 /dev/watchdog) >/dev/null &\n"


def _image(cloud: GuestCloud, rich: bytes, name: str, **properties: str) -> str:
    return cloud.upload(name, rich, "qcow2", **properties)


def test_a_guest_with_an_agent_takes_a_password_and_holds_still_for_a_snapshot(
    cloud: GuestCloud, hypervisor: PrivateLibvirt, rich_image: bytes
) -> None:
    image = _image(
        cloud, rich_image, "agent", hw_qemu_guest_agent="yes", os_require_quiesce="yes",
        hw_rng_model="virtio", hw_watchdog_action="reset",
    )
    flavor = cloud.flavor("agile", ram=192, disk=1, ephemeral=1, specs={"hw_rng:allowed": "true"})
    uuid = cloud.boot("agile", flavor=flavor, image=image, script=_AGENT + _RANDOM + _WATCHDOG)
    cloud.reach(uuid, "ACTIVE")
    cloud.says(uuid, "MARK ready")
    text = cloud.console(uuid)
    assert "MARK ephemeral mounted" in text
    assert "MARK rng virtio_rng.0 8" in text
    assert "MARK watchdog i6300ESB timer" in text

    cloud.act(uuid, "changePassword", {"adminPass": "blåbär &c"})
    cloud.reach(uuid, "ACTIVE")
    stored = cloud.says(uuid, r"MARK password (\S+)").group(1)
    assert stored == _crypt("blåbär &c", stored)

    kept = cloud.act(uuid, "createImage", {"name": "still"}).json["image_id"]
    cloud.reach(uuid, "ACTIVE")
    assert cloud.call("image", "GET", f"/v2/images/{kept}").json["status"] == "active"
    cloud.says(uuid, "MARK agent freeze")
    cloud.says(uuid, "MARK agent thaw")

    # Thawed, the guest stops feeding its watchdog, which resets it; the new one has no agent yet.
    cloud.says(uuid, "MARK start", times=2)
    cloud.remove(uuid)


def _crypt(password: str, stored: str) -> str:
    """The password as the guest stores it, with the same salt."""
    return subprocess.run(
        ["busybox", "mkpasswd", "-m", "sha512", "-S", stored.split("$")[2], password], capture_output=True,
        text=True, check=True,
    ).stdout.strip()


def test_a_guest_of_uefi_starts_from_its_disk_on_the_buses_of_its_image(
    cloud: GuestCloud, hypervisor: PrivateLibvirt, rich_image: bytes
) -> None:
    image = _image(
        cloud, rich_image, "uefi", hw_firmware_type="uefi", hw_disk_bus="scsi", hw_cdrom_bus="scsi",
        hw_scsi_model="virtio-scsi", hw_machine_type="q35", hw_vif_model="e1000", hw_video_model="vga",
        hw_watchdog_action="poweroff",
    )
    script = (
        'echo "MARK firmware $(ls /sys/firmware | tr "\\n" ,)"\n'
        'echo "MARK disks $(ls /sys/block | grep ^sd | tr "\\n" ,)"\n' + _WATCHDOG
        + _HANGS
    )
    flavor = cloud.flavor("modern", ram=256, disk=1)
    uuid = cloud.boot("modern", flavor=flavor, image=image, script=script)
    signed = _image(
        cloud, rich_image, "signed", hw_firmware_type="uefi", hw_machine_type="q35",
        os_secure_boot="required",
    )
    suspicious = cloud.boot("suspicious", flavor=flavor, image=signed)
    cloud.reach(uuid, "ACTIVE")
    domain = ElementTree.fromstring(hypervisor.virsh("dumpxml", uuid).stdout)
    assert domain.findtext("os/nvram") == str(cloud.files(uuid) / "nvram")
    assert (cloud.files(uuid) / "nvram").exists()
    controllers = domain.findall("devices/controller[@type='scsi']")
    assert {each.get("model") for each in controllers} == {"virtio-scsi"}
    video = domain.find("devices/video/model")
    assert video is not None
    assert video.get("type") == "vga"
    cloud.says(uuid, "MARK ready")
    text = cloud.console(uuid)
    assert "efi," in cloud.says(uuid, "MARK firmware (.*)").group(1)
    assert "MARK disks sda," in text
    cloud.says(uuid, "MARK lease 10.0.2.15")
    # The watchdog switches it off, which shows like any other stop.
    cloud.reach(uuid, "SHUTOFF")
    cloud.remove(uuid)
    assert not cloud.files(uuid).exists()

    # Where signatures are required the same image, which has none, is not started.
    cloud.reach(suspicious, "ACTIVE")
    cloud.says(suspicious, "failed to load .*Access Denied")
    assert "MARK start" not in cloud.console(suspicious)
    cloud.remove(suspicious)


def test_a_watchdog_pauses_a_guest_or_only_notes_that_it_hangs(
    cloud: GuestCloud, hypervisor: PrivateLibvirt, rich_image: bytes
) -> None:
    script = _WATCHDOG + _HANGS
    flavor = cloud.flavor("watched", ram=192)
    guests = {}
    with subprocess.Popen(
        ["stdbuf", "-oL", "virsh", "-c", hypervisor.uri, "event", "--event", "watchdog", "--loop",
         "--timeout", "400"],
        stdout=subprocess.PIPE, text=True,
    ) as listener:
        for action in ("pause", "none"):
            image = _image(cloud, rich_image, action, hw_watchdog_action=action)
            guests[action] = cloud.boot(action, flavor=flavor, script=script, image=image)
        assert listener.stdout is not None
        fired: set[str] = set()
        while fired != guests.keys() and (line := listener.stdout.readline()):
            fired |= {action for action in guests if line.strip().endswith(f": {action}")}
        listener.terminate()
    assert fired == guests.keys()
    assert cloud.reach(guests["none"], "ACTIVE")["OS-EXT-STS:power_state"] == _RUNNING
    wait_for(
        lambda: cloud.server(guests["pause"])["OS-EXT-STS:power_state"] == _PAUSED,
        lambda: f"{cloud.server(guests['pause'])}", PATIENCE,
    )
    reason = hypervisor.virsh("domstate", guests["pause"], "--reason").stdout.strip()
    assert reason == "paused (watchdog)"
    for uuid in guests.values():
        assert "MARK watchdog i6300ESB timer" in cloud.console(uuid)
        assert cloud.console(uuid).count("MARK start") == 1
    # A hard reboot brings the paused one back.
    cloud.act(guests["pause"], "reboot", {"type": "HARD"})
    cloud.says(guests["pause"], "MARK start", times=2)
    cloud.reach(guests["pause"], "ACTIVE")
    for uuid in guests.values():
        cloud.remove(uuid)


def test_what_a_guest_has_no_agent_for_is_refused_with_the_reason(cloud: GuestCloud) -> None:
    image = cloud.upload("strict", cloud.image_path.read_bytes(), "qcow2", os_require_quiesce="yes")
    uuid = cloud.boot("mute", image=image)
    cloud.reach(uuid, "ACTIVE")
    answer = cloud.compute(
        "POST", f"/servers/{uuid}/action", {"changePassword": {"adminPass": "secret"}}
    )
    assert answer.status == 409
    assert "agent is not enabled" in answer.json["conflictingRequest"]["message"]
    kept = cloud.act(uuid, "createImage", {"name": "restless"}).json["image_id"]
    assert "os_require_quiesce" in cloud.fault(uuid, "createImage")
    assert cloud.call("image", "GET", f"/v2/images/{kept}").status == 404
    cloud.reach(uuid, "ACTIVE")
    cloud.remove(uuid)
