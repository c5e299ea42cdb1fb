# SPDX-License-Identifier: Apache-2.0
"""The audit of claims: instances, claims and nodes have to agree; what does not is put right.

The order is: claims of no instance go, claims that instances lack come back, then the sums and documents of
the nodes are made what their claims add up to. In a healthy cloud it changes nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Select, func, insert, or_, select, update

from nova.db.schema.base import now
from nova.db.schema.compute import instances
from nova.db.schema.hosts import claims, compute_nodes
from nova.decoding import convert
from nova.objects.flavor import Flavor
from nova.objects.host import Claim, ClaimRepairs
from nova.objects.topology import GuestTopology, HostUsage
from nova.topology.charges import charged
from nova.topology.usage import usage_of

_node = compute_nodes.c
_held = claims.c
_COLUMNS = tuple(claims.c[name] for name in Claim.__struct_fields__)

# What the claims of a node add up to, as scalar subqueries of one node's row.
_SUMS = {
    "vcpus_used": func.coalesce(func.sum(_held.vcpus), 0),
    "memory_mb_used": func.coalesce(func.sum(_held.memory_mb), 0),
    "local_gb_used": func.coalesce(func.sum(_held.disk_gb), 0),
    "instances_used": func.count(_held.instance_uuid),
    "pcpus_used": func.coalesce(func.sum(_held.pcpus), 0),
}


class ClaimAudit:
    """One run. ``release`` gives back one instance's claim of one kind."""

    def __init__(
        self, connection: Connection, release: Callable[[str, str], list[Claim]]
    ) -> None:
        self._connection = connection
        self._release = release

    def run(self, settle_seconds: float) -> ClaimRepairs:
        """Put everything right; what changed within ``settle_seconds`` may still be under way."""
        cutoff = now() - datetime.timedelta(seconds=settle_seconds)
        return ClaimRepairs(
            orphans=tuple(self._drop_orphans(cutoff)), missing=tuple(self._add_missing(cutoff)),
            nodes=tuple(self._repair_sums()), topologies=tuple(self._repair_topologies()),
        )

    def _drop_orphans(self, cutoff: datetime.datetime) -> list[Claim]:
        """Claims of instances that never were, or that were deleted so long ago that whoever deleted
        them is done.
        """
        live = select(instances.c.uuid).where(
            instances.c.uuid == _held.instance_uuid,
            or_(instances.c.deleted == 0, instances.c.deleted_at > cutoff),
        )
        orphans = self._connection.execute(
            select(_held.instance_uuid, _held.kind).where(
                ~live.exists(), _held.created_at <= cutoff
            )
        ).all()
        released: list[Claim] = []
        for uuid, kind in orphans:
            released += self._release(uuid, kind)
        return released

    def _add_missing(self, cutoff: datetime.datetime) -> list[Claim]:
        """Claims of instances that are on a node and hold nothing there, and of the sides that resizes
        would go back to.
        """
        lacking = [*self._lacking("instance", cutoff), *self._lacking("outgoing", cutoff)]
        made = []
        for row, kind in lacking:
            claim = self._claim_of(row, kind)
            if claim is not None:
                made.append(claim)
        moment = now()
        if made:
            self._connection.execute(
                insert(claims),
                [
                    {
                        **{name: getattr(claim, name) for name in Claim.__struct_fields__},
                        "created_at": moment,
                    }
                    for claim in made
                ],
            )
        return made

    def _lacking(self, kind: str, cutoff: datetime.datetime) -> list[tuple[Any, str]]:
        there = select(_held.kind).where(
            _held.instance_uuid == instances.c.uuid, _held.kind == kind
        )
        query: Select[Any] = select(
            instances.c.uuid, instances.c.host, instances.c.node, instances.c.flavor,
            instances.c.image_ref, instances.c.block_devices, instances.c.system_metadata,
            instances.c.topology,
        ).where(
            instances.c.deleted == 0, instances.c.host.is_not(None),
            instances.c.updated_at <= cutoff, ~there.exists(),
        )
        if kind == "outgoing":
            query = query.where(
                instances.c.vm_state == "resized", instances.c.task_state.is_(None)
            )
        return [(row, kind) for row in self._connection.execute(query.with_for_update())]

    def _claim_of(self, row: Any, kind: str) -> Claim | None:
        flavor: Flavor = row.flavor
        host, node, topology = row.host, row.node, row.topology
        if kind == "outgoing":
            kept = row.system_metadata
            if not kept.get("old_flavor") or not kept.get("old_host"):
                return None
            flavor = convert(kept["old_flavor"], Flavor)
            host, node = kept["old_host"], kept.get("old_node")
            topology = convert(kept.get("old_topology"), GuestTopology | None)
        found = self._connection.execute(
            select(_node.id, _node.pcpus)
            .where(_node.host == host, _node.hypervisor_hostname == (node or host))
        ).first()
        if found is None:
            return None
        vcpus, pcpus = charged(flavor.vcpus, topology, kept_apart=found.pcpus > 0)
        on_volume = not row.image_ref or any(
            each.is_volume and each.boot_index == 0 for each in row.block_devices
        )
        root = 0 if on_volume else flavor.root_gb
        return Claim(
            instance_uuid=row.uuid, kind=kind, node_id=found.id, vcpus=vcpus,
            memory_mb=flavor.memory_mb,
            disk_gb=root + flavor.ephemeral_gb + -(-flavor.swap // 1024), pcpus=pcpus,
            topology=topology,
        )

    def _repair_sums(self) -> list[int]:
        differs = or_(*(_node[name] != value for name, value in _SUMS.items()))
        wrong = self._connection.scalars(
            select(_node.id)
            .select_from(compute_nodes.outerjoin(claims, _held.node_id == _node.id))
            .group_by(_node.id, *(_node[name] for name in _SUMS))
            .having(differs)
            .order_by(_node.id)
        ).all()
        for node_id in wrong:
            # With the row locked nobody else's claim on it can be half done.
            self._connection.execute(select(_node.id).where(_node.id == node_id).with_for_update())
            self._connection.execute(
                update(compute_nodes)
                .where(_node.id == node_id)
                .values(
                    {
                        name: select(value).where(_held.node_id == node_id).scalar_subquery()
                        for name, value in _SUMS.items()
                    }
                )
            )
        return list(wrong)

    def _repair_topologies(self) -> list[int]:
        """Nodes whose document of what is used is not the sum of their claims' documents."""
        held = self._held_topologies()
        kept = {
            row.id: convert(row.topology_used, HostUsage)
            for row in self._connection.execute(
                select(_node.id, _node.topology_used).where(_node.topology_used.is_not(None))
            )
        }
        wrong = []
        for node_id in sorted(held.keys() | kept.keys()):
            if kept.get(node_id, HostUsage()) == usage_of(held.get(node_id, ())):
                continue
            self._connection.execute(select(_node.id).where(_node.id == node_id).with_for_update())
            used = usage_of(self._held_topologies(node_id).get(node_id, ()))
            now_kept = self._connection.scalar(
                select(_node.topology_used).where(_node.id == node_id)
            )
            if convert(now_kept or {}, HostUsage) == used:
                continue
            self._connection.execute(
                update(compute_nodes)
                .where(_node.id == node_id)
                .values(topology_used=used, topology_generation=_node.topology_generation + 1)
            )
            wrong.append(node_id)
        return wrong

    def _held_topologies(self, node_id: int | None = None) -> dict[int, list[GuestTopology]]:
        query = select(_held.node_id, _held.topology).where(_held.topology.is_not(None))
        if node_id is not None:
            query = query.where(_held.node_id == node_id)
        found: dict[int, list[GuestTopology]] = {}
        for at, topology in self._connection.execute(query):
            found.setdefault(at, []).append(topology)
        return found
