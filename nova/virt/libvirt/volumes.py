# SPDX-License-Identifier: Apache-2.0
"""Volumes of guests: opened on the host, plugged while guests run, copied, grown."""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import libvirt

from nova.errors import GuestNotFound, VirtError
from nova.objects.instance import Instance
from nova.objects.migration import VolumePlace
from nova.objects.volume_connection import VolumeConnection
from nova.virt.libvirt import assisted_snapshots, qemu_img
from nova.virt.libvirt.copy_jobs import wait_for_job
from nova.virt.libvirt.domain_xml import DiskConfig, device_xml, disk_element
from nova.virt.libvirt.volume_disks import mount_point, place_of_volume, secret_of, source_of
from nova.virt.libvirt.volume_records import VolumeRecords

if TYPE_CHECKING:
    from nova.conf import Config
    from nova.virt.libvirt.parts import DriverParts

LOG = logging.getLogger(__name__)

#: A guest that holds on to a disk is asked again after so many seconds, and for so long in all.
_ASK_AGAIN = 5.0
_UNPLUG_SECONDS = 30.0
_POLL = 0.1
_INITIATOR = Path("/etc/iscsi/initiatorname.iscsi")
_SECRET_KINDS = {
    "iscsi": libvirt.VIR_SECRET_USAGE_TYPE_ISCSI, "ceph": libvirt.VIR_SECRET_USAGE_TYPE_CEPH,
}


class GuestVolumes:
    """The ``Volumes`` protocol."""

    _parts: DriverParts
    _config: Config

    def connector(self) -> dict[str, Any]:
        """This host as block storage services know hosts."""
        return {
            "ip": self._config.default.my_ip, "initiator": initiator_name(_INITIATOR),
            "multipath": False, "os_type": "linux", "platform": platform.machine(),
            "do_local_attach": False,
        }

    def connect_volumes(self, instance: Instance, volumes: Sequence[VolumeConnection]) -> None:
        """Open volumes on this host, and remember them as all that the guest has."""
        if not volumes and not instance.volumes:
            return
        self._parts.storage.files.guest(instance.uuid).make()
        for volume in volumes:
            self._open(volume)
        self._records(instance.uuid).replace_all(volumes)

    def close_volumes(self, uuid: str) -> None:
        """Let go of what a guest had open that is on this host no more."""
        files = self._parts.storage.files
        for directory in (files.guest(uuid), files.kept(uuid), files.moved(uuid)):
            for volume in VolumeRecords(directory, files.host).load():
                self._close(volume.connection)

    def places(self, uuid: str) -> dict[str, VolumePlace]:
        """Where this host opens each volume of a guest."""
        return {
            each.connection.volume_id: place_of_volume(each.connection, self._mounts)
            for each in self._records(uuid).load()
        }

    def attach_volume(self, instance: Instance, volume: VolumeConnection) -> None:
        """Into the description and, if it runs, the guest."""
        parts = self._parts
        domain = parts.connection.domain(instance.uuid)
        records = self._records(instance.uuid)
        known = records.find(volume.volume_id) is not None
        self._open(volume)
        records.put(volume)
        try:
            disk = self._disk(instance, volume.volume_id)
            text = device_xml(disk_element(disk))
            with parts.connection.translated():
                for flag in _places(domain):
                    if _find(domain, flag, disk.serial) is None:
                        domain.attachDeviceFlags(text, flag)
        except BaseException:
            if not known:
                records.drop(volume.volume_id)
            raise

    def detach_volume(self, instance: Instance, volume_id: str) -> None:
        """Out of the description and the guest; one that holds on to it makes it an error."""
        parts = self._parts
        domain = parts.connection.find(instance.uuid)
        records = self._records(instance.uuid)
        found = records.find(volume_id)
        if found is None:
            return
        if domain is not None:
            with parts.connection.translated():
                self._unplug(domain, found.serial, volume_id)
        records.drop(volume_id)
        self._close(found.connection)

    def swap_volume(
        self, instance: Instance, old_volume_id: str, volume: VolumeConnection
    ) -> None:
        """Mirror a disk to the other volume, and go on with that once it is the same."""
        parts = self._parts
        records = self._records(instance.uuid)
        if records.find(volume.volume_id) is not None and records.find(old_volume_id) is None:
            return
        before = records.find(old_volume_id)
        if before is None:
            raise VirtError(f"Guest {instance.uuid} does not have volume {old_volume_id}.")
        if before.connection.attachment_id == volume.attachment_id:
            # The copy of a volume that its service moves goes by the volume's own id.
            return
        domain = parts.connection.domain(instance.uuid)
        self._open(volume)
        there = source_of(volume, self._mounts)
        if not domain.isActive():
            here = source_of(before.connection, self._mounts)
            if "network" in (here.kind, there.kind):
                raise VirtError("The guest is off; its volume on the network is not copied then.")
            qemu_img.run(
                ["qemu-img", "convert", "-n", "-f", here.format, "-O", there.format, here.path,
                 there.path]
            )
            records.put(volume, instead_of=old_volume_id)
            parts.define(instance)
            return
        old = self._disk(instance, old_volume_id)
        records.put(volume, instead_of=old_volume_id)
        try:
            new = self._disk(instance, volume.volume_id)
            with parts.connection.translated():
                _mirror(domain, old.target, new)
        except BaseException:
            records.put(before.connection, instead_of=volume.volume_id)
            raise
        parts.define(instance)
        self._close(before.connection)

    def extend_volume(self, instance: Instance, volume_id: str, size: int) -> None:
        """Tell a running guest the size of its disk."""
        parts = self._parts
        domain = parts.connection.domain(instance.uuid)
        if self._records(instance.uuid).find(volume_id) is None:
            raise VirtError(f"Guest {instance.uuid} does not have volume {volume_id}.")
        disk = self._disk(instance, volume_id)
        with parts.connection.translated():
            # News may come late and in another order: a disk is never made smaller.
            if domain.isActive() and domain.blockInfo(disk.target)[0] < size:
                domain.blockResize(disk.target, size, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)

    def snapshot_volume(
        self, instance: Instance, volume_id: str, create_info: Mapping[str, str]
    ) -> None:
        """Let the guest write to ``new_file`` from now on, which lies beside the present one."""
        assisted_snapshots.take(self._parts, instance, volume_id, create_info["new_file"])

    def delete_volume_snapshot(
        self, instance: Instance, volume_id: str, delete_info: Mapping[str, str | None]
    ) -> None:
        """Merge a file into the one below it, or what is below the active file into that."""
        assisted_snapshots.merge(
            self._parts, instance, volume_id, delete_info.get("file_to_merge"),
            delete_info.get("merge_target_file"),
        )

    # --- the host's side of a connection -------------------------------------------------------------

    @property
    def _mounts(self) -> Path:
        return self._parts.storage.mounts

    def _records(self, uuid: str) -> VolumeRecords:
        return self._parts.storage.volume_records(uuid)

    def _disk(self, instance: Instance, volume_id: str) -> DiskConfig:
        """The disk of a recorded volume, as the guest's description has it."""
        found = self._records(instance.uuid).find(volume_id)
        for disk in self._parts.storage.disks(instance):
            if found is not None and disk.serial == found.serial:
                return disk
        raise GuestNotFound(f"Guest {instance.uuid} does not have volume {volume_id}.")

    def _open(self, volume: VolumeConnection) -> None:
        """Mount what is on an export, and give libvirt the secret that goes with a volume."""
        source_of(volume, self._mounts)
        if volume.kind == "nfs":
            export = volume.text("export")
            where = mount_point(self._mounts, export)
            where.mkdir(mode=0o711, parents=True, exist_ok=True)
            if not os.path.ismount(where):
                options = str(volume.data.get("options") or "").removeprefix("-o").strip()
                named = ["-o", options] if options else []
                qemu_img.run(["mount", "-t", "nfs", *named, export, str(where)], timeout=60)
        secret = secret_of(volume)
        if secret is not None:
            self._keep_secret(volume, *secret)

    def _keep_secret(self, volume: VolumeConnection, kind: str, uuid: str, value: str) -> None:
        usage = f"<target>nova-{volume.volume_id}</target>" if kind == "iscsi" else (
            f"<name>nova-{volume.volume_id}</name>"
        )
        text = (
            f"<secret ephemeral='no' private='yes'><uuid>{uuid}</uuid>"
            f"<usage type='{kind}'>{usage}</usage></secret>"
        )
        content = base64.b64decode(value) if kind == "ceph" else value.encode()
        with self._parts.connection.translated():
            self._parts.connection.get().secretDefineXML(text).setValue(content)

    def _close(self, volume: VolumeConnection) -> None:
        """Let libvirt forget a secret that no volume needs; exports stay mounted for the next one."""
        secret = secret_of(volume)
        if secret is not None:
            with contextlib.suppress(libvirt.libvirtError):
                self._parts.connection.get().secretLookupByUUIDString(secret[1]).undefine()

    def _unplug(self, domain: Any, serial: str, volume_id: str) -> None:
        config = libvirt.VIR_DOMAIN_AFFECT_CONFIG
        present = _find(domain, config, serial)
        if present is not None:
            domain.detachDeviceFlags(present, config)
        live = libvirt.VIR_DOMAIN_AFFECT_LIVE
        deadline = time.monotonic() + _UNPLUG_SECONDS
        asked = 0.0
        while domain.isActive():
            present = _find(domain, live, serial)
            if present is None:
                return
            if time.monotonic() > deadline:
                raise VirtError(f"The guest does not let go of volume {volume_id}.")
            if time.monotonic() - asked >= _ASK_AGAIN:
                asked = time.monotonic()
                try:
                    domain.detachDeviceFlags(present, live)
                except libvirt.libvirtError as error:
                    # It is being let go of already, or just was.
                    LOG.debug("detaching volume %s: %s", volume_id, error)
            time.sleep(_POLL)


def initiator_name(file: Path) -> str:
    """The host's iSCSI name: as its administrator set it, or made of its name."""
    with contextlib.suppress(OSError):
        for line in file.read_text().splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "InitiatorName" and value.strip():
                return value.strip()
    return f"iqn.1994-05.org.nova:{platform.node()}"


def _places(domain: Any) -> list[int]:
    places = [libvirt.VIR_DOMAIN_AFFECT_CONFIG]
    if domain.isActive():
        places.append(libvirt.VIR_DOMAIN_AFFECT_LIVE)
    return places


def _find(domain: Any, place: int, serial: str | None) -> str | None:
    """The description of the disk with a serial number, in the running guest or in what is written down."""
    flags = libvirt.VIR_DOMAIN_XML_INACTIVE if place == libvirt.VIR_DOMAIN_AFFECT_CONFIG else 0
    for disk in ElementTree.fromstring(domain.XMLDesc(flags)).findall("devices/disk"):  # noqa: S314
        if disk.findtext("serial") == serial:
            return ElementTree.tostring(disk, encoding="unicode")
    return None


def _mirror(domain: Any, target: str, new: DiskConfig) -> None:
    flags = (
        libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
    )
    if domain.blockJobInfo(target, 0):
        domain.blockJobAbort(target, 0)
    domain.blockCopy(target, device_xml(disk_element(new)), {}, flags)
    try:
        wait_for_job(domain, target, ready=True)
        domain.blockJobAbort(target, libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)
    except BaseException:
        with contextlib.suppress(libvirt.libvirtError):
            domain.blockJobAbort(target, 0)
        raise
