# SPDX-License-Identifier: Apache-2.0
"""What the service tells of itself: zones, services, hosts, pools, extensions, and what it has not."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from nova.errors import BadRequest, Forbidden, NotFound
from nova.volume.api import versions, views
from nova.volume.api.filters import FILTERS
from nova.volume.api.request import Request

_VOLUME, _SCHEDULER = "cinder-volume", "cinder-scheduler"
_SCHEMA = "2015-01-01T00:00:00+00:00"
#: alias -> name: those that are true here.
_EXTENSIONS = {
    "os-admin-actions": "AdminActions", "os-availability-zone": "AvailabilityZones",
    "os-extended-snapshot-attributes": "ExtendedSnapshotAttributes", "os-hosts": "Hosts",
    "os-quota-class-sets": "QuotaClasses", "os-quota-sets": "Quotas", "os-services": "Services",
    "os-snapshot-actions": "SnapshotActions", "os-types-extra-specs": "TypesExtraSpecs",
    "os-types-manage": "TypesManage", "os-used-limits": "UsedLimits",
    "os-vol-host-attr": "VolumeHostAttribute", "os-vol-image-meta": "VolumeImageMetadata",
    "os-vol-mig-status-attr": "VolumeMigStatusAttribute",
    "os-vol-tenant-attr": "VolumeTenantAttribute", "os-volume-actions": "VolumeActions",
    "os-volume-transfer": "VolumeTransfer", "os-volume-type-access": "VolumeTypeAccess",
    "scheduler-stats": "Scheduler_stats", "capabilities": "Capabilities",
}


def zones(request: Request) -> Any:
    """The one zone."""
    request.check("volume:availability_zone_list")
    zone = request.service.section.availability_zone
    return {"availabilityZoneInfo": [{"zoneName": zone, "zoneState": {"available": True}}]}


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def services(request: Request) -> Any:
    """The services, under the names that clients filter by. They answer, so they are up."""
    request.check("volume_extension:services:index")
    section = request.service.section
    backend = section.backend_host.partition("#")[0]
    found: list[dict[str, Any]] = []
    for binary, host in ((_SCHEDULER, backend.partition("@")[0]), (_VOLUME, backend)):
        entry: dict[str, Any] = {
            "binary": binary, "host": host, "zone": section.availability_zone, "status": "enabled",
            "state": "up", "updated_at": views.moment(_now()), "disabled_reason": None,
        }
        if binary == _VOLUME:
            entry |= {"replication_status": "disabled", "active_backend_id": None, "frozen": False}
            if request.version >= 7:
                entry["cluster"] = None
            if request.version >= versions.BACKEND_STATE:
                entry["backend_state"] = "up"
        elif request.version >= 7:
            entry["cluster"] = None
        found.append(entry)
    given = dict(request.parameters())
    wanted, where = given.get("binary") or given.get("service"), given.get("host")
    return {
        "services": [
            each for each in found
            if wanted in (None, "", each["binary"]) and (
                where in (None, "", each["host"]) or each["host"].partition("@")[0] == where
            )
        ]
    }


def service_update(request: Request, action: str) -> Any:
    """The service is part of this cloud: it is on as long as it answers."""
    request.check("volume_extension:services:update")
    given = request.document()
    found = {(each["binary"], each["host"]) for each in services(request)["services"]}
    named, where = given.get("binary") or given.get("service"), str(given.get("host"))
    # Freezing, thawing and failing over name a host alone; an unknown one is 400 there.
    binary = str(named)
    if named is not None and (binary, where) not in found:
        raise NotFound(f"Service {binary[:40]} could not be found on host {where[:80]}.")
    raise BadRequest(
        f"Invalid input received: The built-in service cannot be changed by {action[:40]}; set "
        "[volume] enabled."
    )


def hosts(request: Request) -> Any:
    """The hosts of the services."""
    request.check("volume_extension:hosts")
    return {
        "hosts": [
            {
                "host_name": each["host"], "service": each["binary"], "zone": each["zone"],
                "service-status": "available", "service-state": "enabled",
                "last-update": each["updated_at"],
            }
            for each in services(request)["services"]
        ]
    }


def host(request: Request, host_name: str) -> Any:
    """What projects have on a host."""
    request.check("volume_extension:hosts")
    if host_name not in {each["host_name"] for each in hosts(request)["hosts"]}:
        raise NotFound(f"Host {host_name[:80]} could not be found.")
    with request.service.db.read() as tx:
        count, size = tx.volumes.totals()
    return {
        "host": [
            {
                "resource": {
                    "host": host_name, "project": "(total)", "volume_count": str(count),
                    "total_volume_gb": str(size), "snapshot_count": "0", "total_snapshot_gb": "0",
                }
            }
        ]
    }


def _capabilities(request: Request) -> dict[str, Any]:
    total, free = request.service.backend.capacity()
    with request.service.db.read() as tx:
        _count, allocated = tx.volumes.totals()
    return {
        "total_capacity_gb": total, "free_capacity_gb": free, "allocated_capacity_gb": allocated,
        "volume_backend_name": _backend_name(request), "reserved_percentage": 0,
        "driver_version": "1.0", "storage_protocol": request.service.backend.protocol,
        "vendor_name": "Nova",
        "QoS_support": False, "multiattach": True, "thin_provisioning_support": True,
        "timestamp": views.moment(_now()),
    }


def _backend_name(request: Request) -> str:
    return request.service.section.backend_host.partition("@")[2].partition("#")[0] or "builtin"


def pools(request: Request) -> Any:
    """The one pool."""
    request.check("scheduler_extension:scheduler_stats:get_pools")
    pool: dict[str, Any] = {"name": request.service.section.backend_host}
    if request.flag("detail"):
        pool["capabilities"] = _capabilities(request)
    return {"pools": [pool]}


def capabilities(request: Request, host_name: str) -> Any:
    """What the backend can."""
    request.check("volume_extension:capabilities")
    section = request.service.section
    if host_name not in (section.backend_host, section.backend_host.partition("#")[0]):
        raise NotFound(f"Service {host_name[:80]} could not be found.")
    return {
        "namespace": f"OS::Storage::Capabilities::{host_name}", "vendor_name": "Nova",
        "volume_backend_name": _backend_name(request), "pool_name": None, "driver_version": "1.0",
        "storage_protocol": request.service.backend.protocol, "display_name": None,
        "description": None, "visibility": None,
        "replication_targets": [], "properties": {},
    }


def extensions(_request: Request) -> Any:
    """What clients ask for by an extension's alias."""
    return {
        "extensions": [
            {
                "alias": alias, "name": name, "description": name, "updated": _SCHEMA, "links": []
            }
            for alias, name in _EXTENSIONS.items()
        ]
    }


def filters(request: Request) -> Any:
    """The filters of the lists."""
    request.require(versions.RESOURCE_FILTERS)
    wanted = dict(request.parameters()).get("resource")
    return {
        "resource_filters": [
            {"resource": resource, "filters": names}
            for resource, names in FILTERS.items() if wanted in (None, resource)
        ]
    }


def nothing(collection: str, since: int = 0, rule: str | None = None) -> Callable[..., Any]:
    """The list of something that this service never has."""

    def handler(request: Request) -> Any:
        request.require(since)
        if rule is not None:
            request.check(rule)
        return {collection: []}

    return handler


def missing(what: str) -> Callable[..., Any]:
    """One of something that this service never has."""

    def handler(_request: Request, absent_id: str) -> Any:
        raise NotFound(f"{what} {absent_id[:80]} could not be found.")

    return handler


def refused(what: str, rule: str | None = None) -> Callable[..., Any]:
    """The creation of something that this service never has."""

    def handler(request: Request, **_parts: str) -> Any:
        if rule is not None:
            request.check(rule)
        if not request.caller.project_id and not request.caller.is_admin:
            raise Forbidden
        raise BadRequest(f"Invalid input received: The built-in block storage service has no {what}.")

    return handler
