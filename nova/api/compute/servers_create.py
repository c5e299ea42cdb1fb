# SPDX-License-Identifier: Apache-2.0
"""``POST /servers``: the body in all versions, and the boot that it asks for.

Order of checks: body, rights, references, quota (API reference, "Create Server").
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from nova import errors
from nova.api.compute import server_values as values
from nova.api.compute.block_devices import BlockDeviceItem, LegacyBlockDevice, block_devices
from nova.api.compute.bodies import FILLED, Body, PositiveInt, window
from nova.api.compute.policies import ADMIN, MEMBER_OR_ADMIN
from nova.api.compute.request import Answer, ApiRequest
from nova.api.compute.server_references import references_refused
from nova.api.compute.servers_view import bookmark_base, links
from nova.api.compute.texts import Boolean, truth
from nova.objects.boot import Booted, BootRequest
from nova.objects.instance import RequestedNetwork
from nova.policy import Rule

_ROOT = "os_compute_api:servers:create"
_DESTINATION = "compute:servers:create:requested_destination"
#: A version that does not exist: the field is filled from a key beside the body's own.
_SIBLING = window(since=100000)
#: What the standard's hints may be; others may be anything.
_HINT_KINDS: dict[str, type | tuple[type, ...]] = {
    "build_near_host_ip": str, "cidr": str, "target_cell": str, "different_cell": (str, list),
    "query": (str, dict),
}

RULES: tuple[Rule, ...] = (
    Rule(_ROOT, MEMBER_OR_ADMIN, "Create a server."),
    Rule(f"{_ROOT}:forced_host", ADMIN, "Create a server on a named host past the scheduler."),
    Rule(_DESTINATION, ADMIN, "Create a server on a named host that the scheduler checks."),
    Rule(f"{_ROOT}:attach_volume", MEMBER_OR_ADMIN, "Create a server with block devices."),
    Rule(f"{_ROOT}:attach_network", MEMBER_OR_ADMIN, "Create a server with named networks."),
    Rule(f"{_ROOT}:trusted_certs", MEMBER_OR_ADMIN, "Create a server with trusted certificates."),
)


class NetworkItem(msgspec.Struct, frozen=True):
    """One NIC asked for."""

    uuid: str | None = None
    port: str | None = None
    fixed_ip: str | None = None
    tag: Annotated[str | None, window(since=32, absent=range(37, 42))] = None


class GroupItem(msgspec.Struct, frozen=True):
    """A security group by name."""

    name: str | UnsetType = UNSET


class FileItem(msgspec.Struct, frozen=True):
    """A file for the guest; ``contents`` is base64."""

    path: str = ""
    contents: str = ""


class ServerCreate(msgspec.Struct, frozen=True):
    """The ``server`` of the body, newest form; hints stand beside it."""

    name: str
    flavor_ref: str | int = msgspec.field(name="flavorRef")
    image_ref: str | None = msgspec.field(name="imageRef", default=None)
    admin_pass: Annotated[str | None, FILLED] = msgspec.field(name="adminPass", default=None)
    metadata: dict[str, str] = {}
    networks: list[NetworkItem] | str | UnsetType = UNSET
    disk_config: Annotated[str | None, FILLED] = msgspec.field(name="OS-DCF:diskConfig", default=None)
    access_ipv4: str | UnsetType = msgspec.field(name="accessIPv4", default=UNSET)
    access_ipv6: str | UnsetType = msgspec.field(name="accessIPv6", default=UNSET)
    personality: Annotated[list[FileItem], window(until=56)] = []
    availability_zone: Annotated[str | None, FILLED] = None
    block_device_mapping: list[LegacyBlockDevice] = []
    block_device_mapping_v2: list[BlockDeviceItem] = []
    config_drive: Annotated[Boolean | None, FILLED] = None
    key_name: Annotated[str | None, FILLED] = None
    min_count: PositiveInt = 1
    max_count: PositiveInt | UnsetType = UNSET
    return_reservation_id: Boolean = False
    security_groups: Annotated[list[GroupItem] | None, FILLED] = None
    user_data: Annotated[str | None, FILLED] = None
    description: Annotated[str | None, window(since=19)] = None
    tags: Annotated[list[str], window(since=52)] = []
    trusted_image_certificates: Annotated[list[str] | None, window(since=63)] = None
    host: Annotated[str | None, window(since=74), FILLED] = None
    hypervisor_hostname: Annotated[str | None, window(since=74), FILLED] = None
    hostname: Annotated[str | None, window(since=90), FILLED] = None
    hints: Annotated[dict[str, Any], _SIBLING] = {}
    hints_alias: Annotated[dict[str, Any], _SIBLING] = {}


CREATE: Body[ServerCreate] = Body(
    "server",
    ServerCreate,
    siblings={"os:scheduler_hints": "hints", "OS-SCH-HNT:scheduler_hints": "hints_alias"},
)


def create(request: ApiRequest) -> Any:
    """Create one server, or several."""
    body: ServerCreate = request.body
    wants_reservation = truth(body.return_reservation_id)
    boot = _checked(request, body)
    with references_refused():
        booted = request.cloud.operations.boot(request.caller, boot)
    if wants_reservation:
        return {"reservation_id": booted.reservation_id}
    return _answer(request, body, booted)


def _answer(request: ApiRequest, body: ServerCreate, booted: Booted) -> Answer:
    uuid = booted.uuids[0]
    shown = links(request.base, bookmark_base(request), uuid)
    groups = booted.security_groups or ("default",)
    server: dict[str, Any] = {
        "id": uuid, "links": shown, "OS-DCF:diskConfig": booted.disk_config,
        "security_groups": [{"name": group} for group in groups],
    }
    if request.cloud.config.default.enable_instance_password:
        server["adminPass"] = booted.admin_password
    return Answer({"server": server}, headers={"Location": shown[0]["href"]})


def _checked(request: ApiRequest, body: ServerCreate) -> BootRequest:
    """The boot, after all checks of the body and of the caller's rights."""
    legacy = request.legacy
    name = values.name("name", body.name, legacy=legacy)
    zone, forced_host, forced_node = _zone(body, legacy)
    low, high = body.min_count, body.max_count
    high = low if high is UNSET else high
    if low > high:
        raise errors.BadRequest("min_count must be <= max_count")
    devices = block_devices(
        body.block_device_mapping, body.block_device_mapping_v2, has_image=bool(body.image_ref)
    )
    image_ref = _image(body, bool(devices))
    networks = _networks(request, body.networks)
    boot = BootRequest(
        name=name,
        flavor_ref=_flavor(body.flavor_ref),
        image_ref=image_ref,
        min_count=low, max_count=high,
        description=(
            values.description("description", body.description)
            if request.features.server_description
            else name
        ),
        hostname=_hostname(request, body.hostname),
        metadata=values.metadata("metadata", body.metadata, legacy=legacy),
        tags=values.tags("tags", body.tags),
        key_name=_key_name(body.key_name, legacy),
        user_data=values.user_data("user_data", body.user_data),
        personality=injected_files(body.personality),
        config_drive=_config_drive(body.config_drive),
        security_groups=_groups(body, legacy),
        networks=networks, block_devices=devices,
        multiattach=request.features.multiattach_volumes,
        availability_zone=zone, force_host=forced_host, force_node=forced_node,
        wanted_host=_host("host", body.host),
        wanted_node=_host("hypervisor_hostname", body.hypervisor_hostname),
        scheduler_hints=_hints(body.hints or body.hints_alias),
        disk_config=_disk_config(body.disk_config),
        access_ipv4=_access("accessIPv4", body.access_ipv4, 4, legacy),
        access_ipv6=_access("accessIPv6", body.access_ipv6, 6, legacy),
        admin_password=body.admin_pass,
        trusted_image_certificates=values.certificates(
            "trusted_image_certificates", body.trusted_image_certificates
        ),
    )
    _check_rights(request, boot, named_networks=bool(networks))
    return boot


def _check_rights(request: ApiRequest, boot: BootRequest, *, named_networks: bool) -> None:
    request.check(_ROOT)
    if boot.trusted_image_certificates:
        request.check(f"{_ROOT}:trusted_certs")
    if boot.force_host or boot.force_node:
        request.check(f"{_ROOT}:forced_host")
    if boot.wanted_host or boot.wanted_node:
        request.check(_DESTINATION)
        if boot.force_host or boot.force_node:
            raise errors.BadRequest(
                "One mechanism with host and/or hypervisor_hostname and another mechanism with "
                "zone:host:node are mutually exclusive."
            )
    if boot.block_devices:
        request.check(f"{_ROOT}:attach_volume")
    if named_networks:
        request.check(f"{_ROOT}:attach_network")


def _zone(body: ServerCreate, legacy: bool) -> tuple[str | None, str | None, str | None]:
    """``zone``, ``zone:host``, ``zone:host:node`` or ``zone::node``."""
    if body.availability_zone is None:
        return None, None, None
    text = values.name("availability_zone", body.availability_zone, legacy=legacy)
    parts = text.split(":")
    if len(parts) > 3:
        raise errors.InvalidInput(
            "availability_zone", "Unable to parse it: the form is zone:host:node.", text
        )
    zone, host, node = (*parts, "", "")[:3]
    return zone or None, host or None, node or None


def _image(body: ServerCreate, from_devices: bool) -> str:
    if body.image_ref:
        return values.uuid("imageRef", values.last_segment(body.image_ref))
    if not from_devices:
        raise errors.BadRequest("Missing imageRef attribute")
    return ""


def _flavor(reference: str | int) -> str:
    text = values.last_segment(str(reference))
    if not text or len(text) > 255:
        raise errors.InvalidInput("flavorRef", "It is not the id of a flavor.", reference)
    return text


def _hostname(request: ApiRequest, text: str | None) -> str | None:
    if text is None:
        return None
    return values.hostname("hostname", text, dotted=request.features.dotted_hostnames)


def _host(field: str, text: str | None) -> str | None:
    return None if text is None else values.host(field, text)


def _key_name(text: str | None, legacy: bool) -> str | None:
    if text is None or (legacy and not text):
        return None
    return values.name("key_name", text, legacy=legacy)


def _access(field: str, text: str | UnsetType, version: int, legacy: bool) -> str:
    if text is UNSET:
        return ""
    return values.address(field, text, version=version, empty=legacy)


def _disk_config(text: str | None) -> str | None:
    return None if text is None else values.disk_config("OS-DCF:diskConfig", text)


def _config_drive(value: Boolean | None) -> bool:
    return value is not None and truth(value)


def injected_files(items: list[FileItem]) -> dict[str, str]:
    """``personality`` as paths and base64 contents."""
    files: dict[str, str] = {}
    for item in items:
        if not item.path:
            raise errors.InvalidInput("personality", "Bad personality format: missing path.")
        files[item.path] = values.encoded("contents", item.contents)
    return files


def _groups(body: ServerCreate, legacy: bool) -> tuple[str, ...] | None:
    if body.security_groups is None:
        return None
    names = [
        values.name("security_groups", item.name, legacy=legacy)
        for item in body.security_groups
        if item.name is not UNSET and (item.name or not legacy)
    ]
    return tuple(dict.fromkeys(names)) or None


def _networks(
    request: ApiRequest, asked: list[NetworkItem] | str | UnsetType
) -> tuple[RequestedNetwork, ...] | None:
    """None is "choose for me", an empty tuple "none"."""
    if asked is UNSET:
        if request.features.networks_required:
            raise errors.BadRequest(
                "Invalid input for field/attribute server. 'networks' is a required property"
            )
        return None
    if isinstance(asked, str):
        if asked not in ("auto", "none") or not request.features.networks_required:
            raise errors.InvalidInput("networks", "It is not a list of networks.", asked)
        return None if asked == "auto" else ()
    found = tuple(_network(item) for item in asked)
    ports = [network.port_id for network in found if network.port_id]
    if len(ports) != len(set(ports)):
        raise errors.BadRequest(
            f"Port ID '{ports[0]}' was specified twice: you cannot attach a port multiple times."
        )
    return found or None


def _network(item: NetworkItem) -> RequestedNetwork:
    fixed = None if item.fixed_ip is None else values.address("fixed_ip", item.fixed_ip)
    tag = None if item.tag is None else values.tag("tag", item.tag)
    if item.port is not None:
        if fixed is not None:
            raise errors.BadRequest(
                f"Specified Fixed IP '{fixed}' cannot be used with port '{item.port[:64]}': the "
                "two cannot be specified together."
            )
        return RequestedNetwork(port_id=values.uuid("port", item.port), tag=tag)
    if item.uuid is None:
        raise errors.BadRequest("Bad network format: missing 'uuid'")
    if not values.is_uuid(item.uuid):
        raise errors.BadRequest(
            f"Bad networks format: network uuid is not in proper format ({item.uuid[:64]})"
        )
    return RequestedNetwork(network_id=values.uuid("uuid", item.uuid), address=fixed, tag=tag)


def _hints(hints: dict[str, Any]) -> dict[str, list[str]]:
    """Scheduler hints, every value as a list of texts."""
    found: dict[str, list[str]] = {}
    for key, value in hints.items():
        if not isinstance(value, _HINT_KINDS.get(key, object)):
            raise errors.InvalidInput(key, "It is not of the type that the hint has.", value)
        items = value if isinstance(value, list) else [value]
        if not 1 <= len(key) <= 255 or len(items) > 1000:
            raise errors.InvalidInput("os:scheduler_hints", "A hint is too long.")
        found[key] = [_hint(key, item) for item in items]
    return found


def _hint(key: str, item: Any) -> str:
    if isinstance(item, dict | list) and key in ("group", "different_host", "same_host"):
        raise errors.InvalidInput(key, "It has to be text.", item)
    text = item if isinstance(item, str) else msgspec.json.encode(item).decode()
    if key in ("group", "different_host", "same_host"):
        return values.uuid(key, text)
    if key == "build_near_host_ip":
        return values.address(key, text)
    if key == "target_cell":
        return values.name(key, text)
    if key == "different_cell" and not isinstance(item, str):
        raise errors.InvalidInput(key, "It has to be text.", item)
    if key == "cidr" and not text.startswith("/"):
        raise errors.InvalidInput(key, "It has to be a prefix length such as /24.", text)
    return text
