# SPDX-License-Identifier: Apache-2.0
"""``os-security-groups`` with rules and default rules (until 2.35), and the groups of a server."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from nova.api.compute.bodies import Body
from nova.api.compute.fields import Field, View, attribute
from nova.api.compute.policies import ADMIN, MEMBER_OR_ADMIN, READER_OR_ADMIN
from nova.api.compute.queries import flag_of, window_of
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Query, Route
from nova.api.compute.server_values import is_uuid
from nova.api.compute.visibility import visible_instance
from nova.db.engine import Transaction
from nova.errors import BadRequest, Conflict, NotFound, QuotaExceeded
from nova.network import security_groups as groups
from nova.network.filter_refreshes import group_changed
from nova.objects.network import DefaultRule, SecurityGroup, SecurityGroupRule
from nova.policy import Rule

_ROOT = "os_compute_api:os-security-groups"
_DEFAULTS = "os_compute_api:os-security-group-default-rules"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:get", READER_OR_ADMIN, "List security groups."),
    Rule(f"{_ROOT}:show", READER_OR_ADMIN, "Show a security group."),
    Rule(f"{_ROOT}:create", MEMBER_OR_ADMIN, "Create a security group."),
    Rule(f"{_ROOT}:update", MEMBER_OR_ADMIN, "Rename a security group."),
    Rule(f"{_ROOT}:delete", MEMBER_OR_ADMIN, "Delete a security group."),
    Rule(f"{_ROOT}:rule:create", MEMBER_OR_ADMIN, "Add a rule to a security group."),
    Rule(f"{_ROOT}:rule:delete", MEMBER_OR_ADMIN, "Remove a rule of a security group."),
    Rule(f"{_ROOT}:list", READER_OR_ADMIN, "List the security groups of a server."),
    Rule(_DEFAULTS, ADMIN, "Rules that new default groups start with."),
)


def _source(rule: SecurityGroupRule, _scene: None) -> dict[str, str | None]:
    if rule.source_group_id is None:
        return {}
    return {"name": rule.source_group_name, "tenant_id": rule.source_group_project}


RULE_VIEW = View(
    Field("id", attribute("id")),
    Field("parent_group_id", attribute("group_id")),
    Field("ip_protocol", attribute("protocol")),
    Field("from_port", attribute("from_port")),
    Field("to_port", attribute("to_port")),
    Field("group", _source),
    Field("ip_range", lambda rule, _scene: {"cidr": rule.cidr} if rule.cidr else {}),
)
VIEW = View(
    Field("id", attribute("id")),
    Field("name", attribute("name")),
    Field("description", attribute("description")),
    Field("tenant_id", attribute("project_id")),
    Field(
        "rules",
        lambda group, render: [
            render(rule, None) for rule in groups.incoming(group)
        ],
    ),
)
DEFAULT_VIEW = View(
    Field("id", attribute("id")),
    Field("ip_protocol", attribute("protocol")),
    Field("from_port", attribute("from_port")),
    Field("to_port", attribute("to_port")),
    Field("ip_range", lambda rule, _scene: {"cidr": rule.cidr} if rule.cidr else {}),
)


class GroupValues(msgspec.Struct):
    """The body of POST and PUT; what is wrong with the texts is told by the network room."""

    name: Any
    description: Any = None


Identifier = Annotated[str, Meta(max_length=64)] | int
Port = Annotated[str, Meta(max_length=16)] | int | None


class RuleCreate(msgspec.Struct):
    """The body of POST /os-security-group-rules."""

    parent_group_id: Identifier
    ip_protocol: Annotated[str, Meta(max_length=16)] | int | None = None
    from_port: Port = None
    to_port: Port = None
    cidr: Annotated[str, Meta(max_length=64)] | None = None
    group_id: Identifier | None = None


class DefaultRuleCreate(msgspec.Struct):
    """The body of POST /os-security-group-default-rules."""

    ip_protocol: Annotated[str, Meta(max_length=16)] | None = None
    from_port: Port = None
    to_port: Port = None
    cidr: Annotated[str, Meta(max_length=64)] | None = None


def _shown(request: ApiRequest, group: SecurityGroup) -> dict[str, Any]:
    return VIEW.at(request.minor)(group, RULE_VIEW.at(request.minor))


def _number(text: str | int, refusal: str, missing: str) -> int:
    """An id that the database can hold: ``BadRequest`` for no number, ``NotFound`` for others.

    A uuid is the id of something of another network service, and names nothing here.
    """
    if is_uuid(str(text)):
        raise NotFound(f"{missing} {text} not found.")
    number = groups.integer_id(text, refusal)
    if not 0 <= number < 2**31:
        raise NotFound(f"{missing} {str(text)[:64]} not found.")
    return number


def _group(request: ApiRequest, tx: Transaction, text: str | int) -> SecurityGroup:
    """A group of the caller's project, by its number or, as the network API names it, by its uuid.

    Administrators may name any project's.
    """
    known = tx.security_groups.find_by_uuid(str(text)) if is_uuid(str(text)) else None
    if known is not None:
        text = known.id
    number = _number(text, "Security group id should be integer", "Security group")
    if request.caller.is_admin:
        return tx.security_groups.get(number)
    return groups.get_group(tx, request.caller.project_id, number)


def index(request: ApiRequest) -> Any:
    """List the groups of the caller's project; of all projects for administrators who ask so."""
    caller = request.caller
    window = window_of(request)
    everywhere = caller.is_admin and flag_of(request, "all_tenants")
    with request.cloud.db.read() as tx:
        missing = tx.security_groups.find(caller.project_id, groups.DEFAULT) is None
    if missing:
        request.cloud.db.run(
            lambda tx: groups.ensure_default(tx, caller.project_id, caller.user_id)
        )
    with request.cloud.db.read() as tx:
        if everywhere:
            found = tx.security_groups.every()
        else:
            found = tx.security_groups.of_project(caller.project_id)
    return {"security_groups": [_shown(request, group) for group in found[window]]}


def show(request: ApiRequest) -> Any:
    """Show a group with its rules.

    A word that is no id is not found: the public command line asks by name first, and looks through
    the list only after a 404.
    """
    asked = request.path["security_group_id"]
    if not asked.isdecimal() and not is_uuid(asked):
        raise NotFound(f"Security group {asked} not found.")
    with request.cloud.db.read() as tx:
        group = _group(request, tx, asked)
    return {"security_group": _shown(request, group)}


def create(request: ApiRequest) -> Any:
    """Create a group, within the project's quota."""
    body: GroupValues = request.body
    caller = request.caller
    limits = request.cloud.limits.get(caller.project_id, caller.user_id)

    def write(tx: Transaction) -> SecurityGroup:
        groups.ensure_default(tx, caller.project_id, caller.user_id)
        # Boots make default groups without counting them.
        tx.quotas.force_usage(caller.project_id)
        tx.quotas.reserve(caller.project_id, {"security_groups": 1}, limits)
        return groups.create_group(
            tx, caller.project_id, caller.user_id, body.name, body.description
        )

    group = request.cloud.db.run(write)
    return {"security_group": _shown(request, group)}


def update(request: ApiRequest) -> Any:
    """Rename a group."""
    body: GroupValues = request.body

    def write(tx: Transaction) -> SecurityGroup:
        group = _group(request, tx, request.path["security_group_id"])
        return groups.update_group(tx, group, body.name, body.description)

    changed = request.cloud.db.run(write)
    return {"security_group": _shown(request, changed)}


def delete(request: ApiRequest) -> Any:
    """Delete a group that no server is in."""

    def write(tx: Transaction) -> None:
        group = _group(request, tx, request.path["security_group_id"])
        groups.delete_group(tx, group)
        tx.quotas.release(group.project_id, {"security_groups": 1})
        tx.after_commit(request.cloud.events.security_groups_changed)

    request.cloud.db.run(write)


def create_rule(request: ApiRequest) -> Any:
    """Add a rule to a group, within the project's quota of rules in one group."""
    body: RuleCreate = request.body

    def write(tx: Transaction) -> SecurityGroupRule:
        tx.quotas.hold(_group(request, tx, body.parent_group_id).project_id)
        group = _group(request, tx, body.parent_group_id)
        source = None if body.group_id is None else _group(request, tx, body.group_id)
        values = groups.check_rule(
            protocol=body.ip_protocol, from_port=body.from_port, to_port=body.to_port,
            cidr=body.cidr, source_group_id=None if source is None else source.id,
        )
        limit = request.cloud.limits.get(group.project_id, request.caller.user_id).get(
            "security_group_rules", -1
        )
        if 0 <= limit <= groups.counted(group):
            raise QuotaExceeded("Quota exceeded, too many security group rules.")
        rule = groups.add_rule(tx, group, values)
        group_changed(request.cloud.networks.refreshes, tx, group.id)
        tx.after_commit(request.cloud.events.security_groups_changed)
        return rule

    rule = request.cloud.db.run(write)
    return {"security_group_rule": RULE_VIEW.at(request.minor)(rule, None)}


def delete_rule(request: ApiRequest) -> Any:
    """Remove a rule."""
    number = _number(
        request.path["security_group_rule_id"], "Rule id is not integer", "Security group rule"
    )

    def write(tx: Transaction) -> None:
        project = request.caller.project_id
        if request.caller.is_admin:
            rule = groups.get_rule(tx, number)
            project = tx.security_groups.get(rule.group_id).project_id
        group = groups.delete_rule(tx, project, number)
        group_changed(request.cloud.networks.refreshes, tx, group.id)
        tx.after_commit(request.cloud.events.security_groups_changed)

    request.cloud.db.run(write)


# -- rules that new default groups start with ------------------------------------------------------


def default_index(request: ApiRequest) -> Any:
    """List the default rules."""
    with request.cloud.db.read() as tx:
        found = tx.security_groups.default_rules()
    render = DEFAULT_VIEW.at(request.minor)
    return {"security_group_default_rules": [render(rule, None) for rule in found]}


def _default_id(request: ApiRequest) -> int:
    return _number(
        request.path["rule_id"], "Rule id is not integer", "Security group default rule"
    )


def default_show(request: ApiRequest) -> Any:
    """Show a default rule."""
    number = _default_id(request)
    with request.cloud.db.read() as tx:
        rule = tx.security_groups.get_default_rule(number)
    return {"security_group_default_rule": DEFAULT_VIEW.at(request.minor)(rule, None)}


def default_create(request: ApiRequest) -> Any:
    """Add a rule that default groups made from now on start with."""
    body: DefaultRuleCreate = request.body
    values = groups.check_rule(
        protocol=body.ip_protocol, from_port=body.from_port, to_port=body.to_port, cidr=body.cidr
    )

    def write(tx: Transaction) -> DefaultRule:
        try:
            rule = groups.add_default_rule(tx, values)
        except BadRequest as error:
            raise Conflict(error.message) from None
        return rule

    rule = request.cloud.db.run(write)
    return {"security_group_default_rule": DEFAULT_VIEW.at(request.minor)(rule, None)}


def default_delete(request: ApiRequest) -> Any:
    """Remove a default rule."""
    number = _default_id(request)
    request.cloud.db.run(lambda tx: tx.security_groups.delete_default_rule(number))


# -- the groups of a server ------------------------------------------------------------------------


def of_server(request: ApiRequest) -> Any:
    """List the groups that a server is in."""
    with request.cloud.db.read() as tx:
        instance = visible_instance(request, tx, request.path["server_id"])
        request.check(f"{_ROOT}:list", project_id=instance.project_id)
        found = tx.security_groups.of_instance(instance.uuid)
    return {"security_groups": [_shown(request, group) for group in found]}


_GROUP = Body("security_group", GroupValues)
#: Its schema refuses no other keys.
_NEW_GROUP = Body("security_group", GroupValues, tolerant=True)

ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-security-groups", index, rule=f"{_ROOT}:get", until=35,
          query=Query({"limit": 1, "offset": 1, "all_tenants": 1})),
    Route("POST", "/os-security-groups", create, rule=f"{_ROOT}:create", until=35, body=_NEW_GROUP),
    Route("GET", "/os-security-groups/{security_group_id}", show, rule=f"{_ROOT}:show", until=35),
    Route("PUT", "/os-security-groups/{security_group_id}", update, rule=f"{_ROOT}:update",
          until=35, body=_GROUP),
    Route("DELETE", "/os-security-groups/{security_group_id}", delete, 202,
          rule=f"{_ROOT}:delete", until=35),
    Route("POST", "/os-security-group-rules", create_rule, rule=f"{_ROOT}:rule:create", until=35,
          body=Body("security_group_rule", RuleCreate)),
    Route("DELETE", "/os-security-group-rules/{security_group_rule_id}", delete_rule, 202,
          rule=f"{_ROOT}:rule:delete", until=35),
    Route("GET", "/os-security-group-default-rules", default_index, rule=_DEFAULTS, until=35),
    Route("POST", "/os-security-group-default-rules", default_create, rule=_DEFAULTS, until=35,
          body=Body("security_group_default_rule", DefaultRuleCreate)),
    Route("GET", "/os-security-group-default-rules/{rule_id}", default_show, rule=_DEFAULTS,
          until=35),
    Route("DELETE", "/os-security-group-default-rules/{rule_id}", default_delete, 204,
          rule=_DEFAULTS, until=35),
    Route("GET", "/servers/{server_id}/os-security-groups", of_server),
)
