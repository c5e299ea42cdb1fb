# SPDX-License-Identifier: Apache-2.0
"""How a server is shown: the field table of all versions, and the encoded forms that lists join.

Sources: API reference, Servers; samples ``servers``; the original's ``views/servers.py`` for when
a key is left out.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from nova.api.compute.fields import ABSENT, Field, Getter, View, attribute
from nova.api.compute.request import ApiRequest
from nova.api.compute.server_fragments import Style
from nova.api.compute.times import precise
from nova.compute.host_id import host_id
from nova.compute.lifecycle import status_of
from nova.db.engine import Transaction
from nova.objects.instance import Instance, Vif
from nova.objects.listing import ServerLine
from nova.objects.states import BUILDING

ATTRIBUTES_RULE = "os_compute_api:os-extended-server-attributes"
HOST_STATUS_RULE = "os_compute_api:servers:show:host_status"
HOST_UNKNOWN_RULE = "os_compute_api:servers:show:host_status:unknown-only"
EXTRA_SPECS_RULE = "os_compute_api:servers:show:flavor-extra-specs"

# The flags: which answer it is (the whole server, with its groups, that of a rebuild), and what the
# caller may see in it.
WHOLE = "whole"
GROUPS = "groups"
REBUILT = "rebuilt"
USER_DATA = "user_data"
ATTRIBUTES = "attributes"
EXTRA_SPECS = "extra_specs"
HOST_STATUS = "host_status"
HOST_UNKNOWN = "host_unknown"
FAULT_DETAILS = "fault_details"

_PROGRESS = frozenset({"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"})
_FAULTY = frozenset({"ERROR", "DELETED"})
#: Image properties that compute knows (2.98 shows no others).
_KNOWN_PREFIXES = ("hw_", "os_", "img_", "hypervisor_", "vmware_", "cinder_encryption_")
_KNOWN_PROPERTIES = frozenset(
    {
        "architecture", "auto_disk_config", "instance_uuid", "traits_required", "vm_mode",
        "cache_in_nova", "bdm_v2", "block_device_mapping", "mappings", "root_device_name",
    }
)

_encode = msgspec.json.Encoder().encode


@dataclasses.dataclass(slots=True)
class Scene:
    """What a server's view needs beside its row."""

    base: str
    bookmark: str
    zone: str
    host_status: str
    flags: frozenset[str]
    status: str = ""


def seconds(moment: datetime.datetime) -> str:
    """``2013-09-03T04:01:32Z``."""
    return f"{moment.isoformat(timespec='seconds')}Z"


def _status(instance: Instance, scene: Scene) -> str:
    return scene.status


def shown_status(instance: Instance) -> str:
    """The API's status; a deleted server is DELETED whatever its states say."""
    if instance.deleted:
        return "DELETED"
    return status_of(instance.vm_state, instance.task_state)


def links(base: str, bookmark: str, uuid: str) -> list[dict[str, str]]:
    """The links of a server."""
    return [
        {"rel": "self", "href": f"{base}/servers/{uuid}"},
        {"rel": "bookmark", "href": f"{bookmark}/servers/{uuid}"},
    ]


def bookmark_base(request: ApiRequest) -> str:
    """The called address without the version, with the project where the path names it."""
    _, _, behind = request.base[len(request.root) + 1 :].partition("/")
    return f"{request.root}/{behind}" if behind else request.root


def address_list(vif: Vif, *, extended: bool) -> list[dict[str, Any]]:
    """The addresses of one NIC as views show them; ``extended`` adds type and MAC."""
    found: list[dict[str, Any]] = []
    for fixed in vif.addresses:
        entry: dict[str, Any] = {"version": fixed.version, "addr": fixed.address}
        if extended:
            entry["OS-EXT-IPS:type"] = "fixed"
            entry["OS-EXT-IPS-MAC:mac_addr"] = vif.mac
        found.append(entry)
        for floating in fixed.floating:
            entry = {"version": 4, "addr": floating}
            if extended:
                entry["OS-EXT-IPS:type"] = "floating"
                entry["OS-EXT-IPS-MAC:mac_addr"] = vif.mac
            found.append(entry)
    return found


def addresses_by_label(vifs: Iterable[Vif], *, extended: bool) -> dict[str, list[dict[str, Any]]]:
    """``addresses`` of a server: fixed and floating ones of each network."""
    by_label: dict[str, list[dict[str, Any]]] = {}
    for vif in vifs:
        by_label.setdefault(vif.label, []).extend(address_list(vif, extended=extended))
    return by_label


def _addresses(instance: Instance, scene: Scene) -> Any:
    if instance.vm_state == BUILDING:
        return {}
    return addresses_by_label(instance.network_info, extended=WHOLE in scene.flags)


def _flavor_link(instance: Instance, scene: Scene) -> Any:
    flavorid = instance.flavor.flavorid
    return {
        "id": flavorid,
        "links": [{"rel": "bookmark", "href": f"{scene.bookmark}/flavors/{flavorid}"}],
    }


def _flavor(instance: Instance, scene: Scene) -> Any:
    flavor = instance.flavor
    shown: dict[str, Any] = {
        "vcpus": flavor.vcpus, "ram": flavor.memory_mb, "disk": flavor.root_gb,
        "ephemeral": flavor.ephemeral_gb, "swap": flavor.swap, "original_name": flavor.name,
    }
    if EXTRA_SPECS in scene.flags:
        shown["extra_specs"] = flavor.extra_specs
    return shown


def _image(instance: Instance, scene: Scene) -> Any:
    ref = instance.image_ref
    if not ref:
        return ""
    return {
        "id": ref, "links": [{"rel": "bookmark", "href": f"{scene.bookmark}/images/{ref}"}],
    }


def _image_with_properties(instance: Instance, scene: Scene) -> Any:
    image = _image(instance, scene)
    if image:
        image["properties"] = {
            key: value if isinstance(value, str) else str(value)
            for key, value in (instance.image_properties or {}).items()
            if value is not None
            and (key in _KNOWN_PROPERTIES or key.startswith(_KNOWN_PREFIXES))
        }
    return image


def _fault(instance: Instance, scene: Scene) -> Any:
    fault = instance.fault
    if fault is None or scene.status not in _FAULTY:
        return ABSENT
    shown: dict[str, Any] = {
        "code": fault.code, "created": seconds(fault.created), "message": fault.message,
    }
    if fault.details and (fault.code != 500 or FAULT_DETAILS in scene.flags):
        shown["details"] = fault.details
    return shown


def _progress(instance: Instance, scene: Scene) -> Any:
    return instance.progress if scene.status in _PROGRESS else ABSENT


def _security_groups(instance: Instance, _scene: Scene) -> Any:
    names = instance.security_groups
    return [{"name": name} for name in names] if names else ABSENT


def _volumes(with_delete: bool) -> Getter:
    def get(instance: Instance, _scene: Scene) -> Any:
        shown: list[dict[str, Any]] = []
        for device in instance.block_devices:
            if device.volume_id:
                volume: dict[str, Any] = {"id": device.volume_id}
                if with_delete:
                    volume["delete_on_termination"] = device.delete_on_termination
                shown.append(volume)
        return shown

    return get


def _unknown_host_status(_instance: Instance, scene: Scene) -> Any:
    return "UNKNOWN" if scene.host_status == "UNKNOWN" else ABSENT


def _server_groups(instance: Instance, _scene: Scene) -> Any:
    return [instance.server_group] if instance.server_group else []


def _of(name: str) -> Getter:
    return attribute(name)


_ATTRIBUTE = "OS-EXT-SRV-ATTR:"

SERVER = View(
    Field("id", _of("uuid")),
    Field("name", _of("name")),
    Field("status", _status),
    Field("tenant_id", _of("project_id")),
    Field("user_id", _of("user_id")),
    Field("metadata", _of("metadata")),
    Field("hostId", lambda i, _s: host_id(i.project_id, i.host)),
    Field("image", _image, until=97),
    Field("image", _image_with_properties, since=98),
    Field("flavor", _flavor_link, until=46),
    Field("flavor", _flavor, since=47),
    Field("created", lambda i, _s: seconds(i.created_at)),
    Field("updated", lambda i, _s: seconds(i.updated_at)),
    Field("addresses", _addresses),
    Field("accessIPv4", _of("access_ipv4")),
    Field("accessIPv6", _of("access_ipv6")),
    Field("links", lambda i, s: links(s.base, s.bookmark, i.uuid)),
    Field("OS-DCF:diskConfig", _of("disk_config")),
    Field("fault", _fault, maybe_absent=True),
    Field("progress", _progress, maybe_absent=True),
    Field("OS-EXT-AZ:availability_zone", lambda _i, s: s.zone, only=WHOLE),
    Field("config_drive", _of("config_drive"), only=WHOLE),
    Field("key_name", _of("key_name"), only=WHOLE),
    Field("key_name", _of("key_name"), since=54, only=REBUILT),
    Field("user_data", _of("user_data"), since=57, only=REBUILT),
    Field("OS-SRV-USG:launched_at", lambda i, _s: precise(i.launched_at), only=WHOLE),
    Field("OS-SRV-USG:terminated_at", lambda i, _s: precise(i.terminated_at), only=WHOLE),
    Field("security_groups", _security_groups, only=WHOLE, maybe_absent=True),
    Field(_ATTRIBUTE + "host", _of("host"), only=ATTRIBUTES),
    Field(_ATTRIBUTE + "instance_name", _of("internal_name"), only=ATTRIBUTES),
    Field(_ATTRIBUTE + "hypervisor_hostname", _of("node"), only=ATTRIBUTES),
    Field(_ATTRIBUTE + "hostname", _of("hostname"), since=3, until=89, only=ATTRIBUTES),
    Field(_ATTRIBUTE + "hostname", _of("hostname"), since=90),
    Field(_ATTRIBUTE + "kernel_id", _of("kernel_id"), since=3, only=ATTRIBUTES),
    Field(_ATTRIBUTE + "ramdisk_id", _of("ramdisk_id"), since=3, only=ATTRIBUTES),
    Field(_ATTRIBUTE + "launch_index", _of("launch_index"), since=3, only=ATTRIBUTES),
    Field(_ATTRIBUTE + "reservation_id", _of("reservation_id"), since=3, only=ATTRIBUTES),
    Field(_ATTRIBUTE + "root_device_name", _of("root_device_name"), since=3, only=ATTRIBUTES),
    Field(_ATTRIBUTE + "user_data", _of("user_data"), since=3, only=USER_DATA),
    Field("OS-EXT-STS:task_state", _of("task_state"), only=WHOLE),
    Field("OS-EXT-STS:vm_state", _of("vm_state"), only=WHOLE),
    Field("OS-EXT-STS:power_state", _of("power_state"), only=WHOLE),
    Field("os-extended-volumes:volumes_attached", _volumes(False), until=2, only=WHOLE),
    Field("os-extended-volumes:volumes_attached", _volumes(True), since=3, only=WHOLE),
    Field("locked", lambda i, _s: i.locked_by is not None, since=9),
    Field("host_status", lambda _i, s: s.host_status, since=16, only=HOST_STATUS),
    Field(
        "host_status", _unknown_host_status, since=16, only=HOST_UNKNOWN, maybe_absent=True
    ),
    Field("description", _of("description"), since=19),
    Field("tags", _of("tags"), since=26),
    Field("trusted_image_certificates", _of("trusted_image_certificates"), since=63),
    Field("server_groups", _server_groups, since=71, only=GROUPS),
    Field("locked_reason", _of("locked_reason"), since=73),
    Field("pinned_availability_zone", _of("pinned_availability_zone"), since=96, only=WHOLE),
    Field("scheduler_hints", lambda i, _s: i.scheduler_hints or {}, since=100),
)


def rights(request: ApiRequest, project_id: str | None) -> set[str]:
    """What of a server of that project the caller may see; None is the caller's own project."""
    flags: set[str] = set()
    if request.allows(ATTRIBUTES_RULE, project_id=project_id):
        flags |= {ATTRIBUTES, USER_DATA}
    if request.allows(EXTRA_SPECS_RULE, project_id=project_id):
        flags.add(EXTRA_SPECS)
    if request.allows(HOST_STATUS_RULE, project_id=project_id):
        flags.add(HOST_STATUS)
    elif request.allows(HOST_UNKNOWN_RULE, project_id=project_id):
        flags.add(HOST_UNKNOWN)
    if request.caller.is_admin:
        flags.add(FAULT_DETAILS)
    return flags


def show_flags(request: ApiRequest, project_id: str | None) -> frozenset[str]:
    """The flags of ``GET /servers/{id}``."""
    return frozenset(rights(request, project_id) | {WHOLE, GROUPS})


def detail_flags(request: ApiRequest) -> frozenset[str]:
    """The flags of ``GET /servers/detail``."""
    return frozenset(rights(request, None) | {WHOLE})


def changed_flags(
    request: ApiRequest, project_id: str, *, rebuilt: bool = False
) -> frozenset[str]:
    """The flags of the answers of update and rebuild: few keys up to 2.74, all from 2.75 on."""
    flags = rights(request, project_id) | {GROUPS}
    if request.features.full_server_after_update:
        flags |= {WHOLE}
    else:
        flags -= {ATTRIBUTES, USER_DATA, HOST_STATUS, HOST_UNKNOWN}
    if rebuilt:
        flags = (flags - {USER_DATA}) | {REBUILT}
    return frozenset(flags)


#: Rows read at a time for a list.
_PIECE = 100


class ServerRenderer:
    """Renders servers for one request, from the cache where it can."""

    def __init__(self, request: ApiRequest, flags: frozenset[str]) -> None:
        self._cache = request.cloud.server_fragments
        self._base = request.base
        self._bookmark = bookmark_base(request)
        self._flags = flags
        self._render = SERVER.at(request.minor, flags)
        self._style = self._cache.style(
            Style(request.minor, flags, request.base, request.root)
        )
        self._zones, self._default_zone = request.cloud.zones.current()
        self._statuses: Mapping[str, str] | None = (
            request.cloud.host_statuses.current()
            if flags & {HOST_STATUS, HOST_UNKNOWN}
            else None
        )

    def zone_of(self, host: str | None, requested: str | None) -> str:
        """The zone shown: the host's, or before there is one the zone asked for."""
        if host is None:
            return requested or ""
        return self._zones.get(host, self._default_zone)

    def _host_status(self, host: str | None) -> str:
        if self._statuses is None or host is None:
            return ""
        return self._statuses.get(host, "")

    def plain(self, instance: Instance) -> dict[str, Any]:
        """A server as a dictionary."""
        scene = Scene(
            self._base, self._bookmark, self.zone_of(instance.host, instance.availability_zone),
            self._host_status(instance.host), self._flags, shown_status(instance),
        )
        return self._render(instance, scene)

    def of_lines(self, tx: Transaction, lines: list[ServerLine]) -> list[bytes]:
        """The encoded servers of ``lines``, in order; rows are read for those not in the cache."""
        get, style = self._cache.get, self._style
        zones, default = self._zones, self._default_zone
        statuses = self._statuses
        found = []
        for line in lines:
            host = line.host
            if host is None:
                shown = (line.revision, line.availability_zone or "", "")
            else:
                shown = (
                    line.revision, zones.get(host, default),
                    "" if statuses is None else statuses.get(host, ""),
                )
            found.append(get((style, line.uuid), shown))
        missing = [line.uuid for line, fragment in zip(lines, found, strict=True) if fragment is None]
        if not missing:
            return found  # type: ignore[return-value]
        rendered: dict[str, bytes] = {}
        # A piece at a time: a thousand whole rows at once would be the peak of the process's memory.
        for start in range(0, len(missing), _PIECE):
            rendered.update(self._rendered(tx.listing.full(missing[start : start + _PIECE])))
        complete = [
            rendered.get(line.uuid) if fragment is None else fragment
            for line, fragment in zip(lines, found, strict=True)
        ]
        return [fragment for fragment in complete if fragment is not None]

    def _rendered(self, servers: Mapping[str, Instance]) -> dict[str, bytes]:
        """Render rows and keep them under what they hold now."""
        fragments: dict[str, bytes] = {}
        for uuid, instance in servers.items():
            fragment = _encode(self.plain(instance))
            zone = self.zone_of(instance.host, instance.availability_zone)
            status = self._host_status(instance.host)
            self._cache.put((self._style, uuid), (instance.revision, zone, status), fragment)
            fragments[uuid] = fragment
        return fragments
