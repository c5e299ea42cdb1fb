# SPDX-License-Identifier: Apache-2.0
"""``os-availability-zone``: the zones that aggregates make of the hosts."""

from __future__ import annotations

from typing import Any

from nova.api.compute.policies import ADMIN, ANYONE
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.api.compute.service_views import ServiceScene, service_scene
from nova.api.compute.times import precise
from nova.objects.host import Service
from nova.policy import Rule

_ROOT = "os_compute_api:os-availability-zone"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:list", ANYONE, "List availability zones."),
    Rule(f"{_ROOT}:detail", ADMIN, "List availability zones with their hosts and services."),
)


def _by_zone(request: ApiRequest) -> tuple[ServiceScene, dict[str, list[Service]]]:
    """The services of each zone, zones in the order of their names, the internal one first."""
    with request.cloud.db.read() as tx:
        services = tx.services.list()
        scene = service_scene(request, tx)
    zones: dict[str, list[Service]] = {}
    for service in services:
        zones.setdefault(scene.zone(service), []).append(service)
    internal = scene.internal_zone
    return scene, dict(sorted(zones.items(), key=lambda item: (item[0] != internal, item[0])))


def _entry(zone: str, available: bool, hosts: Any) -> dict[str, Any]:
    return {"zoneName": zone, "zoneState": {"available": available}, "hosts": hosts}


def _is_available(services: list[Service]) -> bool:
    """A zone is available while one of its services is enabled."""
    return any(not service.disabled for service in services)


def index(request: ApiRequest) -> Any:
    """The zones that servers can be asked into; available ones first."""
    scene, zones = _by_zone(request)
    entries = [
        _entry(zone, _is_available(services), None)
        for zone, services in zones.items()
        if zone != scene.internal_zone
    ]
    entries.sort(key=lambda entry: not entry["zoneState"]["available"])
    return {"availabilityZoneInfo": entries}


def detail(request: ApiRequest) -> Any:
    """All zones with their hosts and the services on each; available ones first."""
    scene, zones = _by_zone(request)
    entries = []
    for zone, services in zones.items():
        hosts: dict[str, Any] = {}
        for service in services:
            if not service.disabled:
                hosts.setdefault(service.host, {})[service.binary] = {
                    "available": scene.is_up(service),
                    "active": True,
                    "updated_at": precise(service.last_seen_up),
                }
        available = _is_available(services)
        entries.append(_entry(zone, available, hosts if available else None))
    entries.sort(key=lambda entry: not entry["zoneState"]["available"])
    return {"availabilityZoneInfo": entries}


ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-availability-zone", index, rule=f"{_ROOT}:list"),
    Route("GET", "/os-availability-zone/detail", detail, rule=f"{_ROOT}:detail"),
)
