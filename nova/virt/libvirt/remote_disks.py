# SPDX-License-Identifier: Apache-2.0
"""Disks that come from or go to another host, through that host's libvirt: no shell, no shared keys.

A directory of the other host is opened as a transient storage pool and its files are read and written as
streams, over the same connection that live migration uses (``live_migration_uri``).
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import uuid as uuids
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import libvirt

from nova.errors import VirtError
from nova.objects.instance import Instance
from nova.virt.driver import GuestSpec
from nova.virt.libvirt import qemu_img
from nova.virt.libvirt.files import GuestDirectory
from nova.virt.libvirt.host import unreachable

if TYPE_CHECKING:
    from nova.virt.libvirt.parts import DriverParts

LOG = logging.getLogger(__name__)

_PIECE = 1 << 18
_BASE = re.compile(r"[0-9a-f]{40}(\.qcow2)?|(ephemeral_\d+_\w+|swap_\d+)")
#: What of a guest's directory moves with it.
_MOVED = re.compile(r"disk(\.\w+)?|kernel|ramdisk|nvram|console\.log(\.\d)?")


@contextlib.contextmanager
def other_host(parts: DriverParts, host: str) -> Iterator[Any]:
    """A connection to another host's libvirt."""
    uri = parts.section.live_migration_uri.replace("%s", host)
    try:
        connection = libvirt.open(uri)
    except libvirt.libvirtError as error:
        raise VirtError(unreachable(uri, str(error))) from None
    try:
        yield connection
    except libvirt.libvirtError as error:
        raise VirtError(f"libvirt at {uri}: {error}") from error
    finally:
        connection.close()


@contextlib.contextmanager
def pool(connection: Any, directory: Path, *, make: bool = False) -> Iterator[Any]:
    """A directory of that host as a storage pool, for as long as it is used."""
    text = (
        f"<pool type='dir'><name>nova-{uuids.uuid4()}</name>"
        f"<target><path>{escape(str(directory))}</path><permissions><mode>0711</mode>"
        f"<owner>{os.geteuid()}</owner><group>{os.getegid()}</group></permissions></target></pool>"
    )
    flags = libvirt.VIR_STORAGE_POOL_CREATE_WITH_BUILD if make else 0
    found = connection.storagePoolCreateXML(text, flags)
    try:
        found.refresh()
        yield found
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            found.destroy()


def download(connection: Any, volume: Any, target: Path) -> None:
    """A file of that host, holes kept."""
    stream = connection.newStream(0)
    with target.open("wb", buffering=0) as file:
        volume.download(stream, 0, 0, libvirt.VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM)
        stream.sparseRecvAll(
            lambda _stream, data, _opaque: file.write(data),
            lambda _stream, length, _opaque: file.seek(length, os.SEEK_CUR), None,
        )
        file.truncate(file.tell())
    stream.finish()


def fetch_kept(parts: DriverParts, spec: GuestSpec, source: str) -> None:
    """Bring what ``source`` put aside for a move into the guest's place here.

    The other host is not trusted: a disk may refer to nothing but a cached image of this host.
    """
    uuid = spec.instance.uuid
    files = parts.storage.files
    if files.guest(uuid).exists():
        return
    fresh = GuestDirectory(files.instances / f"{uuid}_new")
    fresh.remove()
    fresh.make()
    with other_host(parts, source) as connection, pool(connection, files.kept(uuid).path) as found:
        names = [name for name in found.listVolumes() if _MOVED.fullmatch(name)]
        for name in names:
            download(connection, found.storageVolLookupByName(name), fresh.file(name))
    if fresh.console_log.exists():
        fresh.console_log.chmod(0o600)
    for name, disk_format in fresh.formats().items():
        if "/" in name or disk_format not in ("raw", "qcow2"):
            raise VirtError(f"Host {source} sent a disk that is not to be used: {name}.")
        if disk_format == "qcow2":
            _adopt(parts, spec, fresh.file(name), name)
    fresh.path.rename(files.guest(uuid).path)


def _adopt(parts: DriverParts, spec: GuestSpec, path: Path, name: str) -> None:
    """Base a disk that came from elsewhere on this host's cached image."""
    said = qemu_img.info(path, "qcow2")
    specific = (said.get("format-specific") or {}).get("data") or {}
    backing = said.get("backing-filename")
    if specific.get("data-file"):
        raise VirtError(f"The disk {name} that came keeps its data in another file.")
    if not backing:
        return
    base = os.path.basename(str(backing))
    if not _BASE.fullmatch(base):
        raise VirtError(f"The disk {name} that came refers to {backing}.")
    if name == "disk.swap" and base != f"swap_{spec.instance.flavor.swap}":
        # Made anew in its new size.
        GuestDirectory(path.parent).remove_disk(name)
        return
    present = parts.storage.base_for(spec, name, base)
    if present.name != base:
        raise VirtError(f"The disk {name} that came is based on another image than the server.")
    qemu_img.rebase(path, present, "qcow2" if present.suffix == ".qcow2" else "raw")


def send_disks(parts: DriverParts, instance: Instance, other: Any) -> bool:
    """Prepare the other host for a guest that comes running; True where both see the same directory.

    Disks are made there empty and in their size: the hypervisor copies them. What it does not copy (config
    drive, kernel, the record of formats, the console's past) is sent.
    """
    directory = parts.storage.files.guest(instance.uuid)
    for left in directory.path.glob("shared-*"):
        left.unlink(missing_ok=True)
    marker = directory.file(f"shared-{uuids.uuid4().hex}")
    marker.touch()
    try:
        with pool(other, directory.path, make=True) as found:
            present = set(found.listVolumes())
            if marker.name in present:
                return True
            for name, disk_format in directory.formats().items():
                if name != "disk.config":
                    size = parts.storage.size(instance.uuid, name)
                    _new_volume(found, present, name, size, disk_format)
            for name in ("disk.config", "disk.info", "kernel", "ramdisk", "console.log"):
                path = directory.file(name)
                if path.exists():
                    _upload(other, _new_volume(found, present, name, path.stat().st_size, "raw"), path)
            return False
    finally:
        marker.unlink(missing_ok=True)


def drop_sent(parts: DriverParts, instance: Instance, other: Any) -> None:
    """Remove from the other host what was prepared for a move that did not come about."""
    directory = parts.storage.files.guest(instance.uuid).path
    with contextlib.suppress(libvirt.libvirtError), pool(other, directory) as found:
        for volume in found.listAllVolumes():
            # The record of its volumes is what that host lets go of them by.
            if not volume.name().startswith("volumes-"):
                volume.delete()


def _new_volume(found: Any, present: set[str], name: str, size: int, disk_format: str) -> Any:
    """A file of that host; one that an earlier try left goes first."""
    if name in present:
        found.storageVolLookupByName(name).delete()
    # As where it was made: the hypervisor makes disks its own, and the service there reads them all the same.
    mode = "0600" if name == "console.log" else "0644"
    return found.createXML(
        f"<volume><name>{escape(name)}</name><capacity unit='bytes'>{size}</capacity>"
        f"<allocation>0</allocation><target><format type='{disk_format}'/><permissions><mode>{mode}</mode>"
        f"<owner>{os.geteuid()}</owner><group>{os.getegid()}</group></permissions></target></volume>"
    )


def _upload(connection: Any, volume: Any, source: Path) -> None:
    if not source.stat().st_size:
        return
    stream = connection.newStream(0)
    with source.open("rb", buffering=0) as file:
        volume.upload(stream, 0, source.stat().st_size, 0)
        stream.sendAll(lambda _stream, size, _opaque: file.read(size), None)
    stream.finish()
