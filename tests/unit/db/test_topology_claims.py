# SPDX-License-Identifier: Apache-2.0
"""Claims with a place on their host: fitted to a generation, refused by another, given back whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from nova.conductor.topology_claims import TopologyClaims, Wanted
from nova.db.engine import Database
from nova.db.schema import metadata
from nova.objects.host import ClaimRequest, HostReport, NodeTopology
from nova.objects.topology import GuestTopology, HostTopology, HostUsage, TopologyRequest
from nova.scheduler.table import HostTable
from nova.topology.fitting import Room, fit
from nova.topology.usage import with_guest
from tests.unit.topology.hosts import make_host, make_request


def report(number: int = 1, topology: HostTopology | None = None, **facts: Any) -> HostReport:
    named: dict[str, Any] = {
        "host": f"h{number}", "hypervisor_hostname": f"h{number}", "host_ip": "10.0.0.1",
        "hypervisor_type": "fake", "hypervisor_version": 1, "vcpus": 16, "memory_mb": 10240,
        "local_gb": 100, "cpu_allocation_ratio": 4.0, "ram_allocation_ratio": 1.0,
        "topology": make_host() if topology is None else topology,
    }
    return HostReport(**{**named, **facts})


@pytest.fixture
def db(tmp_path: Path) -> Database:
    made = Database(f"sqlite:///{tmp_path}/n.sqlite")
    metadata.create_all(made.engine)
    with made.write() as tx:
        tx.nodes.report_many([report(1), report(2)])
    return made


def claim(uuid: str, node_id: int = 1, vcpus: int = 4, memory_mb: int = 512) -> ClaimRequest:
    return ClaimRequest(
        instance_uuid=uuid, node_id=node_id, vcpus=vcpus, memory_mb=memory_mb, disk_gb=1
    )


def fitted(node: NodeTopology, uuid: str, request: TopologyRequest) -> ClaimRequest:
    guest = fit(Room(host=node.topology, usage=node.used), request)
    assert guest is not None
    return msgspec.structs.replace(
        claim(uuid), topology=guest, topology_used=with_guest(node.used, guest),
        generation=node.generation,
    )


def pinned(db: Database) -> list[int]:
    with db.read() as tx:
        return sorted(
            cpu for held in tx.claims.by_node(1) if held.topology for cpu in held.topology.pinned
        )


def test_of_two_claims_fitted_to_one_state_the_second_is_refused(db: Database) -> None:
    with db.write() as tx:
        node = tx.claims.topologies([1])[1]
        first, second = (fitted(node, name, make_request(vcpus=4)) for name in "ab")
        assert tx.claims.claim_many([first]) == [True]
        assert tx.claims.claim_many([second]) == [False]
    with db.read() as tx:
        after = tx.claims.topologies([1])[1]
        (held,) = tx.claims.by_node(1)
        assert after.generation == node.generation + 1
        assert after.used.pinned == held.topology.pinned == (0, 1, 2, 3)  # type: ignore[union-attr]


def test_a_lost_race_is_fitted_again(db: Database) -> None:
    takes = TopologyClaims(HostTable(), pack_cells=False)
    wanted = Wanted(claim("b"), make_request(vcpus=4))
    with db.write() as tx:
        store = tx.claims
        stale = store.topologies([1])
        assert takes.take(tx, [Wanted(claim("a"), make_request(vcpus=4))])[0].ok
        # The second scheduler decided on what it had read before.
        answer = takes._take_place(tx, wanted.claim, make_request(vcpus=4), stale)
        assert answer.ok
    assert pinned(db) == list(range(4)) + list(range(8, 12))


def test_a_batch_of_both_kinds_takes_what_fits(db: Database) -> None:
    takes = TopologyClaims(HostTable(), pack_cells=False)
    wanted = [
        Wanted(claim("p1", 2), make_request(vcpus=4)), Wanted(claim("o1", 1)),
        Wanted(claim("p2", 1, 8), make_request(vcpus=8)), Wanted(claim("p3", 1, 8), make_request(vcpus=8)),
        Wanted(claim("p4", 1, 1), make_request(vcpus=1)), Wanted(claim("o2", 2)),
        Wanted(claim("o3", 1, 1, 100000)),
    ]  # fmt: skip
    with db.write() as tx:
        answers = takes.take(tx, wanted)
    assert [each.ok for each in answers] == [True, True, True, True, False, True, False]
    assert pinned(db) == list(range(16))
    with db.write() as tx:
        assert tx.claims.audit(settle_seconds=3600).count == 0


def test_a_claim_repeated_answers_with_the_place_that_is_held(db: Database) -> None:
    takes = TopologyClaims(HostTable(), pack_cells=False)
    with db.write() as tx:
        (first,) = takes.take(tx, [Wanted(claim("a"), make_request(vcpus=4))])
    with db.write() as tx:
        (again,) = takes.take(tx, [Wanted(claim("a"), make_request(vcpus=4))])
        (elsewhere,) = takes.take(tx, [Wanted(claim("a", 2), make_request(vcpus=4))])
    assert again == first
    assert not elsewhere.ok
    assert pinned(db) == [0, 1, 2, 3]


def test_memory_that_is_gone_refuses_a_pinned_claim(db: Database) -> None:
    takes = TopologyClaims(HostTable(), pack_cells=False)
    with db.write() as tx:
        assert takes.take(tx, [Wanted(claim("o", 1, 1, 10000))])[0].ok
        assert not takes.take(tx, [Wanted(claim("p"), make_request(vcpus=4))])[0].ok
    assert pinned(db) == []


def test_a_release_gives_the_place_back(db: Database) -> None:
    takes = TopologyClaims(HostTable(), pack_cells=False)
    with db.write() as tx:
        takes.take(tx, [Wanted(claim(name), make_request(vcpus=4)) for name in "abc"])
    with db.write() as tx:
        (released,) = tx.claims.release("b")
        assert isinstance(released.topology, GuestTopology)
        node = tx.claims.topologies([1])[1]
        assert not set(released.topology.pinned) & set(node.used.pinned)
        assert node.generation == 4
        tx.claims.release_many(["a", "c"])
        assert tx.claims.topologies([1])[1].used == HostUsage()
        assert tx.claims.audit(settle_seconds=0).count == 0


def test_a_host_that_changed_raises_the_generation_and_one_that_did_not_leaves_it(
    db: Database,
) -> None:
    def generation() -> int:
        with db.read() as tx:
            return tx.claims.topologies([1])[1].generation

    with db.write() as tx:
        tx.nodes.report_many([report(1, running_vms=3)])
    assert generation() == 0
    with db.write() as tx:
        tx.nodes.report_many([report(1, make_host(cells=1))])
    assert generation() == 1


def test_cpus_kept_apart_have_their_own_limit(db: Database) -> None:
    apart = make_host(apart=frozenset({2, 3, 10, 11}))
    with db.write() as tx:
        tx.nodes.report_many([report(1, apart, vcpus=12, pcpus=4)])
        takes = TopologyClaims(HostTable(), pack_cells=False)
        answers = takes.take(
            tx, [Wanted(claim(name, vcpus=2), make_request(vcpus=2)) for name in "abc"]
        )
        assert [each.ok for each in answers] == [True, True, False]
        node = tx.nodes.get(1)
        assert (node.vcpus_used, node.pcpus_used) == (0, 4)
