# SPDX-License-Identifier: Apache-2.0
"""Small parts of the libvirt driver that need no libvirt: files, console, statistics, config drive."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import msgspec
import pytest

from nova.errors import VirtError
from nova.virt.config_drive import drive_files
from nova.virt.driver import GuestSpec
from nova.virt.libvirt import console, statistics
from nova.virt.libvirt.files import HostFiles
from nova.virt.libvirt.host_topology import host_cpus
from tests.unit.virt.guests import UUID, VIF, instance


@pytest.fixture
def files(tmp_path: Path) -> HostFiles:
    made = HostFiles(tmp_path / "instances", tmp_path / "snapshots", "one")
    made.prepare()
    return made


# --- files -----------------------------------------------------------------------------------------


def test_formats_are_remembered(files: HostFiles) -> None:
    guest = files.guest(UUID)
    guest.make()
    assert guest.formats() == {}
    guest.record("disk", "qcow2")
    guest.record("disk.swap", "raw")
    guest.file("disk.swap").touch()
    guest.remove_disk("disk.swap")
    assert guest.formats() == {"disk": "qcow2"}
    assert not guest.file("disk.swap").exists()


def test_only_own_unfinished_snapshots_are_cleared_at_start(files: HostFiles) -> None:
    """Two hosts may share the directory."""
    other = HostFiles(files.instances, files.snapshots, "two")
    mine, its = files.new_snapshot(UUID), other.new_snapshot(UUID)
    mine.touch()
    its.touch()
    files.prepare()
    assert list(files.snapshots.iterdir()) == [its]


def test_what_a_guest_holds_is_known_across_hosts(files: HostFiles) -> None:
    other = HostFiles(files.instances, files.snapshots, "two")
    files.guest(UUID).make()
    assert other.holder(UUID) is None
    files.hold(UUID)
    assert other.holder(UUID) == "one"
    other.hold(UUID)
    assert files.holder(UUID) == "two"


def test_a_lock_keeps_other_threads_out(files: HostFiles) -> None:
    import threading

    entered = threading.Event()

    def enter() -> None:
        with files.locked("name"):
            entered.set()

    with files.locked("name"):
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.1)
    thread.join(5)
    assert entered.is_set()


# --- console ---------------------------------------------------------------------------------------


def test_the_console_is_read_from_its_end_over_the_rolled_part(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    assert console.tail(log) == b""
    log.write_bytes(b"new")
    assert console.tail(log) == b"new"
    (tmp_path / "console.log.0").write_bytes(b"older")
    assert console.tail(log) == b"oldernew"
    assert console.tail(log, 5) == b"ernew"
    assert console.tail(log, 2) == b"ew"


# --- statistics ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cpus"), [("4-6", {4, 5, 6}), ("4-12,^8,15", {4, 5, 6, 7, 9, 10, 11, 12, 15}), ("0, 2", {0, 2})]
)
def test_sets_of_cpus(text: str, cpus: set[int]) -> None:
    assert host_cpus(range(16), text, None, None) == (cpus, cpus)


@pytest.mark.parametrize("text", ["99", "x", "1-", "3-1", "2,^2", "^1"])
def test_sets_of_cpus_that_mean_nothing(text: str) -> None:
    with pytest.raises(VirtError, match="vcpu_pin_set"):
        host_cpus(range(16), text, None, None)


def test_memory_that_can_be_given_back_is_not_used() -> None:
    text = "MemTotal:  8388608 kB\nMemFree:  1048576 kB\nMemAvailable:  6291456 kB\n"
    assert statistics.memory_mib(text) == (8192, 2048)


CAPABILITIES = """
<capabilities><host><uuid>u-1</uuid><cpu><arch>x86_64</arch><model>EPYC</model><vendor>AMD</vendor>
<topology sockets='1' cores='2' threads='1'/><feature name='svm'/><feature name='aes'/></cpu></host>
<guest><os_type>hvm</os_type><arch name='x86_64'><domain type='qemu'/><domain type='kvm'/></arch></guest>
<guest><os_type>exe</os_type><arch name='x86_64'><domain type='lxc'/></arch></guest></capabilities>
"""


def test_capabilities_are_read() -> None:
    assert statistics.cpu_info(CAPABILITIES) == {
        "arch": "x86_64", "model": "EPYC", "vendor": "AMD", "features": ["aes", "svm"],
        "topology": {"sockets": 1, "cores": 2, "threads": 1},
    }
    assert statistics.supported_instances(CAPABILITIES) == [
        ["x86_64", "qemu", "hvm"], ["x86_64", "kvm", "hvm"], ["x86_64", "lxc", "exe"],
    ]
    assert (statistics.host_uuid(CAPABILITIES), statistics.host_arch(CAPABILITIES)) == ("u-1", "x86_64")


# --- config drive ----------------------------------------------------------------------------------


def test_the_config_drive_tells_who_the_server_is() -> None:
    guest = msgspec.structs.replace(
        instance(), user_data=base64.b64encode(b"#!/bin/sh\n").decode(), key_name="k", key_data="ssh-rsa A",
        metadata={"rôle": "wëb"},
    )
    spec = GuestSpec(
        instance=guest, vifs=(VIF,), admin_password="secret",
        files={"/etc/motd": base64.b64encode(b"hello").decode()},
    )
    files = drive_files(spec, "novalocal")
    metadata = json.loads(files["openstack/latest/meta_data.json"])
    assert metadata["uuid"] == UUID
    assert metadata["hostname"] == "forsta-servern.novalocal"
    assert metadata["meta"] == {"rôle": "wëb"}
    assert metadata["admin_pass"] == "secret"
    assert metadata["public_keys"] == {"k": "ssh-rsa A"}
    assert metadata["files"] == [{"path": "/etc/motd", "content_path": "/content/0000"}]
    assert files["openstack/content/0000"] == b"hello"
    assert files["openstack/latest/user_data"] == files["ec2/latest/user-data"] == b"#!/bin/sh\n"
    network = json.loads(files["openstack/latest/network_data.json"])
    assert network["links"][0]["ethernet_mac_address"] == VIF.mac
    assert network["networks"][0]["ip_address"] == "10.9.0.3"
    assert network["networks"][0]["netmask"] == "255.255.255.0"
    assert network["networks"][0]["routes"][0]["gateway"] == "10.9.0.1"
    ec2 = json.loads(files["ec2/2009-04-04/meta-data.json"])
    assert (ec2["instance-id"], ec2["local-ipv4"]) == ("i-0000002a", "10.9.0.3")
    assert "openstack/2012-08-10/network_data.json" not in files


def test_a_server_without_user_data_has_no_file_for_it() -> None:
    files = drive_files(GuestSpec(instance=instance(), vifs=()), "")
    assert not [name for name in files if "user" in name]
    assert json.loads(files["openstack/latest/meta_data.json"])["hostname"] == "forsta-servern"
