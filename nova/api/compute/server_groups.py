# SPDX-License-Identifier: Apache-2.0
"""``os-server-groups``: servers that belong together, or apart."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nova.api.compute.bodies import Body, Name, PositiveInt, window
from nova.api.compute.fields import Field, View, attribute
from nova.api.compute.policies import ADMIN, MEMBER_OR_ADMIN, READER_OR_ADMIN
from nova.api.compute.queries import limit_of
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Query, Route
from nova.api.compute.texts import check_name
from nova.db.engine import Transaction
from nova.errors import BadRequest, InvalidInput, NotFound, QuotaExceeded
from nova.objects.server_group import ServerGroup
from nova.policy import Rule

_ROOT = "os_compute_api:os-server-groups"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:create", MEMBER_OR_ADMIN, "Make a server group."),
    Rule(f"{_ROOT}:delete", MEMBER_OR_ADMIN, "Delete a server group."),
    Rule(f"{_ROOT}:index", READER_OR_ADMIN, "List server groups."),
    Rule(f"{_ROOT}:index:all_projects", ADMIN, "List the server groups of all projects."),
    Rule(f"{_ROOT}:show", READER_OR_ADMIN, "Show a server group."),
)

Policy = Literal["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"]

VIEW = View(
    Field("id", attribute("uuid")),
    Field("name", attribute("name")),
    Field("policies", lambda group, _scene: [group.policy], until=63),
    Field("policy", attribute("policy"), since=64),
    Field("rules", attribute("rules"), since=64),
    Field("members", attribute("members")),
    Field("metadata", lambda _group, _scene: {}, until=63),
    Field("project_id", attribute("project_id"), since=13),
    Field("user_id", attribute("user_id"), since=13),
)


class Rules(msgspec.Struct, omit_defaults=True):
    """How many servers of an anti-affinity group one host may have."""

    max_server_per_host: PositiveInt | UnsetType = UNSET


class ServerGroupCreate(msgspec.Struct, kw_only=True):
    """``POST /os-server-groups``: one policy, in a list until 2.63."""

    name: Name
    policies: Annotated[
        Annotated[list[Policy], Meta(min_length=1, max_length=1)] | UnsetType, window(until=63)
    ] = UNSET
    policy: Annotated[Policy | UnsetType, window(since=64)] = UNSET
    rules: Annotated[Rules | UnsetType, window(since=64)] = UNSET


def _policy(request: ApiRequest, body: ServerGroupCreate) -> str:
    field = "policy" if request.features.single_group_policy else "policies"
    named = body.policy if body.policies is UNSET else body.policies[0]
    if named is UNSET:
        raise BadRequest(
            f"Invalid input for field/attribute {field}. '{field}' is a required property"
        )
    if named.startswith("soft-") and not request.features.soft_group_policies:
        raise InvalidInput(field, "It must be one of affinity, anti-affinity.", named)
    return named


def _rules(body: ServerGroupCreate, policy: str) -> dict[str, int]:
    if body.rules is UNSET or body.rules.max_server_per_host is UNSET:
        return {}
    if policy != "anti-affinity":
        raise BadRequest("Only anti-affinity policy supports rules.")
    return {"max_server_per_host": body.rules.max_server_per_host}


def _visible(request: ApiRequest, tx: Transaction) -> ServerGroup:
    """The path's group, where it is of the caller's project or the caller is an administrator."""
    uuid = request.path["group_id"]
    group = tx.server_groups.find(uuid) if len(uuid) <= 36 else None
    caller = request.caller
    if group is None or not (caller.is_admin or group.project_id == caller.project_id):
        raise NotFound(f"Instance group {uuid[:64]} could not be found.")
    return group


def index(request: ApiRequest) -> Any:
    """List the groups of the caller's project; of all to administrators who ask for that."""
    request.check(f"{_ROOT}:index")
    project: str | None = request.caller.project_id
    if "all_projects" in request.query and request.caller.is_admin:
        request.check(f"{_ROOT}:index:all_projects")
        project = None
    offset = request.integer("offset", 0) or 0
    with request.cloud.db.read() as tx:
        found = tx.server_groups.list(project, limit=limit_of(request), offset=offset)
    render = VIEW.at(request.minor)
    return {"server_groups": [render(group, None) for group in found]}


def show(request: ApiRequest) -> Any:
    """Show a group and its live members."""
    with request.cloud.db.read() as tx:
        group = _visible(request, tx)
    request.check(f"{_ROOT}:show", project_id=group.project_id)
    return {"server_group": VIEW.at(request.minor)(group, None)}


def create(request: ApiRequest) -> Any:
    """Make a group, counted against the project's quota."""
    body: ServerGroupCreate = request.body
    caller = request.caller
    name = check_name("name", body.name, padded=request.legacy)
    policy = _policy(request, body)
    rules = _rules(body, policy)
    limits = request.cloud.limits.get(caller.project_id, caller.user_id)

    def write(tx: Transaction) -> ServerGroup:
        try:
            tx.quotas.reserve(caller.project_id, {"server_groups": 1}, limits)
        except QuotaExceeded:
            raise QuotaExceeded("Quota exceeded, too many server groups.") from None
        return tx.server_groups.create(
            project_id=caller.project_id, user_id=caller.user_id, name=name, policy=policy,
            rules=rules,
        )

    group = request.cloud.db.run(write)
    return {"server_group": VIEW.at(request.minor)(group, None)}


def delete(request: ApiRequest) -> None:
    """Delete a group; its servers stay."""

    def write(tx: Transaction) -> None:
        group = _visible(request, tx)
        request.check(f"{_ROOT}:delete", project_id=group.project_id)
        tx.server_groups.delete(group.uuid)
        tx.quotas.release(group.project_id, {"server_groups": 1})

    request.cloud.db.run(write)


_LIST = Query({"all_projects": 1, "limit": 1, "offset": 1}, strict=75)

ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-server-groups", index, query=_LIST),
    Route("POST", "/os-server-groups", create, rule=f"{_ROOT}:create",
          body=Body("server_group", ServerGroupCreate)),
    Route("GET", "/os-server-groups/{group_id}", show),
    Route("DELETE", "/os-server-groups/{group_id}", delete, 204),
)
