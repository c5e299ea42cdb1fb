# SPDX-License-Identifier: Apache-2.0
"""A guest's disks: their kinds by option, what the flavor's change does to them, what they may take."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nova.conf import load
from nova.errors import VirtError
from nova.objects.instance import Instance
from nova.objects.rescue_disk import RescueDisk
from nova.virt.driver import GuestSpec, SourceImage
from nova.virt.libvirt import qemu_img
from nova.virt.libvirt.files import HostFiles
from nova.virt.libvirt.image_cache import ImageCache
from nova.virt.libvirt.storage import GuestStorage, StorageOptions, qcow2_size, require_rescue_disk
from tests.unit.virt.guests import UUID, flavor, instance

pytestmark = pytest.mark.skipif(
    any(not shutil.which(name) for name in ("qemu-img", "mkfs.vfat", "mcopy", "mkfs.ext4", "fallocate")),
    reason="qemu-img, dosfstools, mtools or e2fsprogs are not installed",
)

_GIB = 1 << 30


@pytest.fixture
def files(tmp_path: Path) -> HostFiles:
    made = HostFiles(tmp_path / "instances", tmp_path / "snapshots", "one")
    made.prepare()
    return made


def storage(files: HostFiles, **options: Any) -> GuestStorage:
    config = load(overrides={("libvirt" if name == "images_type" else "DEFAULT", name): value
                             for name, value in options.items()})
    return GuestStorage(
        files, ImageCache(files, force_raw=config.compute_host.force_raw_images),
        StorageOptions(config.libvirt, config.compute_host, "novalocal"),
    )


def spec(guest: Instance) -> GuestSpec:
    def source(image_id: str) -> SourceImage:
        return SourceImage(id=image_id, read=lambda: iter([b"\1" * (1 << 16)]), disk_format="raw")

    return GuestSpec(instance=guest, vifs=guest.network_info, images=source)


def sized(ephemeral: int, swap: int, disk: int = 1) -> Instance:
    return msgspec.structs.replace(
        instance(ephemeral_gb=ephemeral, root_gb=disk),
        flavor=flavor(ephemeral_gb=ephemeral, swap=swap, root_gb=disk),
    )


def test_disks_are_raw_copies_where_no_overlay_is_wanted(files: HostFiles) -> None:
    for options, wanted in (
        ({}, "qcow2"), ({"use_cow_images": False}, "raw"), ({"images_type": "raw"}, "raw"),
        ({"images_type": "qcow2", "use_cow_images": False}, "qcow2"),
    ):
        disks = storage(files, **options)
        disks.create(spec(sized(1, 8)))
        formats = files.guest(UUID).formats()
        assert formats == dict.fromkeys(("disk", "disk.eph0", "disk.swap"), wanted)
        assert [disks.size(UUID, name) for name in formats] == [_GIB, _GIB, 8 << 20]
        disks.remove(UUID)
        assert not files.guest(UUID).exists()


def test_a_rescue_disk_comes_first_unless_its_image_names_a_place(files: HostFiles) -> None:
    disks, guest = storage(files), instance(root_gb=1)
    disks.create(spec(guest))

    def rescued(wanted: RescueDisk | None) -> list[tuple[str, str, str, int | None]]:
        files.guest(UUID).remove_disk("disk.rescue")
        disks.rescue_disk(msgspec.structs.replace(spec(guest), rescue_disk=wanted), "70a599e0")
        return [
            (Path(each.path).name, each.target, each.device, each.boot_order) for each in disks.disks(guest)
        ]

    assert rescued(RescueDisk()) == [("disk", "vda", "disk", None), ("disk.rescue", "vdb", "disk", 1)]
    assert rescued(None) == [("disk.rescue", "vda", "disk", 1), ("disk", "vdb", "disk", None)]
    assert rescued(RescueDisk(bus="usb")) == [
        ("disk", "vda", "disk", None), ("disk.rescue", "sdb", "disk", 1),
    ]
    cdrom = rescued(RescueDisk(device="cdrom"))
    assert cdrom == [("disk", "vda", "disk", None), ("disk.rescue", "hdb", "cdrom", 1)]
    for wrong in (RescueDisk(bus="fdc"), RescueDisk(device="floppy")):
        with pytest.raises(VirtError, match="Image property hw_rescue_"):
            require_rescue_disk(wrong)


def test_a_disk_takes_its_room_at_once_where_that_is_wanted(files: HostFiles) -> None:
    lazy = storage(files)
    lazy.create(spec(sized(0, 16)))
    swap = files.guest(UUID).file("disk.swap")
    assert swap.stat().st_blocks * 512 < 1 << 20
    assert lazy.promised_bytes() > _GIB
    lazy.remove(UUID)
    assert lazy.promised_bytes() == 0
    storage(files, preallocate_images="space").create(spec(sized(0, 16, disk=0)))
    assert swap.stat().st_blocks * 512 >= 16 << 20


def test_the_size_of_a_disk_is_read_from_its_header(tmp_path: Path) -> None:
    qemu_img.create(tmp_path / "disk", "qcow2", 3 << 30)
    assert qcow2_size(tmp_path / "disk") == 3 << 30
    (tmp_path / "short").write_bytes(b"QFI\xfb")
    assert qcow2_size(tmp_path / "short") == 0


def test_a_config_drive_is_a_cd_or_a_disk_as_it_was_made(files: HostFiles) -> None:
    for kind, device in (("iso9660", "cdrom"), ("vfat", "disk")):
        if kind == "iso9660" and not shutil.which("genisoimage"):
            continue
        storage(files, config_drive_format=kind, force_config_drive=True).create(spec(sized(0, 0)))
        # What the option says by now changes nothing for drives that are there.
        drive = storage(files).disks(sized(0, 0))[-1]
        assert (drive.device, drive.format, drive.read_only) == (device, "raw", True)
        assert drive.target == ("hdd" if device == "cdrom" else "vdz")
        if kind == "vfat":
            listed = subprocess.run(
                ["mdir", "-b", "-i", drive.path, "::openstack/latest"], capture_output=True, text=True,
                check=True,
            ).stdout
            assert "meta_data.json" in listed
        storage(files).remove(UUID)


def test_an_ephemeral_disk_only_grows_and_swap_is_made_anew(files: HostFiles) -> None:
    disks = storage(files)
    disks.create(spec(sized(1, 8)))
    disks.fit(sized(2, 16))
    assert [disks.size(UUID, name) for name in ("disk.eph0", "disk.swap")] == [2 * _GIB, 16 << 20]
    for smaller in (1, 0):
        with pytest.raises(VirtError, match=r"ephemeral disk of 2 GiB .* never made smaller"):
            disks.fit(sized(smaller, 16))
    disks.fit(sized(2, 0))
    assert sorted(files.guest(UUID).formats()) == ["disk", "disk.eph0"]


def test_a_disk_that_comes_in_another_size_finds_what_it_was_made_with(files: HostFiles) -> None:
    """A resize to another host refused an ephemeral disk for being based on another size."""
    disks = storage(files)
    there = spec(sized(3, 0))
    assert disks.base_for(there, "disk.eph0", "ephemeral_1_ext4").name == "ephemeral_1_ext4"
    assert disks.base_for(there, "disk.eph0", "ephemeral_2_ext2").name == "ephemeral_2_ext2"
    # No other host's word makes this one fill up, or run a program.
    assert disks.base_for(there, "disk.eph0", "ephemeral_9999_ext4").name == "ephemeral_3_ext4"
    assert disks.base_for(there, "disk.eph0", "ephemeral_1_zfs").name == "ephemeral_3_ext4"
