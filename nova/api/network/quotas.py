# SPDX-License-Identifier: Apache-2.0
"""``/quotas``: limits of a project. Addresses and groups have one limit for all faces of the cloud."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import falcon

from nova.api.network import values as read
from nova.api.network.resource import Call
from nova.api.network.values import Attribute, read_values
from nova.db.engine import Transaction
from nova.errors import BadRequest, Forbidden, NotFound, QuotaExceeded
from nova.http.app import read_json
from nova.network.security_groups import counted

#: Our name of each limit. Those in the second group are kept and counted for this API alone.
RESOURCES = {
    "floatingip": "floating_ips", "security_group": "security_groups",
    "security_group_rule": "security_group_rules",
    "network": "network", "subnet": "subnet", "port": "port", "router": "router",
    "rbac_policy": "rbac_policy", "subnetpool": "subnetpool",
}
#: What a project may have where nobody said otherwise; the configuration knows the others.
_UNLIMITED = dict.fromkeys(("network", "subnet", "port", "rbac_policy", "subnetpool"), -1) | {
    "router": 1,
}

_ATTRIBUTES = {
    name: Attribute(name, read.integer(-1, 2147483647)) for name in (*RESOURCES, "tenant_id")
}
_ATTRIBUTES["tenant_id"] = read.PROJECT


def limit_of(call: Call, project_id: str, resource: str) -> int:
    """A project's limit of one resource; -1 is none."""
    limits = call.cloud.limits.get(project_id, "")
    name = RESOURCES[resource]
    return limits.get(name, _UNLIMITED.get(resource, -1))


def _subnets(tx: Transaction, project_id: str) -> int:
    return sum(
        (row.cidr is not None) + (row.cidr_v6 is not None) for row in tx.networks.owned_by(project_id)
    )


def _fullest_group(tx: Transaction, project_id: str) -> int:
    """The limit is one for each group."""
    return max(map(counted, tx.security_groups.of_project(project_id)), default=0)


#: How many of each resource a project has. Asked where one more is made, and where usage is shown.
_COUNTERS: dict[str, Callable[[Transaction, str], int]] = {
    "floatingip": lambda tx, project: tx.quotas.usage(project).floating_ips,
    "security_group": lambda tx, project: tx.security_groups.count_of(project),
    "security_group_rule": _fullest_group,
    "network": lambda tx, project: tx.networks.count_owned_by(project),
    "subnet": _subnets,
    "port": lambda tx, project: tx.ports.count_of(project),
    "router": lambda _tx, _project: 1,
    "subnetpool": lambda tx, project: tx.subnet_pools.count_of(project),
    "rbac_policy": lambda tx, project: sum(
        len((row.facts or {}).get("rbac", ())) for row in tx.networks.owned_by(project)
    ),
}


def check_room(call: Call, tx: Transaction, resource: str, project_id: str) -> None:
    """Raise ``QuotaExceeded`` where one more would be too many.

    Where there is a limit, other requests of the project that are counted wait meanwhile.
    """
    limit = limit_of(call, project_id, resource)
    if limit < 0:
        return
    tx.quotas.hold(project_id)
    if limit < _COUNTERS[resource](tx, project_id) + 1:
        raise QuotaExceeded(f"Quota exceeded for resources: ['{resource}'].")


def _check(call: Call, project_id: str) -> None:
    if not call.owns(project_id):
        raise Forbidden("Only administrators see the limits of other projects.")


def _limits(call: Call, project_id: str) -> dict[str, int]:
    return {name: limit_of(call, project_id, name) for name in RESOURCES}


def show(call: Call, _req: falcon.Request, path: dict[str, str]) -> Any:
    """The limits of a project."""
    _check(call, path["project"])
    return {"quota": _limits(call, path["project"])}


def defaults(call: Call, _req: falcon.Request, path: dict[str, str]) -> Any:
    """The limits of a project that has none of its own."""
    _check(call, path["project"])
    known = call.cloud.limits.defaults()
    return {
        "quota": {
            name: known.get(ours, _UNLIMITED.get(name, -1)) for name, ours in RESOURCES.items()
        }
    }


def details(call: Call, _req: falcon.Request, path: dict[str, str]) -> Any:
    """The limits of a project with what it uses."""
    project = path["project"]
    _check(call, project)
    with call.cloud.db.read() as tx:
        used = {name: count(tx, project) for name, count in _COUNTERS.items()}
    return {
        "quota": {
            name: {"limit": limit, "used": used[name], "reserved": 0}
            for name, limit in _limits(call, project).items()
        }
    }


def index(call: Call, _req: falcon.Request, _path: dict[str, str]) -> Any:
    """The limits of the caller's own project: others have theirs under their ids."""
    project = call.caller.project_id
    return {"quotas": [{**_limits(call, project), "tenant_id": project, "project_id": project}]}


def tenant(call: Call, _req: falcon.Request, _path: dict[str, str]) -> Any:
    """Whose limits the caller would be shown."""
    project = call.caller.project_id
    return {"tenant": {"tenant_id": project, "project_id": project}}


def update(call: Call, req: falcon.Request, path: dict[str, str]) -> Any:
    """Set limits of a project."""
    _administrator(call)
    body = read_json(req)
    raw = body.get("quota") if isinstance(body, dict) else None
    if isinstance(raw, dict):
        raw = {name: value for name, value in raw.items() if name not in ("check_limit", "force")}
    wanted = read_values(_ATTRIBUTES, raw, singular="quota", creating=True)
    wanted.pop("tenant_id", None)
    if wanted.get("router", 1) != 1:
        raise BadRequest("Every project has one router here.")

    def write(tx: Transaction) -> None:
        tx.quotas.set(
            path["project"], {RESOURCES[name]: limit for name, limit in wanted.items()}
        )
        tx.after_commit(call.cloud.limits.forget)

    call.cloud.db.run(write)
    return {"quota": _limits(call, path["project"])}


def reset(call: Call, _req: falcon.Request, path: dict[str, str]) -> Any:
    """Forget the limits of a project that this API shows."""
    _administrator(call)
    project = path["project"]

    def write(tx: Transaction) -> None:
        record = tx.quotas.limit_record(project)
        ours = [name for name in RESOURCES.values() if name in record.of_project]
        if not ours:
            raise NotFound(f"Quota for tenant {project[:64]} could not be found.")
        rest = {name: limit for name, limit in record.of_project.items() if name not in ours}
        tx.quotas.delete(project, user_id="")
        tx.quotas.set(project, rest)
        tx.after_commit(call.cloud.limits.forget)

    call.cloud.db.run(write)


def _administrator(call: Call) -> None:
    if not call.is_admin:
        raise Forbidden("Only administrators set limits.")


Handlers = dict[str, tuple[Callable[..., Any], int]]

PATHS: dict[str, Handlers] = {
    "/v2.0/quotas": {"get": (index, 200)},
    "/v2.0/quotas/tenant": {"get": (tenant, 200)},
    "/v2.0/quotas/project": {"get": (tenant, 200)},
    "/v2.0/quotas/{project}": {"get": (show, 200), "put": (update, 200), "delete": (reset, 204)},
    "/v2.0/quotas/{project}/default": {"get": (defaults, 200)},
    "/v2.0/quotas/{project}/details": {"get": (details, 200)},
    "/v2.0/quotas/{project}/details.json": {"get": (details, 200)},
}
