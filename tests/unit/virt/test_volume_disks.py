# SPDX-License-Identifier: Apache-2.0
"""The disks that volumes become, by the type of their connection, and what a host remembers of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nova.errors import VirtError
from nova.objects.volume_connection import VolumeConnection
from nova.virt.libvirt.domain_xml import device_xml, disk_element
from nova.virt.libvirt.files import GuestDirectory
from nova.virt.libvirt.volume_disks import secret_of, source_of, volume_disk
from nova.virt.libvirt.volume_records import VolumeRecords

VOLUME = "1c1d2c5f-6a2e-4a0c-93a5-2f0a6bb0a001"
MOUNTS = Path("/var/lib/nova/mnt")


def connection(kind: str, volume: str = VOLUME, **data: Any) -> VolumeConnection:
    return VolumeConnection(
        bdm_uuid="b", volume_id=volume, attachment_id="a", device_name="/dev/vdb",
        connection_info={"driver_volume_type": kind, "data": data},
    )


def described(volume: VolumeConnection) -> str:
    return device_xml(disk_element(volume_disk(
        volume, source_of(volume, MOUNTS), serial=volume.volume_id, target="vdb", bus="virtio",
        file_cache="writeback",
    )))


@pytest.mark.parametrize(
    ("volume", "parts"),
    [
        (connection("file", device_path="/v/volume-1", format="qcow2"),
         ['type="file"', 'type="qcow2" cache="writeback"', '<source file="/v/volume-1" />']),
        (connection("local", device_path="/dev/vg/one"),
         ['type="block"', 'cache="none"', '<source dev="/dev/vg/one" />']),
        (connection("nfs", export="nas:/vol", name="volume-1"),
         ['type="file"', '<source file="/var/lib/nova/mnt/']),
        (connection("nbd", host="10.0.0.1", port=10810, name="x"),
         ['type="network"', 'protocol="nbd" name="x"', '<host name="10.0.0.1" port="10810" />']),
        (connection("rbd", name="pool/one", hosts=["m1", "m2"], ports=["3300", "3300"],
                    auth_enabled=True, auth_username="nova", secret_uuid="5f"),
         ['protocol="rbd" name="pool/one"', '<host name="m2" port="3300" />',
          '<auth username="nova">', '<secret type="ceph" uuid="5f" />']),
        (connection("iscsi", target_portal="[fd00::1]:3260", target_iqn="iqn.2010:x", target_lun=1,
                    auth_method="CHAP", auth_username="u", auth_password="p"),
         ['protocol="iscsi" name="iqn.2010:x/1"', '<host name="fd00::1" port="3260" />',
          '<secret type="iscsi"']),
        (connection("file", device_path="/v", access_mode="ro", discard=True,
                    qos_specs={"read_iops_sec": "500", "consumer": "front-end"}),
         ["<readonly />", 'discard="unmap"', "<read_iops_sec>500</read_iops_sec>"]),
    ],
    ids=lambda value: value.kind if isinstance(value, VolumeConnection) else "",
)
def test_each_type_of_connection_is_a_disk(volume: VolumeConnection, parts: list[str]) -> None:
    text = described(volume)
    assert f"<serial>{VOLUME}</serial>" in text
    for part in parts:
        assert part in text


@pytest.mark.parametrize(
    ("volume", "complaint"),
    [
        (connection("fibre_channel", target_wwn=["1"]), "type fibre_channel"),
        (connection("simulated"), "type simulated"),
        (connection("file"), "lacks device_path"),
        (connection("file", device_path="/v", encrypted=True), "encrypted"),
        (connection("file", device_path="/v", format="vmdk"), "raw or qcow2"),
        (connection("nfs", export="nas:/vol", name="../../etc/shadow"), "no usable name"),
        (connection("iscsi", target_portal="a:1", target_iqn="i", target_lun=0, auth_method="KRB5"),
         "CHAP"),
        (connection("file", device_path="/v", qos_specs={"read_iops_sec": "many"}), "whole number"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_a_disk_is_named(volume: VolumeConnection, complaint: str) -> None:
    with pytest.raises(VirtError, match=complaint):
        described(volume)


def test_secrets_are_found_again_and_not_shown() -> None:
    volume = connection("iscsi", auth_method="CHAP", auth_password="geheim")
    first, again = secret_of(volume), secret_of(volume)
    assert first == again
    assert first is not None
    assert first[2] == "geheim"
    assert "geheim" not in repr(volume)
    keyring = "[client.nova]\n\tkey = QUFB\n"
    ceph = secret_of(connection("rbd", auth_enabled=True, keyring=keyring, secret_uuid="s"))
    assert ceph == ("ceph", "s", "QUFB")
    assert secret_of(connection("file", device_path="/v")) is None


def test_a_host_remembers_its_own_volumes(tmp_path: Path) -> None:
    directory = GuestDirectory(tmp_path)
    here, there = VolumeRecords(directory, "hosta"), VolumeRecords(directory, "hostb")
    first, second = connection("file", device_path="/1"), connection("file", "v2", device_path="/2")
    here.put(first)
    here.put(second)
    assert there.load() == []
    assert (tmp_path / "volumes-hosta.json").stat().st_mode & 0o777 == 0o600
    swapped = connection("file", "v3", device_path="/3")
    here.put(swapped, instead_of=VOLUME)
    assert [(each.connection.volume_id, each.serial) for each in here.load()] == [
        ("v3", VOLUME), ("v2", "v2"),
    ]
    here.replace_all([swapped])
    assert [each.serial for each in here.load()] == [VOLUME]
    here.drop("v3")
    assert list(tmp_path.iterdir()) == []
