# SPDX-License-Identifier: Apache-2.0
"""Real guests on two hosts with daemons of their own, through the API: life, moves, deaths of nova-compute.

The tests share two guests with a volume each and two hosts, and each leaves both guests running. Those of
hosts that die are in ``dead_hosts.py``.
"""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.host.conftest import _refuse
from tests.host.guest_cluster import PATIENCE, USER, GuestCluster, GuestHost, running
from tests.host.hypervisor import program_missing
from tests.services.servers import MissingServer

pytestmark = pytest.mark.timeout(400)

#: The volume that each of the shared guests has all the time.
VOLUMES: dict[str, str] = {}


@pytest.fixture(scope="module")
def cloud(parts: None, image: Path) -> Iterator[GuestCluster]:
    """The control side and two hosts."""
    if missing := program_missing(["dnsmasq", "nft", "setpriv", "nsenter"]):
        _refuse(f"{', '.join(missing)} not installed (make system-parts)")
    try:
        with running(image) as made:
            yield made
    except MissingServer as error:
        _refuse(str(error))


@pytest.fixture(scope="module")
def guests(cloud: GuestCluster) -> Iterator[tuple[str, str]]:
    """A guest on each host, begun side by side."""
    first, second = (cloud.boot(f"größe{n}", host) for n, host in enumerate(cloud.hosts, 1))
    for uuid, host in zip((first, second), cloud.hosts, strict=True):
        cloud.reach(uuid, "ACTIVE", on=host)
        cloud.says(uuid, "MARK ready")
        VOLUMES[uuid] = cloud.attach_volume(uuid)
        _write_to_volume(cloud, uuid)
    yield first, second
    cloud.remove(first, second)
    for uuid in (first, second):
        assert cloud.volume(uuid, VOLUMES.pop(uuid))["status"] == "available"


def _address(cloud: GuestCluster, uuid: str) -> str:
    (cards,) = cloud.server(uuid)["addresses"].values()
    return str(cards[0]["addr"])


def _serial(cloud: GuestCluster, uuid: str) -> tuple[str, int]:
    """Where the present host of a guest serves its serial line."""
    host = cloud.host_of(uuid)
    xml = host.libvirt.virsh("dumpxml", uuid).stdout
    found = re.search(r"<source mode='bind' host='([\d.]+)' service='(\d+)'", xml)
    assert found is not None, xml
    assert found[1] == host.address
    return found[1], int(found[2])


def _typed(cloud: GuestCluster, uuid: str, command: str, pattern: str) -> str:
    """What a guest answers on its serial line, which its present host serves."""
    line_at = _serial(cloud, uuid)
    deadline = time.monotonic() + PATIENCE
    seen = ""
    with socket.create_connection(line_at, 30) as line:
        line.settimeout(3)
        while not re.search(pattern, seen):
            assert time.monotonic() < deadline, seen
            line.sendall(f"\n{command}\n".encode())
            try:
                while not re.search(pattern, seen):
                    piece = line.recv(4096)
                    assert piece, seen
                    seen += piece.decode(errors="replace")
            except TimeoutError:
                continue
    return seen


#: What a guest says of its volume: the serial number, and what is written there, past the page cache.
_READ_VOLUME = (
    'echo 1 >/proc/sys/vm/drop_caches; test -b /dev/vdb && echo "has $(cat /sys/block/vdb/serial) '
    '$(dd if=/dev/vdb bs=512 skip=40000 count=1 2>/dev/null | head -c 36)"'
)


def _write_to_volume(cloud: GuestCluster, uuid: str) -> None:
    """Let a guest write its uuid to its volume, and see it there from inside and from outside.

    A guest's kernel takes a moment to show a disk that was plugged. What is written to ``/dev/vdb`` before
    becomes a file of that name in memory, which stays in the disk's way until the guest starts anew.
    """
    write = f"test -b /dev/vdb && printf {uuid} | dd of=/dev/vdb bs=512 seek=40000 conv=notrunc,fsync"
    _typed(cloud, uuid, f"{write}; {_READ_VOLUME}", f"has {VOLUMES[uuid][:20]} {uuid}")
    assert cloud.in_volume(VOLUMES[uuid], 40000 * 512, 36) == uuid.encode()


def has_its_volume(cloud: GuestCluster, uuid: str) -> None:
    """A guest has the volume that it got at first, with what it wrote; its host alone has it open."""
    volume = VOLUMES[uuid]
    assert cloud.in_volume(volume, 40000 * 512, 36) == uuid.encode(), "its volume has lost what was written"
    _typed(cloud, uuid, _READ_VOLUME, f"has {volume[:20]} {uuid}")
    cloud.until(
        lambda: [each["host_name"] for each in cloud.volume(uuid, volume)["attachments"]]
        == [cloud.host_of(uuid).name],
        f"volume {volume} is attached to {uuid} once",
    )
    assert cloud.volume(uuid, volume)["status"] == "in-use"


def keep(cloud: GuestCluster, uuid: str, text: str) -> None:
    """Leave a text on the root disk, where the guest looks at every boot."""
    command = f"printf {text} | dd of=/dev/vda bs=512 seek=160000 conv=notrunc; sync; echo kept $((6 * 7))"
    _typed(cloud, uuid, command, "kept 42")


def test_guests_boot_under_daemons_of_a_plain_user(cloud: GuestCluster, guests: tuple[str, str]) -> None:
    for host, uuid in zip(cloud.hosts, guests, strict=True):
        assert f"MARK lease {_address(cloud, uuid)} " in cloud.console(uuid)
        assert host.compute.process is not None
        status = Path(f"/proc/{host.compute.process.pid}/status").read_text()
        assert re.search(rf"^Uid:\t{USER}\t", status, re.MULTILINE)
        assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE), "nova-compute needs no capability"
    # Guests of two hosts are on one network.
    _typed(cloud, guests[0], f"ping -c 3 -W 10 {_address(cloud, guests[1])}", r"[^0]0% packet loss")


def test_no_packet_between_guests_is_lost_while_every_daemon_dies(
    cloud: GuestCluster, guests: tuple[str, str]
) -> None:
    address = _address(cloud, guests[1])
    line = _serial(cloud, guests[0])
    daemons = [
        each for host in cloud.hosts for each in (host.compute, host.network)
    ] + list(cloud.cluster.daemons.values())
    with socket.create_connection(line, 30) as screen:
        screen.settimeout(PATIENCE)
        screen.sendall(f"\nping -c 25 -W 10 {address}; echo pinged\n".encode())
        seen = screen.recv(4096)
        while b" bytes from " not in seen:
            seen += screen.recv(4096)
        for daemon in daemons:
            daemon.end(signal.SIGKILL)
        for daemon in daemons:
            daemon.start()
        while not re.search(rb"packet loss", seen):
            piece = screen.recv(4096)
            assert piece, seen
            seen += piece
    assert re.search(rb"[^0-9]0% packet loss", seen), seen
    cloud.wait_ready()


def test_running_guests_move_with_their_disks_lines_and_screens(
    cloud: GuestCluster, guests: tuple[str, str]
) -> None:
    first, second = guests
    source = cloud.host_of(first)
    dest = cloud.other(source)
    migration = cloud.migrate_live(first)
    assert (migration["status"], migration["dest_compute"]) == ("running", dest.name)
    assert migration["memory_total_bytes"] or migration["disk_total_bytes"]
    cloud.reach(first, "ACTIVE", on=dest)
    assert cloud.move_of(first)["status"] == "completed"
    assert (source.files(first), dest.files(first)) == ([], [first])
    assert first not in source.libvirt.domains()
    assert cloud.console(first).count("MARK start") == 1, "it must go on, not boot"
    # What was typed is answered from where it is now, the log goes on, and so does the screen.
    _typed(cloud, first, "echo moved $((6 * 7))", "moved 42")
    cloud.says(first, "moved 42")
    display = dest.libvirt.virsh("domdisplay", "--type", "vnc", first).stdout.strip()
    port = 5900 + int(display.rpartition(":")[2])
    with socket.create_connection((dest.address, port), 60) as screen:
        assert screen.recv(12) == b"RFB 003.008\n"

    # The other one has to end at once.
    assert cloud.migrate_live(second)["status"] == "running"
    migration = cloud.ask("GET", f"/servers/{second}/migrations")["migrations"][0]
    cloud.act_on_migration(second, migration["id"], "force_complete")
    cloud.reach(second, "ACTIVE", on=source)
    for uuid in guests:
        has_its_volume(cloud, uuid)
    _typed(cloud, second, "echo hurried $((6 * 7))", "hurried 42")
    assert cloud.console(second).count("MARK start") == 1


def test_an_aborted_move_leaves_the_guest_and_nothing_else(
    cloud: GuestCluster, guests: tuple[str, str]
) -> None:
    uuid = guests[0]
    source = cloud.host_of(uuid)
    dest = cloud.other(source)
    migration = cloud.migrate_live(uuid)
    status, _ = cloud.api.ask("DELETE", f"/servers/{uuid}/migrations/{migration['id']}")
    assert status == 202
    cloud.reach(uuid, "ACTIVE", on=source)
    assert cloud.move_of(uuid)["status"] == "cancelled"
    assert dest.files(uuid) == []
    assert uuid not in dest.libvirt.domains()
    has_its_volume(cloud, uuid)


def test_guests_are_resized_to_the_other_host_and_taken_back_or_kept(
    cloud: GuestCluster, guests: tuple[str, str]
) -> None:
    homes = {uuid: cloud.host_of(uuid) for uuid in guests}
    for uuid in guests:
        cloud.act(uuid, "resize", {"flavorRef": cloud.flavors["large"]})
    for uuid in guests:
        cloud.reach(uuid, "VERIFY_RESIZE", on=cloud.other(homes[uuid]))
        assert homes[uuid].files(uuid) == [f"{uuid}_resize"]
        cloud.says(uuid, f"MARK block vda {1 << 21}")
    back, kept = guests
    cloud.act(back, "revertResize")
    cloud.act(kept, "confirmResize")
    cloud.reach(back, "ACTIVE", on=homes[back])
    cloud.reach(kept, "ACTIVE", on=cloud.other(homes[kept]))
    for uuid, here in ((back, homes[back]), (kept, cloud.other(homes[kept]))):
        cloud.until(
            lambda uuid=uuid, here=here: cloud.other(here).files(uuid) == [], f"{uuid} is on one host"
        )
        assert here.files(uuid) == [uuid]
    # And down again in all but its disk, which never gets smaller.
    cloud.act(kept, "resize", {"flavorRef": cloud.flavors["small"]})
    cloud.reach(kept, "VERIFY_RESIZE", on=homes[kept])
    _typed(cloud, kept, "echo cpus-$(nproc)", "cpus-1")
    cloud.act(kept, "confirmResize")
    cloud.reach(kept, "ACTIVE", on=homes[kept])
    for uuid in guests:
        has_its_volume(cloud, uuid)


def test_a_shelved_guest_comes_back_on_the_other_host_with_its_disk(
    cloud: GuestCluster, guests: tuple[str, str]
) -> None:
    shelved, rebuilt = guests
    home = cloud.host_of(shelved)
    keep(cloud, shelved, "precious")
    cloud.act(shelved, "shelve")
    # Meanwhile the other one is backed up, of which one copy stays, and begins anew.
    for name in ("monday", "tuesday"):
        cloud.act(rebuilt, "createBackup", {"name": name, "backup_type": "daily", "rotation": 1})
        cloud.reach(rebuilt, "ACTIVE")
    found = cloud.ask("GET", "/images?name=tuesday", base=cloud.api.image_base)["images"]
    assert [each["status"] for each in found] == ["active"]
    cloud.until(
        lambda: not cloud.ask("GET", "/images?name=monday", base=cloud.api.image_base)["images"],
        "the older backup is gone",
    )
    cloud.act(rebuilt, "rebuild", {"imageRef": cloud.image_id})
    cloud.reach(shelved, "SHELVED_OFFLOADED")
    assert home.files(shelved) == []
    service = _service(cloud, home)
    cloud.ask("PUT", f"/os-services/{service}", {"status": "disabled"})
    cloud.act(shelved, "unshelve")
    cloud.reach(shelved, "ACTIVE", on=cloud.other(home))
    cloud.ask("PUT", f"/os-services/{service}", {"status": "enabled"})
    cloud.says(shelved, "MARK kept vda precious")
    cloud.reach(rebuilt, "ACTIVE")
    for uuid in guests:
        has_its_volume(cloud, uuid)


def _service(cloud: GuestCluster, host: GuestHost) -> str:
    (found,) = cloud.ask("GET", f"/os-services?binary=nova-compute&host={host.name}")["services"]
    return str(found["id"])


def _kill_at(cloud: GuestCluster, host: GuestHost, moment: Callable[[], bool], what: str) -> None:
    """Kill a host's nova-compute at a moment, and start it again."""
    deadline = time.monotonic() + PATIENCE
    while not moment():
        assert time.monotonic() < deadline, (what, cloud.tails())
        time.sleep(0.01)
    host.kill_compute()
    host.compute.start()


def test_a_killed_compute_service_ends_what_it_had_begun(
    cloud: GuestCluster, guests: tuple[str, str], image: Path
) -> None:
    """While it fetches an image for a boot, while it takes a guest off for a resize, while it copies one."""
    moving, resized = guests
    source = cloud.host_of(moving)
    fresh = cloud.upload("fresh", image.read_bytes(), "qcow2")
    booted = cloud.boot("interrupted", source, imageRef=fresh)
    _kill_at(cloud, source, lambda: source.files(booted) != [], "the boot begins")
    cloud.reach(booted, "ACTIVE", on=source)

    old = cloud.host_of(resized)
    cloud.act(resized, "migrate")
    _kill_at(cloud, old, lambda: cloud.server(resized)["OS-EXT-STS:task_state"] == "resize_migrating",
             "the move begins")
    cloud.reach(resized, "VERIFY_RESIZE", on=cloud.other(old))
    cloud.act(resized, "confirmResize")
    cloud.reach(resized, "ACTIVE")

    source = cloud.host_of(moving)
    cloud.migrate_live(moving)
    source.kill_compute()
    source.compute.start()
    cloud.reach(moving, "ACTIVE")
    cloud.until(lambda: cloud.move_of(moving)["status"] in ("completed", "error"), "the move ends")
    here = cloud.host_of(moving)
    cloud.until(lambda: cloud.other(here).files(moving) == [], "nothing of it is left elsewhere")
    assert moving not in cloud.other(here).libvirt.domains()
    assert here.files(moving) == [moving]
    for uuid in guests:
        has_its_volume(cloud, uuid)
    cloud.says(booted, "MARK ready")
    cloud.remove(booted)


def test_what_happens_behind_the_clouds_back_is_seen(cloud: GuestCluster, guests: tuple[str, str]) -> None:
    inside, outside = guests
    _typed(cloud, inside, "poweroff -f; echo off $((6 * 7))", "off 42|poweroff -f")
    host = cloud.host_of(outside)
    host.libvirt.virsh("destroy", outside)
    stranger = _stranger(host)
    for uuid in guests:
        cloud.reach(uuid, "SHUTOFF")
    times = host.log().count("qemu:///system is back")
    host.libvirt.kill_libvirtd()
    host.libvirt.start_libvirtd("--listen")
    cloud.until(lambda: host.log().count("qemu:///system is back") > times, "libvirtd is found again")
    cloud.act(outside, "os-start")
    cloud.act(inside, "os-start")
    for uuid in guests:
        cloud.reach(uuid, "ACTIVE")
    # What is not ours is said, and left alone.
    said = f"domain {stranger} runs here and belongs to no server"
    cloud.until(lambda: said in host.log(), "the stranger is reported")
    assert stranger in host.libvirt.virsh("list", "--uuid").stdout
    host.libvirt.virsh("destroy", stranger)


def _stranger(host: GuestHost) -> str:
    """A domain that belongs to no server; returns its uuid."""
    file = host.libvirt.root / "stranger.xml"
    file.write_text(
        "<domain type='qemu'><name>stranger</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>"
        "<os><type arch='x86_64'>hvm</type></os><devices/></domain>"
    )
    host.libvirt.virsh("create", str(file))
    return host.libvirt.virsh("domuuid", "stranger").stdout.strip()
