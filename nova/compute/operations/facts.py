# SPDX-License-Identifier: Apache-2.0
"""What is changed at once: names, metadata, tags, locks, groups; and what is asked of the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from nova.compute.lifecycle import ACTIONS
from nova.compute.operations import outside_interfaces
from nova.compute.operations.core import (
    OperationsCore,
    ask_guest,
    check_lock,
    check_state,
    host_of,
    record,
)
from nova.compute.operations.limits import check_metadata
from nova.conductor.ending import abandon_all, end_resize, keep_new_size, without_resize
from nova.conductor.release import counted
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.errors import Conflict, InstanceNotFound, NotFound
from nova.network.card_limits import check_cards
from nova.network.filter_refreshes import members_changed
from nova.network.security_groups import group_names
from nova.objects.context import RequestContext
from nova.objects.instance import Instance, Vif
from nova.objects.network import SecurityGroup
from nova.objects.states import RESIZED, SOFT_DELETED
from nova.virt.driver import Diagnostics


def get(core: OperationsCore, context: RequestContext, uuid: str) -> Instance:
    """A server that the caller may see; ``InstanceNotFound`` else."""
    with core.db.read() as tx:
        instance = tx.instances.get(uuid)
    if instance is None or (
        instance.project_id != context.project_id and not context.is_admin
    ):
        raise InstanceNotFound(uuid)
    return instance


def update(
    core: OperationsCore, context: RequestContext, instance: Instance, changes: Mapping[str, Any]
) -> Instance:
    """Change names and the like; returns the server as it is then."""

    def write(tx: Transaction) -> Instance | None:
        if not tx.instances.update(instance.uuid, changes):
            raise InstanceNotFound(instance.uuid)
        if "hostname" in changes:
            core.networks.renamed(tx, instance.uuid)
        return tx.instances.get(instance.uuid)

    fresh = core.db.run(write)
    assert fresh is not None
    return fresh


def set_metadata(
    core: OperationsCore, context: RequestContext, instance: Instance, metadata: Mapping[str, str]
) -> None:
    """Replace a server's metadata."""
    check_lock(context, instance)
    check_state(instance, ACTIONS["update_metadata"])
    check_metadata(core.limits.get(instance.project_id, instance.user_id), metadata)
    core.db.run(lambda tx: tx.instances.set_metadata(instance.uuid, metadata))


def set_tags(
    core: OperationsCore, context: RequestContext, instance: Instance, tags: Sequence[str]
) -> None:
    """Replace a server's tags."""
    check_lock(context, instance)
    core.db.run(lambda tx: tx.instances.set_tags(instance.uuid, sorted(set(tags))))


def lock(
    core: OperationsCore, context: RequestContext, instance: Instance, reason: str | None = None
) -> None:
    """Lock a server; an administrator's lock can be opened by administrators only."""
    owner = instance.project_id == context.project_id and not context.is_admin
    if instance.locked_by == "admin" and owner:
        return

    def write(tx: Transaction) -> None:
        tx.instances.update(
            instance.uuid,
            {"locked_by": "owner" if owner else "admin", "locked_reason": reason},
        )
        record(tx, context, instance, "lock")

    core.db.run(write)


def unlock(core: OperationsCore, context: RequestContext, instance: Instance) -> None:
    """Unlock a server."""

    def write(tx: Transaction) -> None:
        tx.instances.update(instance.uuid, {"locked_by": None, "locked_reason": None})
        record(tx, context, instance, "unlock")

    core.db.run(write)


def reset_state(
    core: OperationsCore, context: RequestContext, instance: Instance, state: str
) -> None:
    """Set a server to active or error by hand; what was under way for it is given up."""

    def write(tx: Transaction) -> None:
        fresh = tx.instances.get(instance.uuid, lock=True)
        if fresh is None:
            raise InstanceNotFound(instance.uuid)
        abandon_all(core, tx, fresh, keep_claims=False, volumes=False)
        if fresh.vm_state == RESIZED:
            end_resize(tx, fresh)
            keep_new_size(core, tx, fresh)
        if fresh.vm_state == SOFT_DELETED:
            tx.quotas.reserve(fresh.project_id, counted(fresh), {})
        tx.instances.transition(
            fresh.uuid,
            {"vm_state": state, "task_state": None, "launched_at": fresh.launched_at or now(),
             "system_metadata": without_resize(fresh), "deleted_at": None, "progress": 0},
        )
        record(tx, context, instance, "reset_state")

    core.db.run(write)


def console_output(
    core: OperationsCore, context: RequestContext, instance: Instance, length: int | None
) -> str:
    """The last ``length`` lines of the console, all where it is None or negative.

    Raises ``Conflict`` for a server that is on no host yet, ``InstanceNotFound`` where its host has no
    guest of it (API reference, "Show console output": 404 and 409).
    """
    output: bytes = ask_guest(core, host_of(instance), "console_output", instance)
    text = output.decode("utf-8", "replace")
    if length is None or length < 0:
        return text
    lines = text.splitlines(keepends=True)
    return "".join(lines[-length:]) if length else ""


def diagnostics(
    core: OperationsCore, context: RequestContext, instance: Instance
) -> Diagnostics:
    """The guest's counters; raises what ``console_output`` raises."""
    found: Diagnostics = ask_guest(core, host_of(instance), "diagnostics", instance)
    return found


def check_card(core: OperationsCore, tx: Transaction, instance: Instance) -> None:
    """Raise ``QuotaExceeded`` where the project may have no further card."""
    check_cards(
        tx, instance.project_id, core.limits.get(instance.project_id, instance.user_id), 1,
        lambda: len(core.networks.check(tx, instance.project_id, None)),
    )


def join_groups(tx: Transaction, instance: Instance, port_id: str) -> Instance:
    """Put a server into the groups that a port had before it got a server.

    Groups belong to servers here: all its cards are in them. The port is in its own again when it is
    taken off.
    """
    groups = tx.security_groups.of_member(port_id)
    if not groups:
        return instance
    tx.security_groups.add_members([(group.id, instance.uuid) for group in groups])
    names = [*instance.security_groups, *(group.name for group in groups)]
    tx.instances.update(instance.uuid, {"security_groups": list(dict.fromkeys(names))})
    return msgspec.structs.replace(instance, security_groups=list(dict.fromkeys(names)))


def add_fixed_ip(
    core: OperationsCore, context: RequestContext, instance: Instance, network_id: str
) -> None:
    """Give a server another address in a network."""
    check_lock(context, instance)
    if core.networks.outside is not None:
        core.networks.outside.add_address(instance, network_id)
        outside_interfaces.refresh(core, core.networks.outside, [instance.uuid])
        return

    def write(tx: Transaction) -> None:
        check_card(core, tx, instance)
        _write_vifs(tx, instance, core.networks.add_fixed_ip(tx, instance, network_id))

    core.db.run(write)


def remove_fixed_ip(
    core: OperationsCore, context: RequestContext, instance: Instance, address: str
) -> None:
    """Take an address from a server."""
    check_lock(context, instance)
    if core.networks.outside is not None:
        core.networks.outside.remove_address(instance, address)
        outside_interfaces.refresh(core, core.networks.outside, [instance.uuid])
        return

    def write(tx: Transaction) -> None:
        _write_vifs(tx, instance, core.networks.remove_fixed_ip(tx, instance, address))

    core.db.run(write)


def refresh_addresses(
    core: OperationsCore, tx: Transaction, instance_uuids: Sequence[str]
) -> None:
    """Write the addresses that views show from the network tables, after floating IPs changed."""
    for uuid, vifs in core.networks.vifs_of(tx, instance_uuids).items():
        tx.instances.update(uuid, {"network_info": vifs})
    members_changed(core.networks.refreshes, tx, instance_uuids)


def port_plugged(
    core: OperationsCore, instance_uuid: str, port_id: str, *, plugged: bool
) -> None:
    """An external network service has plugged a port, or cannot; nothing where it is the built-in one."""
    if core.networks.outside is not None:
        outside_interfaces.port_plugged(core, instance_uuid, port_id, plugged=plugged)


def refresh_from_outside(core: OperationsCore, instance_uuids: Sequence[str]) -> None:
    """Read the cards of servers anew from an external network service, where there is one."""
    if core.networks.outside is not None:
        outside_interfaces.refresh(core, core.networks.outside, instance_uuids)


def _write_vifs(tx: Transaction, instance: Instance, vifs: tuple[Vif, ...]) -> None:
    tx.instances.update(instance.uuid, {"network_info": vifs})


def _security_group(tx: Transaction, instance: Instance, name: str) -> SecurityGroup:
    """A group of the instance's project, by its name or uuid; raises ``NotFound``."""
    name = group_names(tx, instance.project_id, [name])[0]
    group = tx.security_groups.find(instance.project_id, name)
    if group is None:
        raise NotFound(f"Security group {name} not found for project {instance.project_id}.")
    return group


def add_security_group(
    core: OperationsCore, context: RequestContext, instance: Instance, name: str
) -> None:
    """Put a server into a security group."""
    check_lock(context, instance)
    if core.networks.outside is not None:
        group_name = core.networks.outside.change_groups(instance, add=name)
        outside_interfaces.note_groups(core, instance, add=group_name)
        return

    def write(tx: Transaction) -> None:
        group = _security_group(tx, instance, name)
        if group.name in instance.security_groups:
            raise Conflict(
                f"Security group {group.name} is already associated with the instance {instance.uuid}"
            )
        tx.security_groups.add_members([(group.id, instance.uuid)])
        tx.instances.update(
            instance.uuid, {"security_groups": [*instance.security_groups, group.name]}
        )
        members_changed(core.networks.refreshes, tx, [instance.uuid])

    core.db.run(write)


def remove_security_group(
    core: OperationsCore, context: RequestContext, instance: Instance, name: str
) -> None:
    """Take a server out of a security group."""
    check_lock(context, instance)
    if core.networks.outside is not None:
        group_name = core.networks.outside.change_groups(instance, remove=name)
        outside_interfaces.note_groups(core, instance, remove=group_name)
        return

    def write(tx: Transaction) -> None:
        group = _security_group(tx, instance, name)
        if not tx.security_groups.remove_member(group.id, instance.uuid):
            raise NotFound(
                f"Security group {group.name} is not associated with the instance {instance.uuid}"
            )
        tx.instances.update(
            instance.uuid,
            {"security_groups": [each for each in instance.security_groups if each != group.name]},
        )
        members_changed(core.networks.refreshes, tx, [instance.uuid], [group.id])

    core.db.run(write)


