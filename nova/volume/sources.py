# SPDX-License-Identifier: Apache-2.0
"""What a new volume is made of: nothing, an image, a snapshot, or another volume."""

from __future__ import annotations

from typing import Any

import msgspec

from nova.db.engine import Transaction
from nova.errors import BadRequest, Forbidden, ImageNotFound, InvalidSnapshot, InvalidVolume
from nova.objects.context import RequestContext
from nova.objects.image import Image
from nova.objects.volume_record import VolumeType
from nova.volume.core import VolumeCore

_GIB = 1 << 30


class VolumeSource(msgspec.Struct, frozen=True, kw_only=True):
    """A source that was checked, and what the volume has of it. ``size`` is the least GiB."""

    size: int = 0
    bootable: bool = False
    image_id: str | None = None
    image_metadata: dict[str, str] = {}
    snapshot_id: str | None = None
    source_id: str | None = None
    type_id: str | None = None

    @property
    def read(self) -> str | None:
        """The volume or snapshot that is read."""
        return self.snapshot_id or self.source_id


def image_source(core: VolumeCore, context: RequestContext, image_id: str, size: int | None) -> VolumeSource:
    """An image that may become a volume of ``size`` GiB; ``BadRequest`` else."""
    try:
        image = core.images.show(context, image_id)
    except (ImageNotFound, Forbidden):
        raise BadRequest(
            "Invalid image identifier or unable to access requested image."
        ) from None
    if image.status != "active":
        raise _invalid(f"Image {image_id} is not active.")
    data = max(image.size or 0, image.virtual_size or 0)
    least = max(-(-data // _GIB), 1)
    if size is not None and size < least:
        raise _invalid(f"Size of specified image {least}GB is larger than volume size {size}GB.")
    if size is not None and size < image.min_disk:
        raise _invalid(
            f"Volume size {size}GB cannot be smaller than the image minDisk size {image.min_disk}GB."
        )
    return VolumeSource(
        size=least, bootable=True, image_id=image.id, image_metadata=image_metadata(image)
    )


def image_metadata(image: Image) -> dict[str, str]:
    """What a volume keeps of the image that it was made of."""
    facts: dict[str, Any] = {
        "image_id": image.id, "image_name": image.name, "checksum": image.checksum,
        "container_format": image.container_format, "disk_format": image.disk_format,
        "min_disk": image.min_disk, "min_ram": image.min_ram, "size": image.size,
    }
    found = {name: str(value) for name, value in facts.items() if value is not None}
    for name, value in image.properties.items():
        if isinstance(value, (str, int, float, bool)):
            found.setdefault(name, str(value))
    return found


def snapshot_source(
    core: VolumeCore, tx: Transaction, context: RequestContext, snapshot_id: str, size: int | None
) -> VolumeSource:
    """A snapshot that may become a volume of ``size`` GiB."""
    snapshot = core.snapshot(tx, context, snapshot_id)
    if snapshot.status != "available":
        raise InvalidSnapshot(
            f"Originating snapshot status must be one of 'available' values; it is {snapshot.status}."
        )
    if size is not None and size < snapshot.size:
        raise _invalid(
            f"Volume size '{size}'GB cannot be smaller than the snapshot size {snapshot.size}GB. They "
            "must be >= original snapshot size."
        )
    origin = tx.volumes.get(snapshot.volume_id)
    return VolumeSource(
        size=snapshot.size, snapshot_id=snapshot.id, type_id=snapshot.type_id,
        bootable=origin is not None and origin.bootable,
        image_metadata=origin.image_metadata if origin is not None else {},
    )


def volume_source(
    core: VolumeCore, tx: Transaction, context: RequestContext, volume_id: str, size: int | None
) -> VolumeSource:
    """A volume that may be copied into one of ``size`` GiB."""
    origin = core.volume(tx, context, volume_id)
    if origin.status not in ("available", "in-use"):
        raise InvalidVolume(
            f"Source volume status must be 'available' or 'in-use'; it is {origin.status}."
        )
    if size is not None and size < origin.size:
        raise _invalid(
            f"Volume size '{size}'GB cannot be smaller than original volume size  {origin.size}GB. They "
            "must be >= original volume size."
        )
    return VolumeSource(
        size=origin.size, source_id=origin.id, type_id=origin.type_id, bootable=origin.bootable,
        image_metadata=origin.image_metadata,
    )


def type_of(
    core: VolumeCore, tx: Transaction, context: RequestContext, named: str | None, source: VolumeSource
) -> VolumeType:
    """The type of a new volume: the named one, its source's, or the default one."""
    if named:
        return core.type(tx, context, named)
    inherited = tx.volumes.types.get(source.type_id) if source.type_id else None
    return inherited or core.default_type(tx, context)


def _invalid(reason: str) -> BadRequest:
    return BadRequest(f"Invalid input received: {reason}")
