# SPDX-License-Identifier: Apache-2.0
"""The disks of a boot that are volumes: each reference checked with the caller's rights, sizes filled in.

An image made of a volume-backed server holds no data but a list of disks, most of them snapshots of volumes
(its property ``block_device_mapping``); a boot of it takes that list for its own.
"""

from __future__ import annotations

import uuid as uuids
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from nova.compute.operations.volumes import check_attachable
from nova.decoding import decode_json
from nova.errors import BadRequest, ImageNotFound, NotFound
from nova.objects.boot import BootRequest
from nova.objects.context import RequestContext
from nova.objects.device_names import letters_of, named
from nova.objects.image import Image
from nova.objects.instance import BlockDevice
from nova.objects.volume import Volume
from nova.topology.cpus import count_of

if TYPE_CHECKING:
    from nova.compute.operations.boot import Checked
    from nova.compute.operations.core import OperationsCore

#: What the block storage service says of an image beside its properties.
_OF_THE_IMAGE = frozenset({"image_id", "image_name", "checksum", "size", "signature_verified"})
_SIZES = frozenset({"min_disk", "min_ram"})
_INVALID = "Block Device Mapping is Invalid: "


def is_volume_snapshot(image: Image | None) -> bool:
    """Whether an image is but a list of disks."""
    return image is not None and bool(image.properties.get("block_device_mapping"))


def with_volumes(
    core: OperationsCore, context: RequestContext, request: BootRequest, checked: Checked
) -> BootRequest:
    """The request with the disks that its image brings, every volume known to be there.

    Tells ``checked`` whether the root disk is a volume, and of which image that one was made. Raises
    ``BadRequest`` for what is not there or does not go together.
    """
    devices = _merged(checked.image, request.block_devices)
    if request.max_count > 1 and any(each.is_volume and each.source_type == "volume" for each in devices):
        _require_shareable(core, context, devices)
    found = []
    for device in devices:
        if device.is_volume:
            device = _checked(core, context, request, checked, device)
        found.append(device)
    root = root_name(found, checked.volume_facts)
    return msgspec.structs.replace(
        request, block_devices=named(found, root, checked.flavor)
    )


def _merged(image: Image | None, asked: tuple[BlockDevice, ...]) -> tuple[BlockDevice, ...]:
    """What is asked for replaces what the image has under the same name or as the root."""
    if image is None or not is_volume_snapshot(image):
        return asked
    if any(each.boot_index == 0 for each in disks_of_image(image)):
        # Clients name the image itself as the root disk, which this one is not.
        asked = tuple(
            each for each in asked if not (each.boot_index == 0 and each.source_type == "image")
        )
    names = {letters_of(each.device_name) for each in asked if each.device_name}
    has_root = any(each.boot_index == 0 for each in asked)
    brought = [
        each for each in disks_of_image(image)
        if not (has_root and each.boot_index == 0)
        and (each.device_name is None or letters_of(each.device_name) not in names)
    ]
    return (*brought, *(each for each in asked if not (each.no_device and each.device_name)))


def disks_of_image(image: Image) -> tuple[BlockDevice, ...]:
    """The disks that an image lists. Raises ``BadRequest`` for a list that cannot be read."""
    text = image.properties.get("block_device_mapping")
    try:
        items = decode_json(text) if isinstance(text, str) else text
        return tuple(_from_image(item) for item in items or ())
    except (msgspec.MsgspecError, TypeError, ValueError, KeyError, AttributeError):
        raise BadRequest(
            f"{_INVALID}the block_device_mapping of image {image.id} cannot be read."
        ) from None


def _from_image(item: Mapping[str, Any]) -> BlockDevice:
    source = str(item.get("source_type") or ("snapshot" if item.get("snapshot_id") else "volume"))
    uuid = item.get(f"{source}_id") or item.get("uuid")
    index = item.get("boot_index")
    size = item.get("volume_size")
    return BlockDevice(
        source_type=source, destination_type=str(item.get("destination_type") or "volume"),
        boot_index=None if index is None else int(index), uuid=None if source == "blank" else uuid,
        volume_id=uuid if source == "volume" else None,
        volume_size=None if size is None else int(size), volume_type=item.get("volume_type"),
        device_name=item.get("device_name"), tag=item.get("tag"),
        delete_on_termination=item.get("delete_on_termination") in (True, "True", "true", "1", 1),
        guest_format=item.get("guest_format"), disk_bus=item.get("disk_bus"),
        device_type=item.get("device_type"), no_device=bool(item.get("no_device")),
    )


def _require_shareable(
    core: OperationsCore, context: RequestContext, devices: tuple[BlockDevice, ...]
) -> None:
    for device in devices:
        if device.is_volume and device.source_type == "volume":
            volume = _volume(core, context, device)
            if not volume.multiattach:
                raise BadRequest("Cannot attach one or more volumes to multiple instances")


def _checked(
    core: OperationsCore,
    context: RequestContext,
    request: BootRequest,
    checked: Checked,
    device: BlockDevice,
) -> BlockDevice:
    if device.boot_index == 0:
        checked.on_volume = True
    size = device.volume_size
    if device.volume_type is not None and not core.volumes.has_type(context, device.volume_type):
        raise BadRequest(f"Volume type {device.volume_type} could not be found.")
    if device.source_type == "volume":
        volume = _volume(core, context, device)
        check_attachable(volume, None, multiattach=request.multiattach)
        if device.boot_index == 0:
            _bootable(checked, volume)
        size = volume.size_gb
    elif device.source_type == "snapshot":
        size = _of_snapshot(core, context, checked, device)
    elif device.source_type == "image":
        _of_image(core, context, checked, device)
    if not size:
        raise BadRequest(f"{_INVALID}a new volume needs a non-zero size (volume_size).")
    return msgspec.structs.replace(device, volume_size=size)


def _volume(
    core: OperationsCore, context: RequestContext, device: BlockDevice
) -> Volume:
    try:
        return core.volumes.show(context, device.uuid or "")
    except NotFound:
        raise BadRequest(f"{_INVALID}failed to get volume {device.uuid}.") from None


def _bootable(checked: Checked, volume: Volume) -> None:
    if not volume.bootable:
        raise BadRequest(f"{_INVALID}Volume {volume.uuid} is not bootable.")
    checked.volume_facts = _facts(checked, volume.image_metadata)


def _of_snapshot(
    core: OperationsCore, context: RequestContext, checked: Checked, device: BlockDevice
) -> int:
    try:
        snapshot = core.volumes.show_snapshot(context, device.uuid or "")
    except NotFound:
        raise BadRequest(f"{_INVALID}failed to get snapshot {device.uuid}.") from None
    if device.volume_size is not None and device.volume_size < snapshot.size_gb:
        raise BadRequest(
            f"{_INVALID}a volume of {device.volume_size} GiB is too small for snapshot {device.uuid} of "
            f"{snapshot.size_gb} GiB."
        )
    if device.boot_index == 0 and checked.image is None:
        try:
            origin = core.volumes.show(context, snapshot.volume_uuid)
        except NotFound:
            return device.volume_size or snapshot.size_gb
        _bootable(checked, origin)
    return device.volume_size or snapshot.size_gb


def _of_image(
    core: OperationsCore, context: RequestContext, checked: Checked, device: BlockDevice
) -> None:
    try:
        image = core.images.show(context, device.uuid or "")
    except ImageNotFound:
        raise BadRequest(f"{_INVALID}failed to get image {device.uuid}.") from None
    if image.status != "active":
        raise BadRequest(f"Image {image.id} is not active.")
    if device.volume_size is not None and device.volume_size < image.min_disk:
        raise BadRequest(
            f"Volume is smaller than the minimum size specified in image metadata. Volume size is "
            f"{device.volume_size << 30} bytes, minimum size is {image.min_disk << 30} bytes."
        )
    if image.min_ram > checked.flavor.memory_mb:
        raise BadRequest(
            f"Flavor's memory is too small for requested image: it needs {image.min_ram} MB, "
            f"the flavor has {checked.flavor.memory_mb} MB."
        )
    if device.boot_index == 0:
        from nova.compute.operations.boot import image_properties

        checked.volume_facts = image_properties(image)


def _facts(checked: Checked, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The properties of the image that a volume was made of. Raises ``BadRequest`` for too little memory."""
    facts: dict[str, Any] = {}
    for name, value in metadata.items():
        if name in _SIZES:
            facts[name] = count_of(str(value)) or 0
        elif name not in _OF_THE_IMAGE:
            facts[name] = value
    if facts.get("min_ram", 0) > checked.flavor.memory_mb:
        raise BadRequest(
            f"Flavor's memory is too small for requested image: it needs {facts['min_ram']} MB, "
            f"the flavor has {checked.flavor.memory_mb} MB."
        )
    return facts


def root_name(devices: tuple[BlockDevice, ...] | list[BlockDevice], facts: Mapping[str, Any]) -> str:
    """The name of the root disk: as it is asked for, as the image has it, or the first virtio disk."""
    asked = next(
        (each.device_name for each in devices if each.boot_index == 0 and each.device_name), None
    )
    return str(asked or facts.get("root_device_name") or "/dev/vda")


def own_devices(devices: tuple[BlockDevice, ...]) -> tuple[BlockDevice, ...]:
    """The disks of one of the servers that a request makes, each with an id of its own."""
    return tuple(
        msgspec.structs.replace(each, bdm_uuid=str(uuids.uuid4())) for each in devices
    ) if devices else ()
