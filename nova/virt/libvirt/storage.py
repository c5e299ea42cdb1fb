# SPDX-License-Identifier: Apache-2.0
"""The disks of guests: made from cached images, resized, copied, removed.

A disk counts once its format is recorded; what an interruption left half made is made anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from nova.conf.compute_host import ComputeHostSection
from nova.conf.libvirt import LibvirtSection
from nova.conf.metadata import ApiMetadataSection
from nova.decoding import json_decoder
from nova.errors import VirtError
from nova.objects.device_addresses import KEY, DeviceAddresses
from nova.objects.device_names import free_name, letters_of
from nova.objects.instance import Instance
from nova.objects.rescue_disk import RescueDisk
from nova.virt.config_drive import drive_files
from nova.virt.driver import GuestSpec, SourceImage
from nova.virt.libvirt import qemu_img
from nova.virt.libvirt.domain_xml import DiskConfig
from nova.virt.libvirt.drive_image import is_disk, make_drive
from nova.virt.libvirt.files import GuestDirectory, HostFiles, supports_direct_io
from nova.virt.libvirt.guest_config import disk_tuning, needs_config_drive
from nova.virt.libvirt.image_cache import CachedImage, ImageCache
from nova.virt.libvirt.volume_disks import source_of, volume_disk
from nova.virt.libvirt.volume_records import RecordedVolume, VolumeRecords

LOG = logging.getLogger(__name__)

_GIB = 1 << 30
_MIB = 1 << 20
_PIECE = 1 << 20

_PREFIX = {"virtio": "vd", "scsi": "sd", "sata": "sd", "usb": "sd", "ide": "hd", "xen": "xvd"}
_MACHINE_BUSES = ("virtio", "scsi", "sata", "usb", "ide")
#: Where the disk of a rescue goes, where its image says so.
_RESCUE_PLACE = "rescue.json"
#: The name of a cached ephemeral file system, which tells its size and kind.
_BLANK = re.compile(r"ephemeral_(?P<gb>[1-9]\d{0,6})_(?P<kind>\w+)")
_MAKERS = {"ext2": ("mkfs.ext2", "-q", "-F", "-L"), "ext3": ("mkfs.ext3", "-q", "-F", "-L"),
           "ext4": ("mkfs.ext4", "-q", "-F", "-L"), "xfs": ("mkfs.xfs", "-q", "-f", "-L")}
_decode_rescue_disk = json_decoder(RescueDisk).decode


@dataclasses.dataclass(frozen=True)
class StorageOptions:
    """The options that disks depend on; ``domain`` is that of host names, ``zone`` of guests in none."""

    section: LibvirtSection
    host: ComputeHostSection
    domain: str
    metadata: ApiMetadataSection = dataclasses.field(default_factory=ApiMetadataSection)
    zone: str = "nova"

    @property
    def disk_format(self) -> str:
        """The format of new disks."""
        kind = self.section.images_type
        if kind == "default":
            kind = "qcow2" if self.host.use_cow_images else "raw"
        return "raw" if self.section.virt_type == "lxc" else kind


class GuestStorage:
    """All disks of one host."""

    def __init__(self, files: HostFiles, cache: ImageCache, options: StorageOptions) -> None:
        self.files = files
        self._cache = cache
        self._options = options

    # --- making ----------------------------------------------------------------------------------

    def create(self, spec: GuestSpec) -> None:
        """Make every disk of a guest that is not there yet."""
        instance = spec.instance
        directory = self.files.guest(instance.uuid)
        directory.make()
        if not instance.volume_backed:
            self._root(directory, spec)
        for name, image_id in (("kernel", instance.kernel_id), ("ramdisk", instance.ramdisk_id)):
            if image_id:
                self._plain_file(directory, name, image_id, spec)
        self._extra_disks(directory, instance)
        self.config_drive(directory, spec)
        directory.console_log.touch(mode=0o600)

    def _root(self, directory: GuestDirectory, spec: GuestSpec) -> None:
        instance = spec.instance
        image_id = spec.root_image or instance.image_ref
        if "disk" in directory.formats():
            return
        image = self._cache.fetch(image_id, spec.images, instance.root_gb)
        self._from_image(directory, "disk", image, instance.root_gb * _GIB)

    def _from_image(
        self, directory: GuestDirectory, name: str, image: CachedImage, size: int
    ) -> None:
        path = directory.file(name)
        path.unlink(missing_ok=True)
        disk_format = "raw" if image.iso else self._options.disk_format
        if disk_format == "qcow2":
            qemu_img.create_overlay(path, image.path, image.format, size or image.virtual_size)
        else:
            qemu_img.convert(image.path, image.format, path, "raw")
            if size and not image.iso:
                os.truncate(path, size)
        self._take_room(path, size or image.virtual_size)
        directory.record(name, disk_format)

    def _take_room(self, path: Path, size: int) -> None:
        """Take a disk's room on the host at once, where that is wanted."""
        if self._options.host.preallocate_images == "space":
            qemu_img.run(["fallocate", "-n", "-l", str(size), str(path)])

    def _plain_file(
        self, directory: GuestDirectory, name: str, image_id: str, spec: GuestSpec
    ) -> None:
        """A kernel or a ramdisk."""
        target = directory.file(name)
        if target.exists():
            return
        image = self._cache.fetch(image_id, spec.images, 0)
        fresh = directory.file(f"{name}.new")
        shutil.copyfile(image.path, fresh)
        fresh.chmod(0o644)
        os.replace(fresh, target)

    def _extra_disks(self, directory: GuestDirectory, instance: Instance) -> None:
        present = directory.formats()
        if instance.ephemeral_gb and "disk.eph0" not in present:
            base = self._blank_file_system(instance.ephemeral_gb)
            self._over_blank(directory, "disk.eph0", base, instance.ephemeral_gb * _GIB)
        if instance.flavor.swap and "disk.swap" not in present:
            base = self._blank_swap(instance.flavor.swap)
            self._over_blank(directory, "disk.swap", base, instance.flavor.swap * _MIB)

    def _over_blank(self, directory: GuestDirectory, name: str, base: Path, size: int) -> None:
        path = directory.file(name)
        path.unlink(missing_ok=True)
        if self._options.disk_format == "qcow2":
            qemu_img.create_overlay(path, base, "raw", size)
        else:
            qemu_img.convert(base, "raw", path, "raw")
        self._take_room(path, size)
        directory.record(name, self._options.disk_format)

    def base_for(self, spec: GuestSpec, name: str, named: str = "") -> Path:
        """The cached file that a disk of this guest is based on, made or fetched if it is not here.

        ``named`` is that file's name on the host that the disk comes from: an ephemeral disk that grew, or is
        older than the host's options, stays based on the size and kind that it was made with.
        """
        instance = spec.instance
        if name == "disk.eph0":
            blank = _BLANK.fullmatch(named)
            if blank is None or blank["kind"] not in (*_MAKERS, "none"):
                return self._blank_file_system(instance.ephemeral_gb)
            # No larger than the flavor has it: another host's word must not fill this one.
            return self._blank_file_system(
                min(int(blank["gb"]), instance.ephemeral_gb), blank["kind"]
            )
        if name == "disk.swap":
            return self._blank_swap(instance.flavor.swap)
        image_id = spec.root_image or instance.image_ref
        return self._cache.fetch(image_id, spec.images, 0).path

    def _blank_file_system(self, size_gb: int, kind: str | None = None) -> Path:
        kind = kind or self._options.host.default_ephemeral_format
        return self._cache.blank(
            f"ephemeral_{size_gb}_{kind}", size_gb * _GIB, _file_system(kind, "ephemeral0")
        )

    def _blank_swap(self, size_mb: int) -> Path:
        return self._cache.blank(
            f"swap_{size_mb}", size_mb * _MIB, lambda path: qemu_img.run(["mkswap", str(path)])
        )

    def config_drive(self, directory: GuestDirectory, spec: GuestSpec) -> None:
        """Make the config drive of a guest that has one."""
        if not needs_config_drive(spec.instance, forced=self._options.host.force_config_drive):
            return
        if "disk.config" in directory.formats():
            return
        self._make_drive(directory, spec)
        directory.record("disk.config", "raw")

    def tell_addresses(self, spec: GuestSpec, addresses: DeviceAddresses) -> None:
        """Make the config drive anew, before the guest starts, with where its devices are."""
        directory = self.files.guest(spec.instance.uuid)
        if "disk.config" in directory.formats():
            facts = {**spec.instance.system_metadata, KEY: addresses}
            instance = msgspec.structs.replace(spec.instance, system_metadata=facts)
            self._make_drive(directory, msgspec.structs.replace(spec, instance=instance))

    def _make_drive(self, directory: GuestDirectory, spec: GuestSpec) -> None:
        options = self._options
        make_drive(
            directory.file("disk.config"),
            drive_files(spec, options.domain, options.metadata, options.zone),
            options.host.config_drive_format, options.host.mkisofs_cmd,
        )

    # --- changing --------------------------------------------------------------------------------

    def rescue_disk(self, spec: GuestSpec, image_id: str) -> None:
        """Make the disk that a rescued guest starts from."""
        directory = self.files.guest(spec.instance.uuid)
        if "disk.rescue" not in directory.formats():
            place = directory.file(_RESCUE_PLACE)
            if spec.rescue_disk is None:
                place.unlink(missing_ok=True)
            else:
                place.write_bytes(msgspec.json.encode(spec.rescue_disk))
            self._from_image(
                directory, "disk.rescue", self._cache.fetch(image_id, spec.images, 0), 0
            )

    def replace_root(self, spec: GuestSpec, *, preserve_ephemeral: bool) -> None:
        """Make root disk and config drive anew, and the others unless they are to stay."""
        directory = self.files.guest(spec.instance.uuid)
        directory.make()
        names = ["disk", "disk.config", "disk.rescue"]
        if not preserve_ephemeral:
            names += ["disk.eph0", "disk.swap"]
        for name in names:
            directory.remove_disk(name)
        for name in ("kernel", "ramdisk", "nvram"):
            directory.file(name).unlink(missing_ok=True)
        self.create(spec)

    def fit(self, instance: Instance) -> None:
        """Bring a guest's disks to the size of its flavor; a root disk only ever grows."""
        directory = self.files.guest(instance.uuid)
        formats = directory.formats()
        wanted = instance.root_gb * _GIB
        if "disk" in formats and wanted:
            present = self.size(instance.uuid, "disk")
            if wanted < present:
                raise VirtError(
                    f"The root disk of {present // _GIB} GiB does not fit into a flavor of "
                    f"{instance.root_gb} GiB; disks are never made smaller."
                )
            if wanted > present:
                qemu_img.resize(directory.file("disk"), formats["disk"], wanted)
                self._take_room(directory.file("disk"), wanted)
        if "disk.eph0" in formats:
            wanted, present = instance.ephemeral_gb * _GIB, self.size(instance.uuid, "disk.eph0")
            if wanted < present:
                raise VirtError(
                    f"The ephemeral disk of {present // _GIB} GiB does not fit into a flavor with "
                    f"{instance.ephemeral_gb} GiB; disks are never made smaller."
                )
            if wanted > present:
                qemu_img.resize(directory.file("disk.eph0"), formats["disk.eph0"], wanted)
                self._take_room(directory.file("disk.eph0"), wanted)
        # Swap holds nothing that outlives a boot.
        swap = instance.flavor.swap * _MIB
        if "disk.swap" in formats and self.size(instance.uuid, "disk.swap") != swap:
            directory.remove_disk("disk.swap")
        self._extra_disks(directory, instance)

    def keep(self, uuid: str) -> None:
        """Put a guest's disks aside for a move; they stay until confirmed."""
        guest, kept = self.files.guest(uuid), self.files.kept(uuid)
        if guest.exists() and not kept.exists():
            (guest.path / "kept-by").write_text(self.files.host)
            guest.path.rename(kept.path)

    def copy_kept(self, uuid: str) -> None:
        """Copy what was put aside on this host (or on shared storage) back into a guest's place."""
        kept, guest = self.files.kept(uuid), self.files.guest(uuid)
        fresh = GuestDirectory(guest.path.with_name(f"{uuid}_new"))
        if guest.exists():
            return
        if not kept.exists():
            raise VirtError(f"The disks of {uuid} are not on this host.")
        fresh.remove()
        fresh.make()
        # libvirt makes the firmware's variables readable to root alone: without them they begin anew.
        names = [
            each for each in kept.path.iterdir() if each.name != "nvram" or os.access(each, os.R_OK)
        ]
        qemu_img.run(
            ["cp", "-a", "--reflink=auto", "--sparse=always", *map(str, names), str(fresh.path)]
        )
        (fresh.path / "kept-by").unlink(missing_ok=True)
        fresh.path.rename(guest.path)

    def restore_kept(self, uuid: str) -> bool:
        """Give a guest back what was put aside; False where this host keeps nothing."""
        if not self.files.keeps(uuid):
            return False
        self.files.guest(uuid).remove()
        self.files.kept(uuid).path.rename(self.files.guest(uuid).path)
        (self.files.guest(uuid).path / "kept-by").unlink(missing_ok=True)
        return True

    def mark_moved(self, uuid: str) -> None:
        """Put the disks of a guest that now runs elsewhere out of the way."""
        guest, moved = self.files.guest(uuid), self.files.moved(uuid)
        if guest.exists():
            moved.remove()
            guest.path.rename(moved.path)

    def restore_moved(self, uuid: str) -> None:
        """Give a guest that did not arrive its disks back."""
        guest, moved = self.files.guest(uuid), self.files.moved(uuid)
        if moved.exists() and not guest.exists():
            moved.path.rename(guest.path)

    def drop_kept(self, uuid: str) -> None:
        """Remove what this host put aside."""
        if self.files.keeps(uuid):
            self.files.kept(uuid).remove()

    def remove(self, uuid: str) -> None:
        """Remove all disks of a guest, unless they are another host's by now (shared storage)."""
        if self.files.holder(uuid) in (None, self.files.host):
            self.files.guest(uuid).remove()
        else:
            LOG.info("the disks of %s belong to host %s now", uuid, self.files.holder(uuid))
        GuestDirectory(self.files.instances / f"{uuid}_new").remove()
        self.files.moved(uuid).remove()
        self.drop_kept(uuid)

    def cache_image(self, image: SourceImage) -> None:
        """Fetch an image into the cache."""
        self._cache.fetch(image.id, lambda _id: image, 0)

    def remove_unused_images(self) -> None:
        """Remove cached images that no disk is based on, once they are old enough."""
        host = self._options.host
        if host.remove_unused_base_images:
            self._cache.remove_unused(
                self._used_bases(), host.remove_unused_original_minimum_age_seconds
            )

    def _used_bases(self) -> set[Path]:
        """What the disks of all guests are based on, those of other hosts on shared storage too."""
        used: set[Path] = set()
        for disk in self.files.instances.glob("*/disk*"):
            backing = backing_file(disk)
            if backing:
                used.add(self.files.base / os.path.basename(backing))
        return used

    # --- reading ---------------------------------------------------------------------------------

    def disks(self, instance: Instance) -> tuple[DiskConfig, ...]:
        """A guest's disks as they are on this host; the rescue disk, if there is one, starts it.

        It comes first, or after the others where its image named a place for it.
        """
        directory = self.files.guest(instance.uuid)
        formats = directory.formats()
        volumes = self.volume_records(instance.uuid).load()
        root = next((each for each in volumes if each.connection.boot_index == 0), None)
        if "disk" not in formats and root is None:
            raise VirtError(f"The disks of {instance.uuid} are not on this host.")
        bus, cdrom_bus = _buses(instance, self._options.section.virt_type)
        cdrom = (instance.image_properties or {}).get("disk_format") == "iso"
        found: list[DiskConfig] = []
        rescue = _rescue_place(directory) if "disk.rescue" in formats else None
        names = [
            name for name in ("disk.rescue", "disk", "disk.eph0", "disk.swap")
            if (name in formats or (name == "disk" and root is not None))
            and not (name == "disk.rescue" and rescue is not None)
        ]
        for place, name in enumerate(names):
            if name not in formats:
                # The root volume, in the place of a root disk.
                assert root is not None
                order = 1 if place == 0 and rescue is None else None
                found.append(self._volume_disk(root, bus, "abcdefgh"[place], order))
                continue
            as_cdrom = cdrom and name == "disk"
            used = cdrom_bus if as_cdrom else bus
            found.append(
                DiskConfig(
                    path=str(directory.file(name)), format=formats[name],
                    target=_PREFIX[used] + "abcdefgh"[place], bus=used,
                    device="cdrom" if as_cdrom else "disk", cache=self._cache_mode(),
                    discard=self._options.section.hw_disk_discard, read_only=as_cdrom,
                    boot_order=1 if place == 0 and rescue is None else None,
                    tuning={} if as_cdrom else disk_tuning(instance),
                )
            )
        taken = {letters_of(f"/dev/{each.target}") for each in found}
        for volume in volumes:
            if volume is not root:
                letters = letters_of(volume.connection.device_name)
                if letters is None or letters in taken:
                    letters = letters_of(free_name("vd", filter(None, taken)))
                taken.add(letters)
                found.append(self._volume_disk(volume, bus, letters or "b", None))
        if rescue is not None:
            as_cdrom = rescue.device == "cdrom"
            used = rescue.bus or (cdrom_bus if as_cdrom else bus)
            letters = letters_of(free_name("vd", filter(None, taken)))
            found.append(
                DiskConfig(
                    path=str(directory.file("disk.rescue")), format=formats["disk.rescue"],
                    target=f"{_PREFIX[used]}{letters}", bus=used, device="cdrom" if as_cdrom else "disk",
                    cache=self._cache_mode(), read_only=as_cdrom, boot_order=1,
                )
            )
        if "disk.config" in formats:
            # By what was made, not by what the option says now.
            path = directory.file("disk.config")
            as_cdrom = not is_disk(path)
            used = cdrom_bus if as_cdrom else bus
            found.append(
                DiskConfig(
                    path=str(path), format="raw", device="cdrom" if as_cdrom else "disk",
                    target=_last_place(instance, used), bus=used,
                    cache=self._cache_mode(), read_only=True,
                )
            )
        return tuple(found)

    @property
    def mounts(self) -> Path:
        """Where exports are mounted."""
        return self.files.instances.parent / "mnt"

    def volume_records(self, uuid: str) -> VolumeRecords:
        """The volumes that a guest has on this host."""
        return VolumeRecords(self.files.guest(uuid), self.files.host)

    def _volume_disk(
        self, volume: RecordedVolume, bus: str, letters: str, boot_order: int | None
    ) -> DiskConfig:
        used = volume.connection.disk_bus or bus
        if used not in _PREFIX:
            raise VirtError(f"Volume {volume.connection.volume_id} wants the bus {used}, which is none.")
        return volume_disk(
            volume.connection, source_of(volume.connection, self.mounts), serial=volume.serial,
            target=_PREFIX[used] + letters, bus=used, file_cache=self._cache_mode(),
            boot_order=boot_order,
        )

    def kernel_files(self, uuid: str) -> tuple[str | None, str | None]:
        """A guest's own kernel and ramdisk, if it has them."""
        directory = self.files.guest(uuid)
        kernel, ramdisk = (
            str(path) if (path := directory.file(name)).exists() else None
            for name in ("kernel", "ramdisk")
        )
        return kernel, ramdisk

    def promised_bytes(self) -> int:
        """What all disks may still take of the host's room as they fill."""
        promised = 0
        for record in self.files.instances.glob("*/disk.info"):
            for name, disk_format in GuestDirectory(record.parent).formats().items():
                with contextlib.suppress(OSError):
                    path = record.parent / name
                    size = qcow2_size(path) if disk_format == "qcow2" else path.stat().st_size
                    promised += max(0, size - path.stat().st_blocks * 512)
        return promised

    def size(self, uuid: str, name: str) -> int:
        """The size of a disk as the guest sees it, bytes."""
        directory = self.files.guest(uuid)
        disk_format = directory.formats()[name]
        if disk_format == "raw":
            return directory.file(name).stat().st_size
        return int(qemu_img.info(directory.file(name), disk_format)["virtual-size"])

    def flat_copy(self, uuid: str, target: Path, disk_format: str) -> None:
        """Copy the root disk of a guest that is off, with what it is based on."""
        directory = self.files.guest(uuid)
        formats = directory.formats()
        if "disk" not in formats:
            raise VirtError(f"The disks of {uuid} are not on this host.")
        qemu_img.convert(directory.file("disk"), formats["disk"], target, disk_format)

    def _cache_mode(self) -> str:
        modes = dict(
            text.partition("=")[::2] for text in self._options.section.disk_cachemodes
        )
        if "file" in modes:
            return modes["file"]
        return "none" if supports_direct_io(self.files.instances) else "writethrough"


def _buses(instance: Instance, virt_type: str) -> tuple[str, str]:
    """The bus of disks and that of CDs, by image property or as the machine has them."""
    properties = instance.image_properties or {}
    if virt_type == "xen":
        return "xen", "xen"
    bus = str(properties.get("hw_disk_bus") or "virtio")
    modern = "q35" in str(properties.get("hw_machine_type") or "")
    cdrom = str(properties.get("hw_cdrom_bus") or ("sata" if modern else "ide"))
    for name, value in (("hw_disk_bus", bus), ("hw_cdrom_bus", cdrom)):
        if value not in _MACHINE_BUSES:
            raise VirtError(f"Image property {name}: {value} is no bus of {virt_type}.")
    return bus, cdrom


def require_rescue_disk(wanted: RescueDisk) -> None:
    """``VirtError`` for a rescue disk on a bus, or of a kind, that guests do not have."""
    if wanted.bus not in (None, *_MACHINE_BUSES):
        raise VirtError(f"Image property hw_rescue_bus: {wanted.bus} is none of {', '.join(_MACHINE_BUSES)}.")
    if wanted.device not in (None, "disk", "cdrom"):
        raise VirtError(f"Image property hw_rescue_device: {wanted.device} is neither disk nor cdrom.")


def _rescue_place(directory: GuestDirectory) -> RescueDisk | None:
    """The place of the rescue disk; None where it comes first."""
    try:
        return _decode_rescue_disk(directory.file(_RESCUE_PLACE).read_bytes())
    except FileNotFoundError:
        return None


def _last_place(instance: Instance, bus: str) -> str:
    """Where the config drive goes: out of the way of disks that come later."""
    if bus == "ide":
        return "hdd"
    model = (instance.image_properties or {}).get("hw_scsi_model") or "virtio-scsi"
    # The older controllers have seven places.
    return "sdg" if bus == "scsi" and model != "virtio-scsi" else f"{_PREFIX[bus]}z"


def _file_system(kind: str, label: str) -> Callable[[Path], object] | None:
    if kind == "none":
        return None
    return lambda path: qemu_img.run([*_MAKERS[kind], label, str(path)])


def backing_file(disk: Path) -> str | None:
    """The base that a qcow2 disk names in its header; None for others, and where the disk vanished."""
    try:
        with disk.open("rb", buffering=0) as file:
            head = file.read(20)
            if len(head) < 20 or not head.startswith(b"QFI\xfb"):
                return None
            offset, length = struct.unpack_from(">QI", head, 8)
            file.seek(offset)
            return file.read(min(length, 1023)).decode("utf-8", "replace") if offset else None
    except OSError:
        return None


def qcow2_size(disk: Path) -> int:
    """The size of a qcow2 disk as the guest sees it, bytes, from its header."""
    with disk.open("rb", buffering=0) as file:
        head = file.read(32)
    size: int = struct.unpack_from(">Q", head, 24)[0] if len(head) == 32 else 0
    return size


def pieces_then_remove(path: Path) -> Iterator[bytes]:
    """A file in pieces; it is removed at the end, whether it was read to the end or not."""
    try:
        with path.open("rb", buffering=0) as file:
            while piece := file.read(_PIECE):
                yield piece
    finally:
        path.unlink(missing_ok=True)
