# SPDX-License-Identifier: Apache-2.0
"""Snapshots that a block storage service takes of files which guests have open (assisted snapshots).

The service keeps a volume as a chain of files in one directory of an export, each qcow2 file above naming the
one below it. It makes a file on top, which the hypervisor goes over to; later it wants two neighbours
merged. Both may be asked for again: what is done already is seen in the files and in the running guest.

The new file is written down before the hypervisor goes over to it: it is empty, so that a guest which starts
in between finds the same data through either. The service opens the files under another path, so their
names for each other stay relative.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import libvirt
import msgspec

from nova.errors import VirtError
from nova.objects.instance import Instance
from nova.objects.volume_connection import VolumeConnection
from nova.virt.libvirt import qemu_img
from nova.virt.libvirt.copy_jobs import wait_for_job
from nova.virt.libvirt.domain_xml import DiskConfig
from nova.virt.libvirt.guest_agent import quiesced

if TYPE_CHECKING:
    from nova.virt.libvirt.parts import DriverParts

#: More files than a service keeps; a chain that is longer leads in a circle.
_LONGEST = 256


@dataclasses.dataclass(frozen=True)
class ChainFile:
    """One file of a disk; ``below`` is how it names the next, None for the last."""

    path: Path
    format: str
    below: str | None


def take(parts: DriverParts, instance: Instance, volume_id: str, new_file: str) -> None:
    """Let the guest write to ``new_file`` from now on. ``VirtError`` where that is not on top of its disk."""
    disk, volume = _disk(parts, instance, volume_id)
    fresh = beside(Path(disk.path), new_file)
    domain = parts.connection.find(instance.uuid)
    opened = _open_in(domain, disk)
    present = Path(disk.path) if opened is None else opened[0]
    if present != fresh and [each.path for each in chain_of(fresh, "qcow2")][1:2] != [present]:
        raise VirtError(f"The file {new_file} is not on top of what the guest has for volume {volume_id}.")
    _write_down(parts, instance, volume, fresh, "qcow2")
    if opened is None or present == fresh:
        return
    try:
        with quiesced(parts, domain, instance), parts.connection.translated():
            _go_over(parts, instance, domain, disk, fresh)
    except BaseException:
        _write_down(parts, instance, volume, *opened)
        raise


def merge(
    parts: DriverParts, instance: Instance, volume_id: str, merged: str | None, target: str | None
) -> None:
    """Put what is in ``merged`` into ``target`` below it; without a target, put what is between ``merged``
    (None: everything below) and the active file into that one.
    """
    disk, volume = _disk(parts, instance, volume_id)
    path = Path(disk.path)
    domain = parts.connection.find(instance.uuid)
    opened = _open_in(domain, disk)
    with parts.connection.translated():
        if domain is not None and opened is not None and domain.blockJobInfo(disk.target, 0):
            # One that was begun before an interruption; what it has copied is not copied again.
            domain.blockJobAbort(disk.target, 0)
        domain = None if opened is None else domain
        chain = chain_of(*(opened or (path, disk.format)))
        if target is None:
            pull(domain, disk.target, chain, None if merged is None else beside(path, merged))
            return
        if merged is None:
            raise VirtError("No file is named that is to be merged.")
        active = commit(domain, disk.target, chain, beside(path, merged), beside(path, target))
    if active.path != path:
        _write_down(parts, instance, volume, active.path, active.format)


def pull(domain: Any, target: str, chain: list[ChainFile], base: Path | None) -> None:
    """Bring what is between the base and the first file into the first; ``domain`` None is off."""
    active = chain[0]
    number = len(chain) if base is None else number_of(chain, base)
    if number == 0:
        raise VirtError(f"The guest writes to the file {active.path.name} itself.")
    if number == 1:
        return
    if domain is None:
        named = ["-b", ""] if base is None else ["-F", chain[number].format, "-b", _named(chain, base)]
        qemu_img.run(["qemu-img", "rebase", "-q", "-f", active.format, *named, str(active.path)])
    else:
        relative = base is not None and _relative(chain)
        domain.blockRebase(
            target, None if base is None else str(base), 0,
            libvirt.VIR_DOMAIN_BLOCK_REBASE_RELATIVE if relative else 0,
        )
        wait_for_job(domain, target, ready=False)
    left = [each.path for each in chain_of(active.path, active.format)][1:2]
    if left != ([] if base is None else [base]):
        raise VirtError(f"What is below {active.path.name} was not merged into it: the job broke off.")


def commit(
    domain: Any, target: str, chain: list[ChainFile], top: Path, bottom: Path
) -> ChainFile:
    """Bring what is in ``top`` into ``bottom``; the file that the guest writes to afterwards."""
    last = number_of(chain, bottom)
    if all(each.path != top for each in chain):
        return chain[0]
    first = number_of(chain, top)
    if first >= last:
        raise VirtError(f"The file {bottom.name} is not below {top.name}.")
    if domain is None:
        _commit_resting(chain, first, last)
        return chain[last] if first == 0 else chain[0]
    flags = libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE if first == 0 else 0
    if first and _relative(chain):
        flags |= libvirt.VIR_DOMAIN_BLOCK_COMMIT_RELATIVE
    domain.blockCommit(target, str(bottom), str(top), 0, flags)
    wait_for_job(domain, target, ready=first == 0)
    if first == 0:
        domain.blockJobAbort(target, libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)
        return chain[last]
    if any(each.path == top for each in chain_of(chain[0].path, chain[0].format)):
        raise VirtError(f"The file {top.name} was not merged into {bottom.name}: the job broke off.")
    return chain[0]


def _commit_resting(chain: list[ChainFile], first: int, last: int) -> None:
    """As QEMU does it for a guest that runs: the data first, then the name of what is below."""
    below = _named(chain, chain[last].path)
    qemu_img.run(
        ["qemu-img", "commit", "-q", "-d", "-f", chain[first].format, "-b", below, str(chain[first].path)]
    )
    if first:
        above = chain[first - 1]
        qemu_img.run(
            ["qemu-img", "rebase", "-q", "-u", "-f", above.format, "-F", chain[last].format, "-b", below,
             str(above.path)]
        )


def _go_over(
    parts: DriverParts, instance: Instance, domain: Any, disk: DiskConfig, fresh: Path
) -> None:
    others = "".join(
        f"<disk name={quoteattr(each.target)} snapshot='no'/>"
        for each in parts.storage.disks(instance) if each.target != disk.target
    )
    domain.snapshotCreateXML(
        f"<domainsnapshot><disks><disk name={quoteattr(disk.target)} snapshot='external'>"
        f"<source file={quoteattr(str(fresh))}/><driver type='qcow2'/></disk>{others}</disks>"
        "</domainsnapshot>",
        libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
        | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT,
    )


def _disk(
    parts: DriverParts, instance: Instance, volume_id: str
) -> tuple[DiskConfig, VolumeConnection]:
    found = parts.storage.volume_records(instance.uuid).find(volume_id)
    if found is None:
        raise VirtError(f"Guest {instance.uuid} does not have volume {volume_id}.")
    if found.connection.kind != "nfs":
        raise VirtError(
            f"Volume {volume_id} is of type {found.connection.kind}: guests take part in snapshots of "
            "files on exports (nfs) alone."
        )
    disk = next(each for each in parts.storage.disks(instance) if each.serial == found.serial)
    return disk, found.connection


def _open_in(domain: Any, disk: DiskConfig) -> tuple[Path, str] | None:
    """The file, and its format, that a running guest writes a disk to; None where it does not run."""
    if domain is None or not domain.isActive():
        return None
    for each in ElementTree.fromstring(domain.XMLDesc(0)).findall("devices/disk"):  # noqa: S314
        source, driver = each.find("source"), each.find("driver")
        if each.findtext("serial") == disk.serial and source is not None and driver is not None:
            return Path(source.get("file") or ""), driver.get("type") or "raw"
    raise VirtError(f"The running guest does not have the disk {disk.target}.")


def _write_down(
    parts: DriverParts, instance: Instance, volume: VolumeConnection, path: Path, disk_format: str
) -> None:
    """Remember the file that is the active one now, for the guest's next start."""
    facts = {**volume.data, "name": path.name, "format": disk_format}
    parts.storage.volume_records(instance.uuid).put(
        msgspec.structs.replace(volume, connection_info={**volume.connection_info, "data": facts})
    )
    parts.define(instance)


# --- chains of files -------------------------------------------------------------------------------------


def beside(path: Path, name: str) -> Path:
    """A file in the same directory; ``VirtError`` for a name that leads out of it."""
    if name != os.path.basename(name) or name in ("", ".", ".."):
        raise VirtError(f"{name[:80]!r} is no name of a file beside the volume's.")
    return path.with_name(name)


def chain_of(path: Path, disk_format: str) -> list[ChainFile]:
    """The files that make up a disk, from the top. ``VirtError`` where one refers to another directory."""
    found: list[ChainFile] = []
    while len(found) < _LONGEST:
        said = qemu_img.info(path, disk_format)
        below = said.get("backing-filename")
        if ((said.get("format-specific") or {}).get("data") or {}).get("data-file"):
            raise VirtError(f"The file {path.name} keeps its data in another file.")
        found.append(ChainFile(path, disk_format, None if below is None else str(below)))
        if below is None:
            return found
        disk_format = str(said.get("backing-filename-format") or "")
        if disk_format not in ("raw", "qcow2"):
            raise VirtError(f"The file {path.name} does not say of which format {below} is.")
        under = path.parent / str(below)
        if under.parent != path.parent or under.name in ("", ".", ".."):
            raise VirtError(f"The file {path.name} refers to {below}, which is not beside it.")
        path = under
    raise VirtError(f"The files below {found[0].path.name} lead in a circle.")


def number_of(chain: list[ChainFile], path: Path) -> int:
    """The place of a file among those of a disk; ``VirtError`` where it is none of them."""
    for number, each in enumerate(chain):
        if each.path == path:
            return number
    raise VirtError(f"The file {path.name} is not one of those of {chain[0].path.name}.")


def _named(chain: list[ChainFile], path: Path) -> str:
    """A file as the others name it."""
    return path.name if _relative(chain) else str(path)


def _relative(chain: list[ChainFile]) -> bool:
    """Whether files name each other without a directory."""
    return all(each.below is None or not os.path.isabs(each.below) for each in chain)
