# SPDX-License-Identifier: Apache-2.0
"""Both trees in every dated version, as a guest reads them."""

from __future__ import annotations

import json

import msgspec
import pytest

from nova.conf.metadata import ApiMetadataSection
from nova.objects.instance import BlockDevice
from nova.virt.config_drive import drive_files
from nova.virt.driver import GuestSpec
from tests.unit.api_metadata.known_guests import (
    ADDRESS,
    KEY,
    USER_DATA,
    UUID,
    KnownGuests,
    guest,
    service,
)

OPENSTACK = (
    "2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22",
    "2018-08-27", "2020-10-14", "2025-04-04", "latest",
)
EC2 = (
    "1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01",
    "2008-09-01", "2009-04-04", "latest",
)


def test_the_versions_are_listed() -> None:
    asked = service()
    assert asked.get("/openstack").text.split("\n") == list(OPENSTACK)
    assert asked.get("/").text.split("\n") == list(EC2)
    assert asked.get("/ec2/").text.split("\n") == list(EC2)


@pytest.mark.parametrize("version", OPENSTACK)
def test_each_openstack_version_has_what_it_had(version: str) -> None:
    asked = service()
    number = OPENSTACK.index(version)
    names = asked.get(f"/openstack/{version}/").text.split("\n")
    assert names == [
        name for name, since in (
            ("meta_data.json", 0), ("user_data", 0), ("password", 1), ("vendor_data.json", 2),
            ("network_data.json", 3), ("vendor_data2.json", 5),
        ) if number >= since
    ]
    for name in ("password", "vendor_data.json", "network_data.json", "vendor_data2.json"):
        expected = 200 if name in names else 404
        assert asked.get(f"/openstack/{version}/{name}").status_code == expected, name
    found = asked.get(f"/openstack/{version}/meta_data.json").json
    young = {"random_seed": 1, "project_id": 3, "devices": 4, "dedicated_cpus": 8}
    assert set(found) == {
        "uuid", "meta", "hostname", "name", "launch_index", "availability_zone", "public_keys", "keys",
        *(key for key, since in young.items() if number >= since),
    }
    assert found["uuid"] == UUID
    assert (found["meta"], found["availability_zone"]) == ({"rôle": "wëb"}, "öst")
    assert found["keys"] == [{"name": "nyckel", "type": "ssh", "data": KEY}]
    if number >= 4:
        nic = found["devices"][0]
        assert (nic["type"], nic["tags"], "vf_trusted" in nic) == ("nic", ["nic-tag"], number >= 7)
    assert asked.get(f"/openstack/{version}/user_data").content == USER_DATA


@pytest.mark.parametrize("version", EC2)
def test_each_ec2_version_has_what_it_had(version: str) -> None:
    asked = service()
    number = EC2.index(version)
    since = {
        "local-hostname": 1, "public-hostname": 1, "public-ipv4": 1, "instance-type": 3,
        "block-device-mapping/": 5, "kernel-id": 5, "ramdisk-id": 5, "placement/": 6,
        "instance-action": 7,
    }
    names = [
        "ami-id", "ami-launch-index", "ami-manifest-path", "hostname", "instance-id", "local-ipv4",
        "public-keys/", "reservation-id", "security-groups",
        *(name for name, first in since.items() if number >= first),
    ]
    listing = asked.get(f"/{version}/meta-data/")
    assert listing.text.split("\n") == sorted(names)
    for name in names:
        assert asked.get(f"/{version}/meta-data/{name}").status_code == 200, name
    for name, first in since.items():
        if number < first:
            assert asked.get(f"/{version}/meta-data/{name}").status_code == 404, name
    assert asked.get(f"/{version}/user-data").content == USER_DATA
    assert asked.get(f"/{version}").text == "meta-data/\nuser-data"


@pytest.mark.parametrize("path, text", [
    ("ami-id", "ami-70a599e0"), ("ami-launch-index", "0"), ("ami-manifest-path", "FIXME"),
    ("instance-id", "i-0000002a"), ("hostname", "forsta-servern.novalocal"),
    ("local-hostname", "forsta-servern.novalocal"), ("public-hostname", "forsta-servern.novalocal"),
    ("local-ipv4", ADDRESS), ("public-ipv4", "203.0.113.9"), ("reservation-id", "r-1"),
    ("security-groups", "default\nwëb"), ("instance-type", "m1.tiny"), ("instance-action", "none"),
    ("public-keys/", "0=nyckel"), ("public-keys/0", "openssh-key"), ("public-keys/0/", "openssh-key"),
    ("public-keys/0/openssh-key", KEY), ("placement/", "availability-zone"),
    ("placement/availability-zone", "öst"), ("block-device-mapping/", "ami\nroot"),
    ("block-device-mapping/ami", "vda"), ("block-device-mapping/root", "/dev/vda"),
    ("kernel-id", "aki-aaaaaaaa"), ("ramdisk-id", "ari-bbbbbbbb"),
])
def test_the_ec2_texts(path: str, text: str) -> None:
    answer = service().get(f"/latest/meta-data/{path}")
    assert (answer.status_code, answer.text) == (200, text)
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("path", [
    "/openstack/2012-08-11", "/openstack/latest/nope", "/openstack/latest/meta_data.json/x", "/nope",
    "/openstack/content", "/openstack/content/0000", "/2010-01-01/meta-data", "/latest/meta-data/nope",
    "/latest/meta-data/public-keys/1", "/latest/meta-data/public-keys/0/_name",
    "/latest/meta-data/hostname/x", "/latest/meta-data/security-groups/0", "/latest/user-data/x",
    "/openstack/latest/../../../etc/passwd", "/openstack/2012-08-10/password",
])
def test_what_is_not_there_is_404(path: str) -> None:
    assert service().get(path).status_code == 404


def test_slashes_and_dots_in_a_path_mean_what_they_mean() -> None:
    asked = service()
    for path in ("/openstack//latest/./meta_data.json", "/openstack/x/../latest/meta_data.json/"):
        assert asked.get(path).json["uuid"] == UUID


def test_a_guest_without_extras() -> None:
    source = KnownGuests()
    source.guests[None, ADDRESS] = guest(
        user_data=None, key_name=None, key_data=None, metadata={}, kernel_id="", ramdisk_id="",
        availability_zone=None, network_info=(),
    )
    asked = service(source, dhcp_domain="")
    assert "user_data" not in asked.get("/openstack/latest").text
    for path in ("/openstack/latest/user_data", "/latest/user-data", "/latest/meta-data/public-keys",
                 "/latest/meta-data/kernel-id"):
        assert asked.get(path).status_code == 404, path
    found = asked.get("/openstack/latest/meta_data.json").json
    assert not {"meta", "keys", "public_keys", "files", "admin_pass"} & set(found)
    assert (found["hostname"], found["availability_zone"]) == ("forsta-servern", "nova")
    assert asked.get("/latest/meta-data/local-ipv4").text == ""
    assert asked.get("/openstack/latest/network_data.json").json == {
        "links": [], "networks": [], "services": [],
    }


def test_disks_are_named_as_the_drivers_name_them() -> None:
    found = guest(ephemeral_gb=1, swap=64, block_devices=(
        BlockDevice(source_type="volume", destination_type="volume", volume_id="v-1",
                    device_name="/dev/vdd", tag="data"),
    ))
    source = KnownGuests()
    source.guests[None, ADDRESS] = found
    asked = service(source)
    where = "/latest/meta-data/block-device-mapping"
    assert asked.get(where).text == "ami\nebs0\nephemeral0\nroot\nswap"
    assert asked.get(f"{where}/ephemeral0").text == "/dev/vdb"
    assert asked.get(f"{where}/swap").text == "/dev/vdc"
    assert asked.get(f"{where}/ebs0").text == "/dev/vdd"
    devices = asked.get("/openstack/latest/meta_data.json").json["devices"]
    assert {"type": "disk", "serial": "v-1", "bus": "none", "address": "none", "tags": ["data"]} in devices


def test_tagged_devices_are_where_the_hypervisor_put_them() -> None:
    plain = guest()
    card = msgspec.structs.replace(plain.network_info[0], tag="lan")
    found = guest(
        network_info=(card,),
        block_devices=(
            BlockDevice(source_type="volume", destination_type="volume", volume_id="v-1",
                        bdm_uuid="b-1", tag="data"),
            BlockDevice(source_type="image", destination_type="local", boot_index=0, bdm_uuid="b-2",
                        tag="root"),
            BlockDevice(source_type="blank", destination_type="local", bdm_uuid="b-3"),
        ),
        system_metadata={
            "device_addresses": {card.mac: ["pci", "0000:00:03.0"], "b-1": ["scsi", "none"]}
        },
    )
    source = KnownGuests()
    source.guests[None, ADDRESS] = found
    assert service(source).get("/openstack/latest/meta_data.json").json["devices"] == [
        {"vf_trusted": False, "type": "nic", "mac": card.mac, "bus": "pci",
         "address": "0000:00:03.0", "tags": ["lan"]},
        {"type": "disk", "serial": "v-1", "bus": "scsi", "address": "none", "tags": ["data"]},
        {"type": "disk", "serial": None, "bus": "none", "address": "none", "tags": ["root"]},
    ]


def test_the_config_drive_is_the_same_tree() -> None:
    """What a drive has is what the service answers; the seed alone is random."""
    asked = service()
    section = ApiMetadataSection(config_drive_skip_versions="")
    files = drive_files(GuestSpec(instance=guest(), vifs=guest().network_info), "novalocal", section)
    assert {name.split("/")[1] for name in files if name.startswith("openstack/")} == set(OPENSTACK)
    assert {name.split("/")[1] for name in files if name.startswith("ec2/")} == set(EC2)
    for name, content in files.items():
        if name.startswith("openstack/"):
            served = asked.get(f"/{name}").content
            if name.endswith("meta_data.json"):
                one, other = json.loads(content), json.loads(served)
                assert one.pop("random_seed", None) != other.pop("random_seed", 0)
                assert one == other, name
            else:
                assert content == served, name
    listed = {
        f"openstack/{version}/{file}" for version in OPENSTACK
        for file in asked.get(f"/openstack/{version}").text.split("\n") if file != "password"
    }
    assert listed == {name for name in files if name.startswith("openstack/")}
    drive = json.loads(files["ec2/latest/meta-data.json"])
    assert _served_ec2(asked, "/latest/meta-data") == {
        **drive, "security-groups": "\n".join(drive["security-groups"]),
    }


def _served_ec2(asked: object, path: str) -> dict[str, object]:
    """An EC2 directory as a guest walks it."""
    found: dict[str, object] = {}
    for line in asked.get(path).text.split("\n"):  # type: ignore[attr-defined]
        if "=" in line:
            line = line.partition("=")[0] + "/"
        name = line.rstrip("/")
        directory = line.endswith("/")
        found[name] = (
            _served_ec2(asked, f"{path}/{name}") if directory
            else asked.get(f"{path}/{name}").text  # type: ignore[attr-defined]
        )
    return found


def test_a_drive_leaves_old_ec2_versions_out() -> None:
    files = drive_files(GuestSpec(instance=guest(), vifs=()), "")
    assert {name.split("/")[1] for name in files if name.startswith("ec2/")} == {"2009-04-04", "latest"}
