# SPDX-License-Identifier: Apache-2.0
"""Two hosts with disks of their own, or shared ones: guests move between them, off and running.

The driver runs in each host's namespaces, as nova-compute would; the two see each other by libvirt alone.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import re
import subprocess
import sys
import time
import uuid as uuids
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nova.objects.instance import BlockDevice, Instance
from tests.api.cloud_process import ROOT
from tests.host.block_services import (
    HEARTBEAT,
    SIZE,
    beats,
    connection,
    elsewhere,
    empty,
    export,
    grows,
    has_iscsi,
    iscsi,
    nbd,
)
from tests.host.hypervisor import PrivateLibvirt
from tests.unit.virt.guests import flavor, instance

#: Where both hosts keep their guests: a directory of its own for each, bound to the same name.
PLACE = Path("/var/tmp/nova-host-instances")


@dataclasses.dataclass
class Host:
    """One host."""

    libvirt: PrivateLibvirt
    address: str
    image: Path

    def call(
        self, method: str, guest: Instance, *arguments: Any, fails: bool = False,
        more: dict[str, Any] | None = None, **how: Any,
    ) -> str:
        """Call the driver there; returns its answer, or its complaint where it has to fail."""
        request = {
            "options": {
                "DEFAULT.host": self.address, "DEFAULT.fake_network": True, "libvirt.virt_type": "qemu",
                "DEFAULT.instances_path": str(PLACE), "DEFAULT.shutdown_timeout": 6,
                "libvirt.live_migration_uri": "qemu+tcp://%s/system",
                **(more or {}),
            }, "method": method, "instance": guest, "arguments": arguments, "image": str(self.image), **how,
        }
        done = subprocess.run(
            self.libvirt.enter(sys.executable, "-m", "tests.host.driver_process"),
            input=msgspec.json.encode(request), capture_output=True, cwd=ROOT, timeout=120,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(ROOT)},
        )
        if fails:
            assert done.returncode == 1, (done.stdout, done.stderr)
            return done.stderr.decode()
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def spawn(self, guest: Instance) -> None:
        assert self.call("spawn", guest, with_spec=True) == "1"

    def console(self, guest: Instance) -> str:
        return self.libvirt.run("sh", "-c", f"cat {PLACE}/{guest.uuid}/console.log 2>/dev/null", check=False)

    def says(self, guest: Instance, pattern: str) -> None:
        deadline = time.monotonic() + 180
        while not re.search(pattern, self.console(guest)):
            assert time.monotonic() < deadline, self.console(guest)[-2000:]
            time.sleep(0.3)

    def files(self) -> str:
        return self.libvirt.run("ls", str(PLACE))


@pytest.fixture(scope="module")
def hosts(parts: None, image: Path) -> Iterator[tuple[Host, Host]]:
    """Two hosts with disks of their own, joined by a cable."""
    first, second = PrivateLibvirt("moveone"), PrivateLibvirt("movetwo")
    made = []
    PLACE.mkdir(exist_ok=True)
    PLACE.chmod(0o755)
    try:
        for number, each in enumerate((first, second), 1):
            each.start(
                'listen_tls = 0\nlisten_tcp = 1\nauth_tcp = "none"\n'
                f'host_uuid = "{uuids.uuid4()}"\n', "--listen",
            )
            own = each.root / "instances"
            own.mkdir(mode=0o711)
            each.run("mount", "--bind", str(own), str(PLACE))
            made.append(Host(each, f"172.30.7.{number}", image))
        subprocess.run(
            ["ip", "link", "add", "nvmv0", "netns", str(first.holder), "type", "veth",
             "peer", "name", "nvmv1", "netns", str(second.holder)], check=True,
        )
        for number, each in enumerate((first, second)):
            each.run("ip", "addr", "add", f"172.30.7.{number + 1}/24", "dev", f"nvmv{number}")
            each.run("ip", "link", "set", f"nvmv{number}", "up")
        yield made[0], made[1]
    finally:
        first.stop()
        second.stop()
        PLACE.rmdir()


def _guest(**values: Any) -> Instance:
    return instance(
        uuid=str(uuids.uuid4()), id=int(time.monotonic() * 1000) % 10**6, memory_mb=128, vcpus=1,
        root_gb=1, name="mover", config_drive="True", **values,
    )


def test_a_guest_that_waits_for_its_network_stands_still_and_moves_with_its_root_volume(
    hosts: tuple[Host, Host]
) -> None:
    source, dest = hosts
    served = Served(source.libvirt.root / "roots")
    root = served.path / "root"
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(source.image), str(root)], check=True)
    root.chmod(0o666)
    here = msgspec.structs.replace(
        connection(9, "file", device_path=str(root), format="raw"), boot_index=0
    )
    there = elsewhere(here, device_path=str(served.link("root")))
    guest = _guest(image_ref="", block_devices=(
        BlockDevice(source_type="volume", destination_type="volume", boot_index=0, volume_id=here.volume_id),
    ))
    for _ in range(2):
        spawned = source.call("spawn", guest, with_spec=True, paused=True, volumes=[here])
        assert spawned == "3", "it may be asked for twice"
    assert "paused" in source.libvirt.virsh("domstate", guest.uuid).stdout
    assert source.console(guest) == "", "it has not begun"
    arrival = msgspec.json.decode(dest.call("arrival", guest, volumes=[there]))
    source.call("live_migrate", guest, dest.address, arrival=arrival)
    assert dest.call("live_migrated_in", guest, with_spec=True, volumes=[there]) == "1"
    source.call("forget_outgoing", guest)
    assert dest.call("unpause", guest) == "1"
    dest.says(guest, "MARK ready")
    assert f"<source file='{there.text('device_path')}'" in dest.libvirt.virsh("dumpxml", guest.uuid).stdout
    dest.call("destroy", guest)
    assert guest.uuid not in source.files() + dest.files()


def test_a_guest_is_resized_to_another_host_and_comes_back(hosts: tuple[Host, Host]) -> None:
    source, dest = hosts
    guest = _guest(ephemeral_gb=1, swap=8)
    larger = msgspec.structs.replace(
        guest, root_gb=2, memory_mb=160, ephemeral_gb=2,
        flavor=flavor(root_gb=2, vcpus=1, ephemeral_gb=2, swap=16),
    )
    source.spawn(guest)
    source.says(guest, "MARK ready")
    source.call("migrate_out", guest, dest.address)
    assert guest.uuid not in source.libvirt.domains()
    assert f"{guest.uuid}_resize" in source.files()
    assert dest.call("migrate_in", larger, source.address, with_spec=True) == "1"
    dest.says(guest, f"MARK block vda {2 << 21}")
    dest.says(guest, f"MARK block vdb {2 << 21}")
    dest.says(guest, f"MARK block vdc {16 << 11}")
    dest.says(guest, f"MARK config-drive {guest.uuid}")

    # Reverted: there it goes, here it is again.
    dest.call("destroy", guest)
    assert guest.uuid not in dest.files()
    assert source.call("revert_outgoing", guest, with_spec=True) == "1"
    assert f"{guest.uuid}_resize" not in source.files()

    # And confirmed.
    source.call("migrate_out", guest, dest.address)
    dest.call("migrate_in", larger, source.address, with_spec=True)
    source.call("forget_outgoing", guest)
    assert guest.uuid not in source.files()
    assert dest.libvirt.domains() == [guest.uuid]
    dest.call("destroy", guest)


def test_a_running_guest_moves_with_its_disks_and_volumes(hosts: tuple[Host, Host]) -> None:
    """Volumes: a file that the other host has by another path, NBD, iSCSI with a password, an export."""
    source, dest = hosts
    served = Served(source.libvirt.root / "volumes")
    guest = _guest(user_data=base64.b64encode(HEARTBEAT.encode()).decode())
    with contextlib.ExitStack() as stack:
        network = {"nbd": nbd, **({"iscsi": iscsi} if has_iscsi() else {})}
        here = [connection(1, "file", device_path=str(served.file("file")), format="raw")] + [
            stack.enter_context(serve(source.libvirt, source.address, served.file(kind), number))
            for number, (kind, serve) in enumerate(network.items(), 2)
        ]
        both = [each.libvirt for each in hosts]
        on_export, directory = stack.enter_context(export(both, PLACE.parent / "mnt", 4))
        here.append(on_export)
        snapshotted = on_export.volume_id
        assert source.call("spawn", guest, with_spec=True, volumes=here) == "1"
        source.says(guest, "MARK ready")
        _goes_to_a_snapshot(source, guest, snapshotted, directory)

        there = [elsewhere(here[0], device_path=str(served.link("file"))), *here[1:-1],
                 elsewhere(on_export, name="first", format="qcow2")]
        arrival = msgspec.json.decode(dest.call("arrival", guest, volumes=there))
        source.call("live_migrate", guest, dest.address, arrival=arrival)
        assert guest.uuid not in source.libvirt.domains()
        assert dest.call("live_migrated_in", guest, with_spec=True, volumes=there) == "1"
        source.call("forget_outgoing", guest)
        assert guest.uuid not in source.files()
        assert dest.console(guest).count("MARK start") == 1, "it must go on, not boot"
        xml = dest.libvirt.virsh("dumpxml", guest.uuid).stdout
        assert str(served.link("file")) in xml
        assert str(served.path / "file") not in xml
        secrets = [each.libvirt.virsh("secret-list").stdout.count("iscsi") for each in hosts]
        assert secrets == [0, len(network) - 1]
        grows(*(served.path / name for name in ("file", *network)))
        _comes_from_a_snapshot(dest, guest, snapshotted, directory)

        # Its disks are whole and its own: it boots from them, config drive and all.
        dest.call("power_off", guest)
        assert dest.call("power_on", guest) == "1"
        deadline = time.monotonic() + 180
        while dest.console(guest).count(f"MARK config-drive {guest.uuid}") < 2:
            assert time.monotonic() < deadline, dest.console(guest)[-2000:]
            time.sleep(0.3)
        grows(*(served.path / name for name in ("file", *network)))
        grows(directory / "second", disk_format="qcow2")
        dest.call("destroy", guest)
        assert guest.uuid not in dest.files()
        assert "iscsi" not in dest.libvirt.virsh("secret-list").stdout


class Served:
    """Files of volumes, and a second path to them."""

    def __init__(self, directory: Path) -> None:
        self.path = directory
        for each in (self.path, self.path / "there"):
            each.mkdir(mode=0o711)

    def file(self, name: str) -> Path:
        return empty(self.path / name)

    def link(self, name: str) -> Path:
        path = self.path / "there" / name
        if not path.exists():
            path.hardlink_to(self.path / name)
        return path


def _overlay(directory: Path, name: str, below: str, disk_format: str) -> None:
    """A file on top of another, as a volume service makes it: by its name alone."""
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", disk_format, "-b", below, name,
         str(SIZE)], cwd=directory, check=True,
    )
    (directory / name).chmod(0o666)


def _below(file: Path) -> str | None:
    said = subprocess.run(
        ["qemu-img", "info", "-U", "--output=json", str(file)], capture_output=True, check=True
    ).stdout
    found = msgspec.json.decode(said).get("backing-filename")
    return None if found is None else str(found)


def _goes_to_a_snapshot(host: Host, guest: Instance, volume_id: str, directory: Path) -> None:
    """The guest writes to a file on top, and to that of before no more; asking twice changes nothing."""
    grows(directory / "volume")
    _overlay(directory, "first", "volume", "raw")
    _overlay(directory, "stray", "first", "qcow2")
    said = host.call("snapshot_volume", guest, volume_id, {"new_file": "stray"}, fails=True)
    assert "not on top of what the guest has" in said
    host.call("snapshot_volume", guest, volume_id, {"new_file": "first"}, times=2)
    kept = beats(directory / "volume")
    grows(directory / "first", disk_format="qcow2")
    assert beats(directory / "volume") == kept


def _comes_from_a_snapshot(host: Host, guest: Instance, volume_id: str, directory: Path) -> None:
    """Of two snapshots the older is merged downwards, and the rest into the file that the guest writes to."""
    _overlay(directory, "second", "first", "qcow2")
    host.call("snapshot_volume", guest, volume_id, {"new_file": "second"})
    host.call(
        "delete_volume_snapshot", guest, volume_id,
        {"file_to_merge": "first", "merge_target_file": "volume"}, times=2,
    )
    assert _below(directory / "second") == "volume", "a name alone: its service has it elsewhere"
    assert beats(directory / "volume") > 0
    host.call(
        "delete_volume_snapshot", guest, volume_id, {"file_to_merge": None, "merge_target_file": None}
    )
    assert _below(directory / "second") is None
    grows(directory / "second", disk_format="qcow2")


def test_a_running_guest_moves_on_shared_storage(hosts: tuple[Host, Host], tmp_path_factory: Any) -> None:
    source, dest = hosts
    for each in hosts:  # the second host sees the first one's directory
        each.libvirt.run("mount", "--bind", str(source.libvirt.root / "instances"), str(PLACE))
    try:
        guest = _guest()
        source.spawn(guest)
        source.says(guest, "MARK ready")
        # Aborted, it stays where it is, with its disks.
        said = source.call(
            "live_migrate", guest, dest.address, fails=True, abort=True,
            more={"libvirt.live_migration_bandwidth": 1},
        )
        assert "aborted" in said
        assert "running" in source.libvirt.virsh("domstate", guest.uuid).stdout
        assert guest.uuid not in dest.libvirt.domains()

        source.call("live_migrate", guest, dest.address)
        assert dest.call("live_migrated_in", guest, with_spec=True) == "1"
        source.call("forget_outgoing", guest)
        # What the old host is told to remove is not its own any more.
        source.call("destroy", guest)
        assert guest.uuid in dest.files()
        assert "running" in dest.libvirt.virsh("domstate", guest.uuid).stdout
        dest.call("destroy", guest)
        assert guest.uuid not in source.files()
    finally:
        for each in hosts:
            each.libvirt.run("umount", str(PLACE))
