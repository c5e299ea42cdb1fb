# SPDX-License-Identifier: Apache-2.0
"""Security groups of ports. Groups belong to servers here: the cards of a server share them.

A port without a server is in groups of its own; its server joins them when it gets one.
"""

from __future__ import annotations

from collections.abc import Sequence

from nova.api.network.error_body import typed
from nova.api.network.resource import Call
from nova.db.engine import Transaction
from nova.errors import NotFound
from nova.network.filter_refreshes import members_changed
from nova.network.security_groups import DEFAULT, ensure_default
from nova.objects.network import PortRecord, SecurityGroup


def members_of(port: PortRecord) -> str:
    """Under which id a port's memberships are kept: its server's, else its own."""
    return port.card.instance_uuid or port.card.uuid


def groups_for(
    call: Call, tx: Transaction, project_id: str, wanted: Sequence[str] | None, *, secure: bool
) -> list[int]:
    """The row ids of the groups that a new port is in: ``default`` where none are named."""
    if wanted is not None:
        return [group.id for group in named(call, tx, project_id, wanted)]
    if not secure:
        return []
    known = tx.security_groups.ids_of(project_id, [DEFAULT])
    if DEFAULT in known:
        return [known[DEFAULT]]
    return [ensure_default(tx, project_id, call.caller.user_id).id]


def named(
    call: Call, tx: Transaction, project_id: str, wanted: Sequence[str]
) -> list[SecurityGroup]:
    """The groups of those uuids; ``NotFound`` for one that is not the project's."""
    found = {group.uuid: group for group in tx.security_groups.by_uuids(wanted)}
    for each in wanted:
        group = found.get(each)
        if group is None or (group.project_id != project_id and not call.is_admin):
            raise typed(
                NotFound(f"Security group {each} does not exist"), "SecurityGroupNotFound"
            )
    return [found[each] for each in dict.fromkeys(wanted)]


def set_groups(call: Call, tx: Transaction, port: PortRecord, wanted: Sequence[str]) -> None:
    """Put a port, or the server that it is bound to, into exactly these groups."""
    groups = named(call, tx, port.card.project_id or "", wanted)
    instance = port.card.instance_uuid
    member = members_of(port)
    before = {group.id for group in tx.security_groups.of_member(member)}
    after = {group.id for group in groups}
    for group_id in before - after:
        tx.security_groups.remove_member(group_id, member)
    tx.security_groups.add_members([(group_id, member) for group_id in sorted(after - before)])
    if instance is not None:
        tx.instances.update(instance, {"security_groups": [group.name for group in groups]})
        members_changed(call.cloud.networks.refreshes, tx, [instance], sorted(before))
        tx.after_commit(call.cloud.events.security_groups_changed)
