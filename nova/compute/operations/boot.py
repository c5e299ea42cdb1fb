# SPDX-License-Identifier: Apache-2.0
"""Booting: every reference and limit checked, then the rows of all servers in one transaction."""

from __future__ import annotations

import re
import secrets
import unicodedata
import uuid as uuids
from collections.abc import Mapping
from typing import Any

import msgspec

from nova.compute.lifecycle import ACTIONS
from nova.compute.limit_cache import Limits
from nova.compute.operations.boot_volumes import (
    is_volume_snapshot,
    own_devices,
    root_name,
    with_volumes,
)
from nova.compute.operations.core import OperationsCore, new_password
from nova.compute.operations.limits import check_injected_files, check_metadata
from nova.compute.operations.volumes import begin_boot
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.errors import BadRequest, FlavorNotFound, ImageNotFound, QuotaExceeded
from nova.network.card_limits import check_cards
from nova.network.external import KEPT
from nova.network.outside import OutsidePlan
from nova.network.security_groups import group_names, resolve
from nova.objects.boot import Booted, BootRequest
from nova.objects.context import RequestContext
from nova.objects.flavor import Flavor
from nova.objects.image import Image
from nova.objects.keypair import Keypair
from nova.objects.quota import ProjectUsage
from nova.objects.server_group import ServerGroup
from nova.objects.states import BUILDING, SCHEDULING
from nova.objects.topology import TopologyRequest
from nova.topology.devices import parse_aliases
from nova.topology.guest_shape import check_guest_shape
from nova.topology.requests import topology_request

_RESERVATION = "abcdefghijklmnopqrstuvwxyz0123456789"


class Checked(msgspec.Struct, kw_only=True):
    """What the references of a boot turned out to be.

    ``on_volume`` says that the root disk is a volume; ``volume_facts`` are then the image properties that
    came with it.
    """

    flavor: Flavor
    image: Image | None
    on_volume: bool = False
    volume_facts: dict[str, Any] = {}
    keypair: Keypair | None = None
    group: ServerGroup | None = None
    security_groups: list[str] = []
    security_group_ids: list[int] = []
    automatic_cards: int = 0
    plan: OutsidePlan | None = None


def boot(
    core: OperationsCore, context: RequestContext, request: BootRequest
) -> Booted:
    """Accept a boot: between ``min_count`` and ``max_count`` servers, as the quota allows.

    Raises ``BadRequest`` for a reference that is not there, ``QuotaExceeded`` below ``min_count``.
    """
    zone = core.config.default.default_schedule_zone
    if request.availability_zone is None and zone is not None:
        request = msgspec.structs.replace(request, availability_zone=zone)
    checked = Checked(
        flavor=_flavor(core, context, request.flavor_ref), image=_image(core, context, request)
    )
    if request.block_devices or is_volume_snapshot(checked.image):
        request = with_volumes(core, context, request, checked)
    if not checked.on_volume:
        check_sizes(checked.flavor, checked.image)
    facts = facts_of(checked)
    check_topology(core, checked.flavor, facts)
    _check_local_disks(request, checked.flavor)
    all_limits = core.limits.all(context.project_id, context.user_id)
    limits = all_limits.effective
    check_metadata(limits, request.metadata)
    check_injected_files(limits, request.personality)
    if core.networks.outside is not None and _with_nics(request):
        checked.plan = core.networks.outside.check(
            context.project_id, request.networks, request.security_groups, request.max_count
        )
        checked.security_groups = list(checked.plan.group_names)
    password = request.admin_password or new_password(core.config.default.password_length)
    reservation = request.reservation_id or _reservation_id()

    def write(tx: Transaction) -> list[dict[str, Any]]:
        _check_references(core, tx, context, request, checked)
        count = _reserve(tx, context, request, checked.flavor, all_limits)
        if core.networks.outside is None:
            check_cards(
                tx, context.project_id, limits, count * _cards(checked, request),
                lambda: len(core.networks.check(tx, context.project_id, None)),
            )
        rows = [
            _row(context, request, checked, reservation, index, count) for index in range(count)
        ]
        tx.instances.create(rows)
        if any(each.is_volume for each in request.block_devices):
            tx.block_devices.note_new((row["uuid"], row["block_devices"]) for row in rows)
        uuids_ = [row["uuid"] for row in rows]
        if any(each.port_id is not None for each in request.networks or ()):
            _reserve_ports(core, tx, uuids_[0], request)
        if checked.security_group_ids:
            tx.security_groups.add_members(
                [(group_id, uuid) for group_id in checked.security_group_ids for uuid in uuids_]
            )
        if checked.group is not None:
            tx.server_groups.add_members(
                checked.group.uuid, uuids_, limit=limits["server_group_members"]
            )
        payload = _payload(request, password)
        if core.networks.outside is not None:
            payload["network_plan"] = msgspec.to_builtins(checked.plan or OutsidePlan(()))
        if any(each.is_volume for each in request.block_devices):
            waiting[:] = tx.operations.create_many(
                context, ACTIONS["create"].public, "create", "volumes",
                dict.fromkeys(uuids_, payload),
                lease=(core.dispatcher.owner, core.dispatcher.lease_end()),
            )
            return rows
        operation_ids = tx.operations.create_many(
            context, ACTIONS["create"].public, "create", "place",
            dict.fromkeys(uuids_, payload),
        )
        core.dispatcher.wake(tx, operation_ids)
        return rows

    #: Boots that wait for volumes.
    waiting: list[int] = []
    rows = core.db.run(write)
    if waiting:
        begin_boot(core, context, waiting)
    return Booted(
        uuids=tuple(row["uuid"] for row in rows), reservation_id=reservation, admin_password=password,
        security_groups=tuple(checked.security_groups),
        disk_config=rows[0]["disk_config"],
    )


def _flavor(core: OperationsCore, context: RequestContext, ref: str) -> Flavor:
    try:
        flavor = core.flavors.get(ref, context.project_id, context.is_admin)
    except FlavorNotFound as error:
        raise BadRequest(error.message) from None
    if flavor.disabled:
        raise BadRequest(f"Flavor {ref} could not be found.")
    return flavor


def _image(core: OperationsCore, context: RequestContext, request: BootRequest) -> Image | None:
    if not request.image_ref:
        if not any(each.boot_index == 0 for each in request.block_devices):
            raise BadRequest("Invalid imageRef provided: name an image, or a volume to boot from.")
        return None
    try:
        image = core.images.show(context, request.image_ref)
    except ImageNotFound:
        raise BadRequest(f"Can not find requested image {request.image_ref}") from None
    if image.status != "active":
        raise BadRequest(f"Image {image.id} is not active.")
    return image


def check_sizes(flavor: Flavor, image: Image | None) -> None:
    """The image's own demands (image service: ``min_ram``, ``min_disk``, virtual size)."""
    if image is None:
        return
    if image.min_ram > flavor.memory_mb:
        raise BadRequest(
            f"Flavor's memory is too small for requested image: it needs {image.min_ram} MB, "
            f"the flavor has {flavor.memory_mb} MB."
        )
    if flavor.root_gb == 0:
        return
    size = max(image.size or 0, image.virtual_size or 0)
    if image.min_disk > flavor.root_gb or size > flavor.root_gb << 30:
        raise BadRequest(
            f"Flavor's disk is too small for requested image. Flavor disk is {flavor.root_gb} GB, "
            f"image is {size} bytes with a minimum of {image.min_disk} GB."
        )


def check_topology(
    core: OperationsCore, flavor: Flavor, properties: Mapping[str, Any] | None
) -> TopologyRequest | None:
    """What flavor and image ask of the host's CPUs, memory and devices; ``BadRequest`` for nonsense."""
    check_guest_shape(flavor, properties)
    return topology_request(flavor, properties, lambda: parse_aliases(core.config.pci.alias))


def _check_local_disks(request: BootRequest, flavor: Flavor) -> None:
    """Swap (MiB) and further disks (GiB) take no more than the flavor gives."""
    local = [
        each for each in request.block_devices
        if each.source_type == "blank" and each.destination_type == "local" and not each.no_device
    ]
    swaps = [each.volume_size or 0 for each in local if each.guest_format == "swap"]
    if len(swaps) > 1:
        raise BadRequest("Block Device Mapping is Invalid: More than one swap drive requested.")
    if sum(swaps) > flavor.swap:
        raise BadRequest(
            "Block Device Mapping is Invalid: Swap drive requested is larger than instance type "
            "allows."
        )
    ephemeral = sum(
        each.volume_size or flavor.ephemeral_gb for each in local if each.guest_format != "swap"
    )
    if ephemeral > flavor.ephemeral_gb:
        raise BadRequest(
            "Block Device Mapping is Invalid: Ephemeral disks requested are larger than the "
            "instance type allows."
        )


def _check_references(
    core: OperationsCore,
    tx: Transaction,
    context: RequestContext,
    request: BootRequest,
    checked: Checked,
) -> None:
    """Key, networks, security groups, server group: 400 for each that is not there."""
    if request.key_name:
        checked.keypair = tx.keypairs.find(context.user_id, request.key_name)
        if checked.keypair is None:
            raise BadRequest(f"Invalid key_name provided: {request.key_name} is not there.")
    with_nics = _with_nics(request)
    if with_nics:
        found = core.networks.check(tx, context.project_id, request.networks)
        checked.automatic_cards = len(found) if request.networks is None else 0
    _check_zone(core, tx, request)
    if core.networks.outside is None and (with_nics or request.security_groups):
        names = _group_names(tx, context, request)
        ids = resolve(tx, context.project_id, names, context.user_id)
        if with_nics:
            # Without a NIC there is nothing to filter; a group that is not there is refused all the same.
            checked.security_group_ids, checked.security_groups = ids, names
    hint = request.scheduler_hints.get("group")
    if hint:
        uuid = hint[0] if isinstance(hint, list) else hint
        group = tx.server_groups.find(str(uuid))
        if group is None or (group.project_id != context.project_id and not context.is_admin):
            raise BadRequest(f"Instance group {uuid} could not be found.")
        checked.group = group


def _reserve_ports(
    core: OperationsCore, tx: Transaction, uuid: str, request: BootRequest
) -> None:
    """Of two boots with one port, the second is refused; it is one server where there is a port."""
    instance = tx.instances.get(uuid)
    if instance is not None and core.networks.outside is None:
        vifs = core.networks.reserve_ports(tx, instance, request.networks)
        tx.instances.update(uuid, {"network_info": vifs})


def _with_nics(request: BootRequest) -> bool:
    return request.networks is None or bool(request.networks)


def _cards(checked: Checked, request: BootRequest) -> int:
    """How many new cards each server gets."""
    if request.networks is None:
        return checked.automatic_cards
    return sum(each.port_id is None for each in request.networks)


def _group_names(
    tx: Transaction, context: RequestContext, request: BootRequest
) -> list[str]:
    """The groups asked for, and those of the ports asked for; ``default`` where there are none."""
    names = dict.fromkeys(
        group_names(tx, context.project_id, request.security_groups or ())
    )
    for each in request.networks or ():
        if each.port_id is None:
            continue
        if request.max_count > 1:
            raise BadRequest("Unable to launch multiple instances with a single configured port ID.")
        names |= dict.fromkeys(group.name for group in tx.security_groups.of_member(each.port_id))
    if not names and not (
        request.networks and all(each.port_id is not None for each in request.networks)
    ):
        names = dict.fromkeys(("default",))
    return list(names)


def _check_zone(core: OperationsCore, tx: Transaction, request: BootRequest) -> None:
    zone = request.availability_zone
    if zone is None or zone == core.config.default.default_availability_zone:
        return
    if zone not in tx.aggregates.zones_of_hosts().values():
        raise BadRequest("The requested availability zone is not available")


def _reserve(
    tx: Transaction,
    context: RequestContext,
    request: BootRequest,
    flavor: Flavor,
    limits: Limits,
) -> int:
    """Count the servers in: as many as fit, from ``max_count`` down to ``min_count``."""
    count = request.max_count
    while True:
        deltas = {
            "instances": count, "cores": count * flavor.vcpus, "ram": count * flavor.memory_mb
        }
        try:
            tx.quotas.reserve_for_user(
                context.project_id, context.user_id, deltas, limits.of_project, limits.of_user
            )
        except QuotaExceeded:
            fitting = _fitting(tx.quotas.usage(context.project_id), flavor, limits.of_project)
            if limits.of_user:
                used = tx.quotas.usage_of_user(context.project_id, context.user_id)
                fitting = min(fitting, _fitting(used, flavor, limits.of_user))
            if fitting < request.min_count or fitting >= count or fitting < 1:
                raise
            count = fitting
            continue
        return count


def _fitting(usage: ProjectUsage, flavor: Flavor, limits: Mapping[str, int]) -> int:
    """How many servers of that flavor the limits have room for."""
    rooms = [
        (limits[name] - getattr(usage, name)) // size
        for name, size in (
            ("instances", 1), ("cores", flavor.vcpus), ("ram", flavor.memory_mb),
        )
        if limits.get(name, -1) >= 0 and size > 0
    ]
    return min(rooms, default=2**31)


def _reservation_id() -> str:
    return "r-" + "".join(secrets.choice(_RESERVATION) for _ in range(8))


def _payload(request: BootRequest, password: str) -> dict[str, Any]:
    """What the operation needs beyond the instance rows."""
    payload: dict[str, Any] = {"admin_password": password}
    if request.networks is not None:
        payload["networks"] = [msgspec.to_builtins(each) for each in request.networks]
    if request.personality:
        payload["files"] = request.personality
    for name in ("force_host", "force_node", "wanted_host", "wanted_node"):
        value = getattr(request, name)
        if value is not None:
            payload[name] = value
    return payload


def _row(
    context: RequestContext,
    request: BootRequest,
    checked: Checked,
    reservation: str,
    index: int,
    count: int,
) -> dict[str, Any]:
    """One row of ``instances``."""
    flavor, image = checked.flavor, checked.image
    uuid = str(uuids.uuid4())
    several = request.max_count > 1 and count > 1
    name = f"{request.name}-{index + 1}" if several else request.name
    hostname = request.hostname or default_hostname(name, uuid)
    if request.hostname and several:
        hostname = f"{request.hostname}-{index + 1}"
    moment = now()
    image_facts = facts_of(checked) or {}
    disk_config = request.disk_config or image_facts.get("auto_disk_config") or "MANUAL"
    return {
        "uuid": uuid, "revision": 1, "project_id": context.project_id,
        "user_id": context.user_id, "name": name,
        "description": request.description,
        "hostname": hostname, "image_ref": image.id if image else "",
        "image_properties": image_facts, "kernel_id": request.kernel_id
        or str(image_facts.get("kernel_id") or ""),
        "ramdisk_id": request.ramdisk_id or str(image_facts.get("ramdisk_id") or ""),
        "flavor": flavor, "flavorid": flavor.flavorid, "vcpus": flavor.vcpus,
        "memory_mb": flavor.memory_mb, "root_gb": flavor.root_gb,
        "ephemeral_gb": flavor.ephemeral_gb, "vm_state": BUILDING, "task_state": SCHEDULING,
        "power_state": 0, "progress": 0, "host": None, "node": None,
        "availability_zone": request.availability_zone,
        "pinned_availability_zone": request.availability_zone, "reservation_id": reservation,
        "launch_index": index, "key_name": request.key_name,
        "key_data": checked.keypair.public_key if checked.keypair else None,
        "user_data": request.user_data, "config_drive": "True" if request.config_drive else "",
        "access_ipv4": request.access_ipv4, "access_ipv6": request.access_ipv6,
        "locked_by": None, "locked_reason": None,
        "disk_config": "AUTO" if str(disk_config).lower() in ("auto", "true", "1") else "MANUAL",
        "root_device_name": root_name(request.block_devices, image_facts),
        "metadata": dict(request.metadata),
        "system_metadata": {KEPT: checked.plan.ports}
        if checked.plan is not None and checked.plan.ports else {},
        "tags": sorted(set(request.tags)), "network_info": (),
        "security_groups": checked.security_groups,
        "block_devices": own_devices(request.block_devices),
        "scheduler_hints": request.scheduler_hints or None,
        "trusted_image_certificates": list(request.trusted_image_certificates)
        if request.trusted_image_certificates is not None else None,
        "fault": None, "server_group": checked.group.uuid if checked.group else None,
        "created_at": moment, "updated_at": moment, "launched_at": None, "terminated_at": None,
        "deleted_at": None, "deleted": 0,
    }


def facts_of(checked: Checked) -> dict[str, Any] | None:
    """The image properties that count: those of the root volume, where there is one."""
    if checked.on_volume and checked.volume_facts:
        return checked.volume_facts
    return None if checked.image is None else image_properties(checked.image)


def image_properties(image: Image) -> dict[str, Any]:
    """What an instance keeps of its image: the free properties and the facts that filters look at."""
    return {
        **image.properties, "min_disk": image.min_disk, "min_ram": image.min_ram,
        **({"disk_format": image.disk_format} if image.disk_format else {}),
        **({"container_format": image.container_format} if image.container_format else {}),
    }


def default_hostname(name: str, uuid: str) -> str:
    """A host name from a display name (RFC 1123 letters), ``Server-<uuid>`` where nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[ _.]", "-", plain)
    plain = re.sub(r"[^\w-]", "", plain).lower().strip("-")
    return plain[:63].rstrip("-") or f"server-{uuid}"


