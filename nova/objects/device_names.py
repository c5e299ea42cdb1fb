# SPDX-License-Identifier: Apache-2.0
"""The names of a server's disks (``/dev/vdb``), given in order where none was asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from nova.errors import Conflict, Forbidden, InvalidInput
from nova.objects.flavor import Flavor
from nova.objects.instance import BlockDevice, Instance

_NAME = re.compile(r"(/dev/)?(x?[a-z]?d)([a-z]{1,2})[0-9]*")
_PREFIX = {"virtio": "vd", "scsi": "sd", "sata": "sd", "usb": "sd", "ide": "hd", "xen": "xvd"}
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class DevicePathInUse(Conflict):
    """The supplied device path is in use."""


class TooManyDisks(Forbidden):
    """The server has as many disks as it can have."""


def prefix_of(root_name: str | None, bus: str | None = None) -> str:
    """``vd`` and the like: by the bus where one is named, else as the root disk has it."""
    if bus in _PREFIX:
        return _PREFIX[bus]
    found = _NAME.fullmatch(root_name or "")
    return found.group(2) if found else "vd"


def letters_of(name: str | None) -> str | None:
    """The letters that tell a disk from its siblings; None for what is no such name."""
    found = _NAME.fullmatch(name or "")
    return found.group(3) if found else None


def local_letters(flavor: Flavor) -> set[str]:
    """What the root disk and the flavor's own further disks take: the root, ephemeral ones, swap."""
    return set(_LETTERS[: 1 + bool(flavor.ephemeral_gb) + bool(flavor.swap)])


def free_name(prefix: str, taken: Iterable[str]) -> str:
    """The next name that is free; raises ``TooManyDisks`` where there is none."""
    used = set(taken)
    for first in ("", *_LETTERS):
        for last in _LETTERS:
            if first + last not in used:
                return f"/dev/{prefix}{first}{last}"
    raise TooManyDisks("The server has as many disks as it can have.")


def name_for(instance: Instance, wanted: str | None, bus: str | None = None) -> str:
    """The name of a disk that comes to a server.

    Raises ``DevicePathInUse``, or ``InvalidInput`` for what is no name of a disk.
    """
    taken = local_letters(instance.flavor) | {
        letters for each in instance.block_devices if (letters := letters_of(each.device_name))
    }
    if not wanted:
        return free_name(prefix_of(instance.root_device_name, bus), taken)
    letters = letters_of(wanted)
    if letters is None:
        raise InvalidInput("device", "It is not the name of a device.", wanted)
    if letters in taken:
        raise DevicePathInUse(f"The supplied device path ({wanted}) is in use.")
    return wanted if wanted.startswith("/dev/") else f"/dev/{wanted}"


def named(
    devices: Sequence[BlockDevice], root_name: str, flavor: Flavor
) -> tuple[BlockDevice, ...]:
    """The disks of a new server, each volume with a name."""
    taken = local_letters(flavor) | {
        letters for each in devices if (letters := letters_of(each.device_name))
    }
    found = []
    for each in devices:
        if each.is_volume and not each.device_name:
            if each.boot_index == 0:
                name = root_name
            else:
                name = free_name(prefix_of(root_name, each.disk_bus), taken)
                taken.add(letters_of(name) or "")
            each = msgspec.structs.replace(each, device_name=name)
        found.append(each)
    return tuple(found)
