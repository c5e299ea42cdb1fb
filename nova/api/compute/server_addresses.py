# SPDX-License-Identifier: Apache-2.0
"""``/servers/{id}/ips``."""

from __future__ import annotations

from typing import Any

from nova import errors
from nova.api.compute.policies import READER_OR_ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.api.compute.servers_view import addresses_by_label
from nova.policy import Rule

_ROOT = "os_compute_api:ips"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:index", READER_OR_ADMIN, "List a server's addresses."),
    Rule(f"{_ROOT}:show", READER_OR_ADMIN, "List a server's addresses of one network."),
)


def _addresses(request: ApiRequest, action: str) -> dict[str, list[dict[str, Any]]]:
    instance = request.cloud.operations.get(request.caller, request.path["server_id"])
    request.check(f"{_ROOT}:{action}", project_id=instance.project_id)
    return addresses_by_label(instance.network_info, extended=False)


def index(request: ApiRequest) -> Any:
    """Addresses of all networks."""
    return {"addresses": _addresses(request, "index")}


def show(request: ApiRequest) -> Any:
    """Addresses of one network."""
    label = request.path["label"]
    addresses = _addresses(request, "show")
    if label not in addresses:
        raise errors.NotFound("Instance is not a member of specified network")
    return {label: addresses[label]}


ROUTES: tuple[Route, ...] = (
    Route("GET", "/servers/{server_id}/ips", index),
    Route("GET", "/servers/{server_id}/ips/{label}", show),
)
