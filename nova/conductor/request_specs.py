# SPDX-License-Identifier: Apache-2.0
"""Turns operations that wait for a host into what the scheduler is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nova.db.engine import Transaction
from nova.decoding import convert
from nova.errors import NovaError
from nova.objects.flavor import Flavor
from nova.objects.instance import Instance
from nova.objects.operation import Operation
from nova.objects.request_spec import RequestSpec
from nova.objects.server_group import ServerGroup
from nova.topology.devices import Alias
from nova.topology.requests import topology_request


def specs_for(
    tx: Transaction,
    wanted: Sequence[tuple[Operation, Instance]],
    aliases: Callable[[], Mapping[str, Alias]],
) -> list[RequestSpec | NovaError]:
    """One spec for each operation, with groups and hinted hosts looked up for all of them at once.

    ``aliases`` are those of PCI devices. An error stands for what cannot be asked for any more, as where
    an alias is gone.
    """
    groups = _groups(tx, [instance for _op, instance in wanted])
    hinted = _hinted_hosts(tx, [instance for _op, instance in wanted])
    specs: list[RequestSpec | NovaError] = []
    for op, instance in wanted:
        try:
            specs.append(_spec(op, instance, groups, hinted, aliases))
        except NovaError as error:
            specs.append(error)
    return specs


def _groups(
    tx: Transaction, instances: Sequence[Instance]
) -> dict[str, tuple[ServerGroup, tuple[str, ...]]]:
    """The server groups at stake, each with the hosts its members are on."""
    uuids = {each.server_group for each in instances if each.server_group}
    found: dict[str, tuple[ServerGroup, tuple[str, ...]]] = {}
    for uuid in uuids:
        group = tx.server_groups.find(uuid)
        if group is not None:
            hosts = tx.instances.hosts_of(group.members)
            found[uuid] = (group, tuple(hosts.values()))
    return found


def _hinted_hosts(tx: Transaction, instances: Sequence[Instance]) -> dict[str, str]:
    """Where the instances are that same_host and different_host hints name."""
    named = {
        uuid
        for each in instances
        for hint in ("same_host", "different_host")
        for uuid in _as_list((each.scheduler_hints or {}).get(hint))
    }
    return tx.instances.hosts_of(named)


def _as_list(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]


def _spec(
    operation: Operation,
    instance: Instance,
    groups: dict[str, tuple[ServerGroup, tuple[str, ...]]],
    hinted: dict[str, str],
    aliases: Callable[[], Mapping[str, Alias]],
) -> RequestSpec:
    payload = operation.payload
    hints = {key: _as_list(value) for key, value in (instance.scheduler_hints or {}).items()}
    values: dict[str, Any] = {}
    if instance.server_group in groups:
        group, hosts = groups[instance.server_group or ""]
        own = {instance.host} if operation.flow != "create" else set()
        values = {
            "group_uuid": group.uuid, "group_policy": group.policy, "group_rules": group.rules,
            "group_hosts": tuple(host for host in hosts if host not in own),
        }
    flavor = instance.flavor
    if payload.get("new_flavor"):
        flavor = convert(payload["new_flavor"], Flavor)
    return RequestSpec(
        instance_uuid=instance.uuid, project_id=instance.project_id, user_id=instance.user_id,
        flavor=flavor, image={"id": instance.image_ref, "properties": instance.image_properties or {}},
        availability_zone=payload.get("zone", instance.pinned_availability_zone),
        hints=hints, force_host=payload.get("force_host"), force_node=payload.get("force_node"),
        wanted_host=payload.get("wanted_host"), wanted_node=payload.get("wanted_node"),
        ignore_hosts=(*payload.get("tried_hosts", ()), *payload.get("ignore_hosts", ())),
        same_host=_hosts(hints, "same_host", hinted),
        different_host=_hosts(hints, "different_host", hinted),
        root_on_volume=instance.volume_backed,
        topology=topology_request(flavor, instance.image_properties, aliases),
        **values,
    )


def _hosts(hints: dict[str, list[str]], name: str, hinted: dict[str, str]) -> tuple[str, ...]:
    """The hosts that a hint means; an unknown instance leaves none, so same_host then fails."""
    return tuple(hinted.get(uuid, "") for uuid in hints.get(name, ()))
