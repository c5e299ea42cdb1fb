# SPDX-License-Identifier: Apache-2.0
"""From a volume's connection to the disk of a guest: one function for each type, none looks at the host.

The types are those of Cinder's connections (``driver_volume_type``). What a type carries is not trusted to be
there: what lacks is named. A type that is not in the table is refused by its name.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from nova.errors import VirtError
from nova.objects.migration import VolumePlace
from nova.objects.volume_connection import VolumeConnection
from nova.virt.libvirt.domain_xml import DiskConfig, RemoteDisk

#: Front-end limits of a volume's type, as Cinder names them -> libvirt's ``iotune`` elements.
_LIMITS = {
    name: name
    for kind in ("total", "read", "write")
    for unit in ("bytes_sec", "iops_sec")
    for name in (f"{kind}_{unit}", f"{kind}_{unit}_max", f"{kind}_{unit}_max_length")
} | {"size_iops_sec": "size_iops_sec"}
_FORMATS = ("raw", "qcow2")
#: Secrets are found again by the volume that they are for.
_SECRETS = uuid.UUID("6f4c9a0e-5d0c-4a55-9d62-6b0a3b1a7c11")


class VolumeSource(msgspec.Struct, frozen=True):
    """Where the hypervisor opens a volume."""

    kind: str
    path: str
    format: str = "raw"
    remote: RemoteDisk | None = None


def source_of(volume: VolumeConnection, mounts: Path) -> VolumeSource:
    """The source of a volume; ``VirtError`` names the type or the fact that is missing.

    ``mounts`` is the directory under which this host mounts exports.
    """
    reader = _SOURCES.get(volume.kind)
    if reader is None:
        raise VirtError(
            f"The libvirt driver does not connect volumes of type {volume.kind}; it knows "
            f"{', '.join(sorted(_SOURCES))}."
        )
    if volume.data.get("encrypted"):
        raise VirtError(f"Volume {volume.volume_id} is encrypted; the libvirt driver cannot open it.")
    return reader(volume, mounts)


def place_of_volume(volume: VolumeConnection, mounts: Path) -> VolumePlace:
    """What another host is told of where a volume is open here."""
    source = source_of(volume, mounts)
    remote = source.remote
    if remote is None:
        return VolumePlace(volume_id=volume.volume_id, kind=source.kind, path=source.path)
    return VolumePlace(
        volume_id=volume.volume_id, kind=source.kind, path=source.path, protocol=remote.protocol,
        hosts=remote.hosts, secret=remote.secret,
    )


def volume_disk(
    volume: VolumeConnection,
    source: VolumeSource,
    *,
    serial: str,
    target: str,
    bus: str,
    file_cache: str,
    boot_order: int | None = None,
) -> DiskConfig:
    """The disk of a volume. ``file_cache`` is the cache mode where it is a file."""
    cdrom = volume.device_type == "cdrom"
    return DiskConfig(
        path=source.path, format=source.format, kind=source.kind, remote=source.remote, target=target,
        bus=bus, device="cdrom" if cdrom else "disk", serial=serial, boot_order=boot_order,
        # Others may read what this guest wrote at any time.
        cache="none" if source.kind != "file" or volume.multiattach else file_cache,
        discard="unmap" if volume.data.get("discard") else None,
        read_only=cdrom or volume.data.get("access_mode") == "ro",
        shareable=volume.multiattach, tuning=limits_of(volume),
    )


def limits_of(volume: VolumeConnection) -> dict[str, int]:
    """The limits that the volume's type wants the hypervisor to keep."""
    specs = volume.data.get("qos_specs")
    if not isinstance(specs, Mapping):
        return {}
    found = {}
    for name, element in _LIMITS.items():
        if name in specs:
            try:
                found[element] = int(specs[name])
            except (TypeError, ValueError):
                raise VirtError(
                    f"The limit {name} of volume {volume.volume_id} is no whole number: {specs[name]}."
                ) from None
    return found


def mount_point(mounts: Path, export: str) -> Path:
    """Where an export is mounted on every host of a cloud, so that guests can move."""
    return mounts / hashlib.md5(export.encode(), usedforsecurity=False).hexdigest()


def secret_of(volume: VolumeConnection) -> tuple[str, str, str] | None:
    """(kind, uuid, value) of the secret that libvirt has to keep for a volume; None where there is none."""
    if volume.kind == "iscsi" and volume.data.get("auth_method"):
        return "iscsi", str(uuid.uuid5(_SECRETS, volume.volume_id)), volume.text("auth_password")
    keyring = volume.data.get("keyring")
    if volume.kind == "rbd" and volume.data.get("auth_enabled") and isinstance(keyring, str):
        return "ceph", _ceph_secret(volume), _key_of(keyring)
    return None


def _file(volume: VolumeConnection, _mounts: Path) -> VolumeSource:
    return VolumeSource("file", volume.text("device_path"), _format(volume))


def _block(volume: VolumeConnection, _mounts: Path) -> VolumeSource:
    return VolumeSource("block", volume.text("device_path"))


def _nfs(volume: VolumeConnection, mounts: Path) -> VolumeSource:
    name = volume.text("name")
    if "/" in name or name in (".", ".."):
        raise VirtError(f"Volume {volume.volume_id} has no usable name on its export: {name}.")
    where = mount_point(mounts, volume.text("export"))
    return VolumeSource("file", str(where / name), _format(volume))


def _nbd(volume: VolumeConnection, _mounts: Path) -> VolumeSource:
    host = (volume.text("host"), str(volume.data.get("port") or 10809))
    return VolumeSource(
        "network", str(volume.data.get("name") or ""), remote=RemoteDisk(protocol="nbd", hosts=(host,))
    )


def _rbd(volume: VolumeConnection, _mounts: Path) -> VolumeSource:
    hosts = _list(volume.data.get("hosts"))
    ports = _list(volume.data.get("ports")) or [""] * len(hosts)
    secret = None
    if volume.data.get("auth_enabled"):
        secret = (volume.text("auth_username"), "ceph", _ceph_secret(volume))
    return VolumeSource(
        "network", volume.text("name"),
        remote=RemoteDisk(protocol="rbd", hosts=tuple(zip(hosts, ports, strict=True)), secret=secret),
    )


def _iscsi(volume: VolumeConnection, _mounts: Path) -> VolumeSource:
    host, _, port = volume.text("target_portal").rpartition(":")
    secret = None
    if volume.data.get("auth_method"):
        if volume.data["auth_method"] != "CHAP":
            raise VirtError(
                f"Volume {volume.volume_id} wants {volume.data['auth_method']}; iSCSI knows CHAP here."
            )
        secret = (
            volume.text("auth_username"), "iscsi", str(uuid.uuid5(_SECRETS, volume.volume_id))
        )
    return VolumeSource(
        "network", f"{volume.text('target_iqn')}/{volume.text('target_lun')}",
        remote=RemoteDisk(
            protocol="iscsi", hosts=((host.strip("[]"), port),), secret=secret
        ),
    )


_SOURCES: dict[str, Callable[[VolumeConnection, Path], VolumeSource]] = {
    "file": _file, "local": _block, "nfs": _nfs, "nbd": _nbd, "rbd": _rbd, "iscsi": _iscsi,
}


def _format(volume: VolumeConnection) -> str:
    found = str(volume.data.get("format") or "raw")
    if found not in _FORMATS:
        raise VirtError(f"Volume {volume.volume_id} has the format {found}; a disk is raw or qcow2.")
    return found


def _list(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, (list, tuple)) else []


def _ceph_secret(volume: VolumeConnection) -> str:
    """The secret's uuid: the one that the service names, where an operator has given it to libvirt."""
    named = volume.data.get("secret_uuid")
    return str(named) if named else str(uuid.uuid5(_SECRETS, volume.volume_id))


def _key_of(keyring: str) -> str:
    """The key in a Ceph keyring."""
    for line in keyring.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "key":
            return value.strip()
    return keyring.strip()
