# SPDX-License-Identifier: Apache-2.0
"""Claims: what instances hold on compute nodes.

A claim is one conditional UPDATE of the node's row: the database itself refuses to go over a limit,
so any number of schedulers and conductors may claim at once. The row in ``claims`` remembers what
is held, and a release gives back exactly that. Whoever writes several nodes in one transaction
takes them by id, so that two transactions never wait for each other.

A claim with a topology also says which CPUs, pages and devices it takes. It was fitted to the node as it
was at one ``topology_generation``; the same UPDATE demands that generation, raises it, and writes what is
used from now on. So of two claims that were fitted to the same state one is refused, and fits again.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Update,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from nova.db.schema.base import now
from nova.db.schema.compute import server_group_members, server_groups
from nova.db.schema.hosts import claims, compute_nodes
from nova.db.stores.claim_audit import ClaimAudit
from nova.decoding import convert
from nova.errors import StateChanged
from nova.objects.host import Claim, ClaimLimits, ClaimRepairs, ClaimRequest, NodeTopology
from nova.objects.topology import HostTopology, HostUsage
from nova.topology.usage import without_guest

_CHUNK = 500
_COLUMNS = tuple(claims.c[name] for name in Claim.__struct_fields__)
_SELECT = select(*_COLUMNS)

_node = compute_nodes.c

_GIVE_BACK = (
    update(compute_nodes)
    .where(_node.id == bindparam("of_node"))
    .values(
        vcpus_used=_node.vcpus_used - bindparam("of_vcpus"),
        memory_mb_used=_node.memory_mb_used - bindparam("of_memory_mb"),
        local_gb_used=_node.local_gb_used - bindparam("of_disk_gb"),
        instances_used=_node.instances_used - bindparam("of_count"),
        pcpus_used=_node.pcpus_used - bindparam("of_pcpus"),
        topology_generation=_node.topology_generation + bindparam("of_topologies"),
    )
)
_TOPOLOGIES = select(
    _node.id, _node.topology_generation, _node.topology, _node.topology_used,
    _node.cpu_allocation_ratio, _node.ram_allocation_ratio, _node.pcpus,
)


@functools.cache
def _take(
    cpu_ratio: bool, ram_ratio: bool, disk_ratio: bool, vcpus: bool, memory: bool, disk: bool,
    pcpus: bool, topology: bool,
) -> Update:
    """The conditional UPDATE: which ratios are given from outside, which resources are limited, whether
    CPUs kept apart for pinned guests are taken, and whether a place on the host is.
    """

    def within(
        used: ColumnElement[int],
        wanted: str,
        size: ColumnElement[int],
        ratio: ColumnElement[float],
        reserved: ColumnElement[int],
    ) -> ColumnElement[bool]:
        return used + bindparam(wanted) <= size * ratio - reserved

    conditions: list[ColumnElement[bool]] = [_node.id == bindparam("of_node")]
    if vcpus:
        ratio: ColumnElement[Any] = _node.cpu_allocation_ratio
        if cpu_ratio:
            ratio = bindparam("cpu_ratio", type_=_node.cpu_allocation_ratio.type)
        fits = within(_node.vcpus_used, "of_vcpus", _node.vcpus, ratio, _node.reserved_vcpus)
        # A driver that cannot count its CPUs reports none; then they are no limit (as in the
        # filter).
        conditions.append(or_(and_(_node.vcpus == 0, _node.pcpus == 0), fits))
    if memory:
        ratio = _node.ram_allocation_ratio
        if ram_ratio:
            ratio = bindparam("ram_ratio", type_=_node.ram_allocation_ratio.type)
        conditions.append(
            within(_node.memory_mb_used, "of_memory_mb", _node.memory_mb, ratio, _node.reserved_memory_mb)
        )
    if disk:
        ratio = _node.disk_allocation_ratio
        if disk_ratio:
            ratio = bindparam("disk_ratio", type_=_node.disk_allocation_ratio.type)
        conditions.append(
            within(_node.local_gb_used, "of_disk_gb", _node.local_gb, ratio, _node.reserved_disk_gb)
        )
    values: dict[str, Any] = {
        "vcpus_used": _node.vcpus_used + bindparam("of_vcpus"),
        "memory_mb_used": _node.memory_mb_used + bindparam("of_memory_mb"),
        "local_gb_used": _node.local_gb_used + bindparam("of_disk_gb"),
        "instances_used": _node.instances_used + bindparam("of_count"),
    }
    if pcpus:
        values["pcpus_used"] = _node.pcpus_used + bindparam("of_pcpus")
        if vcpus:
            conditions.append(_node.pcpus_used + bindparam("of_pcpus") <= _node.pcpus)
    if topology:
        conditions.append(_node.topology_generation == bindparam("of_generation"))
        values["topology_generation"] = _node.topology_generation + 1
        values["topology_used"] = bindparam("of_topology_used", type_=_node.topology_used.type)
    return update(compute_nodes).where(*conditions).values(values)


class ClaimStore:
    """What instances hold on nodes; the only writer of the nodes' ``*_used`` columns."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def claim(
        self,
        instance_uuid: str,
        kind: str,
        node_id: int,
        vcpus: int,
        memory_mb: int,
        disk_gb: int,
        limits: ClaimLimits | None = None,
    ) -> bool:
        """Hold resources of a node for an instance; memory MiB, disk GiB.

        False if the node has not that much left, is not there, or the instance holds a claim of
        this kind on another node. True if it holds one on this node already; nothing changes then.
        """
        wanted = ClaimRequest(
            instance_uuid=instance_uuid,
            kind=kind,
            node_id=node_id,
            vcpus=vcpus,
            memory_mb=memory_mb,
            disk_gb=disk_gb,
            limits=limits or ClaimLimits(),
        )
        return self.claim_many([wanted])[0]

    def claim_many(self, wanted: Sequence[ClaimRequest]) -> list[bool]:
        """``claim`` for each, in their order on each node.

        Claims on one node under the same limits are taken in one statement if they fit together,
        and one by one if they do not.
        """
        held = self._held({claim.instance_uuid for claim in wanted})
        answers: list[bool | None] = [None] * len(wanted)
        by_node: dict[int, list[int]] = {}
        for place, claim in enumerate(wanted):
            key = (claim.instance_uuid, claim.kind)
            if key in held:
                answers[place] = held[key] == claim.node_id
                continue
            held[key] = claim.node_id
            by_node.setdefault(claim.node_id, []).append(place)
        taken: list[ClaimRequest] = []
        for node_id in sorted(by_node):
            places = by_node[node_id]
            for place, fits in zip(
                places, self._take_on_node([wanted[place] for place in places]), strict=True
            ):
                answers[place] = fits
                if fits:
                    taken.append(wanted[place])
        self._record(taken)
        # A second mention of one claim in the batch has the answer of the first.
        first: dict[tuple[str, str], bool] = {}
        for claim, answer in zip(wanted, answers, strict=True):
            first.setdefault((claim.instance_uuid, claim.kind), bool(answer))
        return [
            bool(answer) and first[claim.instance_uuid, claim.kind]
            for claim, answer in zip(wanted, answers, strict=True)
        ]

    def topologies(self, node_ids: Iterable[int]) -> dict[int, NodeTopology]:
        """What claims with a topology are fitted to: the nodes that say what they have, as they are now."""
        rows = self._connection.execute(_TOPOLOGIES.where(_node.id.in_(list(node_ids))))
        return {
            row.id: NodeTopology(
                node_id=row.id, generation=row.topology_generation,
                topology=convert(row.topology, HostTopology),
                used=convert(row.topology_used or {}, HostUsage),
                cpu_allocation_ratio=row.cpu_allocation_ratio,
                ram_allocation_ratio=row.ram_allocation_ratio, pcpus=row.pcpus,
            )
            for row in rows if row.topology is not None
        }

    def release(self, instance_uuid: str, kind: str | None = None) -> list[Claim]:
        """Give back what the instance holds, of one kind or all; repeating it changes nothing."""
        return self.release_many([instance_uuid], kind)

    def release_many(self, instance_uuids: Sequence[str], kind: str | None = None) -> list[Claim]:
        """``release`` for many instances; one statement for each node that gets something back."""
        released: list[Claim] = []
        for start in range(0, len(instance_uuids), _CHUNK):
            chunk = instance_uuids[start : start + _CHUNK]
            condition = (
                claims.c.instance_uuid == chunk[0] if len(chunk) == 1 else claims.c.instance_uuid.in_(chunk)
            )
            conditions = [condition] if kind is None else [condition, claims.c.kind == kind]
            released += self._remove(conditions)
        self._give_back(released)
        return released

    def move(self, instance_uuid: str, from_kind: str, to_kind: str) -> bool:
        """Turn a claim into one of another kind; False if there is none of ``from_kind``.

        Raises ``StateChanged`` if the instance holds one of ``to_kind`` already.
        """
        kinds = {claim.kind for claim in self.by_instance(instance_uuid)}
        if from_kind not in kinds:
            return False
        if to_kind in kinds:
            raise StateChanged(f"Instance {instance_uuid} holds a claim '{to_kind}' already.")
        done = self._connection.execute(
            update(claims)
            .where(claims.c.instance_uuid == instance_uuid, claims.c.kind == from_kind)
            .values(kind=to_kind)
        )
        return bool(done.rowcount)

    def by_instance(self, instance_uuid: str) -> list[Claim]:
        """What an instance holds; during a resize on two nodes."""
        return self._select(claims.c.instance_uuid == instance_uuid)

    def by_node(self, node_id: int) -> list[Claim]:
        """What is held on a node."""
        return self._select(claims.c.node_id == node_id)

    def keeps_group_policy(
        self, group_uuid: str, policy: str, instance_uuid: str, node_id: int, most: int = 1
    ) -> bool:
        """Whether a claim just taken keeps the (anti-)affinity of the instance's server group.

        Call it after the claims of the transaction; the group stays locked until its end, so that of
        members placed at the same time the later one sees the earlier. For several groups, call in
        the order of their uuids. ``most`` is ``max_server_per_host``. Soft policies always hold.
        """
        if policy not in ("affinity", "anti-affinity"):
            return True
        group_id = self._connection.scalar(
            select(server_groups.c.id).where(server_groups.c.uuid == group_uuid).with_for_update()
        )
        host = select(_node.host).where(_node.id == node_id).scalar_subquery()
        same_host = _node.host == host
        others = (
            select(func.count(claims.c.instance_uuid.distinct()))
            .select_from(claims.join(compute_nodes, _node.id == claims.c.node_id))
            .join(
                server_group_members,
                server_group_members.c.instance_uuid == claims.c.instance_uuid,
            )
            .where(
                server_group_members.c.group_id == group_id,
                claims.c.instance_uuid != instance_uuid,
                same_host if policy == "anti-affinity" else ~same_host,
            )
        )
        count = self._connection.scalar(others) or 0
        return count < most if policy == "anti-affinity" else count == 0

    def audit(self, settle_seconds: float = 60.0) -> ClaimRepairs:
        """Compare claims with instances and nodes with claims; put right what differs."""
        return ClaimAudit(self._connection, self.release).run(settle_seconds)

    def _held(self, instance_uuids: set[str]) -> dict[tuple[str, str], int]:
        held: dict[tuple[str, str], int] = {}
        uuids = list(instance_uuids)
        for start in range(0, len(uuids), _CHUNK):
            for claim in self._select(claims.c.instance_uuid.in_(uuids[start : start + _CHUNK])):
                held[claim.instance_uuid, claim.kind] = claim.node_id
        return held

    def _take_on_node(self, wanted: Sequence[ClaimRequest]) -> list[bool]:
        limits = wanted[0].limits
        if len(wanted) > 1:
            together = all(
                claim.limits == limits and claim.topology is None for claim in wanted
            )
            if together and self._take(wanted, limits):
                return [True] * len(wanted)
            return [self._take([claim], claim.limits) for claim in wanted]
        return [self._take(wanted, limits)]

    def _take(self, wanted: Sequence[ClaimRequest], limits: ClaimLimits) -> bool:
        limited = not limits.unlimited
        pcpus = sum(claim.pcpus for claim in wanted)
        first = wanted[0]
        statement = _take(
            limits.cpu_allocation_ratio is not None,
            limits.ram_allocation_ratio is not None,
            limits.disk_allocation_ratio is not None,
            limited and limits.limit_vcpus,
            limited and limits.limit_memory,
            limited and limits.limit_disk,
            pcpus > 0,
            first.topology is not None,
        )
        values: dict[str, Any] = {
            "of_node": first.node_id,
            "of_count": len(wanted),
            "of_vcpus": sum(claim.vcpus for claim in wanted),
            "of_memory_mb": sum(claim.memory_mb for claim in wanted),
            "of_disk_gb": sum(claim.disk_gb for claim in wanted),
        }
        if pcpus:
            values["of_pcpus"] = pcpus
        if first.topology is not None:
            values["of_generation"] = first.generation
            values["of_topology_used"] = first.topology_used
        if limited:
            if limits.limit_vcpus and limits.cpu_allocation_ratio is not None:
                values["cpu_ratio"] = limits.cpu_allocation_ratio
            if limits.limit_memory and limits.ram_allocation_ratio is not None:
                values["ram_ratio"] = limits.ram_allocation_ratio
            if limits.limit_disk and limits.disk_allocation_ratio is not None:
                values["disk_ratio"] = limits.disk_allocation_ratio
        return bool(self._connection.execute(statement, values).rowcount)

    def _record(self, taken: Sequence[ClaimRequest]) -> None:
        if not taken:
            return
        moment = now()
        self._connection.execute(
            insert(claims),
            [
                {
                    "instance_uuid": claim.instance_uuid,
                    "kind": claim.kind,
                    "node_id": claim.node_id,
                    "vcpus": claim.vcpus,
                    "memory_mb": claim.memory_mb,
                    "disk_gb": claim.disk_gb,
                    "created_at": moment,
                    "pcpus": claim.pcpus,
                    "topology": claim.topology,
                }
                for claim in taken
            ],
        )

    def _remove(self, conditions: Sequence[ColumnElement[bool]]) -> list[Claim]:
        if self._connection.dialect.delete_returning:
            gone = self._connection.execute(delete(claims).where(*conditions).returning(*_COLUMNS))
            return [Claim(*row) for row in gone]
        locked = [
            Claim(*row) for row in self._connection.execute(_SELECT.where(*conditions).with_for_update())
        ]
        if locked:
            self._connection.execute(delete(claims).where(*conditions))
        return locked

    def _give_back(self, released: Iterable[Claim]) -> None:
        sums: dict[int, list[int]] = {}
        pinned: dict[int, list[Claim]] = {}
        for claim in released:
            total = sums.setdefault(claim.node_id, [0, 0, 0, 0, 0, 0])
            total[0] += claim.vcpus
            total[1] += claim.memory_mb
            total[2] += claim.disk_gb
            total[3] += 1
            total[4] += claim.pcpus
            if claim.topology is not None:
                total[5] = 1
                pinned.setdefault(claim.node_id, []).append(claim)
        if sums:
            self._connection.execute(
                _GIVE_BACK,
                [
                    {
                        "of_node": node_id,
                        "of_vcpus": total[0],
                        "of_memory_mb": total[1],
                        "of_disk_gb": total[2],
                        "of_count": total[3],
                        "of_pcpus": total[4],
                        "of_topologies": total[5],
                    }
                    for node_id, total in sorted(sums.items())
                ],
            )
        for node_id, gone in pinned.items():
            # The row is locked by the statement above: what is read now is nobody else's to change.
            used = convert(
                self._connection.scalar(select(_node.topology_used).where(_node.id == node_id)) or {},
                HostUsage,
            )
            for claim in gone:
                assert claim.topology is not None
                used = without_guest(used, claim.topology)
            self._connection.execute(
                update(compute_nodes).where(_node.id == node_id).values(topology_used=used)
            )

    def _select(self, *conditions: ColumnElement[bool]) -> list[Claim]:
        return [Claim(*row) for row in self._connection.execute(_SELECT.where(*conditions))]
