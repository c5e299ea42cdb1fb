# SPDX-License-Identifier: Apache-2.0
"""``/security-groups``: the groups of nova-network under Neutron's semantics."""

from __future__ import annotations

from typing import Any

from nova.api.network import values as read
from nova.api.network.error_body import typed
from nova.api.network.resource import Call, Resource, Shown, keys, merged, standard
from nova.api.network.security_group_rules import shown_rules
from nova.api.network.values import Attribute
from nova.db.engine import Transaction
from nova.errors import BadRequest, Conflict, InvalidInput
from nova.network.security_groups import DEFAULT, ensure_default
from nova.objects.network import SecurityGroup

_FACTS = ("tags",)


def shown(group: SecurityGroup) -> Shown:
    """A group as clients see it, with its rules."""
    return {
        "id": group.uuid, "name": group.name,
        **standard(group.facts, group.project_id, group.revision, group.created_at,
                   group.updated_at),
        "description": group.description, "shared": False,
        "security_group_rules": shown_rules(group),
    }


def list_groups(call: Call, tx: Transaction) -> list[Shown]:
    """The groups of the caller's project, ``default`` among them; all for administrators."""
    caller = call.caller
    found = (
        tx.security_groups.every() if call.is_admin
        else tx.security_groups.of_project(caller.project_id)
    )
    if caller.project_id and not any(
        group.name == DEFAULT and group.project_id == caller.project_id for group in found
    ):
        found.insert(0, call.cloud.db.run(
            lambda writing: ensure_default(writing, caller.project_id, caller.user_id)
        ))
    return [shown(group) for group in found]


def find(call: Call, tx: Transaction, identifier: str) -> Shown | None:
    """One of them."""
    group = tx.security_groups.find_by_uuid(identifier)
    return None if group is None or not call.owns(group.project_id) else shown(group)


def _name(values: dict[str, Any]) -> str:
    name = str(values["name"])
    if not name.strip():
        raise InvalidInput("name", "A security group needs a name, different from the others'.")
    return name


def _free_name(name: str, value: Any) -> str:
    """A name that is not the one of every project's own group, in whatever case."""
    found: str = read.text()(name, value)
    if found.lower() == DEFAULT:
        raise typed(
            Conflict("Default security group already exists."), "SecurityGroupDefaultAlreadyExists"
        )
    return found


def create(call: Call, tx: Transaction, values: dict[str, Any]) -> Shown:
    """Make a group, within the quota."""
    project = call.project_of(values)
    user = call.caller.user_id
    ensure_default(tx, project, user)
    tx.quotas.force_usage(project)
    tx.quotas.reserve(project, {"security_groups": 1}, call.cloud.limits.get(project, user))
    try:
        group = tx.security_groups.create(
            project, user, _name(values), values.get("description", "")
        )
    except BadRequest as error:
        if isinstance(error, InvalidInput):
            raise
        raise typed(Conflict(error.message), "SecurityGroupExists") from None
    tx.security_groups.describe(group.id, merged(None, values, _FACTS) or None)
    return shown(tx.security_groups.get(group.id))


def update(call: Call, tx: Transaction, current: Shown, values: dict[str, Any]) -> Shown:
    """Rename or describe a group."""
    group = tx.security_groups.find_by_uuid(current["id"])
    assert group is not None
    name = _name(values) if "name" in values else group.name
    if group.name == DEFAULT and "name" in values:
        raise typed(
            Conflict("Updating default security group not allowed."),
            "SecurityGroupCannotUpdateDefault",
        )
    try:
        tx.security_groups.update(group.id, name, values.get("description", group.description))
    except BadRequest as error:
        raise typed(Conflict(error.message), "SecurityGroupExists") from None
    tx.security_groups.describe(group.id, merged(group.facts, values, _FACTS))
    return shown(tx.security_groups.get(group.id))


def delete(call: Call, tx: Transaction, current: Shown) -> None:
    """Remove a group that no server and no port is in."""
    group = tx.security_groups.find_by_uuid(current["id"])
    assert group is not None
    if group.name == DEFAULT and not call.is_admin:
        raise typed(
            Conflict("Insufficient rights for removing default security group."),
            "SecurityGroupCannotRemoveDefault",
        )
    if tx.security_groups.in_use(group.id):
        raise typed(Conflict(f"Security Group {group.uuid} in use."), "SecurityGroupInUse")
    tx.security_groups.delete(group.id)
    tx.quotas.release(group.project_id, {"security_groups": 1})
    tx.after_commit(call.cloud.events.security_groups_changed)


ATTRIBUTES = read.table(
    read.PROJECT, read.TAGS,
    Attribute("name", _free_name, required=True),
    Attribute("description", read.text()),
)

SECURITY_GROUPS = Resource(
    singular="security_group", plural="security_groups", error="SecurityGroupNotFound",
    attributes=ATTRIBUTES, keys=keys("name shared security_group_rules"),
    list=list_groups, find=find, create=create, update=update, delete=delete,
    path="security-groups",
)
