# SPDX-License-Identifier: Apache-2.0
"""Claims of a batch in which some servers want a place on their host: CPUs of their own, pages, devices.

Such a claim is fitted to its node as the database has it now, and taken by a conditional UPDATE that
refuses where the node has changed meanwhile; then it is fitted again. The others cost nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nova.db.engine import Transaction
from nova.objects.host import ClaimRequest, NodeTopology
from nova.objects.topology import GuestTopology, TopologyRequest
from nova.scheduler.table import HostTable
from nova.topology.charges import charged
from nova.topology.fitting import Room, fit
from nova.topology.usage import with_guest

#: Fits in vain before a claim counts as lost; each means that somebody else's claim succeeded.
_TRIES = 8


class Wanted(msgspec.Struct, frozen=True):
    """A claim, and the place that goes with it where one is asked for."""

    claim: ClaimRequest
    topology: TopologyRequest | None = None


class Granted(msgspec.Struct, frozen=True):
    """Whether a claim was taken, and the place that came of it."""

    ok: bool
    topology: GuestTopology | None = None


class TopologyClaims:
    """Takes claims and tells the table of hosts what became of their nodes."""

    def __init__(self, table: HostTable, *, pack_cells: bool) -> None:
        self._table = table
        self._pack = pack_cells

    def take(self, tx: Transaction, wanted: Sequence[Wanted]) -> list[Granted]:
        """The answer to each, in order. Nodes are written by id, as everywhere."""
        if all(each.topology is None for each in wanted):
            return [Granted(ok) for ok in tx.claims.claim_many([each.claim for each in wanted])]
        answers: dict[int, Granted] = {}
        nodes = tx.claims.topologies(
            {each.claim.node_id for each in wanted if each.topology is not None}
        )
        self._tell(nodes)
        order = sorted(range(len(wanted)), key=lambda place: wanted[place].claim.node_id)
        plain: list[int] = []
        for place in order:
            each = wanted[place]
            if each.topology is None:
                plain.append(place)
                continue
            self._take_plain(tx, wanted, plain, answers)
            plain = []
            answers[place] = self._take_place(tx, each.claim, each.topology, nodes)
        self._take_plain(tx, wanted, plain, answers)
        return [answers[place] for place in range(len(wanted))]

    def _tell(self, nodes: dict[int, NodeTopology]) -> None:
        """What was just read is newer than what the table has where others have claimed."""
        for node in nodes.values():
            self._table.set_topology_used(node.node_id, node.generation, node.used)

    def _take_plain(
        self,
        tx: Transaction,
        wanted: Sequence[Wanted],
        places: Sequence[int],
        answers: dict[int, Granted],
    ) -> None:
        if places:
            taken = tx.claims.claim_many([wanted[place].claim for place in places])
            answers.update(zip(places, map(Granted, taken), strict=True))

    def _take_place(
        self,
        tx: Transaction,
        claim: ClaimRequest,
        request: TopologyRequest,
        nodes: dict[int, NodeTopology],
    ) -> Granted:
        for held in tx.claims.by_instance(claim.instance_uuid):
            if held.kind == claim.kind:
                return Granted(held.node_id == claim.node_id, held.topology)
        for _ in range(_TRIES):
            node = nodes.get(claim.node_id)
            if node is None:
                break
            guest = fit(_room(node), request, pack=self._pack)
            if guest is None:
                break
            if self._take_fitted(tx, claim, request, node, guest, nodes):
                return Granted(True, guest)
            now = tx.claims.topologies([claim.node_id])
            if claim.node_id in now and now[claim.node_id].generation == node.generation:
                # Not the place, but memory or disk is what the node has not left.
                break
            nodes.pop(claim.node_id)
            nodes.update(now)
            self._tell(now)
        return Granted(False)

    def _take_fitted(
        self,
        tx: Transaction,
        claim: ClaimRequest,
        request: TopologyRequest,
        node: NodeTopology,
        guest: GuestTopology,
        nodes: dict[int, NodeTopology],
    ) -> bool:
        vcpus, pcpus = charged(claim.vcpus, guest, kept_apart=node.pcpus > 0)
        used = with_guest(node.used, guest)
        full = msgspec.structs.replace(
            claim, vcpus=vcpus, pcpus=pcpus, topology=guest, topology_used=used,
            generation=node.generation,
        )
        if not tx.claims.claim_many([full])[0]:
            return False
        generation = node.generation + 1
        nodes[node.node_id] = msgspec.structs.replace(node, used=used, generation=generation)
        tx.after_commit(
            lambda: self._table.set_topology_used(node.node_id, generation, used)
        )
        return True


def _room(node: NodeTopology) -> Room:
    return Room(
        host=node.topology, usage=node.used, cpu_ratio=node.cpu_allocation_ratio,
        ram_ratio=node.ram_allocation_ratio,
    )
