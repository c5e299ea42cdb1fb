# SPDX-License-Identifier: Apache-2.0
"""Rebuild, rescue and their ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from nova.compute.operations.boot import check_sizes, check_topology, image_properties
from nova.compute.operations.core import OperationsCore, enter, new_password, prepare
from nova.compute.operations.limits import check_injected_files, check_metadata
from nova.db.engine import Transaction
from nova.errors import BadRequest, Conflict, ImageNotFound
from nova.objects.boot import RebuildRequest
from nova.objects.context import RequestContext
from nova.objects.image import Image
from nova.objects.instance import Instance
from nova.objects.rescue_disk import rescue_disk_of
from nova.objects.states import STOPPED


def rebuild(
    core: OperationsCore, context: RequestContext, instance: Instance, request: RebuildRequest
) -> str:
    """Replace a server's root disk by an image; returns the administrator's password.

    A root disk that is a volume stays as it is where the image is the one that it was made of.
    """
    action = prepare(context, instance, "rebuild")
    image = _find_image(core, context, request.image_ref)
    over_volume = instance.volume_backed and _other_image(core, context, instance, image)
    if over_volume and not request.over_volume:
        raise BadRequest("Unable to rebuild with a different image for a volume-backed server.")
    check_sizes(instance.flavor, image)
    _check_topology_stays(core, instance, image)
    limits = core.limits.get(context.project_id, context.user_id)
    if request.metadata is not None:
        check_metadata(limits, request.metadata)
    check_injected_files(limits, request.personality)
    password = request.admin_password or new_password(core.config.default.password_length)
    payload: dict[str, Any] = {
        "admin_password": password, "preserve_ephemeral": request.preserve_ephemeral,
        "power_on": instance.vm_state != STOPPED,
    }
    if request.personality:
        payload["files"] = request.personality
    step = None
    if over_volume:
        payload["reimage"] = image.id
        step = "halt"
        if instance.host is None:
            raise Conflict(f"Instance {instance.uuid} is not on a host.")

    def write(tx: Transaction) -> None:
        changes = _changes(request, image)
        if instance.volume_backed:
            del changes["image_ref"]
        if request.key_name is not msgspec.UNSET:
            changes["key_name"] = request.key_name
            changes["key_data"] = None
            if request.key_name is not None:
                keypair = tx.keypairs.find(instance.user_id, request.key_name)
                if keypair is None:
                    raise BadRequest(
                        f"Invalid key_name provided: {request.key_name} is not there."
                    )
                changes["key_data"] = keypair.public_key
        enter(core, tx, context, instance, action, payload, changes=changes, step=step)
        if "hostname" in changes:
            core.networks.renamed(tx, instance.uuid)
        if request.metadata is not None:
            tx.instances.set_metadata(instance.uuid, request.metadata)

    core.db.run(write)
    return password


def _check_topology_stays(core: OperationsCore, instance: Instance, image: Image) -> None:
    """A rebuild keeps the place on the host, so that the new image must not ask for another."""
    before = check_topology(core, instance.flavor, instance.image_properties)
    after = check_topology(core, instance.flavor, image_properties(image))
    if before != after:
        raise BadRequest(
            "An instance's NUMA topology cannot be changed as part of a rebuild. The image provided is "
            "invalid for this instance."
        )


def _other_image(
    core: OperationsCore, context: RequestContext, instance: Instance, image: Image
) -> bool:
    """Whether an image is another than the one that the root volume was made of."""
    root = instance.root_volume
    if root is None or root.volume_id is None:
        return True
    return core.volumes.show(context, root.volume_id).image_metadata.get("image_id") != image.id


def _find_image(core: OperationsCore, context: RequestContext, image_ref: str) -> Image:
    try:
        image = core.images.show(context, image_ref)
    except ImageNotFound:
        raise BadRequest(f"Cannot find image {image_ref} for rebuild") from None
    if image.status != "active":
        raise BadRequest(f"Image {image.id} is not active.")
    return image


def _changes(request: RebuildRequest, image: Image) -> dict[str, Any]:
    """The columns that the request names."""
    changes: dict[str, Any] = {
        "image_ref": image.id, "image_properties": image_properties(image), "progress": 0,
    }
    for name in (
        "name", "description", "access_ipv4", "access_ipv6", "disk_config", "user_data",
        "hostname",
    ):
        value = getattr(request, name)
        if value is not msgspec.UNSET:
            changes[name] = value
    certificates = request.trusted_image_certificates
    if certificates is not msgspec.UNSET:
        changes["trusted_image_certificates"] = None if certificates is None else list(certificates)
    return changes


def rescue(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    *,
    password: str | None,
    image_ref: str | None,
    volume_backed: bool = True,
) -> str:
    """Start a server from a rescue image, its own disk beside; returns the password.

    ``volume_backed`` says whether its disk may be a volume (from 2.87): then the image has to say by its
    properties what the rescue disk is to be, as the volume keeps its place.
    """
    action = prepare(context, instance, "rescue")
    if instance.volume_backed and not volume_backed:
        raise BadRequest(
            f"Instance {instance.uuid} cannot be rescued: Cannot rescue a volume-backed instance"
        )
    facts: Mapping[str, Any] = {}
    if image_ref is not None:
        facts = _find_image(core, context, image_ref).properties
    if instance.volume_backed and not facts.keys() & {"hw_rescue_bus", "hw_rescue_device"}:
        raise BadRequest(
            f"Instance {instance.uuid} cannot be rescued: Cannot rescue a volume-backed instance without "
            "an image that has hw_rescue_bus or hw_rescue_device"
        )
    chosen = password or new_password(core.config.default.password_length)
    payload: dict[str, Any] = {"admin_password": chosen, "image_ref": image_ref}
    place = rescue_disk_of(facts)
    if place is not None:
        payload["rescue_disk"] = msgspec.to_builtins(place)
    core.db.run(lambda tx: enter(core, tx, context, instance, action, payload))
    return chosen


def unrescue(core: OperationsCore, context: RequestContext, instance: Instance) -> None:
    """Start a rescued server from its own disk."""
    action = prepare(context, instance, "unrescue")
    core.db.run(lambda tx: enter(core, tx, context, instance, action))
