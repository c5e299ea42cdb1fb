# SPDX-License-Identifier: Apache-2.0
"""``os-flavor-access``: which projects may use a flavor that is not public."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nova.api.compute.bodies import Body
from nova.api.compute.policies import ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.db.engine import Transaction
from nova.errors import BadRequest, Conflict, NotFound
from nova.policy import Rule

_ROOT = "os_compute_api:os-flavor-access"

RULES: tuple[Rule, ...] = (
    Rule(_ROOT, ADMIN, "List the projects that may use a flavor."),
    Rule(f"{_ROOT}:add_tenant_access", ADMIN, "Let a project use a flavor."),
    Rule(f"{_ROOT}:remove_tenant_access", ADMIN, "Take a flavor away from a project."),
)


class Tenant(msgspec.Struct):
    """The project that an action is about."""

    tenant: Annotated[str, Meta(min_length=1, max_length=255)]


class FlavorAction(msgspec.Struct):
    """``POST /flavors/{id}/action``: one of the two."""

    add: Tenant | UnsetType = msgspec.field(name="addTenantAccess", default=UNSET)
    remove: Tenant | UnsetType = msgspec.field(name="removeTenantAccess", default=UNSET)


def _list(tx: Transaction, flavorid: str) -> dict[str, Any]:
    return {
        "flavor_access": [
            {"flavor_id": flavorid, "tenant_id": project}
            for project in tx.flavors.projects_with_access(flavorid)
        ]
    }


def index(request: ApiRequest) -> Any:
    """The access list of a flavor that is not public."""
    flavorid = request.path["flavor_id"]
    with request.cloud.db.read() as tx:
        if tx.flavors.get(flavorid).is_public:
            raise NotFound("Access list not available for public flavors.")
        return _list(tx, flavorid)


def act(request: ApiRequest) -> Any:
    """Put a project on the access list or take it off."""
    body: FlavorAction = request.body
    if body.add is not UNSET and body.remove is UNSET:
        request.check(f"{_ROOT}:add_tenant_access")
        request.cloud.projects.require(request.caller, body.add.tenant)
        return _add(request, body.add.tenant)
    if body.remove is not UNSET and body.add is UNSET:
        request.check(f"{_ROOT}:remove_tenant_access")
        return _remove(request, body.remove.tenant)
    raise BadRequest("Name one action: addTenantAccess or removeTenantAccess.")


def _add(request: ApiRequest, tenant: str) -> Any:
    flavorid = request.path["flavor_id"]

    def write(tx: Transaction) -> Any:
        tx.after_commit(request.cloud.flavors.forget)
        flavor = tx.flavors.get(flavorid)
        if flavor.is_public and request.features.refuse_access_to_public_flavor:
            raise Conflict("Can not add access to a public flavor.")
        tx.flavors.add_access(flavorid, tenant)
        return _list(tx, flavorid)

    return request.cloud.db.run(write)


def _remove(request: ApiRequest, tenant: str) -> Any:
    flavorid = request.path["flavor_id"]

    def write(tx: Transaction) -> Any:
        tx.after_commit(request.cloud.flavors.forget)
        tx.flavors.remove_access(flavorid, tenant)
        return _list(tx, flavorid)

    return request.cloud.db.run(write)


ROUTES: tuple[Route, ...] = (
    Route("GET", "/flavors/{flavor_id}/os-flavor-access", index, rule=_ROOT),
    Route("POST", "/flavors/{flavor_id}/action", act, body=Body(None, FlavorAction)),
)
