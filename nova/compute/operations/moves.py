# SPDX-License-Identifier: Apache-2.0
"""Moves between hosts: resize, cold migration, live migration, evacuation."""

from __future__ import annotations

from typing import Any

import msgspec

from nova.compute.lifecycle import Action
from nova.compute.operations.boot import check_topology
from nova.compute.operations.core import OperationsCore, enter, host_of, new_password, prepare
from nova.conductor.ending import abandon_all
from nova.db.engine import Transaction
from nova.errors import (
    BadRequest,
    Conflict,
    FlavorNotFound,
    InstanceInvalidState,
    NotFound,
)
from nova.objects.context import RequestContext
from nova.objects.flavor import Flavor
from nova.objects.instance import Instance
from nova.objects.migration import (
    EVACUATION,
    LIVE_MIGRATION,
    LIVE_STATES,
    MIGRATION,
    RESIZE,
    Migration,
)
from nova.objects.operation import Operation
from nova.objects.states import DELETING, MIGRATING, SOFT_DELETING, STOPPED
from nova.rpc.calls import COMPUTE


def resize(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    flavor_ref: str,
    *,
    disk_config: str | None = None,
) -> None:
    """Give a server another size, on another host unless ``allow_resize_to_same_host``."""
    action = prepare(context, instance, "resize")
    try:
        flavor = core.flavors.get(flavor_ref, context.project_id, context.is_admin)
    except FlavorNotFound:
        raise BadRequest(f"Flavor {flavor_ref} could not be found.") from None
    if flavor.flavorid == instance.flavorid and flavor.name == instance.flavor.name:
        raise BadRequest("When resizing, instances must change flavor!")
    if flavor.root_gb < instance.root_gb and flavor.root_gb == 0 and not instance.volume_backed:
        raise BadRequest("Resize to zero disk flavor is not allowed.")
    check_topology(core, flavor, instance.image_properties)
    grown = {
        "cores": max(0, flavor.vcpus - instance.vcpus),
        "ram": max(0, flavor.memory_mb - instance.memory_mb),
    }
    limits = core.limits.all(instance.project_id, instance.user_id)
    changes = {"disk_config": disk_config} if disk_config else {}

    def write(tx: Transaction) -> None:
        if any(grown.values()):
            tx.quotas.reserve_for_user(
                instance.project_id, instance.user_id, grown, limits.of_project, limits.of_user
            )
        payload = _move_payload(core, tx, instance, flavor, RESIZE, None)
        payload["quota"] = grown
        enter(core, tx, context, instance, action, payload, changes=changes)

    core.db.run(write)


def migrate(
    core: OperationsCore, context: RequestContext, instance: Instance, *, host: str | None
) -> None:
    """Move a server, stopped for the while, to another host."""
    action = prepare(context, instance, "migrate")

    def write(tx: Transaction) -> None:
        if host is not None:
            if host == instance.host:
                raise BadRequest(f"Host {host} is the server's own.")
            _check_host(tx, host)
        payload = _move_payload(core, tx, instance, instance.flavor, MIGRATION, host)
        enter(core, tx, context, instance, action, payload)

    core.db.run(write)


def _check_host(tx: Transaction, host: str) -> None:
    if not tx.nodes.by_host(host):
        raise BadRequest(f"Compute host {host} could not be found.")


def _check_destination(core: OperationsCore, instance: Instance, host: str) -> None:
    """The host of an evacuation: looked at before the server's own, as in the original's evacuate.py."""
    with core.db.read() as tx:
        if not tx.nodes.by_host(host):
            raise NotFound(f"Compute host {host} not found.")
    if host == instance.host:
        raise BadRequest("The target host can't be the same one.")


def _move_payload(
    core: OperationsCore,
    tx: Transaction,
    instance: Instance,
    flavor: Flavor,
    kind: str,
    host: str | None,
) -> dict[str, Any]:
    """The facts of a move, and its migration row."""
    source = host_of(instance)
    if not core.hosts.is_up(source):
        raise Conflict(f"Service is unavailable at this time: host {source} is down.")
    status = "accepted" if kind in (LIVE_MIGRATION, EVACUATION) else "pre-migrating"
    migration = tx.migrations.create(
        Migration(
            id=0, uuid="", instance_uuid=instance.uuid, operation_id=None, migration_type=kind,
            status="queued" if kind == LIVE_MIGRATION else status,
            source_compute=source, source_node=instance.node, dest_compute=host,
            old_flavor=instance.flavor, new_flavor=flavor, old_flavor_id=instance.flavor.id,
            new_flavor_id=flavor.id, old_vm_state=instance.vm_state,
            user_id=instance.user_id, project_id=instance.project_id,
        )
    )
    payload: dict[str, Any] = {
        "migration_id": migration.id, "source": source, "source_node": instance.node,
        "new_flavor": msgspec.to_builtins(flavor), "old_vm_state": instance.vm_state,
        "power_on": instance.vm_state != STOPPED,
    }
    same_host = kind == RESIZE and core.config.default.allow_resize_to_same_host
    if not same_host:
        payload["ignore_hosts"] = [instance.host]
    if host is not None:
        payload["wanted_host"] = host
    return payload


def confirm_resize(core: OperationsCore, context: RequestContext, instance: Instance) -> None:
    """Keep a resize: the source forgets the server."""
    _end_resize(core, context, instance, "confirm_resize", "confirming")


def revert_resize(core: OperationsCore, context: RequestContext, instance: Instance) -> None:
    """Undo a resize: the source takes the server back."""
    _end_resize(core, context, instance, "revert_resize", "reverting")


def _end_resize(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    action_name: str,
    status: str,
) -> None:
    action = prepare(context, instance, action_name)

    def write(tx: Transaction) -> None:
        migration = tx.migrations.latest(instance.uuid, statuses=["finished"])
        if migration is None:
            raise BadRequest("Instance has not been resized.")
        payload = {
            "migration_id": migration.id, "source": migration.source_compute,
            "source_node": migration.source_node, "dest": migration.dest_compute,
            "old_flavor": msgspec.to_builtins(migration.old_flavor),
            "old_vm_state": migration.old_vm_state,
            "old_topology": instance.system_metadata.get("old_topology"),
            "power_on": migration.old_vm_state != STOPPED,
        }
        changed = tx.migrations.update(migration.id, status, from_statuses=["finished"])
        if not changed:
            raise Conflict(f"The resize of instance {instance.uuid} is being ended already.")
        enter(core, tx, context, instance, action, payload)

    core.db.run(write)


def live_migrate(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    *,
    host: str | None,
    block_migration: bool | str = "auto",
    force: bool = False,
) -> None:
    """Move a running server to another host."""
    action = prepare(context, instance, "live_migrate")
    if instance.topology is not None and not all(
        device.live_migratable for device in instance.topology.devices
    ):
        raise BadRequest(
            "Migration pre-check error: Compute driver on source/dest host does not support PCI "
            "migration or non-VIF related PCI requests for instance: "
            f"{instance.uuid}"
        )

    def write(tx: Transaction) -> None:
        if host is not None:
            if host == instance.host:
                raise BadRequest(
                    f"Unable to migrate instance ({instance.uuid}) to current host ({host})."
                )
            _check_host(tx, host)
        payload = _move_payload(core, tx, instance, instance.flavor, LIVE_MIGRATION, host)
        payload["block_migration"] = block_migration
        if force and host is not None:
            payload["force_host"] = host
        enter(core, tx, context, instance, action, payload)

    core.db.run(write)


def live_migrate_abort(
    core: OperationsCore, context: RequestContext, instance: Instance, migration_id: int
) -> None:
    """Stop a live migration that is under way; the server stays where it is."""

    def write(tx: Transaction) -> tuple[Migration, Operation]:
        migration = _live(tx, instance, migration_id)
        operation = next(
            (op for op in tx.operations.open_for(instance.uuid) if op.flow == "live_migrate"), None
        )
        early = operation is not None and operation.step in ("place", "connect", "live_migrate")
        if operation is None or not early or instance.task_state != MIGRATING:
            raise BadRequest(
                f"Migration {migration_id} of server {instance.uuid} is not in progress."
            )
        tx.operations.set_payload(operation.id, {**operation.payload, "aborted": True})
        return migration, operation

    migration, operation = core.db.run(write)
    if migration.source_compute is not None:
        core.transport.call(
            COMPUTE, migration.source_compute, "abort_live_migration", operation.id
        )


def live_migrate_force_complete(
    core: OperationsCore, context: RequestContext, instance: Instance, migration_id: int
) -> None:
    """Let a live migration end now, pausing the server if it must."""
    with core.db.read() as tx:
        migration = _live(tx, instance, migration_id)
    if migration.status != "running":
        raise BadRequest(
            f"Migration {migration_id} state of instance {instance.uuid} is {migration.status}. "
            "Cannot force_complete while the migration is in this state."
        )
    core.transport.call(
        COMPUTE, migration.source_compute, "force_complete_live_migration", instance.uuid
    )


def _live(tx: Transaction, instance: Instance, migration_id: int) -> Migration:
    migration = tx.migrations.get(migration_id)
    if migration is None or migration.instance_uuid != instance.uuid:
        raise NotFound(
            f"In-progress live migration {migration_id} is not found for server {instance.uuid}."
        )
    if migration.status not in LIVE_STATES or migration.migration_type != LIVE_MIGRATION:
        raise BadRequest(
            f"Migration {migration_id} state of instance {instance.uuid} is {migration.status}."
        )
    return migration


def evacuate(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    *,
    host: str | None,
    password: str | None = None,
    force: bool = False,
    stopped: bool = False,
) -> str:
    """Make a server anew on another host when its own is dead; returns the password."""
    if host is not None:
        _check_destination(core, instance, host)
    action = prepare(context, instance, "evacuate")
    if instance.host is None:
        raise Conflict(f"Instance {instance.uuid} is not on a host.")
    if core.hosts.is_up(instance.host):
        raise BadRequest(
            f"Compute service of {instance.host} is still in use."
        )
    chosen = password or new_password(core.config.default.password_length)

    def write(tx: Transaction) -> None:
        _give_up_others(core, tx, instance, action)
        migration = tx.migrations.create(
            Migration(
                id=0, uuid="", instance_uuid=instance.uuid, operation_id=None,
                migration_type=EVACUATION, status="accepted", source_compute=instance.host,
                source_node=instance.node, dest_compute=host, old_flavor=instance.flavor,
                new_flavor=instance.flavor, old_flavor_id=instance.flavor.id,
                new_flavor_id=instance.flavor.id, old_vm_state=instance.vm_state,
                user_id=instance.user_id, project_id=instance.project_id,
            )
        )
        payload: dict[str, Any] = {
            "migration_id": migration.id, "source": instance.host, "admin_password": chosen,
            "ignore_hosts": [instance.host],
            "power_on": not stopped and instance.vm_state != STOPPED,
        }
        if host is not None:
            payload["force_host" if force else "wanted_host"] = host
        enter(core, tx, context, instance, action, payload)

    core.db.run(write)
    return chosen


def _give_up_others(
    core: OperationsCore, tx: Transaction, instance: Instance, action: Action
) -> None:
    """What was under way on the dead host comes to nothing; a delete goes first."""
    fresh = tx.instances.get(instance.uuid, lock=True)
    if fresh is not None and fresh.task_state in (DELETING, SOFT_DELETING):
        raise InstanceInvalidState(action.shown, fresh.uuid, "task_state", fresh.task_state)
    if fresh is not None and fresh.task_state is not None:
        abandon_all(core, tx, fresh, keep_claims=False, volumes=False)
