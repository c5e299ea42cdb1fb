# SPDX-License-Identifier: Apache-2.0
"""``block_device_mapping`` and ``block_device_mapping_v2`` of a create body.

Source: API reference, "Create Server"; the original's ``block_device.py`` for what goes together.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from nova.api.compute import server_values as values
from nova.api.compute.bodies import window
from nova.api.compute.texts import Boolean, truth
from nova.errors import BadRequest, InvalidInput
from nova.objects.instance import BlockDevice

_DEVICE_NAME = re.compile(r"[a-zA-Z0-9._/-]{1,255}")
_VIRTUAL_NAME = re.compile(r"swap|ephemeral\d+")
Text = Annotated[str, Meta(max_length=255)]
Size = Annotated[int, Meta(ge=1, le=2147483647)]


class LegacyBlockDevice(msgspec.Struct, frozen=True):
    """An item of ``block_device_mapping``."""

    virtual_name: Text | None = None
    volume_id: str | None = None
    snapshot_id: str | None = None
    volume_size: Size | None = None
    device_name: str | None = None
    delete_on_termination: Boolean = False
    no_device: Any = None
    connection_info: str | None = None


class BlockDeviceItem(msgspec.Struct, frozen=True):
    """An item of ``block_device_mapping_v2``."""

    source_type: str | None = None
    destination_type: str | None = None
    uuid: Text | None = None
    image_id: str | None = None
    volume_id: str | None = None
    snapshot_id: str | None = None
    boot_index: int | None = None
    volume_size: Size | None = None
    device_name: str | None = None
    virtual_name: Text | None = None
    delete_on_termination: Boolean = False
    guest_format: Text | None = None
    device_type: Text | None = None
    disk_bus: Text | None = None
    no_device: Any = None
    connection_info: str | None = None
    tag: Annotated[str | None, window(since=32, absent=range(33, 42))] = None
    volume_type: Annotated[Text | None, window(since=67)] = None


def block_devices(
    legacy: list[LegacyBlockDevice], items: list[BlockDeviceItem], *, has_image: bool
) -> tuple[BlockDevice, ...]:
    """The devices of either form. Raises ``BadRequest`` for what does not go together."""
    if legacy and items:
        raise BadRequest(
            "Using different block_device_mapping syntaxes is not allowed in the same request."
        )
    if legacy:
        return tuple(
            _from_legacy(item, first=position == 0 and not has_image)
            for position, item in enumerate(legacy)
        )
    devices = tuple(_from_item(item, has_image=has_image) for item in items)
    _check_boot_order(devices, has_image=has_image)
    return devices


def _check_boot_order(devices: tuple[BlockDevice, ...], *, has_image: bool) -> None:
    order = sorted(
        device.boot_index
        for device in devices
        if device.boot_index is not None and device.boot_index >= 0 and not device.no_device
    )
    if has_image and 0 not in order:
        order.insert(0, 0)
    if devices and order != list(range(len(order))):
        raise BadRequest(
            "Block Device Mapping is Invalid: Boot sequence for the instance and image/block "
            "device mapping combination is not valid."
        )
    if devices and not order and not has_image:
        raise BadRequest(
            "Block Device Mapping is Invalid: one device has to have the boot_index 0."
        )


def _device_name(text: str | None) -> str | None:
    if text is None:
        return None
    if _DEVICE_NAME.fullmatch(text) is None:
        raise InvalidInput("device_name", "It is not the name of a device.", text)
    return text if text.startswith("/dev/") else f"/dev/{text}"


def _from_legacy(item: LegacyBlockDevice, *, first: bool) -> BlockDevice:
    name = _device_name(item.device_name)
    ends = truth(item.delete_on_termination)
    if item.virtual_name and _VIRTUAL_NAME.fullmatch(item.virtual_name):
        swap = item.virtual_name == "swap"
        return BlockDevice(
            source_type="blank", destination_type="local", delete_on_termination=True,
            guest_format="swap" if swap else None, device_name=name, boot_index=-1,
            volume_size=item.volume_size,
        )
    common: dict[str, Any] = {
        "destination_type": "volume", "device_name": name, "delete_on_termination": ends,
        "volume_size": item.volume_size, "boot_index": 0 if first else -1,
    }
    if item.snapshot_id:
        return BlockDevice(
            source_type="snapshot", uuid=values.uuid("snapshot_id", item.snapshot_id), **common
        )
    if item.volume_id:
        volume = values.uuid("volume_id", item.volume_id)
        return BlockDevice(source_type="volume", uuid=volume, volume_id=volume, **common)
    if item.no_device is not None:
        return BlockDevice(source_type="blank", destination_type="local", device_name=name,
                           no_device=True, boot_index=-1)
    raise BadRequest("Block Device Mapping is Invalid: Unrecognized legacy format.")


def _from_item(item: BlockDeviceItem, *, has_image: bool) -> BlockDevice:
    name = _device_name(item.device_name)
    if item.no_device:
        return BlockDevice(
            source_type=item.source_type or "blank", boot_index=-1, device_name=name,
            destination_type=item.destination_type or "local", no_device=True,
        )
    source = item.source_type
    if source not in ("image", "volume", "snapshot", "blank"):
        raise InvalidInput(
            "source_type", "It has to be image, volume, snapshot or blank.", source
        )
    destination = item.destination_type or ("local" if source == "blank" else "volume")
    if destination not in ("local", "volume"):
        raise InvalidInput("destination_type", "It has to be local or volume.", destination)
    uuid = _source_uuid(source, item)
    _check_combination(item, source, destination, has_image=has_image)
    boot_index = -1 if item.boot_index is None else item.boot_index
    if not -(2**31) <= boot_index < 2**31:
        raise InvalidInput("boot_index", "It is out of range.", boot_index)
    return BlockDevice(
        source_type=source, destination_type=destination, boot_index=boot_index, uuid=uuid,
        volume_id=uuid if source == "volume" else None, volume_size=item.volume_size,
        volume_type=item.volume_type, device_name=name,
        delete_on_termination=truth(item.delete_on_termination),
        guest_format=item.guest_format, disk_bus=item.disk_bus, device_type=item.device_type,
        tag=None if item.tag is None else values.tag("tag", item.tag),
    )


def _source_uuid(source: str, item: BlockDeviceItem) -> str | None:
    if source == "blank":
        if item.uuid:
            raise BadRequest("Block Device Mapping is Invalid: Invalid device UUID.")
        return None
    of_kind = {
        "image": item.image_id, "volume": item.volume_id, "snapshot": item.snapshot_id,
    }
    uuid = item.uuid or of_kind[source]
    if not uuid:
        raise BadRequest("Block Device Mapping is Invalid: Missing device UUID.")
    return values.uuid("uuid", uuid)


def _check_combination(
    item: BlockDeviceItem, source: str, destination: str, *, has_image: bool
) -> None:
    of_image = source == "image" and destination == "local"
    if of_image and not (has_image and item.boot_index == 0):
        raise BadRequest(
            "Block Device Mapping is Invalid: Mapping image to local is not supported."
        )
    if source in ("volume", "snapshot") and destination == "local":
        raise BadRequest(
            f"Block Device Mapping is Invalid: a {source} cannot become a local disk."
        )
    if item.volume_type and destination == "local":
        raise BadRequest(
            "Block Device Mapping is Invalid: Specifying a volume_type with "
            "destination_type=local is not supported."
        )
    if item.volume_type and source == "volume":
        raise BadRequest(
            "Block Device Mapping is Invalid: Specifying volume type to existing volume is not "
            "supported."
        )
    if source in ("image", "blank") and destination == "volume" and item.volume_size is None:
        raise BadRequest(
            "Block Device Mapping is Invalid: Images with destination_type 'volume' need to have "
            "a non-zero size specified"
        )
