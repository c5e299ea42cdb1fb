# SPDX-License-Identifier: Apache-2.0
"""createImage of a server whose root disk is a volume: snapshots of its volumes, and their list.

The snapshots are written down one by one while they are asked for, in an operation that gives them up again
if it is not ended: after a crash in between nothing is left that no image knows of.
"""

from __future__ import annotations

import uuid as uuids
from collections.abc import Mapping
from typing import Any

import msgspec

from nova.compute.lifecycle import ACTIONS
from nova.compute.operations.core import OperationsCore
from nova.conductor.volume_rows import GivenUp
from nova.db.engine import Transaction
from nova.errors import Conflict
from nova.objects.context import RequestContext
from nova.objects.instance import BlockDevice, Instance

#: Properties of the base image that say something of one image only and are not inherited
#: (the original's ``non_inheritable_image_properties``).
_OWN = frozenset(
    {
        "cache_in_nova", "bittorrent", "img_signature_hash_method", "img_signature",
        "img_signature_key_type", "img_signature_certificate_uuid", "min_disk", "min_ram",
        "disk_format", "container_format", "owner_specified",
    }
)



def inherited_properties(instance: Instance) -> dict[str, str]:
    """What a snapshot's image has of the image that the server was made of."""
    return {
        key: str(value) for key, value in (instance.image_properties or {}).items()
        if key not in _OWN and value is not None
    }


def snapshot_volumes(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    name: str,
    properties: Mapping[str, Any],
) -> str:
    """Take the snapshots and make the image; returns its id.

    The volumes are snapshotted as they are, as by a power failure: the guest is not asked to write down what
    it holds in memory.
    """
    image_id = str(uuids.uuid4())
    held = GivenUp()
    operation_id = core.db.run(
        lambda tx: core.dispatcher.start(
            tx, context, instance, ACTIONS["snapshot"], "discard", _payload(image_id, held), send=False
        )
    )
    try:
        mapping = []
        for device in instance.block_devices:
            if device.no_device:
                continue
            if device.is_volume and device.volume_id:
                snapshot = core.volumes.create_snapshot(
                    context, device.volume_id, f"snapshot for {name}", "", force=True
                )
                held.snapshots.append(snapshot.uuid)
                core.db.run(
                    lambda tx: tx.operations.set_payload(operation_id, _payload(image_id, held))
                )
                mapping.append(_as_snapshot(device, snapshot.uuid, snapshot.size_gb))
            else:
                mapping.append(_as_item(device))
        _make_image(core, context, instance, name, {**properties}, image_id, mapping)
    except BaseException:
        core.dispatcher.wake_now([operation_id], "discard")
        raise

    def finish(tx: Transaction) -> bool:
        return tx.operations.finish(operation_id)

    if not core.db.run(finish):
        raise Conflict(f"Instance {instance.uuid} was taken by another request meanwhile.")
    return image_id


def _payload(image_id: str, held: GivenUp) -> dict[str, Any]:
    return {
        "image_id": image_id, "failed": True, "keep_active": False,
        "given_up": msgspec.to_builtins(held),
    }


def _as_snapshot(device: BlockDevice, snapshot_id: str, size_gb: int) -> dict[str, Any]:
    return {
        **_as_item(device), "source_type": "snapshot", "destination_type": "volume",
        "snapshot_id": snapshot_id, "volume_id": None, "image_id": None, "volume_type": None,
        "volume_size": size_gb or device.volume_size,
    }


def _as_item(device: BlockDevice) -> dict[str, Any]:
    return {
        "source_type": device.source_type, "destination_type": device.destination_type,
        "boot_index": device.boot_index, "device_name": device.device_name,
        "delete_on_termination": device.delete_on_termination, "guest_format": device.guest_format,
        "disk_bus": device.disk_bus, "device_type": device.device_type, "no_device": None,
        "volume_size": device.volume_size, "tag": device.tag, "snapshot_id": None, "volume_id": None,
        "image_id": device.uuid if device.source_type == "image" else None, "volume_type": None,
    }


def _make_image(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    name: str,
    properties: dict[str, Any],
    image_id: str,
    mapping: list[dict[str, Any]],
) -> None:
    """An image without data: its list of disks is all that it is."""
    known = instance.image_properties or {}
    facts = {
        **inherited_properties(instance),
        **{key: str(value) for key, value in properties.items()},
        "bdm_v2": "True", "block_device_mapping": msgspec.json.encode(mapping).decode(),
        "root_device_name": instance.root_device_name or "/dev/vda",
    }
    core.images.create(
        context, name=name, properties=facts, disk_format="raw", container_format="bare",
        min_disk=int(known.get("min_disk") or 0), min_ram=int(known.get("min_ram") or 0),
        owner=instance.project_id, image_id=image_id,
    )
    core.images.upload(context, image_id, [b""])
